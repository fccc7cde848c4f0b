"""The manual: what stands in its pages, and how the sessions that they show are played again."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs `sipdispatch` with these arguments: the exit status, and all that it says."""


def page(name: str) -> str:
    """A page of the manual."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[tuple[str, str]]:
    """What follows the kind on the opening line, and the text, of each fenced block."""
    return re.findall(rf"^```{kind} ?([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def sessions(text: str) -> list[str]:
    """What stands in the console blocks."""
    return [session for _, session in blocks(text, "console")]


def entry(text: str, key: str) -> str:
    """What is said of a key or an option, on one line."""
    found = re.search(rf"^`{key}`\n:(.*?)\n\n", f"{text}\n\n", re.DOTALL | re.MULTILINE)
    assert found is not None, key
    return " ".join(found[1].split())


def steps(session: str) -> list[tuple[str, str]]:
    """The commands of a session, each with what it says."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert found
    return found


def replay(session: str, run: Run) -> str:
    """The session as it really goes."""
    shown, status = "", 0
    for command, _ in steps(session):
        if command == "echo $?":
            said = f"{status}\n"
        else:
            program, *arguments = shlex.split(command)
            assert program == "sipdispatch"
            status, said = run(arguments)
        shown += f"$ {command}\n{said}"
    return shown


def run_in(folder: Path, state: Path) -> Run:
    """Runs the program in a folder, with another for its state."""

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "sipdispatch", *arguments],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(state)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run
