"""Which options describe the message that is to be explained?"""

from __future__ import annotations

from typing import Final, TypedDict

import click

from sipdispatch.options import together

message_options: Final = together(
    click.argument("file", required=False, metavar="[FILE]"),
    click.option("--call-id", metavar="TEXT", help="Explain a request with this Call-ID."),
    click.option("--method", metavar="NAME", help="Its method, as in REGISTER; INVITE if not given."),
    click.option("--uri", metavar="URI", help="Its Request-URI, as in sip:8006@example.com."),
    click.option("--from", "from_", metavar="URI", help="The caller."),
    click.option("--to", metavar="URI", help="The called."),
    click.option("--source", metavar="ADDRESS[:PORT]", help="Where the message comes from."),
    click.option("--listener", metavar="ADDRESS[:PORT]", help="The listener that it arrives on."),
)
"""Gives a command these options."""


class MessageOptions(TypedDict):
    """What click hands to a command with these options."""

    file: str | None
    call_id: str | None
    method: str | None
    uri: str | None
    from_: str | None
    to: str | None
    source: str | None
    listener: str | None
