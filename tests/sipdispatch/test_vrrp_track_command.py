"""Does a command say what it should, in time, and alone?"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from sipdispatch import command_run, vrrp_track_command
from sipdispatch.command_run import Run
from sipdispatch.vrrp_settings import TrackCommand
from sipdispatch.vrrp_track_command import ask_command
from tests.sipdispatch.vrrp_said import asking

Script = Callable[..., TrackCommand]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A track with a shell script of these lines; `out` in them is a file of its own."""

    def make(text: str, **settings: Any) -> TrackCommand:
        path = tmp_path / "check"
        path.write_text(f"#!/bin/sh\nout={tmp_path}/out\n{text}\n")
        path.chmod(0o755)
        track = TrackCommand(command=(str(path), "first", "two words"), name="check", interval=0.02, timeout=10.0)
        return attrs.evolve(track, **settings)

    return make


def written(out: Path) -> list[str]:
    return out.read_text().split() if out.exists() else []


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        ("exit 0", True, "it has ended well"),
        ("echo; echo all well; echo more", True, "all well"),
        ("exit 3", False, "exit status 3"),
        ("echo disk full >&2; exit 1", False, "disk full (exit status 1)"),
        ("printf 'a\\033[2Jb'; kill -9 $$", False, "a\\x1b[2Jb (it was ended by SIGKILL)"),
    ],
)
async def test_what_it_says(script: Script, text: str, *, ok: bool, detail: str) -> None:
    async with asking(partial(ask_command, script(text))) as said:
        assert await said.next() == (ok, detail)
        assert await said.next() == (ok, detail)


async def test_what_it_gets(script: Script) -> None:
    text = 'printf "%s|" "$#" "$1" "$2" "$SIPDISPATCH_TRACK" "$HOME$USER$PYTHONPATH" "$(pwd)" "$(cat)"'
    async with asking(partial(ask_command, script(text))) as said:
        assert await said.next() == (True, "2|first|two words|check||/||")


async def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    async with asking(partial(ask_command, TrackCommand(command=(str(tmp_path / "no"),)))) as said:
        assert await said.next() == (False, "it cannot be started: no such file or directory")


async def test_one_that_hangs_is_told_of_in_time_and_ended_with_all_it_has_started(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_run, "TERM_S", 0.3)
    text = "trap 'echo asked >>$out' TERM\necho $$ >>$out\nsleep 600 &\necho $! >>$out\nwhile :; do sleep 0.05; done"
    async with asking(partial(ask_command, script(text, timeout=0.5))) as said:
        assert await said.next() == (False, "it has not ended within 0.5 s")
        leader, child = (int(line) for line in written(tmp_path / "out")[:2])
        os.kill(leader, 0)  # it is told before it is over
        assert await said.next() == (False, "it has not ended within 0.5 s")
        assert written(tmp_path / "out")[2] == "asked"
        for pid in (leader, child):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_nothing_is_left_when_the_agent_ends(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_run, "TERM_S", 0.1)
    out = tmp_path / "out"
    async with asking(partial(ask_command, script("echo $$ >$out\nexec sleep 600", timeout=600.0))):
        while not written(out):  # noqa: ASYNC110 - a program of others writes it
            await trio.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int(written(out)[0]), signal.SIGTERM)


@pytest.mark.parametrize(
    ("takes", "began"),
    [(0.1, [0, 1, 2, 3, 4]), (1.0, [0, 2, 4]), (1.5, [0, 2, 4]), (2.9, [0, 3])],
)
async def test_it_runs_in_step_and_never_twice_at_once(
    takes: float, began: list[float], monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    del autojump_clock
    started: list[float] = []
    running = 0

    async def run_command(*_: Any, **__: Any) -> Run:
        nonlocal running
        running += 1
        assert running == 1
        started.append(round(trio.current_time() - first, 3))
        await trio.sleep(takes)
        running -= 1
        return Run(succeeded=True, text="")

    monkeypatch.setattr(vrrp_track_command, "run_command", run_command)
    first = trio.current_time()
    with trio.move_on_after(4.9):
        await ask_command(TrackCommand(command=("/check",), interval=1.0), lambda **_: None)
    assert started == began
