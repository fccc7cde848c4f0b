"""Did this reply, this ACK, this Via pass through us?  The branch and the To tag are keyed hashes that answer it.

The hash covers what a reply shows again: of the Via below ours the branch, the sent-by and the address the reply will
go to; Call-ID, From tag and CSeq number.  All as values: a server may print a Via's parameters in another order, and
`CSeq: 0009` is 9.  INVITE, its retransmissions, CANCEL and the ACK to a failure share all of it, so they share the
branch (RFC 3261 16.11).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from dispatcher.keyed import digest
from sip.uri import Address
from sip.via import Via, reply_address

COOKIE = b"z9hG4bK"
"""RFC 3261 8.1.1.7."""

MAC_LENGTH = 16
"""Hexadecimal digits of a 64-bit hash."""


@attrs.frozen
class Transaction:
    """What branch and To tag are made of.

    `branch`, `sent_by` and `where` are of the Via below ours as we leave it: its branch, its (host, port), and the
    address that a reply with it on top is sent to.
    """

    branch: bytes
    sent_by: Address
    where: Address
    call_id: bytes
    from_tag: bytes
    cseq: int


def mac(key: bytes, use: bytes, transaction: Transaction) -> bytes:
    """The keyed hash of a transaction, 16 hexadecimal digits; `use` tells branches (BRANCH) from To tags (TO_TAG)."""
    t = transaction
    host, port = t.sent_by
    reply_host, reply_port = t.where
    ends = f"{host} {port} {reply_host} {reply_port} {t.cseq}\n".encode("latin-1")
    return b"%016x" % digest(key, use, b"%b%b\n%b\n%b" % (ends, t.branch, t.call_id, t.from_tag))


def is_ours(candidate: bytes, keys: Iterable[bytes], use: bytes, transaction: Transaction) -> bool:
    """Whether `candidate` (without the cookie) is the hash that one of our secrets gives."""
    if len(candidate) != MAC_LENGTH:
        return False
    return any(candidate == mac(key, use, transaction) for key in keys)


def transaction_below(below: Via, call_id: bytes, from_tag: bytes, cseq: int) -> Transaction | None:
    """The transaction that a Via under one of ours belongs to; None when it does not say where a reply would go."""
    where = reply_address(below)
    if where is None:
        return None
    return Transaction(below.branch, (below.host, below.sent_by_port), where, call_id, from_tag, cseq)
