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
from dispatcher.steps import Steps, stepwise

_NICENESS = 10
_AT_ONCE = 128


@stepwise
def encode(groups: Groups) -> Steps[bytes]:
    """The groups as the program reads them: a JSON list of groups, each a list of [destination, seed, weight]."""
    texts = []
    for group in groups:
        parts = []
        for first in range(0, len(group), _AT_ONCE):
            parts.append(json.dumps(group[first : first + _AT_ONCE]).removeprefix("[").removesuffix("]"))
            yield
        texts.append(f"[{','.join(parts)}]")
    return f"[{','.join(texts)}]".encode()


def run(source: BinaryIO, sink: BinaryIO) -> None:
    """Read groups to the end of `source`, write their slot table to `sink`."""
    sink.write(build([[Contender(*contender) for contender in group] for group in json.load(source)]))


def main() -> None:
    """Give way to the process that forwards, and build."""
    with contextlib.suppress(OSError):  # as where a unit of systemd filters the call
        os.nice(_NICENESS)
    run(sys.stdin.buffer, sys.stdout.buffer)
