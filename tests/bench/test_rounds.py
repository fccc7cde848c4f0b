"""Do all contenders have the same chances, and does a bench say why it cannot be run?"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import BenchError
from bench.rounds import in_turn, status


def test_everyone_is_measured_once_a_round_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(in_turn(2, {"ours": 1, "theirs": 2})) == [1, 2, 1, 2]
    told = "round 1 of 2: ours\nround 1 of 2: theirs\nround 2 of 2: ours\nround 2 of 2: theirs\n"
    assert capsys.readouterr().err == told


def test_what_was_measured_is_printed_and_its_folder_gone(capsys: pytest.CaptureFixture[str]) -> None:
    folders: list[Path] = []

    def measured(work: Path) -> str:
        folders.append(work)
        return f"a folder: {work.is_dir()}"

    assert status(measured) == 0
    assert capsys.readouterr().out == "a folder: True\n"
    assert not folders[0].exists()


def test_a_bench_that_cannot_be_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(work: Path) -> str:
        message = f"no compiler for {work.name[:6]}"
        raise BenchError(message)

    assert status(measured) == 1
    assert capsys.readouterr() == ("", "error: no compiler for bench-\n")
