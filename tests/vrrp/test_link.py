"""Does the agent reach the network below IP, and does the kernel keep an address as long as it was told?"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import trio

from tests.peers.namespace import Namespace, Network
from tests.peers.program import wait_until
from vrrp.address import VirtualAddress
from vrrp.datagram import Datagram
from vrrp.frames import announcements, read_claim
from vrrp.lastingwire import LastingWire, Way
from vrrp.link import (
    Addresses,
    AdvertSocket,
    FrameSocket,
    LinkEvents,
    _read_ipv4,
    _read_ipv6,
    facts_of,
    index_of,
    primary_of,
    require_usable,
)
from vrrp.packet import GROUP_IPV4, GROUP_IPV6

A, B, VIP = "192.0.2.11", "192.0.2.12", "192.0.2.100"
A6, B6, VIP6 = "fe80::11", "fe80::12", "2001:db8::64"
HELLO = b"1" * 16
PATIENCE_SECONDS = 10.0


@attrs.frozen
class Pair:
    a: Namespace
    b: Namespace


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Network() as network:
        a, b = network.host("a"), network.host("b")
        network.wire(a, f"{A}/24", b, f"{B}/24")
        for host, address in ((a, A6), (b, B6)):
            host.bring_up("eth0", f"{address}/64")
        yield Pair(a, b)


def known(host: Namespace, address: str) -> dict[str, Any] | None:
    """What the kernel of a host says of an address."""
    links = json.loads(host.run("ip", "-json", "address", "show"))
    found = [each for link in links for each in link["addr_info"] if each.get("local") == address]
    return found[0] if found else None


async def next_of(wire: AdvertSocket | LastingWire) -> Datagram:
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            await wire.wait()
            for datagram in wire.receive():
                return datagram


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
        kernel.set(on_eth0(f"{VIP}/24"), 1.2)
        kernel.set(on_eth0(f"{VIP}/24"), 29.2)

    ask_kernel(pair.a, act)
    there = known(pair.a, VIP)
    assert there is not None
    assert there["prefixlen"] == 24
    assert 28 <= there["valid_life_time"] <= 30


def test_an_address_that_is_not_prolonged_goes_by_itself(pair: Pair) -> None:
    ask_kernel(pair.a, lambda kernel: kernel.set(on_eth0(f"{VIP}/24"), 1.0))
    assert known(pair.a, VIP) is not None
    wait_until(lambda: known(pair.a, VIP) is None, "the lease is over", seconds=5.0)


def test_one_of_ipv6_is_usable_at_once_and_never_chosen(pair: Pair) -> None:
    ask_kernel(pair.a, lambda kernel: kernel.set(on_eth0(f"{VIP6}/64"), 30.0))
    there = known(pair.a, VIP6)
    assert there is not None
    assert there["deprecated"]
    assert there["nodad"]
    assert "tentative" not in there
    assert there["preferred_life_time"] == 0


def test_removing_is_no_error_however_often(pair: Pair) -> None:
    def act(kernel: Addresses) -> None:
        kernel.set(on_eth0(f"{VIP}/24"), 30.0)
        for _ in range(2):
            kernel.remove(on_eth0(f"{VIP}/24"))
            assert known(pair.a, VIP) is None
        kernel.remove(VirtualAddress.of(f"{VIP}/24", "eth9"))
        with pytest.raises(OSError, match="No such device"):
            kernel.set(VirtualAddress.of(f"{VIP}/24", "eth9"), 2.0)

    ask_kernel(pair.a, act)


def test_an_address_goes_with_whatever_prefix_it_is_there(pair: Pair) -> None:
    def act(kernel: Addresses) -> None:
        for text in (f"{VIP}/24", f"{VIP6}/64"):
            kernel.set(on_eth0(text), 30.0)
            kernel.remove(on_eth0(text))
            assert known(pair.a, on_eth0(text).address) is None

    # The node's own configuration has them, and they would stay beside the leased ones.
    for text in (f"{VIP}/32", f"{VIP6}/128", "192.0.2.101/32"):
        pair.a.ip("address", "add", text, "dev", "eth0")
    ask_kernel(pair.a, act)
    assert known(pair.a, A) is not None
    assert known(pair.a, "192.0.2.101") is not None


def test_what_the_kernel_refuses_raises(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(kernel: Addresses) -> None:
        pair.a.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        with pytest.raises(OSError, match=r"Permission denied|Operation not") as refused:
            kernel.set(on_eth0(f"{VIP6}/64"), 2.0)
        assert refused.value.errno

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, "no")

        monkeypatch.setattr(kernel, "_ask", refuse)
        with pytest.raises(PermissionError, match="no"):
            kernel.remove(on_eth0(f"{VIP}/24"))

    ask_kernel(pair.a, act)


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


# --------------------------------------------------------------------------------------------------------------------
# The wire that lasts


@attrs.define
class Told:
    """What a wire has said."""

    said: list[tuple[bool, str]] = attrs.field(factory=list)
    sources: list[str] = attrs.field(factory=list)
    _new: trio.Event = attrs.field(factory=trio.Event)

    def say(self, well: bool, detail: str) -> None:  # noqa: FBT001
        self.said.append((well, detail))
        self._new.set()

    async def until_well(self) -> None:
        await self._until((True, "up"))

    async def until_ill(self, detail: str) -> None:
        await self._until((False, detail))

    async def until_said_again(self) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            self._new = trio.Event()
            await self._new.wait()

    async def until_from(self, source: str) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while self.sources[-1:] != [source]:
                self._new = trio.Event()
                await self._new.wait()

    async def _until(self, wanted: tuple[bool, str]) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while self.said[-1:] != [wanted]:
                self._new = trio.Event()
                await self._new.wait()


def watch(host: Namespace, way: Way, script: Any) -> None:
    """Run a wire and a script beside it, in a thread of the host."""

    async def main() -> None:
        wire, told = LastingWire(way), Told()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.run, told.say, told.sources.append)
            await script(wire, told)
            nursery.cancel_scope.cancel()
        wire.close()

    host.inside(lambda: trio.run(main))


def test_a_wire_opens_when_its_interface_comes_and_again_when_it_comes_back(pair: Pair) -> None:
    other = pair.b.inside(lambda: AdvertSocket("eth0", B))

    async def script(wire: LastingWire, told: Told) -> None:
        assert wire.source == "0.0.0.0"
        await told.until_ill("there is no such interface")
        with pytest.raises(OSError, match="Network is down"):
            wire.send(HELLO, GROUP_IPV4)
        assert list(wire.receive()) == []
        for turn in range(2):
            pair.a.ip("link", "add", "mac0", "link", "eth0", "type", "macvlan", "mode", "bridge")
            await told.until_ill("it has no IPv4 address of its own")
            pair.a.ip("address", "add", "192.0.2.21/24", "dev", "mac0")
            await told.until_ill("down, or without carrier")
            pair.a.ip("link", "set", "mac0", "up")
            await told.until_well()
            assert wire.source == "192.0.2.21"
            wire.send(HELLO, GROUP_IPV4)
            other.send(HELLO, GROUP_IPV4)
            assert (await next_of(wire)).source == B
            if not turn:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wire.wait)  # is woken by the end of its socket
                    await trio.sleep(0.05)
                    pair.a.ip("link", "delete", "mac0")
                    await told.until_ill("there is no such interface")
        assert told.sources == ["192.0.2.21"]

    watch(pair.a, Way(interface="mac0"), script)
    other._socket.close()


def test_a_wire_follows_its_address(pair: Pair) -> None:
    async def script(wire: LastingWire, told: Told) -> None:
        await told.until_well()
        assert wire.destinations == (GROUP_IPV4,)
        pair.a.ip("address", "delete", f"{A}/24", "dev", "eth0")
        pair.a.ip("address", "add", "192.0.2.31/24", "dev", "eth0")
        await told.until_from("192.0.2.31")
        wire.change(Way(interface="eth0", source="192.0.2.41", peers=(B,), multicast=False))
        await told.until_ill("it has no address 192.0.2.41")
        assert wire.destinations == (B,)
        pair.a.ip("address", "add", "192.0.2.41/24", "dev", "eth0")
        await told.until_well()
        wire.change(Way(interface="eth0", source="192.0.2.41", peers=(B,), multicast=False))
        assert told.sources == [A, "192.0.2.31", "192.0.2.41"]

    watch(pair.a, Way(interface="eth0", virtual=(VIP,)), script)


def test_a_wire_is_never_gone_while_it_changes(pair: Pair) -> None:
    """An advert that cannot be sent is an alarm, and one that is not heard may be the peer's only one."""
    other = pair.b.inside(lambda: AdvertSocket("eth0", B))
    plain = Way(interface="eth0", virtual=(VIP,))

    async def script(wire: LastingWire, told: Told) -> None:
        await told.until_well()
        other.send(HELLO, GROUP_IPV4)
        await wire.wait()
        wire.change(attrs.evolve(plain, virtual=(VIP, "192.0.2.101")))
        wire.send(HELLO, GROUP_IPV4)
        await told.until_said_again()
        assert [datagram.source for datagram in wire.receive()] == [B], "it is the same socket"
        for way in (attrs.evolve(plain, peers=(B,)), attrs.evolve(plain, source=A, peers=(B,), multicast=False)):
            wire.change(way)
            wire.send(HELLO, GROUP_IPV4)
            await told.until_said_again()
            wire.send(HELLO, B)
            assert wire.destinations == way.destinations
        wire.change(attrs.evolve(plain, virtual=(A,)))
        await told.until_ill("it has no IPv4 address of its own")

    watch(pair.a, plain, script)
    other._socket.close()


def test_a_wire_waits_until_its_address_is_usable(pair: Pair) -> None:
    """An address of IPv6 is tentative for a second or two."""

    async def script(wire: LastingWire, told: Told) -> None:
        await told.until_ill("adverts cannot leave from fe80::31: cannot assign requested address")
        assert wire.source == "fe80::31"
        await told.until_well()

    pair.a.run("sysctl", "-qw", "net.ipv6.conf.eth0.dad_transmits=2")
    pair.a.ip("address", "flush", "dev", "eth0", "scope", "link")
    pair.a.ip("address", "add", "fe80::31/64", "dev", "eth0")
    watch(pair.a, Way(interface="eth0", is_ipv6=True, source="fe80::31"), script)
