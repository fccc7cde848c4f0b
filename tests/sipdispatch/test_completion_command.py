"""Does a shell that has read the script complete commands and options?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sipdispatch.cli import main
from sipdispatch.completion_command import SHELLS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    output = capsys.readouterr().out
    assert "_SIPDISPATCH_COMPLETE" in output
    assert f"{shell}_complete" in output


@pytest.mark.parametrize("shell", ["/bin/bash", "/usr/bin/zsh", "fish"])
def test_the_shell_in_use_is_the_default(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert main(["completion"]) == 0
    assert f"{Path(shell).name}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(("shell", "name"), [("/bin/tcsh", "tcsh"), ("", "a shell without a name")])
def test_a_shell_that_is_not_known(
    shell: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert main(["completion"]) == 2
    assert capsys.readouterr().err == (
        f"sipdispatch: error: there is no completion for {name}\n"
        "  where: environment variable SHELL\n"
        "  to do: write sipdispatch completion and one of bash, zsh, fish\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sipdispatch ", {"proxy", "check", "completion"}),
        ("sipdispatch ch", {"check"}),
        ("sipdispatch proxy --li", {"--listen", "--list"}),
        ("sipdispatch completion ", set(SHELLS)),
    ],
)
def test_what_is_completed(words: str, expected: set[str]) -> None:
    environment = os.environ | {
        "_SIPDISPATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "sipdispatch"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} >= expected
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_takes_the_script() -> None:
    script = subprocess.run(
        [sys.executable, "-m", "sipdispatch", "completion", "bash"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\ncomplete -p sipdispatch"], capture_output=True, text=True, check=True
    )
    assert "sipdispatch" in done.stdout
