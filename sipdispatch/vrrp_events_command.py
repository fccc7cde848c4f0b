"""When and why has the role of this node changed?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.control_options import ControlOptions
from sipdispatch.events_command import PAST, PAST_OF_FOLLOWER, event_options, follow_events, say_past
from sipdispatch.vrrp_options import agent_options, connect_agent


@click.command(name="events")
@event_options
@agent_options
def command(*, follow: bool, limit: int | None, **options: Unpack[ControlOptions]) -> None:
    """Say when and why the role of this node has changed, oldest first, or follow it."""
    with connect_agent(options) as agent:
        if follow:
            wanted = PAST_OF_FOLLOWER if limit is None else limit
            follow_events(agent, wanted, json_wanted=options["json_wanted"], history="vrrp.history")
        else:
            past = agent.call("vrrp.history", {"limit": PAST if limit is None else limit})["events"]
            say_past(past, json_wanted=options["json_wanted"])
