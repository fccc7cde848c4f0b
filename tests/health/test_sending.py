"""Datagrams on real sockets: what a dead neighbour does to a live one's messages, and what each failure is called."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from dispatcher.listener import Listener
from dispatcher.sockets import open_listener
from health.errorqueue import Origin, SocketError
from health.sending import (
    MAX_ERRORS_AT_ONCE,
    SENDS_AN_ATTEMPT,
    SENT,
    SendOutcome,
    SendResult,
    drain_errors,
    receive,
    send,
)
from tests.dispatcher.namespace import run_in_namespace

LOOPBACKS = ["127.0.0.1", "::1"]


@contextlib.contextmanager
def listening(host: str) -> Iterator[socket.socket]:
    opened = open_listener(Listener("udp", (host, 0)))
    try:
        yield opened.sock
    finally:
        opened.close()


@contextlib.contextmanager
def server(host: str) -> Iterator[socket.socket]:
    """A live server: a bound socket that is read by hand."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(0)
        yield sock


def closed_port(host: str) -> tuple[str, int]:
    with server(host) as gone:
        return host, gone.getsockname()[1]


def readiness(sock: socket.socket) -> int:
    """What epoll says about reading; 0 when a loop may rest."""
    with contextlib.closing(select.epoll()) as poll:
        poll.register(sock, select.EPOLLIN)
        return sum(events for _, events in poll.poll(0))


def read_all(sock: socket.socket) -> list[bytes]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(65535))
    return found


@pytest.mark.parametrize("host", LOOPBACKS)
def test_no_message_of_the_live_one_is_lost_to_the_dead_one(host: str) -> None:
    dead = closed_port(host)
    refused = 0
    with listening(host) as sock, server(host) as live:
        here, there = sock.getsockname()[:2], live.getsockname()[:2]
        for number in range(5000):
            to_dead = send(sock, b"to the dead %d" % number, dead)
            to_live = send(sock, b"to the live %d" % number, there)
            assert (to_dead.outcome, to_live.outcome) == (SendOutcome.SENT, SendOutcome.SENT)
            for entry in (*to_dead.errors, *to_live.errors):
                assert (entry.errno, entry.address, entry.from_network) == (errno.ECONNREFUSED, dead, True)
                refused += 1
            assert read_all(live) == [b"to the live %d" % number]
            live.sendto(b"reply %d" % number, here)
            if number % 3 == 0:  # replies and errors arrive mixed
                send(sock, b"once more", dead)
                refused += 1
            if number % 7 == 0:
                datagrams, errors = receive(sock, 100)
                refused += len(errors)
                replies = [payload for payload, _source in datagrams]
                assert replies[-1] == b"reply %d" % number
                assert len(replies) == min(number, 6) + 1
        datagrams, errors = receive(sock, 100)
        refused += len(errors)
        assert readiness(sock) == 0
    assert refused > 5000


@pytest.mark.parametrize("host", LOOPBACKS)
def test_an_undrained_queue_keeps_the_socket_readable(host: str) -> None:
    """What the shell would spin on, if it only read."""
    with listening(host) as sock:
        send(sock, b"x" * 40, closed_port(host))
        assert readiness(sock) & select.EPOLLERR
        with pytest.raises(ConnectionRefusedError):
            sock.recvfrom(100)
        assert readiness(sock) & select.EPOLLERR
        (entry,) = drain_errors(sock)
        assert readiness(sock) == 0
        assert entry.quoted == b"x" * 40
        assert entry.offender == host
        assert drain_errors(sock) == []


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_reading_loop_rests_after_an_error(host: str, autojump_clock: trio.testing.MockClock) -> None:
    with listening(host) as sock:
        send(sock, b"x", closed_port(host))
        await trio.lowlevel.wait_readable(sock)
        assert receive(sock, 10)[0] == []
        with trio.move_on_after(5) as waiting:
            await trio.lowlevel.wait_readable(sock)
        assert waiting.cancelled_caught


@pytest.mark.parametrize("host", LOOPBACKS)
def test_the_common_case_is_one_value(host: str) -> None:
    with listening(host) as sock, server(host) as live:
        assert send(sock, b"OPTIONS", live.getsockname()[:2]) is SENT
        assert live.recvfrom(100) == (b"OPTIONS", sock.getsockname())
        assert readiness(sock) == 0


@pytest.mark.parametrize(("host", "longest"), [("127.0.0.1", 65507), ("::1", 65527)])
def test_a_datagram_of_any_length_arrives_whole_or_is_too_long(host: str, longest: int) -> None:
    with listening(host) as sock, server(host) as live:
        there = live.getsockname()[:2]
        for length in (0, 1, 1500, 65000, longest):
            assert send(sock, b"x" * length, there) is SENT
            assert read_all(live) == [b"x" * length]
        for length in (longest + 1, 65536, 200_000):
            assert send(sock, b"x" * length, there) == SendResult(SendOutcome.TOO_LONG, errno.EMSGSIZE)
        assert read_all(live) == []
        assert readiness(sock) == 0, "the kernel queues EMSGSIZE: it must be drained too"


def test_a_too_long_one_after_a_dead_one_gives_both_their_own() -> None:
    with listening("127.0.0.1") as sock:
        dead = closed_port("127.0.0.1")
        send(sock, b"x", dead)
        result = send(sock, b"x" * 65508, dead)
        assert (result.outcome, result.errno) == (SendOutcome.TOO_LONG, errno.EMSGSIZE)
        assert [(entry.address, entry.origin) for entry in result.errors] == [(dead, Origin.ICMP)]
        assert readiness(sock) == 0


@pytest.mark.parametrize(
    ("host", "to", "outcome"),
    [
        ("127.0.0.1", ("::1", 5060), SendOutcome.WRONG_FAMILY),
        ("127.0.0.1", ("127.0.0.1", 0), SendOutcome.INVALID),
        ("::1", ("::1", 0), SendOutcome.INVALID),
    ],
)
def test_what_the_kernel_does_not_take(host: str, to: tuple[str, int], outcome: SendOutcome) -> None:
    with listening(host) as sock:
        assert send(sock, b"x", to).outcome is outcome
        assert readiness(sock) == 0


class Scripted:
    """A socket whose sends and queue follow a script; the real ones above cannot be made to fail like this."""

    def __init__(self, sends: list[int], queue: list[list[tuple[int, Origin]]], reads: list[int] | None = None) -> None:
        self.sends = sends
        self.queue = queue
        self.reads = reads or []
        self.pending: list[tuple[int, Origin]] = []
        self.sent = 0

    def sendto(self, _payload: bytes, _address: Any) -> int:
        number = self.sends.pop(0)
        self.pending += self.queue.pop(0) if self.queue else []
        if number:
            raise OSError(number, "scripted")
        self.sent += 1
        return 1

    def recvfrom(self, _size: int) -> tuple[bytes, Any]:
        number = self.reads.pop(0) if self.reads else errno.EAGAIN
        if number:
            raise OSError(number, "scripted")
        return b"x", ("192.0.2.1", 5060)

    def recvmsg(self, _size: int, _control: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        assert flags == socket.MSG_ERRQUEUE
        if not self.pending:
            raise BlockingIOError(errno.EAGAIN, "empty")
        number, origin = self.pending.pop(0)
        extended = number.to_bytes(4, "little") + bytes((origin, 3, 3, 0)) + bytes(8)
        return b"", [(0, 11, extended)], 0, ("192.0.2.9", 5060)


REFUSED = (errno.ECONNREFUSED, Origin.ICMP)
OWN = (errno.EMSGSIZE, Origin.LOCAL)
TRIES = SENDS_AN_ATTEMPT


@pytest.mark.parametrize(
    ("sends", "queue", "outcome", "number", "errors"),
    [
        # One older error, found and cleared.
        ([errno.ECONNREFUSED, 0], [[REFUSED]], SendOutcome.SENT, 0, 1),
        # More arrive between draining and sending again: the next send goes on past them, who reads drains them.
        ([errno.ECONNREFUSED, errno.ECONNREFUSED, 0], [[REFUSED], [REFUSED, REFUSED]], SendOutcome.SENT, 0, 1),
        # One before each send: all have to be drained once more.
        ([errno.ECONNREFUSED] * (1 + TRIES) + [0], [[REFUSED]] * (1 + TRIES), SendOutcome.SENT, 0, 1 + TRIES),
        # They never cease: it ends all the same.
        ([errno.ECONNREFUSED] * 99, [[REFUSED]] * 99, SendOutcome.REFUSED, errno.ECONNREFUSED, 1 + 3 * TRIES),
        # The kernel had no memory for the entry: the error came without one, and was not ours.
        ([errno.ECONNREFUSED, 0], [], SendOutcome.SENT, 0, 0),
        # No route: the same again and an empty queue is our own.
        ([errno.ENETUNREACH] * (1 + TRIES), [], SendOutcome.UNREACHABLE, errno.ENETUNREACH, 0),
        ([errno.EHOSTUNREACH] * (1 + TRIES), [], SendOutcome.UNREACHABLE, errno.EHOSTUNREACH, 0),
        ([errno.EADDRNOTAVAIL] * (1 + TRIES), [], SendOutcome.UNREACHABLE, errno.EADDRNOTAVAIL, 0),
        ([errno.EACCES] * (1 + TRIES), [], SendOutcome.NOT_PERMITTED, errno.EACCES, 0),
        # An older error hides our own; two of them do.
        (
            [errno.ECONNREFUSED] + [errno.EMSGSIZE] * TRIES,
            [[REFUSED]] + [[OWN]] * TRIES,
            SendOutcome.TOO_LONG,
            errno.EMSGSIZE,
            1,
        ),
        (
            [errno.ECONNREFUSED] * 2 + [errno.EMSGSIZE] * (2 * TRIES - 1),
            [[REFUSED]] * 2 + [[OWN]] * (2 * TRIES - 1),
            SendOutcome.TOO_LONG,
            errno.EMSGSIZE,
            2,
        ),
        # No second try for what can only be ours.
        ([errno.EAGAIN], [], SendOutcome.NO_BUFFER, errno.EAGAIN, 0),
        ([errno.ENOBUFS], [], SendOutcome.NO_BUFFER, errno.ENOBUFS, 0),
        ([errno.EPERM], [], SendOutcome.NOT_PERMITTED, errno.EPERM, 0),
        # One that this list does not know.
        ([errno.EIO] * (1 + TRIES), [], SendOutcome.FAILED, errno.EIO, 0),
    ],
)
def test_whose_error_it_was(
    sends: list[int], queue: list[list[tuple[int, Origin]]], outcome: SendOutcome, number: int, errors: int
) -> None:
    sock: Any = Scripted(list(sends), [list(entries) for entries in queue])
    result = send(sock, b"x", ("192.0.2.1", 5060))
    assert (result.outcome, result.errno, len(result.errors)) == (outcome, number, errors)
    assert all(entry.address == ("192.0.2.9", 5060) for entry in result.errors)
    assert sock.sent == (outcome is SendOutcome.SENT)
    if not sock.sent:
        assert sock.pending == [], "an error of its own is left to nobody"


def test_an_error_that_comes_as_often_as_the_queue_is_looked_at_costs_no_message() -> None:
    """What the kernel tells of an error is told once, to whoever sends or reads next."""

    class Flooded(Scripted):
        told = errno.ECONNREFUSED

        def sendto(self, _payload: bytes, _address: Any) -> int:
            number, self.told = self.told, 0
            if number:
                raise OSError(number, "of an earlier one")
            self.sent += 1
            return 1

        def recvmsg(self, size: int, control: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
            if not self.pending:
                self.pending, self.told = [REFUSED], errno.ECONNREFUSED
                raise BlockingIOError(errno.EAGAIN, "empty, and then another one comes")
            return super().recvmsg(size, control, flags)

    sock: Any = Flooded([], [])
    sock.pending = [REFUSED]
    results = [send(sock, b"x", ("192.0.2.1", 5060)).outcome for _ in range(10)]
    assert results == [SendOutcome.SENT] * 10
    assert sock.sent == 10


@pytest.mark.parametrize("host", LOOPBACKS)
def test_what_is_sent_waits_for_few_of_many_errors_and_is_not_taken_for_one(host: str) -> None:
    with listening(host) as sock, server(host) as live:
        dead, there = closed_port(host), live.getsockname()[:2]
        told = 0
        for _ in range(8 * MAX_ERRORS_AT_ONCE):
            try:
                sock.sendto(b"to the dead", dead)
            except ConnectionRefusedError:
                told += 1
        assert told
        result = send(sock, b"to the live", there)
        assert result.outcome is SendOutcome.SENT
        assert read_all(live) == [b"to the live"]
        assert len(result.errors) <= MAX_ERRORS_AT_ONCE
        datagrams, errors = receive(sock, 10)
        assert (datagrams, 1 <= len(errors) <= MAX_ERRORS_AT_ONCE) == ([], True)
        assert {entry.address for entry in errors} == {dead}


def test_an_error_without_an_errno_is_a_failure() -> None:
    class Nameless(Scripted):
        def sendto(self, _payload: bytes, _address: Any) -> int:
            raise OSError

    sock: Any = Nameless([], [])
    assert send(sock, b"x", ("192.0.2.1", 5060)) == SendResult(SendOutcome.FAILED)


def test_draining_ends_while_errors_pour_in() -> None:
    sock: Any = Scripted([], [])
    sock.pending = [REFUSED] * 300
    assert len(drain_errors(sock)) == 256
    assert len(drain_errors(sock)) == 44


def test_an_entry_of_another_kind_is_taken_off_and_not_told() -> None:
    class TimeStamps(Scripted):
        def recvmsg(self, size: int, control: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
            quoted, _, _, name = super().recvmsg(size, control, flags)
            return quoted, [], 0, name

    sock: Any = TimeStamps([], [])
    sock.pending = [REFUSED, REFUSED]
    assert drain_errors(sock) == []
    assert sock.pending == []


def test_a_batch_is_read_past_errors_and_bounded() -> None:
    sock: Any = Scripted([], [], reads=[0, errno.ECONNREFUSED, 0, 0, 0])
    sock.pending = [REFUSED, REFUSED]
    datagrams, errors = receive(sock, 4)
    assert [payload for payload, _ in datagrams] == [b"x"] * 3
    assert [type(entry) for entry in errors] == [SocketError] * 2
    assert len(receive(sock, 4)[0]) == 1


def test_a_batch_is_read_on_past_errors_that_are_looked_at_once() -> None:
    sock: Any = Scripted([], [], reads=[errno.ECONNREFUSED, 0] * 8)
    sock.pending = [REFUSED] * 5000
    datagrams, errors = receive(sock, 16)
    assert (len(datagrams), len(errors)) == (8, MAX_ERRORS_AT_ONCE)
    assert len(sock.pending) == 5000 - MAX_ERRORS_AT_ONCE


def test_a_readable_socket_with_nothing_to_read_is_drained() -> None:
    sock: Any = Scripted([], [])
    sock.pending = [REFUSED]
    assert [len(part) for part in receive(sock, 4)] == [0, 1]


IN_NAMESPACE = """
from dispatcher.listener import Listener
from health.sending import receive, send
from dispatcher.sockets import open_listener
sock = open_listener(Listener("udp", ({host!r}, 5060))).sock
for turn in range(2):
    result = send(sock, b"x", ({to!r}, 5060))
    print(result.outcome.label, len(result.errors), receive(sock, 9))
"""


DROP_OUTPUT = """
nft add table inet t
nft 'add chain inet t out {type filter hook output priority 0;}'
nft add rule inet t out udp dport 5060 drop
"""


@pytest.mark.parametrize(
    ("setup", "host", "to", "label"),
    [
        ("", "127.0.0.1", "198.51.100.1", "unreachable"),
        ("", "::1", "2001:db8::1", "unreachable"),
        ("ip route add unreachable 198.51.100.0/24", "127.0.0.1", "198.51.100.1", "unreachable"),
        ("ip route add prohibit 198.51.100.0/24", "127.0.0.1", "198.51.100.1", "not_permitted"),
        ("ip route add blackhole 198.51.100.0/24", "127.0.0.1", "198.51.100.1", "invalid"),
        (DROP_OUTPUT, "127.0.0.1", "127.0.0.2", "not_permitted"),
    ],
)
def test_what_routes_and_filters_refuse(setup: str, host: str, to: str, label: str) -> None:
    said = run_in_namespace(IN_NAMESPACE.format(host=host, to=to), setup=f"ip link set lo up\n{setup}")
    assert said.splitlines() == [f"{label} 0 ([], [])"] * 2


def test_a_virtual_address_that_is_not_here_cannot_send() -> None:
    said = run_in_namespace(IN_NAMESPACE.format(host="198.51.100.7", to="127.0.0.1"))
    assert {line.split()[0] for line in said.splitlines()} <= {"unreachable", "invalid"}


def test_a_filter_that_answers_is_an_error_of_the_destination() -> None:
    """A `reject` of nftables sends ICMP: the send itself succeeds, the error belongs to the destination."""
    said = run_in_namespace(
        IN_NAMESPACE.format(host="127.0.0.1", to="127.0.0.2").replace("receive(sock, 9)", "receive(sock, 9)[1]"),
        setup="ip link set lo up; nft add table inet t\n"
        "nft 'add chain inet t in {type filter hook input priority 0;}'\n"
        "nft add rule inet t in udp dport 5060 reject with icmp type host-prohibited",
    )
    for line in said.splitlines():
        assert line.startswith("sent 0 [SocketError(address=('127.0.0.2', 5060), errno=113, ")
