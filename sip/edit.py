"""Which bytes change when a proxy passes a message on (RFC 3261 16.6, RFC 3581 4), and no others?"""

from __future__ import annotations

import re

from sip.lists import split_members, split_params
from sip.message import Message

_BARE_RPORT = re.compile(
    rb'[^;,"\r\n]*+(?:;branch=[^;,"\r\n]*+)?;rport(?:;(?![ \t]*+(?i:rport|received))[^;,"\r\n]*+)*'
)
"""One Via value that asks for rport and says no received."""


def stamp_via(line: bytes, *, received: str | None, rport: int | None) -> bytes:
    """The top Via field with `received` and `rport` of its first member set to what we saw; None leaves one out.

    An earlier `received` or `rport` value is replaced: only the hop that received the request knows it.
    """
    name, colon, raw = line.partition(b":")
    if rport is not None and received is not None and _BARE_RPORT.fullmatch(raw):  # nearly every phone's
        return line.replace(b";rport", b";rport=%d;received=%b" % (rport, received.encode()), 1)
    member, *others = split_members(raw)
    text = member.rstrip(b" \t\r\n")
    kept = []
    for piece in split_params(text):
        key = piece.partition(b"=")[0].strip(b" \t\r\n").lower()
        if key == b"received":
            continue
        if key == b"rport" and rport is not None:
            kept.append(b"rport=%d" % rport)
            rport = None
        else:
            kept.append(piece)
    if rport is not None:
        kept.append(b"rport=%d" % rport)
    if received is not None:
        kept.append(b"received=" + received.encode())
    return name + colon + b",".join((b";".join(kept) + member[len(text) :], *others))


def without_first_member(message: Message, name: bytes) -> tuple[int, bytes | None]:
    """A list field without its first member: the place of its line and the new line, None when nothing is left."""
    place = message.names.index(name)
    line = message.lines[place]
    written, colon, raw = line.partition(b":")
    _, *rest = split_members(raw)
    if not rest:
        return place, None
    return place, written + colon + b" " + b",".join(rest).lstrip(b" \t\r\n")


def with_value(line: bytes, value: bytes) -> bytes:
    """The field with another value; its name stays as written, and so does a CR that the line carries."""
    written, colon, raw = line.partition(b":")
    return written + colon + b" " + value + (b"\r" if raw.endswith(b"\r") else b"")
