"""Does the kernel's mover set, prolong, announce and watch over addresses, whatever others do to them?"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from tests.peers.namespace import Namespace
from tests.vrrp.two_hosts import PATIENCE_SECONDS, A, B, Pair
from vrrp import kernelmover, link
from vrrp.address import VirtualAddress
from vrrp.event import AddressesLost, MoveFailed
from vrrp.frames import announcements, read_claim
from vrrp.kernelmover import KernelMover

VIP, SECOND, VIP6 = "192.0.2.100", "192.0.2.101", "2001:db8::64"


@attrs.define
class Case:
    """A mover that runs, and what it has told."""

    mover: KernelMover
    reported: list[AddressesLost | MoveFailed] = attrs.field(factory=list)
    claims: list[tuple[str, str]] = attrs.field(factory=list)
    new: trio.Event = attrs.field(factory=trio.Event)

    def report(self, event: AddressesLost | MoveFailed) -> None:
        self.reported.append(event)
        self.new.set()

    async def until(self, event: AddressesLost | MoveFailed) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while self.reported[-1:] != [event]:
                self.new = trio.Event()
                await self.new.wait()


def during(host: Namespace, addresses: tuple[str, ...], script: Callable[[Case], Awaitable[None]]) -> None:
    """Run a mover and a script beside it, in a thread of the host."""

    async def main() -> None:
        claims: list[tuple[str, str]] = []
        mover = KernelMover(
            [VirtualAddress.of(each, "eth0") for each in addresses],
            claimed=lambda address, hardware: claims.append((address, hardware)),
            clock=time.monotonic,
        )
        case = Case(mover, claims=claims)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover.run, case.report)
            await trio.testing.wait_all_tasks_blocked()
            await script(case)
            nursery.cancel_scope.cancel()
        await mover.settle()
        mover.close()

    host.inside(lambda: trio.run(main))


def no_more(*_: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def there(host: Namespace) -> dict[str, dict[str, Any]]:
    """The addresses of eth0, with what the kernel says of each."""
    (shown,) = json.loads(host.run("ip", "-json", "address", "show", "dev", "eth0"))
    return {each["local"]: each for each in shown["addr_info"]}


def test_addresses_are_set_prolonged_and_removed(pair: Pair) -> None:
    async def script(case: Case) -> None:
        for lease in (4.0, 30.0):
            case.mover.add(lease)
            known = there(pair.a)
            assert {VIP, VIP6} <= set(known)
            # The kernel is late by up to a quarter of a second, and counts in whole ones.
            assert lease - 2 <= known[VIP]["valid_life_time"] <= lease - 1
        for _ in range(2):
            case.mover.remove()
            assert not {VIP, VIP6} & set(there(pair.a))
        await trio.lowlevel.checkpoint()
        assert case.reported == []

    during(pair.a, (f"{VIP}/24", f"{VIP6}/64"), script)


def test_an_address_that_somebody_takes_away_is_reported_at_once(pair: Pair) -> None:
    async def script(case: Case) -> None:
        case.mover.add(30.0)
        pair.a.ip("address", "delete", f"{VIP}/24", "dev", "eth0")
        began = trio.current_time()
        await case.until(AddressesLost(by_lease=False))
        assert trio.current_time() - began < kernelmover.AUDIT_S
        # Reported once; set again it is there.
        case.mover.add(30.0)
        assert VIP in there(pair.a)
        assert len(case.reported) == 1

    during(pair.a, (f"{VIP}/24",), script)


def test_what_was_taken_away_before_it_is_prolonged_is_reported_in_place_of_prolonging(pair: Pair) -> None:
    async def script(case: Case) -> None:
        case.mover.add(30.0)
        pair.a.ip("address", "delete", f"{VIP}/24", "dev", "eth0")
        case.mover.add(30.0)
        assert case.reported == [AddressesLost(by_lease=False)]
        assert VIP not in there(pair.a)
        await trio.lowlevel.checkpoint()

    during(pair.a, (f"{VIP}/24",), script)


def test_an_address_that_its_lease_took_is_reported_as_that(pair: Pair) -> None:
    async def script(case: Case) -> None:
        case.mover.add(1.0)
        await case.until(AddressesLost(by_lease=True))
        assert VIP not in there(pair.a)

    during(pair.a, (f"{VIP}/24",), script)


def test_an_interface_that_is_deleted_and_made_again_is_used_again(pair: Pair) -> None:
    async def script(case: Case) -> None:
        case.mover.add(30.0)
        case.mover.announce()
        pair.a.ip("link", "delete", "eth0")
        with structlog.testing.capture_logs() as logged:
            case.mover.announce()
        assert [(line["event"], line["reason"]) for line in logged] == [
            ("an address cannot be announced", "No such device")
        ]
        await case.until(AddressesLost(by_lease=False))
        case.mover.add(30.0)
        assert case.reported[-1] == MoveFailed(f"{VIP}/24 on eth0: No such device")
        case.mover.remove()
        pair.a.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pair.b.name)
        pair.b.bring_up("eth0", f"{B}/24")
        pair.a.bring_up("eth0", f"{A}/24")
        heard = pair.b.inside(lambda: link.FrameSocket("eth0"))
        case.mover.add(30.0)
        case.mover.announce()
        with trio.fail_after(PATIENCE_SECONDS):
            await heard.wait()
        claims = {claim.address for frame in heard.receive() if (claim := read_claim(frame)) is not None}
        assert claims == {VIP}
        heard.close()

    during(pair.a, (f"{VIP}/24",), script)


def test_an_interface_without_ethernet_has_an_address_and_no_announcement(pair: Pair) -> None:
    async def main() -> None:
        mover = KernelMover([VirtualAddress.of("198.51.100.1/32", "lo")], claimed=lambda *_: None, clock=time.monotonic)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover.run, lambda _: None)
            await trio.testing.wait_all_tasks_blocked()
            mover.add(30.0)
            with structlog.testing.capture_logs() as logged:
                mover.announce()
            assert [line["event"] for line in logged] in (["an address cannot be announced"], [])
            assert "198.51.100.1" in pair.a.run("ip", "address", "show", "dev", "lo")
            nursery.cancel_scope.cancel()
        mover.close()

    pair.a.inside(lambda: trio.run(main))


def test_whoever_says_that_an_address_is_its_own_is_told_of(pair: Pair) -> None:
    theirs = pair.b.inside(lambda: link.facts_of("eth0")).hardware
    speaking = pair.b.inside(lambda: link.FrameSocket("eth0"))

    async def script(case: Case) -> None:
        case.mover.add(30.0)
        for address in ("192.0.2.77", VIP):
            for frame in announcements(address, theirs):
                speaking.send(frame)
        with trio.fail_after(PATIENCE_SECONDS):
            while not case.claims:  # noqa: ASYNC110 - a thread of its own has no event for it
                await trio.sleep(0.01)
        assert set(case.claims) == {(VIP, theirs.hex(":"))}

    during(pair.a, (f"{VIP}/24",), script)
    speaking._socket.close()


@pytest.mark.parametrize("text", [f"{VIP}/24", f"{VIP6}/64"])
def test_the_network_is_asked_who_else_has_the_address(pair: Pair, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """And the other owner's kernel answers: two nodes that do not hear each other's adverts learn of each other."""
    monkeypatch.setattr(kernelmover, "PROBE_S", 0.05)
    pair.b.bring_up("eth0", text)
    theirs = pair.b.inside(lambda: link.facts_of("eth0")).hardware

    async def script(case: Case) -> None:
        await trio.sleep(0.2)
        assert case.claims == []
        case.mover.add(30.0)
        with trio.fail_after(PATIENCE_SECONDS):
            while not case.claims:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert case.claims[0] == (text.partition("/")[0], theirs.hex(":"))

    during(pair.a, (text,), script)


def test_other_addresses_move_while_those_that_stay_are_not_touched(pair: Pair) -> None:
    async def script(case: Case) -> None:
        case.mover.change([VirtualAddress.of(f"{VIP}/24", "eth0")])
        assert VIP not in there(pair.a)
        case.mover.add(30.0)
        before = there(pair.a)[VIP]
        case.mover.change([VirtualAddress.of(each, "eth0") for each in (f"{VIP}/24", f"{SECOND}/24")])
        await trio.testing.wait_all_tasks_blocked()
        assert {VIP, SECOND} <= set(there(pair.a))
        case.mover.change([VirtualAddress.of(f"{SECOND}/24", "eth0")])
        await trio.testing.wait_all_tasks_blocked()
        known = there(pair.a)
        assert VIP not in known
        assert known[SECOND]["valid_life_time"] <= before["valid_life_time"]
        case.mover.add(30.0)
        assert case.reported == []

    during(pair.a, (f"{VIP}/24",), script)


def test_what_could_not_be_set_is_not_announced(pair: Pair) -> None:
    """Whoever heard of it would send to a node that has no such address."""
    pair.a.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")

    async def script(case: Case) -> None:
        heard = pair.b.inside(lambda: link.FrameSocket("eth0"))
        case.mover.add(30.0)
        assert isinstance(case.reported[-1], MoveFailed)
        case.mover.announce()
        case.mover.remove()
        case.mover.change([VirtualAddress.of(f"{SECOND}/24", "eth0")])
        await trio.testing.wait_all_tasks_blocked()
        case.mover.add(30.0)
        case.mover.announce()
        with trio.fail_after(PATIENCE_SECONDS):
            await heard.wait()
        claims = {claim.address for frame in heard.receive() if (claim := read_claim(frame)) is not None}
        assert claims == {SECOND}
        heard.close()

    during(pair.a, (f"{VIP}/24", f"{VIP6}/64"), script)


def test_an_address_that_somebody_else_sets_on_a_node_that_does_not_own_it_goes(pair: Pair) -> None:
    """The other node has it: two would answer, and this one's has no lease that ends it."""

    async def script(case: Case) -> None:
        with structlog.testing.capture_logs() as logged:
            for text, *label in ((f"{VIP}/24",), (f"{VIP}/32", "label", "eth0:1"), (f"{VIP6}/128",)):
                pair.a.ip("address", "add", text, "dev", "eth0", *label)
                address = text.partition("/")[0]
                with trio.fail_after(PATIENCE_SECONDS):
                    while address in there(pair.a):  # noqa: ASYNC110 - the kernel of a namespace has no event for it
                        await trio.sleep(0.01)
        assert [line["address"] for line in logged] == [f"{VIP}/24 on eth0"] * 2 + [f"{VIP6}/64 on eth0"]
        assert case.reported == []
        # What it owns itself stays.
        case.mover.add(30.0)
        await trio.sleep(kernelmover.AUDIT_S * 1.5)
        assert {VIP, VIP6} <= set(there(pair.a))

    during(pair.a, (f"{VIP}/24", f"{VIP6}/64"), script)


def test_an_address_that_stays_is_left_to_its_lease_and_said(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(case: Case) -> None:
        def refuse(addresses: Sequence[VirtualAddress]) -> list[link.Denied]:
            return [link.Denied(each, "Operation not permitted") for each in addresses]

        case.mover.add(30.0)
        for broken in (refuse, no_more):
            monkeypatch.setattr(case.mover._kernel, "remove", broken)
            with structlog.testing.capture_logs() as logged:
                case.mover.remove()
            assert [line["event"] for line in logged] == ["an address cannot be removed, its lease will end it"]
        await trio.lowlevel.checkpoint()

    during(pair.a, (f"{VIP}/24",), script)


MANY = [f"198.51.100.{number}" for number in range(1, 201)]


def test_many_addresses_are_announced_in_slices_between_which_others_get_their_turn(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One interface is looked at once for each slice, and the first one goes out before `announce` returns."""
    sent: list[str] = []

    async def script(case: Case) -> None:
        looks: list[str] = []
        ask = case.mover._kernel.link

        def counted(interface: str) -> Any:
            looks.append(interface)
            return ask(interface)

        def note(_: link.FrameSocket, frame: bytes) -> None:
            claim = read_claim(frame)
            assert claim is not None
            sent.append(claim.address)

        monkeypatch.setattr(link.FrameSocket, "send", note)
        case.mover.add(30.0)
        monkeypatch.setattr(case.mover._kernel, "link", counted)
        case.mover.announce()
        assert list(dict.fromkeys(sent)) == MANY[: kernelmover.SLICE]
        assert len(looks) == 1
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        assert len(sent) < 2 * len(MANY)
        await trio.testing.wait_all_tasks_blocked()
        assert sent == [each for each in MANY for _ in range(2)]
        # What is not here any more is not announced.
        case.mover.announce()
        case.mover.remove()
        sent.clear()
        await trio.testing.wait_all_tasks_blocked()
        assert sent == []

    during(pair.a, tuple(f"{each}/24" for each in MANY), script)


def test_the_network_is_asked_for_many_in_slices(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelmover, "PROBE_S", 0.05)

    async def script(case: Case) -> None:
        sent: list[bytes] = []
        monkeypatch.setattr(link.FrameSocket, "send", lambda _, frame: sent.append(frame))
        case.mover.add(30.0)
        with trio.fail_after(PATIENCE_SECONDS):
            while len(sent) < len(MANY):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert len({frame[38:42] for frame in sent[: len(MANY)]}) == len(MANY)

    during(pair.a, tuple(f"{each}/24" for each in MANY), script)


def test_a_node_without_files_keeps_its_addresses(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked at is taken to be as it was, and that is said once."""

    async def script(case: Case) -> None:
        case.mover.add(30.0)
        with structlog.testing.capture_logs() as logged, monkeypatch.context() as meanwhile:
            meanwhile.setattr(link, "LinkEvents", no_more)
            meanwhile.setattr(link, "_open_netlink", no_more)
            case.mover.change([VirtualAddress.of(each, "eth0") for each in (f"{VIP}/24", f"{SECOND}/24")])
            await trio.testing.wait_all_tasks_blocked()
            meanwhile.setattr(case.mover._kernel, "here", no_more)
            case.mover.add(30.0)
            await trio.sleep(2.5 * kernelmover.AUDIT_S)
            assert case.reported == []
            assert {VIP, SECOND} <= set(there(pair.a))
            case.mover.remove()
            await trio.sleep(1.5 * kernelmover.AUDIT_S)
        assert [line["event"] for line in logged] == ["the addresses of this node cannot be looked at"]
        # It looks again as soon as it can.
        pair.a.ip("address", "add", f"{VIP}/24", "dev", "eth0")
        with trio.fail_after(PATIENCE_SECONDS):
            while VIP in there(pair.a):  # noqa: ASYNC110
                await trio.sleep(0.05)

    during(pair.a, (f"{VIP}/24",), script)


def test_a_kernel_that_cannot_be_asked_is_a_failure_that_is_reported(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(case: Case) -> None:
        monkeypatch.setattr(link, "_open_netlink", no_more)
        case.mover._kernel._socket.close()
        case.mover.add(30.0)
        await trio.lowlevel.checkpoint()
        assert case.reported == [MoveFailed("the kernel cannot be asked: Too many open files")]

    during(pair.a, (f"{VIP}/24",), script)
