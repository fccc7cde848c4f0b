"""In which order are the contenders measured, and how does a bench end that cannot be run?"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from bench.load import BenchError

Contender = TypeVar("Contender")

INTERRUPTED = 130
"""As a shell says it of SIGINT."""


def asked(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    """Let the caller say how many rounds there are and which proxies take part."""
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each is measured (%(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this proxy, as in make bench")


def in_turn(rounds: int, contenders: Mapping[str, Contender]) -> Iterator[Contender]:
    """Every contender once a round, told by its name: a slow minute of the machine then meets all of them."""
    for number in range(1, rounds + 1):
        for name, contender in contenders.items():
            sys.stderr.write(f"round {number} of {rounds}: {name}\n")
            yield contender


def status(measured: Callable[[Path], str]) -> int:
    """Print what is measured in a folder of its own, or say why nothing can be: what the program exits with.

    SIGTERM ends it as Ctrl-C does: by leaving every block, so that what was started is stopped.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            print(measured(Path(folder)))
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
