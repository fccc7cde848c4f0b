"""What does a real sipsak say to a server?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import attrs

from tests.peers.namespace import Namespace
from tests.peers.need import require

SILENT_SECONDS = 60.0
"""sipsak itself gives up on a silent target after some 35 s."""


@attrs.frozen
class Outcome:
    """`code` is sipsak's exit status: 0 an answer it likes, 1 one it does not, 2 an error of its own, 3 no answer."""

    code: int
    output: str


def sipsak(*arguments: str | Path, namespace: Namespace | None = None, seconds: float = SILENT_SECONDS) -> Outcome:
    """Run sipsak to its end with its own arguments (`-vv`, `-s`, `sip:s@127.0.0.1:6001`); ports have four digits."""
    command = [str(require("sipsak")), *map(str, arguments)]
    if namespace is not None:
        command = namespace.command(command)
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(errors="replace"))
