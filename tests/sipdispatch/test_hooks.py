"""Do real commands get the facts, in order and within bounds, and is nothing left of those that hang, fail or fork?"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from sipdispatch import command_run, hooks
from sipdispatch.command_run import Run
from sipdispatch.happening import Happening
from sipdispatch.hooks import HookQueue, facts_for, line_for, run_hook
from sipdispatch.notice_settings import Hook
from tests.sipdispatch.happenings import EPOCH, happening

Script = Callable[..., Hook]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "BACKOFF_S", (0.001,))
    monkeypatch.setattr(command_run, "TERM_S", 0.2)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A hook with a shell script of these lines; `out` in them is a file of its own."""

    def make(text: str, **settings: Any) -> Hook:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\nout={tmp_path}/out\n{text}\n")
        path.chmod(0o755)
        hook = Hook(command=(str(path), "first", "two words"), name="hook", retries=0)
        return attrs.evolve(hook, **settings)

    return make


def written(tmp_path: Path) -> list[str]:
    path = tmp_path / "out"
    return path.read_text().splitlines() if path.exists() else []


def lives(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> None:
    """Return when none of them lives: a SIGKILL takes its time."""
    with trio.fail_after(5):
        while any(map(lives, pids)):  # noqa: ASYNC110 - nobody tells of the end of somebody else's child
            await trio.sleep(0.01)


DOWN = happening("down", now=3.5)

# --------------------------------------------------------------------------------------------------------------------
# What a command gets


def test_facts() -> None:
    told = attrs.evolve(DOWN, sequence=7, cause="a\0\n\ud800" + "x" * 2000)
    facts = facts_for(told, "edge1")
    assert facts.pop("SIPDISPATCH_CAUSE") == ("a\n?" + "x" * 2000)[:1000]
    assert facts == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "SIPDISPATCH_NODE": "edge1",
        "SIPDISPATCH_SEQUENCE": "7",
        "SIPDISPATCH_AT": "1700000003.500",
        "SIPDISPATCH_TIME": "2023-11-14T22:13:23.500+00:00",
        "SIPDISPATCH_KIND": "verdict",
        "SIPDISPATCH_BEFORE": "up",
        "SIPDISPATCH_AFTER": "down",
        "SIPDISPATCH_SET": "1",
        "SIPDISPATCH_URI": "sip:10.0.0.1:5060",
        "SIPDISPATCH_ADDRESS": "10.0.0.1:5060",
        "SIPDISPATCH_NUMBER": "1",
    }


def test_facts_of_no_destination_are_empty() -> None:
    facts = facts_for(happening("started", before="", kind="proxy", number=0), "edge1")
    assert [facts[f"SIPDISPATCH_{name}"] for name in ("SET", "URI", "ADDRESS", "NUMBER")] == [""] * 4


def test_the_line() -> None:
    line = line_for(attrs.evolve(DOWN, sequence=7, cause="häuser\n"), "edge1")
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "node": "edge1",
        "sequence": 7,
        "at": EPOCH + 3.5,
        "kind": "verdict",
        "before": "up",
        "after": "down",
        "cause": "häuser\n",
        "set": 1,
        "uri": "sip:10.0.0.1:5060",
        "address": "10.0.0.1:5060",
        "number": 1,
    }


async def test_a_command_gets_arguments_environment_line_and_nothing_else(script: Script, tmp_path: Path) -> None:
    hook = script(
        'printf "%s|" "$#" "$1" "$2" "$SIPDISPATCH_AFTER" "$HOME$USER$PYTHONPATH" "$(pwd)" >>$out; echo >>$out\n'
        "cat >>$out\n"
        "ls /proc/self/fd | tr '\\n' ' ' >>$out; echo >>$out\n"
        "grep ^SigIgn /proc/self/status >>$out"
    )
    inheritable = True
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), inheritable)
        assert await run_hook(hook, DOWN, "edge1") == Run(succeeded=True, text="it has ended well", status=0)
    arguments, line, descriptors, ignored = written(tmp_path)
    assert arguments == "2|first|two words|down||/|"
    assert json.loads(line)["after"] == "down"
    assert descriptors.split()[:3] == ["0", "1", "2"]
    assert len(descriptors.split()) == 4  # ls itself reads the folder
    assert int(ignored.split()[1], 16) & 1 << signal.SIGPIPE - 1 == 0


# --------------------------------------------------------------------------------------------------------------------
# How it ends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 0", Run(succeeded=True, text="it has ended well", status=0)),
        ("echo why; echo oh >&2; exit 3", Run(succeeded=False, text="exit status 3", output="why\noh\n", status=3)),
        ("kill -SEGV $$", Run(succeeded=False, text="it was ended by SIGSEGV")),
        ("kill -40 $$", Run(succeeded=False, text="it was ended by signal 40")),
        ("exec <&-; sleep 0.05", Run(succeeded=True, text="it has ended well", status=0)),
    ],
)
async def test_how_a_command_ends(script: Script, text: str, expected: Run) -> None:
    assert await run_hook(script(text), DOWN, "edge1") == expected


async def test_commands_that_cannot_be_started(tmp_path: Path) -> None:
    run = await run_hook(Hook(command=(str(tmp_path / "lost"),)), DOWN, "edge1")
    assert run == Run(succeeded=False, text="it cannot be started: no such file or directory")
    run = await run_hook(Hook(command=(str(tmp_path),)), DOWN, "edge1")
    assert run == Run(succeeded=False, text="it cannot be started: permission denied")


async def test_a_command_that_hangs_is_asked_to_end(script: Script, tmp_path: Path) -> None:
    hook = script('trap "echo asked >>$out; exit 0" TERM\necho $$ >>$out\nsleep 100 & wait', timeout=0.3)
    run = await run_hook(hook, DOWN, "edge1")
    assert run == Run(succeeded=False, text="it has not ended within 0.3 s")
    pid, asked = written(tmp_path)
    assert asked == "asked"
    assert not lives(int(pid))


async def test_a_command_that_does_not_want_to_end_is_killed(script: Script, tmp_path: Path) -> None:
    hook = script('trap "" TERM\necho $$ >>$out\nwhile :; do sleep 0.05; done', timeout=0.2)
    assert (await run_hook(hook, DOWN, "edge1")).text == "it has not ended within 0.2 s"
    await gone(int(written(tmp_path)[0]))


async def test_what_a_command_leaves_in_its_group_is_killed(script: Script, tmp_path: Path) -> None:
    hook = script("sleep 1000 &\necho $! >>$out\n(trap '' TERM; sleep 1000) &\necho $! >>$out\nexit 0")
    started = time.monotonic()
    assert (await run_hook(hook, DOWN, "edge1")).succeeded
    assert time.monotonic() - started < 5  # it does not wait for those who have its output open
    await gone(*map(int, written(tmp_path)))


async def test_one_that_has_left_the_group_and_keeps_the_output_holds_nobody_up(script: Script, tmp_path: Path) -> None:
    hook = script(
        'setsid sh -c "echo \\$\\$ >>$out; exec sleep 1000" &\nwhile [ ! -s $out ]; do sleep 0.01; done\necho done'
    )
    with trio.fail_after(5):
        assert await run_hook(hook, DOWN, "edge1") == Run(
            succeeded=True, text="it has ended well", status=0, output="done\n"
        )
    (pid,) = map(int, written(tmp_path))
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


async def test_output_without_end_is_bounded(script: Script) -> None:
    hook = script("exec yes 0123456789", timeout=0.3)
    run = await run_hook(hook, DOWN, "edge1")
    assert run.text == "it has not ended within 0.3 s"
    assert len(run.output) == 4096
    assert run.output.startswith("0123456789\n0123456789\n")


async def test_much_output_does_not_make_it_fail(script: Script) -> None:
    run = await run_hook(script("head -c 200000 /dev/zero; exit 0"), DOWN, "edge1")
    assert run.succeeded
    assert len(run.output) == 4096


async def test_output_that_is_not_text(script: Script) -> None:
    assert (await run_hook(script("printf '\\377x'; exit 1"), DOWN, "edge1")).output == "\ufffdx"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
async def test_without_pidfd_it_is_the_same(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (await run_hook(script("exit 3"), DOWN, "edge1")).text == "exit status 3"
    hanging = script("echo $$ >>$out; exec sleep 1000", timeout=0.2)
    assert (await run_hook(hanging, DOWN, "edge1")).text == "it has not ended within 0.2 s"
    assert not lives(int(written(tmp_path)[0]))


def test_one_that_not_even_a_kill_ends_is_told_as_such() -> None:
    assert command_run._ended(None) == "it cannot be ended"


async def test_cancelling_leaves_no_process(script: Script, tmp_path: Path) -> None:
    hook = script("sleep 1000 & echo $! >>$out\necho $$ >>$out\nwait")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_hook, hook, DOWN, "edge1")
        with trio.fail_after(5):
            while len(written(tmp_path)) < 2:  # noqa: ASYNC110 - the command tells by its file
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    await gone(*map(int, written(tmp_path)))


# --------------------------------------------------------------------------------------------------------------------
# One after the other


async def run_all(queue: HookQueue) -> list[structlog.typing.EventDict]:
    """Run what waits to its end; what was logged."""
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.run)
            with trio.fail_after(10):
                while queue._waiting or queue._running:  # noqa: ASYNC110 - the queue tells nobody
                    await trio.sleep(0.01)
            queue.stop()
    return logged


def put(queue: HookQueue, *told: Happening) -> list[str]:
    for each in told:
        queue.put(each)
    return [str(each.sequence) for each in told]


async def test_commands_run_in_order(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(script("echo $SIPDISPATCH_SEQUENCE >>$out"), "edge1")
    sequences = put(queue, *(happening("down", number=number) for number in (3, 1, 2, 1)))
    assert await run_all(queue) == []
    assert written(tmp_path) == sequences


async def test_only_what_the_hook_wants(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(script("echo $SIPDISPATCH_KIND >>$out", kinds=frozenset({"word"})), "edge1")
    put(queue, happening("down"), happening("draining", kind="word"))
    await run_all(queue)
    assert written(tmp_path) == ["word"]


async def test_order_is_kept_over_retries(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(script("echo $SIPDISPATCH_SEQUENCE >>$out\n[ $(wc -l <$out) -ge 3 ]", retries=5), "edge1")
    first, second = put(queue, happening("down"), happening("up"))
    assert await run_all(queue) == []
    assert written(tmp_path) == [first, first, first, second]


async def test_several_at_once_but_never_for_one_destination(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(
        script("echo +$SIPDISPATCH_NUMBER >>$out; sleep 0.2; echo -$SIPDISPATCH_NUMBER >>$out", at_once=2), "edge1"
    )
    put(queue, *(happening("down", number=number) for number in (1, 1, 2, 3)))
    await run_all(queue)
    lines = written(tmp_path)
    assert sorted(lines[:2]) == ["+1", "+2"]
    running: list[str] = []
    for line in lines:
        if line[0] == "+":
            assert line[1:] not in running
            running.append(line[1:])
            assert len(running) <= 2
        else:
            running.remove(line[1:])
    assert len(lines) == 8


async def test_a_failure_is_logged_with_its_output(script: Script) -> None:
    queue = HookQueue(script("echo no\nprintf '\\033[2J'; exit 3", retries=1), "edge1")
    (sequence,) = put(queue, happening("down"))
    assert await run_all(queue) == [
        {
            "event": "a hook failed",
            "log_level": "error",
            "hook": "hook",
            "reason": "exit status 3",
            "tries": 2,
            "sequence": int(sequence),
            "output": "no \\x1b[2J",
        }
    ]


async def test_what_does_not_fit_is_dropped_oldest_first_and_counted(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(script("echo $SIPDISPATCH_SEQUENCE >>$out"), "edge1", capacity=2)
    sequences = put(queue, *(happening("down") for _ in range(5)))
    logged = await run_all(queue)
    assert written(tmp_path) == sequences[3:]
    assert logged == [
        {
            "event": "happenings were dropped: the hook is too slow",
            "log_level": "warning",
            "hook": "hook",
            "count": 3,
        }
    ]


async def test_a_mistake_of_ours_is_survived(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = run_hook
    first = happening("down")

    async def broken(hook: Hook, told: Happening, node: str) -> Run:
        if told is first:
            raise ZeroDivisionError
        return await real(hook, told, node)

    monkeypatch.setattr(hooks, "run_hook", broken)
    queue = HookQueue(script("echo $SIPDISPATCH_SEQUENCE >>$out"), "edge1")
    _, second = put(queue, first, happening("up"))
    logged = await run_all(queue)
    assert [line["hook"] for line in logged] == ["hook"]
    assert written(tmp_path) == [second]


async def test_at_the_end_what_waits_is_still_run_but_not_again(script: Script, tmp_path: Path) -> None:
    queue = HookQueue(script("echo $SIPDISPATCH_SEQUENCE >>$out; exit 1", retries=5), "edge1")
    sequences = put(queue, happening("down"), happening("up"))
    queue.stop()
    with trio.fail_after(5), structlog.testing.capture_logs() as logged:
        await queue.run()
    assert written(tmp_path) == sequences
    assert [line["tries"] for line in logged] == [1, 1]


async def test_at_the_end_a_pause_is_cut_short(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "BACKOFF_S", (1000.0,))
    queue = HookQueue(script("exit 1", retries=5), "edge1")
    put(queue, happening("down"))

    async def stop() -> None:
        await trio.testing.wait_all_tasks_blocked(0.1)
        queue.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        with trio.fail_after(5), structlog.testing.capture_logs() as logged:
            await queue.run()
    assert [line["tries"] for line in logged] == [1]


async def test_at_the_end_nobody_is_waited_for_for_long(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "HURRY_S", 0.3)
    queue = HookQueue(script("echo $$ >>$out; exec sleep 1000", timeout=100), "edge1")
    put(queue, happening("down"), happening("up"), happening("down"))
    queue.stop()
    with trio.fail_after(5), structlog.testing.capture_logs() as logged:
        await queue.run()
    assert [line["count"] for line in logged] == [2]
    assert not lives(int(written(tmp_path)[0]))
