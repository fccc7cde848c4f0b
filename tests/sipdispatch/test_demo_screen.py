"""What does the demo show, on a terminal and elsewhere?"""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from sipdispatch.demo_caller import Ended
from sipdispatch.demo_screen import Scene, Screen
from sipdispatch.demo_tally import Act, Tally, Target

A = Target(("127.0.0.2", 5060), 70)
B = Target(("127.0.0.3", 15060), 30)


@pytest.fixture
def scene() -> Scene:
    tally = Tally()
    for target in (A, A, B):
        tally.begin(Act.BOTH)
        tally.end(Act.BOTH, Ended(target.address, complete=True, retransmitted=False))
    tally.begin(Act.ONE)
    scene = Scene(targets=(A, B), killed=A, tally=tally)
    scene.states.update({(Act.BOTH, A): "up", (Act.BOTH, B): "up", (Act.ONE, A): "killed, avoided", (Act.ONE, B): "up"})
    return scene


EXPECTED = """
                                         share          share
  when         destination      weight  wanted  calls     got  state
 ──────────────────────────────────────────────────────────────────────────────
  both answer  127.0.0.2:5060       70    70 %      2  66.7 %  up
               127.0.0.3:15060      30    30 %      1  33.3 %  up

  one killed   127.0.0.2:5060       70     0 %      0       -  killed, avoided
               127.0.0.3:15060      30   100 %      0       -  up

"""


def test_elsewhere_there_is_one_table_at_the_end(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(scene, Console(file=io.StringIO(), force_terminal=False))
    screen.open()
    screen.act("1. Both.")
    screen.refresh()
    assert capsys.readouterr().out == "1. Both.\n"
    screen.close()
    screen.abort()
    assert "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) == EXPECTED.rstrip("\n") + "\n"


def test_without_the_letters_for_lines_there_are_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(page, encoding="ascii"))
    Screen(scene, Console(file=io.StringIO(), force_terminal=False)).close()
    assert b"---" in page.getvalue()


def test_notes_go_to_standard_error_when_there_is_no_live_table(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(scene, Console(file=io.StringIO(), force_terminal=False)).note("look\x1b[2J out", "warning")
    assert capsys.readouterr() == ("", "proxy: look\\x1b[2J out\n")


def test_on_a_terminal_the_table_changes_in_place(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    page = io.StringIO()
    screen = Screen(scene, Console(file=page, force_terminal=True, width=80, height=40, _environ={"TERM": "xterm"}))
    screen.note("before", "info")
    screen.refresh()
    assert page.getvalue() == ""
    screen.open()
    screen.act("2. One is killed.")
    screen.note("a destination refuses", "warning")
    for number in range(9):
        screen.note(f"note {number}", "info")
    shown = page.getvalue()
    assert "2. One is killed." in shown
    assert "4 calls placed, 3 complete, 1 in progress, 0 lost" in shown
    assert "proxy: a destination refuses" in shown
    page.truncate(0)
    screen.refresh()
    assert "proxy: note 8" in page.getvalue()
    assert "proxy: note 4" not in page.getvalue()  # there is room for four
    screen.close()
    screen.abort()
    assert page.getvalue().count("\x1b[?25h") == 1  # the cursor is there again
    screen.note("after", "info")
    assert capsys.readouterr() == ("", "proxy: before\nproxy: after\n")


def test_an_abort_gives_the_terminal_back(scene: Scene) -> None:
    page = io.StringIO()
    screen = Screen(scene, Console(file=page, force_terminal=True, width=80, height=40, _environ={"TERM": "xterm"}))
    screen.open()
    screen.abort()
    assert "\x1b[?25h" in page.getvalue()
