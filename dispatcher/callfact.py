"""What does a message that is passed on tell about the call that it belongs to?

Calls are known by their Call-ID alone, for nothing else is the same in both directions and in every message.
"""

from __future__ import annotations

import enum

import attrs

from dispatcher.keyed import CHOICE, Key, digest
from sip.request import Request

_ALIVE = frozenset((b"INVITE", b"UPDATE", b"INFO", b"OPTIONS"))
"""Requests within a dialog by which both ends show that the call goes on: the first two refresh it (RFC 4028)."""


class CallStep(enum.Enum):
    """How far a call has come."""

    BEGIN = "begin"
    """An INVITE outside a dialog was dispatched, perhaps once more."""
    ANSWERED = "answered"
    """A 2xx to an INVITE: of the call itself, or of one within it."""
    GOING = "going"
    """A request within the dialog."""
    CHALLENGED = "challenged"
    """401 or 407 to an INVITE: a call that was not answered comes again with credentials, or is over."""
    FAILED = "failed"
    """Any other final answer to an INVITE: it ends a call that was not answered, and no other."""
    END = "end"
    """A BYE, from either end."""


_BEGIN, _ANSWERED, _GOING, _CHALLENGED, _FAILED, _END = CallStep
"""By name: to find a member of an enumeration takes longer than to hash a Call-ID."""


@attrs.frozen
class CallFact:
    """One step of one call; `key` is the 64-bit keyed hash of its Call-ID."""

    key: int
    step: CallStep


def of_request(request: Request, key: Key, *, dispatched: bool) -> CallFact | None:
    """What a request says; `dispatched` when a destination of the list was chosen for it."""
    method = request.message.method
    if not request.to_tag:
        if method != b"INVITE" or not dispatched:
            return None
        step = _BEGIN
    elif method in _ALIVE:
        step = _GOING
    elif method == b"BYE":
        step = _END
    else:
        return None
    return CallFact(digest(key, CHOICE, request.call_id), step)


def of_reply(status: int, method: bytes, call_id: bytes, key: Key) -> CallFact | None:
    """What a reply says; `method` is that of its CSeq."""
    if method != b"INVITE" or status < 200:
        return None
    step = _ANSWERED if status < 300 else _CHALLENGED if status in (401, 407) else _FAILED
    return CallFact(digest(key, CHOICE, call_id), step)
