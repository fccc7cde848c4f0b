"""Does the agent reach the network below IP, and does the kernel keep an address as long as it was told?"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from tests.peers.namespace import Namespace
from tests.peers.program import wait_until
from tests.vrrp.two_hosts import A6, B6, PATIENCE_SECONDS, A, B, Pair, known, next_of
from vrrp import link, netlink
from vrrp.address import VirtualAddress
from vrrp.frames import announcements, probe, read_claim
from vrrp.link import (
    Addresses,
    AdvertSocket,
    Denied,
    FrameSocket,
    LinkEvents,
    _read_ipv4,
    _read_ipv6,
    facts_of,
    here,
    index_of,
    primary_of,
    require_usable,
)
from vrrp.packet import GROUP_IPV4, GROUP_IPV6

VIP, SECOND, THIRD, VIP6 = "192.0.2.100", "192.0.2.101", "192.0.2.102", "2001:db8::64"
HELLO = b"1" * 16


# --------------------------------------------------------------------------------------------------------------------
# Adverts


@pytest.mark.parametrize(
    ("ours", "theirs", "peers", "destination"),
    [
        (A, B, (), GROUP_IPV4),
        (A, B, (B,), B),
        (A6, B6, (), GROUP_IPV6),
        (A6, B6, (B6,), B6),
    ],
)
async def test_an_advert_arrives_with_where_it_came_from(
    pair: Pair, ours: str, theirs: str, peers: tuple[str, ...], destination: str
) -> None:
    one = pair.a.inside(lambda: AdvertSocket("eth0", ours, peers=peers, multicast=not peers))
    other = pair.b.inside(lambda: AdvertSocket("eth0", theirs))
    assert (one.source, one.destinations) == (ours, (destination,))
    one.send(HELLO, destination)
    datagram = await next_of(other)
    assert (datagram.source, datagram.destination, datagram.ttl) == (ours, destination, 255)
    # Over IPv6 the kernel leaves the checksum alone, and Ethernet's padding is cut off over IPv4.
    assert datagram.data == HELLO
    assert list(one.receive()) == []
    one.close()
    other.close()


async def test_the_longest_advert_arrives_whole(pair: Pair) -> None:
    """Of 255 IPv6 addresses, with a trailer, in several fragments: cut off, there would be two owners."""
    one = pair.a.inside(lambda: AdvertSocket("eth0", A6))
    other = pair.b.inside(lambda: AdvertSocket("eth0", B6))
    longest = bytes(8 + 255 * 16 + 28)
    one.send(longest, GROUP_IPV6)
    assert (await next_of(other)).data == longest
    one.close()
    other.close()


async def test_group_and_peers_hear_the_same_advert(pair: Pair) -> None:
    one = pair.a.inside(lambda: AdvertSocket("eth0", A, peers=(B,)))
    assert one.destinations == (GROUP_IPV4, B)
    one.close()


def test_what_cannot_be_opened_raises(pair: Pair) -> None:
    with pytest.raises(OSError, match="No such device"):
        pair.a.inside(lambda: AdvertSocket("eth9", A))
    with pytest.raises(OSError, match="No such device"):
        pair.a.inside(lambda: FrameSocket("eth9"))


def test_a_group_that_cannot_be_joined_leaves_no_socket(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Strange(socket.socket):
        def setsockopt(self, *_: Any) -> None:
            raise OSError(errno.EADDRNOTAVAIL, "no")

        def close(self) -> None:
            closed.append(True)
            super().close()

    monkeypatch.setattr(socket, "socket", Strange)
    with pytest.raises(OSError, match="no"):
        pair.a.inside(lambda: AdvertSocket("eth0", A))
    assert closed


def test_what_is_too_short_or_has_no_ancillary_data_is_nothing() -> None:
    assert _read_ipv4(b"\x45" + bytes(18)) is None
    assert _read_ipv6(b"", [], ("fe80::1", 0, 0, 0)) is None
    short = [(socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, b"\xff")]
    assert _read_ipv6(b"", short, ("fe80::1", 0, 0, 0)) is None


# --------------------------------------------------------------------------------------------------------------------
# Interfaces


def test_an_interface_is_told_as_it_is(pair: Pair) -> None:
    there = pair.a.inside(lambda: facts_of("eth0"))
    assert (there.exists, there.running, there.detail) == (True, True, "up")
    assert len(there.hardware) == 6
    assert {A, A6} <= set(there.addresses)
    assert pair.a.inside(lambda: index_of("eth0")) > 0
    pair.b.ip("link", "set", "eth0", "down")
    # The kernel takes up to a second to notice that the other end has gone.
    wait_until(lambda: not pair.a.inside(lambda: facts_of("eth0")).running, "carrier is lost")
    cut = pair.a.inside(lambda: facts_of("eth0"))
    assert (cut.exists, cut.detail) == (True, "down, or without carrier")
    pair.a.ip("link", "delete", "eth0")
    gone = pair.a.inside(lambda: facts_of("eth0"))
    assert (gone.exists, gone.running, gone.detail) == (False, False, "there is no such interface")
    assert (gone.hardware, gone.addresses) == (b"", ())
    with pytest.raises(OSError, match="No such device"):
        pair.a.inside(lambda: index_of("eth0"))


def test_the_primary_address_is_one_that_does_not_move(pair: Pair) -> None:
    pair.a.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    pair.a.ip("address", "add", f"{VIP6}/64", "dev", "eth0", "nodad")
    assert pair.a.inside(lambda: primary_of("eth0", is_ipv6=False, virtual=(VIP,))) == A
    assert pair.a.inside(lambda: primary_of("eth0", is_ipv6=False, virtual=(A,))) == VIP
    assert (pair.a.inside(lambda: primary_of("eth0", is_ipv6=True, virtual=())) or "").startswith("fe80:")
    assert pair.a.inside(lambda: primary_of("lo", is_ipv6=True, virtual=())) is None
    assert pair.a.inside(lambda: primary_of("eth9", is_ipv6=False)) is None


def test_an_address_is_usable_when_something_can_leave_from_it(pair: Pair) -> None:
    index = pair.a.inside(lambda: index_of("eth0"))
    pair.a.inside(lambda: require_usable(A, index))
    pair.a.inside(lambda: require_usable(A6, index))
    with pytest.raises(OSError, match="Cannot assign requested address"):
        pair.a.inside(lambda: require_usable(VIP, index))


async def test_a_change_of_an_address_is_told(pair: Pair) -> None:
    events = pair.a.inside(LinkEvents)
    with trio.move_on_after(0.05) as quiet:
        await events.wait()
    assert quiet.cancelled_caught
    pair.a.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with trio.fail_after(PATIENCE_SECONDS):
        await events.wait()
    events.close()


async def test_more_changes_than_fit_are_a_change(pair: Pair) -> None:
    events = pair.a.inside(LinkEvents)
    events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for last in range(50):
        pair.a.ip("address", "add", f"198.51.100.{last}/32", "dev", "lo")
    with trio.fail_after(PATIENCE_SECONDS):
        await events.wait()
    events.close()


# --------------------------------------------------------------------------------------------------------------------
# Addresses


def ask_kernel(host: Namespace, act: Callable[[Addresses], None]) -> None:
    """Open, act and close in one thread of the host, as it must be."""

    def inside() -> None:
        with contextlib.closing(Addresses()) as kernel:
            act(kernel)

    host.inside(inside)


def on_eth0(text: str) -> VirtualAddress:
    return VirtualAddress.of(text, "eth0")


def test_an_address_is_leased_and_prolonged(pair: Pair) -> None:
    def act(kernel: Addresses) -> None:
        for lease in (1.2, 29.2):
            assert kernel.set([on_eth0(f"{VIP}/24")], lease) == []

    ask_kernel(pair.a, act)
    there = known(pair.a, VIP)
    assert there is not None
    assert there["prefixlen"] == 24
    assert 28 <= there["valid_life_time"] <= 30


def test_an_address_that_is_not_prolonged_goes_by_itself(pair: Pair) -> None:
    def act(kernel: Addresses) -> None:
        kernel.set([on_eth0(f"{VIP}/24")], 1.0)

    ask_kernel(pair.a, act)
    assert known(pair.a, VIP) is not None
    wait_until(lambda: known(pair.a, VIP) is None, "the lease is over", seconds=5.0)


def test_one_of_ipv6_is_usable_at_once_and_never_chosen(pair: Pair) -> None:
    def act(kernel: Addresses) -> None:
        kernel.set([on_eth0(f"{VIP6}/64")], 30.0)

    ask_kernel(pair.a, act)
    there = known(pair.a, VIP6)
    assert there is not None
    assert there["deprecated"]
    assert there["nodad"]
    assert "tentative" not in there
    assert there["preferred_life_time"] == 0


def test_removing_is_no_error_however_often(pair: Pair) -> None:
    here, gone = on_eth0(f"{VIP}/24"), VirtualAddress.of(f"{SECOND}/24", "eth9")

    def act(kernel: Addresses) -> None:
        assert kernel.set([gone, here], 30.0) == [Denied(gone, "No such device")]
        for _ in range(2):
            assert kernel.remove([here, gone]) == []
            assert known(pair.a, VIP) is None

    ask_kernel(pair.a, act)


def test_an_address_goes_with_whatever_prefix_and_label_it_is_there(pair: Pair) -> None:
    moving = [on_eth0(text) for text in (f"{VIP}/24", f"{VIP6}/64", f"{THIRD}/24")]

    def act(kernel: Addresses) -> None:
        assert kernel.set(moving, 30.0) == []
        assert kernel.here(moving) == moving
        assert kernel.remove(moving) == []
        assert [known(pair.a, each.address) for each in moving] == [None] * 3
        assert kernel.here(moving) == []

    # The node's own configuration has them, and they would stay beside the leased ones.
    for text in (f"{VIP}/32", f"{VIP6}/128", f"{SECOND}/32"):
        pair.a.ip("address", "add", text, "dev", "eth0")
    pair.a.ip("address", "add", f"{THIRD}/32", "dev", "eth0", "label", "eth0:1")
    assert pair.a.inside(lambda: here(moving)) == moving
    ask_kernel(pair.a, act)
    assert known(pair.a, A) is not None
    assert known(pair.a, SECOND) is not None


def test_an_address_with_a_label_is_one_of_its_interface(pair: Pair) -> None:
    pair.a.ip("address", "add", f"{VIP}/32", "dev", "eth0", "label", "eth0:1")
    facts = pair.a.inside(lambda: facts_of("eth0"))
    assert f"{VIP}/32" in facts.networks
    assert VIP in facts.addresses


def test_an_address_on_another_interface_is_not_here(pair: Pair) -> None:
    pair.a.ip("address", "add", f"{VIP}/32", "dev", "lo")
    moving = [on_eth0(f"{VIP}/24"), VirtualAddress.of(f"{SECOND}/24", "eth9")]

    def act(kernel: Addresses) -> None:
        assert kernel.here(moving) == []
        assert kernel.remove(moving) == []

    ask_kernel(pair.a, act)
    assert known(pair.a, VIP) is not None


def test_what_the_kernel_refuses_is_told_and_the_rest_is_done(pair: Pair) -> None:
    moving = [on_eth0(f"{VIP6}/64"), on_eth0(f"{VIP}/24")]

    def act(kernel: Addresses) -> None:
        pair.a.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        (denied,) = kernel.set(moving, 2.0)
        assert denied.address == moving[0]
        assert denied.reason in {"Permission denied", "Operation not supported"}
        assert kernel.here(moving) == moving[1:]

    ask_kernel(pair.a, act)


def many(count: int) -> list[VirtualAddress]:
    return [on_eth0(f"198.51.100.{number}/24") for number in range(count)]


def test_all_addresses_cost_a_few_questions(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 255 addresses each cost one of its own and more: the machine's task stood still for a second and longer."""
    sent: list[int] = []

    class Counted(socket.socket):
        def send(self, requests: Any, flags: int = 0) -> int:
            sent.append(len(requests))
            return super().send(requests, flags)

    moving = many(255)

    def act(kernel: Addresses) -> None:
        for verb in (lambda: kernel.set(moving, 30.0), lambda: kernel.here(moving), lambda: kernel.remove(moving)):
            sent.clear()
            verb()
            assert len(sent) <= 8
        assert kernel.here(moving) == []

    monkeypatch.setattr(socket, "socket", Counted)
    ask_kernel(pair.a, act)


def test_answers_that_were_lost_are_asked_for_again(pair: Pair) -> None:
    """What is wrong with a socket of the kernel may last: another one has none of it."""
    moving = many(64)

    def act(kernel: Addresses) -> None:
        for _ in range(3):
            before = kernel._socket
            before.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            assert kernel.set(moving, 30.0) == []
            assert kernel._socket is not before
            assert kernel.here(moving) == moving

    ask_kernel(pair.a, act)


def test_a_socket_that_cannot_be_replaced_raises_until_it_can(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    def act(kernel: Addresses) -> None:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(link, "_open_netlink", no_more)
            kernel._socket.close()
            for _ in range(2):
                with pytest.raises(OSError, match="Too many open files"):
                    kernel.set(many(1), 30.0)
        assert kernel.set(many(1), 30.0) == []

    ask_kernel(pair.a, act)


def test_what_changes_while_it_is_told_is_asked_for_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    read, torn = netlink.read_answers, [3]

    def tearing(datagram: bytes) -> Iterator[netlink.Said]:
        for said in read(datagram):
            if isinstance(said, netlink.KnownAddress) and said.address == A and torn[0]:
                torn[0] -= 1
                yield netlink.Torn()
            else:
                yield said

    monkeypatch.setattr(netlink, "read_answers", tearing)
    assert A in pair.a.inside(lambda: facts_of("eth0")).addresses
    assert not torn[0]
    torn[0] = 99
    with pytest.raises(OSError, match="faster than they can be read"):
        pair.a.inside(lambda: facts_of("eth0"))


def test_a_question_that_the_kernel_refuses_raises(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "read_answers", lambda _: [netlink.Answered(1, errno.ENOMEM)])
    for look in (lambda: facts_of("eth0"), lambda: here([on_eth0(f"{VIP}/24")])):
        with pytest.raises(OSError, match="Cannot allocate memory"):
            pair.a.inside(look)


def test_no_interface_has_a_name_that_is_too_long(pair: Pair) -> None:
    assert not pair.a.inside(lambda: facts_of("a" * 16)).exists
    assert not pair.a.inside(lambda: facts_of("a" * 15)).exists


# --------------------------------------------------------------------------------------------------------------------
# Frames


async def test_an_announcement_is_heard_and_not_ones_own(pair: Pair) -> None:
    one, other = (host.inside(lambda: FrameSocket("eth0")) for host in (pair.a, pair.b))
    hardware = pair.a.inside(lambda: facts_of("eth0")).hardware
    for frame in announcements(VIP, hardware):
        one.send(frame)
    with trio.fail_after(PATIENCE_SECONDS):
        await other.wait()
    claims = [read_claim(frame) for frame in other.receive()]
    assert claims
    assert {(claim.address, claim.hardware) for claim in claims if claim is not None} == {(VIP, hardware)}
    assert list(one.receive()) == []
    one.close()
    other.close()


async def test_of_ipv6_nothing_but_neighbour_advertisements_is_heard(pair: Pair) -> None:
    one, other = (host.inside(lambda: FrameSocket("eth0", is_ipv6=True)) for host in (pair.a, pair.b))
    hardware = pair.a.inside(lambda: facts_of("eth0")).hardware
    (advertisement,) = announcements(VIP6, hardware)
    for frame in (
        *announcements(VIP, hardware),
        probe(VIP6, hardware),
        advertisement[:20] + b"\x11" + advertisement[21:],
    ):
        one.send(frame)
    for frame in (advertisement, advertisement):
        one.send(frame)
    with trio.fail_after(PATIENCE_SECONDS):
        await other.wait()
    assert list(other.receive()) == [advertisement] * 2
    one.close()
    other.close()
