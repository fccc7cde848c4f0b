"""How is a challenge answered with a name and a password (RFC 3261 22.4, RFC 7616, RFC 8760)?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs

from sip.challenge import Challenge, quoted, read_challenges
from sip.message import Message

NONCE_COUNT = b"00000001"
"""Every challenge is answered once, so a nonce is never used twice."""


@attrs.frozen
class Credentials:
    """A name and its password, or instead of the password HA1 = H(user:realm:password) in hex."""

    user: bytes
    password: bytes = attrs.field(default=b"", repr=False)
    ha1: bytes | None = attrs.field(default=None, repr=False)


def _md5(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).hexdigest().encode()


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


_HASHES: dict[bytes, Callable[[bytes], bytes]] = {
    b"md5": _md5,
    b"md5-sess": _md5,
    b"sha-256": _sha256,
    b"sha-256-sess": _sha256,
}

_FIELDS = {401: (b"www-authenticate", b"Authorization"), 407: (b"proxy-authenticate", b"Proxy-Authorization")}


def answer_challenge(
    reply: Message, credentials: Credentials, *, method: bytes, uri: bytes, cnonce: bytes
) -> bytes | None:
    """The header field, without line end, that answers a 401 or 407.

    None for other replies, and when no challenge can be met: of those that can, the first is taken, as the server
    prefers (RFC 8760 2.4).  `uri` is the Request-URI as sent, `cnonce` is chance that fits into quotes.
    """
    if reply.status not in _FIELDS:
        return None
    asks, answers = _FIELDS[reply.status]
    for challenge in read_challenges(reply, asks):
        if challenge.algorithm.lower() in _HASHES and (not challenge.qop or b"auth" in challenge.qop):
            value = _respond(challenge, credentials, method, uri, cnonce)
            return answers + b": Digest " + value
    return None


def _respond(challenge: Challenge, credentials: Credentials, method: bytes, uri: bytes, cnonce: bytes) -> bytes:
    algorithm = challenge.algorithm.lower()
    digest = _HASHES[algorithm]
    ha1 = credentials.ha1
    if ha1 is None:
        ha1 = digest(b":".join((credentials.user, challenge.realm, credentials.password)))
    if algorithm.endswith(b"-sess"):
        ha1 = digest(b":".join((ha1, challenge.nonce, cnonce)))
    ha2 = digest(method + b":" + uri)
    middle = (NONCE_COUNT, cnonce, b"auth") if challenge.qop else ()
    response = digest(b":".join((ha1, challenge.nonce, *middle, ha2)))
    params = [
        b"username=" + quoted(credentials.user),
        b"realm=" + quoted(challenge.realm),
        b"nonce=" + quoted(challenge.nonce),
        b"uri=" + quoted(uri),
        b"response=" + quoted(response),
        b"algorithm=" + challenge.algorithm,
    ]
    if challenge.qop:
        params += [b"qop=auth", b"nc=" + NONCE_COUNT]
    if challenge.qop or algorithm.endswith(b"-sess"):
        params.append(b"cnonce=" + quoted(cnonce))
    if challenge.opaque is not None:
        params.append(b"opaque=" + quoted(challenge.opaque))
    return b", ".join(params)
