"""What does `sipdispatch explain` do with its options?"""

from __future__ import annotations

from typing import Unpack

import click

from sipdispatch.output import say
from sipdispatch.settings_options import SettingsOptions, read_settings, settings_options


class ExplainOptions(SettingsOptions):
    """What click hands to the command."""

    file: str | None
    call_id: str | None
    method: str | None
    uri: str | None
    from_: str | None
    to: str | None
    source: str | None
    listener: str | None


@click.command(name="explain")
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--call-id", metavar="TEXT", help="Explain a request with this Call-ID.")
@click.option("--method", metavar="NAME", help="Its method, as in REGISTER; INVITE if not given.")
@click.option("--uri", metavar="URI", help="Its Request-URI, as in sip:8006@example.com.")
@click.option("--from", "from_", metavar="URI", help="The caller.")
@click.option("--to", metavar="URI", help="The called.")
@click.option("--source", metavar="ADDRESS[:PORT]", help="Where the message comes from.")
@click.option("--listener", metavar="ADDRESS[:PORT]", help="The listener that it arrives on.")
@settings_options
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document instead of lines.")
def command(*, json_wanted: bool, **options: Unpack[ExplainOptions]) -> None:
    """Say where a message would go, and why.

    FILE has the message as it arrives at the proxy, - is standard input; or the options make a request.  No proxy is
    asked and none needs to run: the configuration, the list and the secret are read as `sipdispatch proxy` reads them.
    """
    from sipdispatch.explain_request import Asked, check  # noqa: PLC0415 - not for --help

    asked = Asked(
        file=options["file"],
        call_id=options["call_id"],
        method=options["method"],
        uri=options["uri"],
        from_=options["from_"],
        to=options["to"],
        source=options["source"],
        listener=options["listener"],
    )
    check(asked)
    config = read_settings(options)
    from sipdispatch.explain_offline import run  # noqa: PLC0415 - trio and the packet path: not for --help

    say(run(config, asked, as_document=json_wanted))
