"""Which running VRRP agent does a command speak to?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sipdispatch.control_client import ControlClient
from sipdispatch.control_options import ControlOptions
from sipdispatch.control_path import default_agent_path
from sipdispatch.errors import CommandError

_Function = TypeVar("_Function", bound=Callable[..., Any])

PROGRAM = "VRRP agent"
"""What messages call it."""

_OPTIONS = (
    click.option("--socket", type=click.Path(path_type=Path), metavar="PATH", help="The agent's control socket."),
    click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The TOML file, which names the socket.",
    ),
    click.option("--json", "json_wanted", is_flag=True, help="Print JSON instead of words."),
)


def agent_options(function: _Function) -> _Function:
    """Give a command the options of all that speak to a running agent."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def connect_agent(options: ControlOptions) -> ControlClient:
    """A connection to the agent that the options name; raises CommandError."""
    return ControlClient(agent_path(options), PROGRAM)


def agent_path(options: ControlOptions) -> Path:
    """The socket itself, that of the configuration, or the default one; raises CommandError."""
    given, config = options["socket"], options["config"]
    if given is not None and config is not None:
        raise CommandError("both a socket and a configuration are named", "options --socket and --config", "name one")
    if given is not None:
        return given
    default = default_agent_path(os.environ, os.geteuid())
    if config is None:
        return default
    from sipdispatch.settings_options import fault_of  # noqa: PLC0415 - slow, and only for --config
    from sipdispatch.vrrp_load import load_agent  # noqa: PLC0415

    loaded = load_agent(config)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(fault_of(problem) for problem in loaded if problem.severity == "error"))
    control = loaded.vrrp.control
    if not control.enabled:
        raise CommandError(
            "this agent has no control socket",
            str(config),
            "take enabled = false out of [vrrp.control], and restart it",
        )
    return control.socket or default
