"""How does an operator hand the address over to the other node?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Unpack

import click

from sipdispatch.control_client import ControlClient
from sipdispatch.control_options import ControlOptions
from sipdispatch.errors import CommandError
from sipdispatch.output import say
from sipdispatch.readers import BadValueError, read_duration
from sipdispatch.vrrp_options import agent_options, connect_agent
from sipdispatch.vrrp_steering import role, say_json

NOT_TAKEN: Final = 1
"""Exit status when nobody has taken the address, and this node has it again."""
LOOK_S: Final = 0.05
PATIENCE: Final = 6
"""Intervals between adverts until somebody has taken it, this node again if it is alone, and a second on top."""


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

    Exit status: 0 another node has the address, 1 nobody has taken it, 2 the agent cannot be asked.
    """
    with connect_agent(options) as agent:
        before = agent.call("vrrp.status")
        status = agent.call("vrrp.release", {"for": seconds})
        if before["state"] == "active":
            status = _wait(agent, before, time.monotonic() + PATIENCE * before["interval"] + 1.0)
    if options["json_wanted"]:
        say_json(status)
    else:
        until = "until sipdispatch vrrp resume" if seconds is None else f"for {seconds:g} s"
        say(f"released {until}; {_result(before, status)}")
    return NOT_TAKEN if before["state"] == status["state"] == "active" else 0


def _wait(agent: ControlClient, before: Mapping[str, Any], until: float) -> dict[str, Any]:
    """The status once it is clear who has the address."""
    while True:
        status: dict[str, Any] = agent.call("vrrp.status")
        if status["state"] == "active" or _taker(before, status) or time.monotonic() > until:
            return status
        time.sleep(LOOK_S)


def _taker(before: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Who has been heard since, other than with a farewell."""
    heard = [each for each in status["peers"] if each["heard"] > before["now"] and each["priority"]]
    return str(heard[-1]["address"]) if heard else ""


def _result(before: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if before["state"] != "active":
        return role(status)
    if status["state"] == "active":
        return "nobody has taken the address, so it is here again"
    taker = _taker(before, status)
    return f"{taker} has the address" if taker else role(status)
