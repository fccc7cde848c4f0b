"""What does a server ask for before it serves (RFC 3261 20.27 and 20.44, RFC 8760: Digest challenges)?"""

from __future__ import annotations

import re

import attrs

from sip.errors import SipError
from sip.lists import QUOTED, TOKEN, split_members
from sip.message import Message, unfold

_SCHEME = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+(.*)", re.DOTALL)
_PARAM = re.compile(
    rb"[ \t]*+(" + TOKEN + rb")[ \t]*+=[ \t]*+(?:(" + QUOTED + rb")|(" + TOKEN + rb"))[ \t]*+", re.DOTALL
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


@attrs.frozen(kw_only=True)
class Challenge:
    """A Digest challenge; quoted values without their quotes, escapes undone."""

    realm: bytes
    nonce: bytes
    opaque: bytes | None = None
    algorithm: bytes = b"MD5"
    """As written; MD5 when the server names none."""
    qop: tuple[bytes, ...] = ()
    """The qualities of protection on offer in lower case; empty for a server of RFC 2069."""


def read_challenges(message: Message, name: bytes) -> tuple[Challenge, ...]:
    """The Digest challenges in the fields of a name, in their order: the server's preference (RFC 8760 2.4).

    Each field has one challenge.  What is of another scheme, or cannot be read, is stepped over.
    """
    found = []
    for _, raw in message.values(name):
        try:
            challenge = parse_challenge(unfold(raw))
        except SipError:
            continue
        found.append(challenge)
    return tuple(found)


def parse_challenge(text: bytes) -> Challenge:
    """Parse one challenge, trimmed and unfolded; raises SipError when it is none of Digest."""
    match = _SCHEME.fullmatch(text)
    if match is None or match[1].lower() != b"digest":
        raise SipError("Not a Digest challenge")
    values: dict[bytes, bytes] = {}
    for member in split_members(match[2]):
        if not member.strip(b" \t"):
            continue  # RFC 3261 25.1 allows none, servers that build the list in a loop do it
        param = _PARAM.fullmatch(member)
        if param is None or param[1].lower() in values:
            raise SipError("Malformed Digest challenge")
        values[param[1].lower()] = param[3] if param[2] is None else _QUOTED_PAIR.sub(rb"\1", param[2][1:-1])
    if b"realm" not in values or b"nonce" not in values:
        raise SipError("Digest challenge without realm or nonce")
    offered = [word.strip(b" \t").lower() for word in values.get(b"qop", b"").split(b",")]
    return Challenge(
        realm=values[b"realm"],
        nonce=values[b"nonce"],
        opaque=values.get(b"opaque"),
        algorithm=values.get(b"algorithm", b"MD5"),
        qop=tuple(word for word in offered if word),
    )


def quoted(text: bytes) -> bytes:
    """A value as a quoted string (RFC 3261 25.1)."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
