"""What is said to a person who has told the VRRP agent to do something?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sipdispatch.control_options import FORMAT_VERSION, ControlOptions
from sipdispatch.output import say
from sipdispatch.vrrp_options import connect_agent
from sipdispatch.vrrp_words import state_words


def steer(options: ControlOptions, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Call a method of the agent, and print its JSON if that is wanted; returns the status after it."""
    with connect_agent(options) as agent:
        status: dict[str, Any] = agent.call(method, params)
    if options["json_wanted"]:
        say_json(status)
    return status


def say_json(status: Mapping[str, Any]) -> None:
    """The status as a document."""
    say(json.dumps({"version": FORMAT_VERSION, "vrrp": status}, indent=2, ensure_ascii=False))


def role(status: Mapping[str, Any]) -> str:
    """This node and its role."""
    return f"this node is {state_words(status)}"
