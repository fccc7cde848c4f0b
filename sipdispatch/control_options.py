"""Which running proxy does a command speak to?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypedDict

import click

from sipdispatch.control_client import ControlClient
from sipdispatch.control_path import control_path_to_ask
from sipdispatch.errors import CommandError
from sipdispatch.options import together

FORMAT_VERSION: Final = 1
"""Of every JSON document that these commands print: rises when a key changes its meaning or goes."""

control_options: Final = together(
    click.option(
        "--socket", type=click.Path(readable=False, path_type=Path), metavar="PATH", help="The proxy's control socket."
    ),
    click.option(
        "-c",
        "--config",
        type=click.Path(readable=False, path_type=Path),
        metavar="FILE",
        help="The proxy's TOML file, which names the socket.",
    ),
    click.option("--json", "json_wanted", is_flag=True, help="Print JSON instead of words."),
)
"""Gives a command the options of all that speak to a running proxy."""


class ControlOptions(TypedDict):
    """What click hands to a command with these options."""

    socket: Path | None
    config: Path | None
    json_wanted: bool


def connect(options: ControlOptions) -> ControlClient:
    """A connection to the proxy that the options name; raises CommandError."""
    return ControlClient(socket_path(options))


def socket_path(options: ControlOptions) -> Path:
    """The socket itself, that of the configuration, or the default one; raises CommandError."""
    given, config = options["socket"], options["config"]
    if given is not None and config is not None:
        raise CommandError("both a socket and a configuration are named", "options --socket and --config", "name one")
    if given is not None:
        return given
    default = control_path_to_ask(os.environ, os.geteuid())
    if config is None:
        return default
    from sipdispatch.settings_options import config_of  # noqa: PLC0415 - slow, and only for --config

    control = config_of(config).sections.control
    if not control.enabled:
        raise CommandError(
            "this proxy has no control socket", str(config), "take enabled = false out of [control], and restart it"
        )
    return control.socket or default
