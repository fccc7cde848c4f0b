"""What does `sipdispatch explain` do with its options?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.explain_options import MessageOptions, message_options
from sipdispatch.output import say
from sipdispatch.settings_options import SettingsOptions, read_settings, settings_options


class ExplainOptions(MessageOptions, SettingsOptions):
    """What click hands to the command."""


@click.command(name="explain")
@message_options
@settings_options
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document instead of lines.")
def command(*, json_wanted: bool, **options: Unpack[ExplainOptions]) -> None:
    """Say where a message would go, and why.

    FILE has the message as it arrives at the proxy, - is standard input; or the options make a request.  No proxy is
    asked and none needs to run: the configuration, the list and the secret are read as `sipdispatch proxy` reads them.
    """
    from sipdispatch.explain_request import asked_in  # noqa: PLC0415 - not for --help

    asked = asked_in(options)
    config = read_settings(options)
    from sipdispatch.explain_offline import run  # noqa: PLC0415 - trio and the packet path: not for --help

    say(run(config, asked, as_document=json_wanted))
