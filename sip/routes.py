"""Which proxies does a request still have to cross (RFC 3261 16.4, 16.6 step 6, 20.34)?"""

from __future__ import annotations

from sip.address import parse_name_addr
from sip.edit import with_value
from sip.errors import SipError
from sip.limits import MAX_ROUTES
from sip.lists import split_members
from sip.message import Message, unfold

ROUTE = b"route"


def route_uris(message: Message) -> list[bytes]:
    """The URIs of the Route fields from the top; raises SipError."""
    members: list[bytes] = []
    for _, raw in message.values(ROUTE):
        members += split_members(raw)
        if len(members) > MAX_ROUTES:
            raise SipError("Too many Route values")
    return [parse_name_addr(unfold(member)).uri for member in members]


def keep_routes(message: Message, start: int, stop: int) -> dict[int, bytes | None]:
    """The edits that leave only the Route members from `start` to before `stop`: line by place, None to remove it."""
    edits: dict[int, bytes | None] = {}
    seen = 0
    for place, raw in message.values(ROUTE):
        members = split_members(raw)
        kept = members[max(0, start - seen) : max(0, stop - seen)]
        if not kept:
            edits[place] = None
        elif len(kept) < len(members):
            edits[place] = with_value(message.lines[place], b",".join(kept).strip(b" \t\r\n"))
        seen += len(members)
    return edits


def push_last(message: Message, start: int, stop: int, uri: bytes) -> dict[int, bytes | None]:
    """The edits that leave the members from `start` to before `stop` and put `uri` behind them, in one field.

    This is what a strict router as next hop is given (RFC 3261 16.6 step 6).
    """
    members: list[bytes] = []
    edits: dict[int, bytes | None] = {}
    for place, raw in message.values(ROUTE):
        members += [unfold(member) for member in split_members(raw)]
        edits[place] = None
    top = min(edits)
    edits[top] = with_value(message.lines[top], b", ".join((*members[start:stop], b"<" + uri + b">")))
    return edits
