"""Do the fuzz targets hold on every input that is kept: the corpus, and each finding of the past?

This needs no fuzzer: a target is a function of bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.fastpath import WHY_NOT
from fuzz import parser, pipeline
from fuzz.run import CASES, CORPUS, MAX_FILES, main
from tests.peers.need import missing

CHECKS = {"parser": parser.check, "pipeline": pipeline.check}
FOLDERS = ("parser", "pipeline", "fastpath")


def kept(folder: str) -> list[Path]:
    files = (*(CASES / folder).iterdir(), *(CORPUS / folder).iterdir())
    return sorted(file for file in files if file.name != ".gitkeep")


@pytest.mark.parametrize(("target", "file"), [(name, file) for name in ("parser", "pipeline") for file in kept(name)])
def test_what_is_kept_holds(target: str, file: Path) -> None:
    CHECKS[target](file.read_bytes())


@pytest.mark.parametrize("file", [*kept("fastpath"), *kept("pipeline")], ids=lambda file: file.name)
def test_both_pipelines_agree_on_what_is_kept(file: Path) -> None:
    if WHY_NOT:
        missing(WHY_NOT)
    from fuzz import compiled, fastpath  # noqa: PLC0415 - they need the module

    compiled.check(file.read_bytes())
    fastpath.check(file.read_bytes())


def test_the_corpus_stays_small_enough_for_every_test_run() -> None:
    files = [file for folder in FOLDERS for file in (CORPUS / folder).iterdir()]
    assert len(files) <= len(FOLDERS) * MAX_FILES
    assert sum(file.stat().st_size for file in files) < 2_000_000


def test_a_finding_is_replayed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(data: bytes) -> None:
        assert data != b"bad", "the parser has lost its promise"

    monkeypatch.setattr(parser, "check", breaks)
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"good")
    bad.write_bytes(b"bad")
    assert main(["--target", "parser", "--replay", str(good)]) == 0
    assert main(["--target", "parser", "--replay", str(good), str(bad)]) == 1
    assert "the parser has lost its promise" in capsys.readouterr().err


def test_without_a_fuzzer_the_run_says_so_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["--seconds", "1"]) == 3
    assert "nothing was run" in capsys.readouterr().err


def test_a_wrong_option_ends_with_2() -> None:
    program = Path(__file__).parent.parent / "fuzz" / "run.py"
    ended = subprocess.run([sys.executable, program, "--target", "lexer"], capture_output=True, check=False)
    assert ended.returncode == 2
