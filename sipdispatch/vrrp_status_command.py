"""How is the VRRP agent, and who has the address?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Unpack

import click

from sipdispatch.control_options import ControlOptions
from sipdispatch.output import say
from sipdispatch.screen import standard_output
from sipdispatch.vrrp_options import agent_options, connect_agent
from sipdispatch.vrrp_steering import say_json
from sipdispatch.vrrp_words import status_text

LOOK: Final = 1
"""Exit status when the agent takes part and somebody should look at it."""
OUT: Final = 3
"""Exit status when it takes no part."""


@click.command(name="status")
@agent_options
def command(**options: Unpack[ControlOptions]) -> int:
    """Say who has the address, and why.

    Exit status: 0 all is well, on the active node and on the backup; 1 it takes part, and a track fails, an alarm is
    there, or an operator has released the address; 2 the agent cannot be asked; 3 it takes no part: it is in fault,
    held, or starts.
    """
    with connect_agent(options) as agent:
        status = agent.call("vrrp.status")
    if options["json_wanted"]:
        say_json(status)
    else:
        say(status_text(status, standard_output()))
    return exit_status(status)


def exit_status(status: Mapping[str, Any]) -> int:
    """0, LOOK or OUT."""
    if status["state"] not in ("active", "backup"):
        return OUT
    return 0 if status["well"] else LOOK
