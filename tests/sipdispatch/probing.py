"""What does the command `sipdispatch probe` say and how does it end, run as people run it?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs

from tests.peers.namespace import Namespace

ROOT = Path(__file__).parents[2]
SECONDS = 30.0


@attrs.frozen
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def shape(self) -> str:
        """What was printed, with every measured number made `N` and every port that the kernel chose `PORT`."""
        text = re.sub(r"rtt=[0-9.]+ ms", "rtt=N ms", self.out)
        text = re.sub(r"after [0-9]+ ms", "after N ms", text)
        return re.sub(r"( from [^ \n]*):[0-9]+$", r"\1:PORT", text, flags=re.MULTILINE)


def probe(*arguments: str | Path, namespace: Namespace | None = None, text: str = "", cwd: Path = ROOT) -> Ended:
    """Run the command to its end; `text` is its standard input."""
    command = [sys.executable, "-m", "sipdispatch", "probe", *map(str, arguments)]
    if namespace is not None:
        command = namespace.command(command)
    environment = {name: value for name, value in os.environ.items() if name != "SIPDISPATCH_DEBUG"}
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)
