"""What does `sipdispatch proxy` do with its options before the proxy runs?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.settings_options import SettingsOptions, read_settings, settings_options


@click.command(name="proxy")
@settings_options
def command(**settings: Unpack[SettingsOptions]) -> int:
    """Run the SIP proxy.

    Options stand in place of the keys of the same names in the TOML file.  Stops on SIGTERM and SIGINT; reads the
    dispatcher list again when it has changed and on SIGHUP.
    """
    config = read_settings(settings)
    from sipdispatch.proxy import run  # noqa: PLC0415 - trio and the packet path: not for --help

    return run(config)
