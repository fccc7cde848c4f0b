"""Which replies go on, and where to (RFC 3261 16.7 and 16.11)?  Only those whose top Via we have made ourselves."""

from __future__ import annotations

import zlib

from dispatcher.branch import COOKIE, is_ours, transaction_below
from dispatcher.callfact import of_reply
from dispatcher.elapsed import since
from dispatcher.keyed import BRANCH
from dispatcher.outcome import Drop, DropReason, Forward
from dispatcher.snapshot import Snapshot
from sip.address import tag_of
from sip.edit import without_first_member
from sip.errors import ShortError, SipError
from sip.lists import split_members
from sip.message import SINGLE, Message, unfold
from sip.request import fit_body, read_call_id, read_cseq
from sip.retry_after import read_retry_after
from sip.uri import Address
from sip.via import Via, parse_via


def pass_back(snapshot: Snapshot, message: Message, source: Address, arrival: int, now: float) -> Forward | Drop:
    """Pop our Via and send the reply to where its request came from; drop it when the Via is not ours."""
    try:
        if not message.repeated.isdisjoint(SINGLE):
            return Drop(DropReason.MALFORMED_REPLY)
        top, below = _two_vias(message)
        if top is None:
            return Drop(DropReason.MALFORMED_REPLY)
        if below is None:
            return Drop(DropReason.REPLY_TO_US)
        call_id = read_call_id(message)
        from_tag = tag_of(message.first.get(b"from", b""))
        cseq, method = read_cseq(message)
        transaction = transaction_below(below, call_id, from_tag, cseq)
    except SipError:
        return Drop(DropReason.MALFORMED_REPLY)
    branch = top.branch
    if (
        transaction is None
        or not branch.startswith(COOKIE)
        or not is_ours(branch[len(COOKIE) :], snapshot.keys, BRANCH, transaction)
    ):
        return Drop(DropReason.REPLY_FORGED)
    try:
        fit_body(message)
    except ShortError:
        return Drop(DropReason.SHORT)
    except SipError:
        return Drop(DropReason.MALFORMED_REPLY)
    listener = _leave_by(snapshot, top, transaction.where[0], arrival)
    if listener is None:
        return Drop(DropReason.NO_REPLY_ADDRESS)
    place, line = without_first_member(message, b"via")
    lines = message.lines.copy()
    if line is None:
        del lines[place]
    else:
        lines[place] = line
    payload = message.eol.join((message.start, *lines, message.blank + message.body))
    status = message.status
    return Forward(
        payload,
        transaction.where,
        listener,
        snapshot.listed(*source),
        None,
        status,
        method,
        of_reply(status, method, call_id, snapshot.keys[0]),
        since(top.left, now),
        read_retry_after(message) if status == 503 else None,
        branch[len(COOKIE) :],
    )


def _two_vias(message: Message) -> tuple[Via | None, Via | None]:
    """The top Via and the one below it."""
    found: list[bytes] = []
    for _, raw in message.values(b"via"):
        found += split_members(raw)
        if len(found) > 1:
            break
    top = parse_via(unfold(found[0])) if found else None
    below = parse_via(unfold(found[1])) if len(found) > 1 else None
    return top, below


def _leave_by(snapshot: Snapshot, top: Via, host: str, arrival: int) -> int | None:
    """The listener that the request arrived on: our Via names it when it left by another."""
    if top.arrival:
        for place, sent_by in enumerate(snapshot.sent_by):
            if top.arrival == b"%08x" % zlib.crc32(sent_by):
                arrival = place
                break
    return snapshot.listener_for(host, arrival)
