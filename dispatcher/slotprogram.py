"""What does the process do that builds a slot table?  It reads groups on standard input and writes the table.

It needs the standard library and `dispatcher.slots` only, so that it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import BinaryIO

from dispatcher.slots import Contender, Groups, build

_NICENESS = 10


def encode(groups: Groups) -> bytes:
    """The groups as the program reads them: a JSON list of groups, each a list of [destination, seed, weight]."""
    return json.dumps(groups).encode()


def run(source: BinaryIO, sink: BinaryIO) -> None:
    """Read groups to the end of `source`, write their slot table to `sink`."""
    sink.write(build([[Contender(*contender) for contender in group] for group in json.load(source)]))


def main() -> None:
    """Give way to the process that forwards, and build."""
    with contextlib.suppress(OSError):  # as where a unit of systemd filters the call
        os.nice(_NICENESS)
    run(sys.stdin.buffer, sys.stdout.buffer)
