"""What does a request say once we have noted where it really came from (RFC 3261 18.2.1, RFC 3581 4)?"""

from __future__ import annotations

from typing import Literal

import attrs

from dispatcher.branch import Transaction
from sip.edit import stamp_via
from sip.request import Request
from sip.uri import Address, numeric
from sip.via import Via


@attrs.frozen
class Received:
    """A legal request with its source: what every later step looks at."""

    request: Request
    source: Address
    arrival: int
    """The place of the listener that it arrived on."""
    via_line: bytes
    """The top Via field with `received` and `rport` as we leave them."""
    transaction: Transaction


def receive(
    request: Request, source: Address, arrival: int, force_rport: Literal["nat", "always", "never"]
) -> Received:
    """Note the source in the top Via and work out where a reply will go."""
    message = request.message
    line = message.lines[message.names.index(b"via")]
    via = request.via
    received, rport = stamps(via, source, force_rport)
    if received is not None or rport is not None or via.received is not None:
        line = stamp_via(line, received=received, rport=rport)
    where = (source[0], via.sent_by_port if rport is None else rport)
    transaction = Transaction(
        via.branch, (via.host, via.sent_by_port), where, request.call_id, request.from_tag, request.cseq
    )
    return Received(request, source, arrival, line, transaction)


def stamps(via: Via, source: Address, force_rport: str) -> tuple[str | None, int | None]:
    """`received` and `rport` for the top Via, None where it needs none."""
    moved = via.host != source[0] and numeric(via.host) != source[0]
    asked = via.rport is not None
    forced = force_rport == "always" or (moved and force_rport == "nat")
    return (source[0] if moved or asked else None), (source[1] if asked or forced else None)
