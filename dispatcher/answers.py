"""What do we answer ourselves, statelessly (RFC 3261 8.2.7), and to whom?"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.branch import Transaction, is_ours, mac
from dispatcher.keyed import TO_TAG
from dispatcher.outcome import Drop, DropReason, Refusal, Reply
from dispatcher.received import Received, stamps
from dispatcher.snapshot import Snapshot
from sip.address import tag_of
from sip.edit import stamp_via
from sip.errors import SipError
from sip.message import Message
from sip.reply import compose_reply, phrase, salvage
from sip.request import read_call_id, read_cseq_number
from sip.uri import Address
from sip.via import Via

ALLOW = b"Allow: OPTIONS"
_MOST_REASON = 120


def answer(
    snapshot: Snapshot,
    received: Received,
    status: int,
    refusal: Refusal | None = None,
    *,
    reason: str | None = None,
    fields: Sequence[bytes] = (),
) -> Reply | Drop:
    """Our own answer to a legal request; ACK and CANCEL get none.

    The To tag is a keyed hash of the transaction, so the ACK that brings it back is known without state, on any node
    that has the secret.
    """
    method = received.request.message.method
    if method == b"ACK":
        return Drop(DropReason.EDGE_TO_EDGE if refusal is Refusal.EDGE_TO_EDGE else DropReason.ACK_REFUSED)
    if method == b"CANCEL":
        return Drop(DropReason.EDGE_TO_EDGE if refusal is Refusal.EDGE_TO_EDGE else DropReason.CANCEL_REFUSED)
    payload = compose_reply(
        received.request.message,
        status,
        reason or phrase(status),
        via_line=received.via_line,
        to_tag=mac(snapshot.keys[0], TO_TAG, received.transaction),
        fields=[*fields, *_server(snapshot)],
    )
    return Reply(payload, received.transaction.where, received.arrival, status, refusal)


def is_ack_to_us(snapshot: Snapshot, received: Received) -> bool:
    """Whether an ACK acknowledges an answer of our own: its To tag is the hash of its transaction."""
    return is_ours(received.request.to_tag, snapshot.keys, TO_TAG, received.transaction)


def refuse_malformed(
    snapshot: Snapshot, datagram: bytes, error: SipError, source: Address, arrival: int
) -> Reply | Drop:
    """Answer a request that cannot be read, if its top Via says where the answer goes."""
    found = salvage(datagram)
    if found is None:
        return Drop(DropReason.MALFORMED)
    message, via = found
    _, rport = stamps(via, source, snapshot.policy.force_rport)
    where = (source[0], via.sent_by_port if rport is None else rport)
    line = message.lines[message.names.index(b"via")]
    try:
        line = stamp_via(line, received=source[0], rport=rport)
    except SipError:
        line += b";received=" + source[0].encode()
    refusal = {416: Refusal.SCHEME, 505: Refusal.VERSION}.get(error.status, Refusal.BAD_REQUEST)
    text = phrase(error.status) if error.status != 400 else f"Bad Request - {error.reason}"[:_MOST_REASON]
    payload = compose_reply(
        message,
        error.status,
        text,
        via_line=line,
        to_tag=_tag_for(snapshot, message, via, where),
        fields=_server(snapshot),
    )
    return Reply(payload, where, arrival, error.status, refusal)


def _tag_for(snapshot: Snapshot, message: Message, via: Via, where: Address) -> bytes:
    """The To tag by which the ACK to this answer is known, if the ACK can be read at all."""
    try:
        call_id, tag, cseq = read_call_id(message), tag_of(message.first.get(b"from", b"")), read_cseq_number(message)
    except SipError:
        call_id, tag, cseq = b"", b"", 0
    transaction = Transaction(via.branch, (via.host, via.sent_by_port), where, call_id, tag, cseq)
    return mac(snapshot.keys[0], TO_TAG, transaction)


def _server(snapshot: Snapshot) -> tuple[bytes, ...]:
    return (b"Server: " + snapshot.policy.server,) if snapshot.policy.server else ()
