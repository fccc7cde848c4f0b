"""How does one field's value fall into list members and parameters (RFC 3261 7.3.1 and 25.1)?"""

from __future__ import annotations

import re

from sip.errors import SipError

_QUOTED = rb'"(?:[^"\\]|\\.)*"'
_MEMBER = re.compile(rb"(?:[^,\"<]|" + _QUOTED + rb"|<[^>]*>)*", re.DOTALL)
_PARAM = re.compile(rb"(?:[^;\"]|" + _QUOTED + rb")*", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def split_members(raw: bytes) -> list[bytes]:
    """The members of a comma-separated value as written, white space included; joining them with "," gives `raw`.

    Commas within quotes and within angle brackets do not count.  Raises SipError for a quote that never ends.
    """
    if b"," not in raw:
        return [raw]
    if b'"' not in raw and b"<" not in raw:
        return raw.split(b",")
    return _split(raw, _MEMBER, b",")


def split_params(raw: bytes) -> list[bytes]:
    """The pieces between semicolons as written; semicolons within quotes do not count.  Raises SipError."""
    if b'"' not in raw:
        return raw.split(b";")
    return _split(raw, _PARAM, b";")


def unquote(text: bytes) -> bytes:
    """A quoted string's content, a token as it is (RFC 3261 25.1)."""
    if len(text) >= 2 and text.startswith(b'"'):
        return _QUOTED_PAIR.sub(rb"\1", text[1:-1])
    return text


def _split(raw: bytes, piece: re.Pattern[bytes], separator: bytes) -> list[bytes]:
    pieces = []
    at = 0
    while True:
        match = piece.match(raw, at)
        if match is None:  # pragma: no cover  (both patterns match the empty string)
            raise AssertionError
        pieces.append(match[0])
        at = match.end()
        if at == len(raw):
            return pieces
        if raw[at : at + 1] != separator:
            raise SipError("Unbalanced quote or angle bracket")
        at += 1
