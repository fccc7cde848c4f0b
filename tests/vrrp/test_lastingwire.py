"""Does the wire of an agent last while its interface and its address come and go?"""

from __future__ import annotations

import errno
from typing import Any

import attrs
import pytest
import structlog
import trio

from tests.peers.namespace import Namespace
from tests.vrrp.two_hosts import PATIENCE_SECONDS, A, B, Pair, next_of
from vrrp import link
from vrrp.lastingwire import LastingWire, Way
from vrrp.link import (
    AdvertSocket,
)
from vrrp.packet import GROUP_IPV4

VIP = "192.0.2.100"
HELLO = b"1" * 16
SECOND = "192.0.2.101"


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


def test_a_wire_stays_as_it_was_while_its_interface_cannot_be_looked_at(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more files: neither its end nor the end of the agent."""

    def no_more(_: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def script(wire: LastingWire, told: Told) -> None:
        await told.until_well()
        with monkeypatch.context() as meanwhile, structlog.testing.capture_logs() as logged:
            meanwhile.setattr(link, "facts_of", no_more)
            for _ in range(2):
                told.said.clear()
                pair.a.ip("address", "add", f"{VIP}/24", "dev", "eth0")
                await told.until_well()
                pair.a.ip("address", "delete", f"{VIP}/24", "dev", "eth0")
            assert [line["reason"] for line in logged] == ["Too many open files"]
            wire.send(HELLO, GROUP_IPV4)

    async def blind_from_the_start(_: LastingWire, told: Told) -> None:
        await told.until_ill("it cannot be looked at: too many open files")
        monkeypatch.undo()
        await told.until_well()

    watch(pair.a, Way(interface="eth0"), script)
    monkeypatch.setattr(link, "facts_of", no_more)
    watch(pair.a, Way(interface="eth0"), blind_from_the_start)
