"""What does an operator read who steers the proxy of a test from the command line?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from tests.e2e.proxy import ROOT, assert_no_traceback
from tests.peers.program import Program

SECONDS = 20.0


@attrs.frozen
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@attrs.frozen
class Operator:
    """Commands about the proxy with this control socket."""

    socket: Path

    @property
    def settings(self) -> str:
        """The section of the proxy's configuration that makes the socket."""
        return f'[control]\nsocket = "{self.socket}"\n'

    def argv(self, *words: str) -> list[str]:
        """A command line of sipdispatch."""
        return [sys.executable, "-m", "sipdispatch", *words, "--socket", str(self.socket)]

    def run(self, *words: str) -> Said:
        """Run a command to its end."""
        done = subprocess.run(
            self.argv(*words),
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        assert_no_traceback(done.stderr)
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str, log: Path) -> Program:
        """Run a command in the background."""
        return Program(self.argv(*words), log=log, directory=ROOT)

    def ask(self, *words: str) -> Any:
        """The JSON that a command prints."""
        said = self.run(*words, "--json")
        assert said.code == 0, said
        return json.loads(said.out)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What has happened of this kind, oldest first."""
        return [event for event in self.ask("events", "--limit", "10000")["events"] if event["kind"] == kind]
