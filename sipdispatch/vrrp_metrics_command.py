"""How do the agent's metrics get into a file, for Prometheus' node exporter?"""

from __future__ import annotations

import json
from typing import Unpack

import click

from sipdispatch.control_options import FORMAT_VERSION, ControlOptions
from sipdispatch.output import say
from sipdispatch.vrrp_options import agent_options, connect_agent


@click.command(name="metrics")
@agent_options
def command(**options: Unpack[ControlOptions]) -> None:
    """Print the metrics of the agent in Prometheus' text format.

    Exit status: 0 done, 2 the agent cannot be asked.
    """
    with connect_agent(options) as agent:
        text = agent.call("vrrp.metrics")
    if options["json_wanted"]:
        say(json.dumps({"version": FORMAT_VERSION, "metrics": text}, indent=2))
    else:
        say(text, newline=False)
