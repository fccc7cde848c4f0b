"""How does a command print its result?"""

from __future__ import annotations

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
        raise CommandError(
            f"the output cannot be written: {error.strerror}",
            "standard output",
            "free some space there, or send the output somewhere else",
        ) from error
