"""How does an operator keep the address away from a node?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.control_options import ControlOptions
from sipdispatch.output import say
from sipdispatch.vrrp_options import agent_options
from sipdispatch.vrrp_steering import role, steer


@click.command(name="hold")
@agent_options
def command(**options: Unpack[ControlOptions]) -> None:
    """Keep the address away from this node until resume, whether another one takes it or not.

    Exit status: 0 done, 2 the agent cannot be asked.
    """
    status = steer(options, "vrrp.hold")
    if not options["json_wanted"]:
        say(f"held; {role(status)}")
