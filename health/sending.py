"""What became of a datagram that was handed to the kernel, and what came in meanwhile?

With IP_RECVERR an ICMP error surfaces on the *next* send or receive of the same socket, whomever that is for: it
belongs to an earlier datagram.  So it is taken off the error queue and the send is tried again.  An error queue that
nobody drains keeps the socket readable for ever and fills the receive buffer.
"""

from __future__ import annotations

import errno
import socket

import attrs

from health.errorqueue import Origin, SocketError, parse_error
from sip.reason import Reason
from sip.uri import Address

MAX_DATAGRAM_BYTES = 65535
MAX_ERRORS_AT_ONCE = 256
"""Anybody can send ICMP errors, a hundred thousand a second: some of them, then datagrams have their turn."""
SEND_ATTEMPTS = 4
"""One for this datagram, the others for errors of earlier ones that arrive between draining and sending."""
SENDS_AN_ATTEMPT = 8
"""Of the others: each is told of one error that draining has left or that has come since, and never of that again."""

_MAX_QUOTED_BYTES = 2048
_CONTROL_BYTES = 512


class SendOutcome(Reason):
    """What the kernel said to one datagram."""

    SENT = ("sent", "the kernel took it")
    REFUSED = ("refused", "the other side has no socket on that port")
    UNREACHABLE = ("unreachable", "there is no route to the address, or the listener's address is not on this node now")
    TOO_LONG = ("too_long", "the datagram is longer than the network takes")
    NO_BUFFER = ("no_buffer", "the send buffer or the interface's queue is full")
    NOT_PERMITTED = ("not_permitted", "a packet filter or a policy of this node forbids it")
    WRONG_FAMILY = ("wrong_family", "the listener cannot reach that address family")
    INVALID = ("invalid", "the kernel does not take the address, or the listener's address is not on this node now")
    FAILED = ("failed", "the kernel gave another error")


_OUTCOMES = {
    errno.ECONNREFUSED: SendOutcome.REFUSED,
    errno.EHOSTUNREACH: SendOutcome.UNREACHABLE,
    errno.ENETUNREACH: SendOutcome.UNREACHABLE,
    errno.EADDRNOTAVAIL: SendOutcome.UNREACHABLE,
    errno.ENETDOWN: SendOutcome.UNREACHABLE,
    errno.EHOSTDOWN: SendOutcome.UNREACHABLE,
    errno.EMSGSIZE: SendOutcome.TOO_LONG,
    errno.ENOBUFS: SendOutcome.NO_BUFFER,
    errno.ENOMEM: SendOutcome.NO_BUFFER,
    errno.EAGAIN: SendOutcome.NO_BUFFER,
    errno.EPERM: SendOutcome.NOT_PERMITTED,
    errno.EACCES: SendOutcome.NOT_PERMITTED,
    errno.EAFNOSUPPORT: SendOutcome.WRONG_FAMILY,
    socket.EAI_ADDRFAMILY: SendOutcome.WRONG_FAMILY,
    errno.EINVAL: SendOutcome.INVALID,
}

_OURS_FOR_SURE = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EPERM, socket.EAI_ADDRFAMILY})
"""Never an ICMP error (icmp_err_convert of the kernel): no use in sending again at once."""


@attrs.frozen
class SendResult:
    """The outcome of one datagram, its errno, and the errors of *earlier* datagrams that were found on the way."""

    outcome: SendOutcome
    errno: int = 0
    errors: tuple[SocketError, ...] = ()


def outcome_of(number: int) -> SendOutcome:
    """What an errno of a send means."""
    return _OUTCOMES.get(number, SendOutcome.FAILED)


SENT = SendResult(SendOutcome.SENT)
"""The common case: one value for all of them, so `send(...) is SENT` is the cheapest test."""


def send(sock: socket.socket, payload: bytes, address: Address) -> SendResult:
    """Send one datagram from a non-blocking socket; never raises for anything the network or a peer does.

    `address` is numeric: a name would be looked up, blocking.  The result's `errors` are other datagrams' and go where
    those of `drain_errors` go.
    """
    try:
        sock.sendto(payload, address)
    except OSError as error:
        return _send_again(sock, payload, address, error)
    return SENT


def _send_again(sock: socket.socket, payload: bytes, address: Address, error: OSError) -> SendResult:
    """Find out whose error it was, and send again if it may have been another datagram's."""
    others: list[SocketError] = []
    number = error.errno or 0
    attempts = 1
    while True:
        drained = drain_errors(sock)
        # A local error (EMSGSIZE) is queued by the very call that failed: it is this datagram's own.
        foreign = [entry for entry in drained if entry.origin is not Origin.LOCAL]
        others += foreign
        # The first failure may be an older one's even with an empty queue: there was no memory for the entry.
        if number in _OURS_FOR_SURE or attempts == SEND_ATTEMPTS or (attempts > 1 and not foreign):
            return SendResult(outcome_of(number), number, tuple(others))
        attempts += 1
        for _ in range(SENDS_AN_ATTEMPT):
            try:
                sock.sendto(payload, address)
            except OSError as again:
                number = again.errno or 0
            else:
                return SendResult(SendOutcome.SENT, 0, tuple(others))


def drain_errors(sock: socket.socket) -> list[SocketError]:
    """Take the entries off the socket's error queue, MAX_ERRORS_AT_ONCE at most; an empty list when there is none.

    While there are more the socket stays readable.  Call it after a read that raised anything but BlockingIOError, and
    when a readable socket had nothing to read.
    """
    found: list[SocketError] = []
    for _ in range(MAX_ERRORS_AT_ONCE):
        try:
            quoted, control, _flags, name = sock.recvmsg(_MAX_QUOTED_BYTES, _CONTROL_BYTES, socket.MSG_ERRQUEUE)
        except OSError:
            # EAGAIN: empty.  Anything else is the pending error that the queue's last entry left; it is reported once.
            break
        entry = parse_error(quoted, control, name)
        if entry is not None:
            found.append(entry)
    return found


def receive(
    sock: socket.socket, limit: int
) -> tuple[list[tuple[bytes, tuple[str, int] | tuple[str, int, int, int]]], list[SocketError]]:
    """Read what has arrived, at most `limit` datagrams, each with its source as recvfrom gives it, and the errors.

    Neither raises nor leaves errors behind but those that there are too many of, to be taken by the next call: a loop
    of wait-until-readable and this call never spins.
    """
    datagrams = []
    told = False
    recvfrom = sock.recvfrom
    for _ in range(limit):
        try:
            datagrams.append(recvfrom(MAX_DATAGRAM_BYTES))
        except BlockingIOError:
            break
        except OSError:
            told = True  # an error of an earlier datagram: the next read goes on past it
    return datagrams, drain_errors(sock) if told or not datagrams else []
