"""How does an operator hand the address over to the other node?"""

from __future__ import annotations

from typing import Any, Final, Unpack

import click

from sipdispatch.control_options import ControlOptions
from sipdispatch.errors import CommandError
from sipdispatch.output import say
from sipdispatch.readers import BadValueError, read_duration
from sipdispatch.vrrp_options import agent_options
from sipdispatch.vrrp_steering import role, steer

NOT_TAKEN: Final = 1
"""Exit status when no other node was ever heard: the address comes back."""


def _read_for(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return read_duration(1, 30 * 86_400, '"1s" to "720h"', "10m")(value)
    except BadValueError as error:
        raise CommandError(error.message, "option --for", error.hint) from error


@click.command(name="release")
@click.option("--for", "seconds", callback=_read_for, metavar="TIME", help="For so long, as in 10m; else until resume.")
@agent_options
def command(*, seconds: Any, **options: Unpack[ControlOptions]) -> int:
    """Hand the address over to the other node.

    This node stays there for the case that nobody else can have it: then it keeps the address.  `hold` gives it up
    whatever happens.

    Exit status: 0 done, 1 done, and no other node was heard that could take it, 2 the agent cannot be asked.
    """
    status = steer(options, "vrrp.release", {"for": seconds})
    alone = not status["peers"]
    if not options["json_wanted"]:
        until = "until sipdispatch vrrp resume" if seconds is None else f"for {seconds:g} s"
        say(f"released {until}; {role(status)}")
        if alone:
            say("no other node was heard: the address comes back to this one")
    return NOT_TAKEN if alone else 0
