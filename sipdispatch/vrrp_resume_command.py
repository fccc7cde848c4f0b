"""How does a node take part again after `release` or `hold`?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.control_options import ControlOptions
from sipdispatch.output import say
from sipdispatch.vrrp_options import agent_options
from sipdispatch.vrrp_steering import role, steer


@click.command(name="resume")
@agent_options
def command(**options: Unpack[ControlOptions]) -> None:
    """Take part as usual after release or hold; tracks that fail still count.

    Exit status: 0 done, 2 the agent cannot be asked.
    """
    status = steer(options, "vrrp.resume")
    if not options["json_wanted"]:
        say(f"resumed; {role(status)}, priority {status['effective_priority']}")
