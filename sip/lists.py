"""How does one field's value fall into list members and parameters (RFC 3261 7.3.1 and 25.1)?"""

from __future__ import annotations

import re

from sip.errors import SipError
from sip.limits import MAX_MEMBERS

# In the grammars of this package no text can be cut in two ways: repeated bytes are possessive, and what follows a
# group starts with a byte that the group cannot go on with.  So 64 KiB of blanks, quotes or commas cost no more than
# 64 KiB of a name.  Groups are never possessive: Python 3.11.0 to 3.11.4 match those wrongly (gh-106052).
QUOTED = rb'"(?:[^"\\]++|\\.)*"'
"""A quoted string; wants re.DOTALL, since a quoted pair may be any byte."""

TOKEN = rb"[A-Za-z0-9\-.!%*_+`'~]++"

PARAMS = (
    rb"(?:[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + QUOTED + rb'|[^;,"<> \t\x00-\x1f\x7f]*+))?)*[ \t]*+'
)
"""generic-param (RFC 3261 25.1), liberal only in what a value without quotes is: names, IPv6, escapes, or nothing."""

_MEMBER = re.compile(rb"(?:[^,\"<]++|" + QUOTED + rb"|<[^>]*+>)*", re.DOTALL)
_PARAM = re.compile(rb"(?:[^;\"]++|" + QUOTED + rb")*", re.DOTALL)
_NAME_VALUE = re.compile(rb";[ \t]*+(" + TOKEN + rb")[ \t]*+(?:=[ \t]*+(" + QUOTED + rb"|[^; \t]*+))?", re.DOTALL)


def split_members(raw: bytes) -> list[bytes]:
    """The members of a comma-separated value as written, white space included; joining them with "," gives `raw`.

    Commas within quotes and within angle brackets do not count.  Raises SipError for a quote that never ends and for
    too many members.
    """
    if b"," not in raw:
        return [raw]
    if b'"' not in raw and b"<" not in raw:
        return _bounded(raw.split(b",", MAX_MEMBERS))
    return _split(raw, _MEMBER, b",")


def split_params(raw: bytes) -> list[bytes]:
    """The pieces between semicolons as written; semicolons within quotes do not count.  Raises SipError."""
    if b'"' not in raw:
        return _bounded(raw.split(b";", MAX_MEMBERS))
    return _split(raw, _PARAM, b";")


def read_params(text: bytes) -> dict[bytes, bytes]:
    """The parameters in a text that has matched PARAMS, names in lower case; quotes stay, b"" is a value left out.

    Raises SipError when a name stands twice: some read the first, some the last (RFC 3261 7.3.1 forbids it).
    """
    pairs = _NAME_VALUE.findall(text)
    params = {name.lower(): value for name, value in pairs}
    if len(params) != len(pairs):
        raise SipError("Repeated parameter")
    return params


def _split(raw: bytes, piece: re.Pattern[bytes], separator: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while len(pieces) < MAX_MEMBERS:
        match = piece.match(raw, at)
        assert match is not None  # noqa: S101 - both patterns match the empty string
        pieces.append(match[0])
        at = match.end()
        if at == len(raw):
            return pieces
        if raw[at : at + 1] != separator:
            raise SipError("Unbalanced quote or angle bracket")
        at += 1
    raise SipError("Too many values in a header field")


def _bounded(pieces: list[bytes]) -> list[bytes]:
    if len(pieces) > MAX_MEMBERS:
        raise SipError("Too many values in a header field")
    return pieces
