"""How does a command print its result?"""

from __future__ import annotations

import contextlib
import os
import sys

import click

from sipdispatch.errors import CommandError


def say(text: str, *, newline: bool = True) -> None:
    """Write to standard output and have it written; raises CommandError when it cannot be, as on a full disk.

    A BrokenPipeError passes: the reader has what it wanted, and the command line ends quietly.
    """
    try:
        click.echo(text, nl=newline)
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up()
        raise CommandError(
            f"the output cannot be written: {error.strerror}",
            "standard output",
            "free some space there, or send the output somewhere else",
        ) from error


def give_up() -> None:
    """Send what is left of standard output nowhere, or the interpreter would fail on it once more while it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
