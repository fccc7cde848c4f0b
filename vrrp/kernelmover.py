"""How are the addresses of a virtual router set on this node's own interfaces?

With a lease: the kernel drops what it is not told to keep (`vrrp.parameters.Parameters.lease`), so that an agent that
was killed, hangs or is frozen loses the address by itself.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from vrrp import link
from vrrp.address import VirtualAddress
from vrrp.event import AddressesLost, MoveFailed
from vrrp.frames import announcements, probe, read_claim
from vrrp.mover import Report

AUDIT_S = 1.0
"""How often the addresses are looked for even if the kernel has told nothing."""
PROBE_S = 10.0
"""How often the network is asked who else has an address of ours."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Claimed = Callable[[str, str], None]
"""An address of ours and the hardware address of whoever says that it is its own."""


class KernelMover:
    """Sets and removes addresses by netlink, and announces them by ARP and neighbour advertisements.

    `clock` is the agent's.  Close it in the thread that made it.
    """

    def __init__(self, addresses: Sequence[VirtualAddress], *, claimed: Claimed, clock: Callable[[], float]) -> None:
        self._addresses = tuple(addresses)
        self._claimed = claimed
        self._clock = clock
        self._kernel = link.Addresses()
        self._frames: dict[str, link.FrameSocket] = {}
        self._hardware: dict[str, bytes] = {}
        self._leased_until: float | None = None
        self._sweep_at = -math.inf
        self._report: Report = _to_nobody
        self._changed = trio.Event()

    def add(self, lease: float) -> None:
        """Set the addresses, or prolong them."""
        now, told = self._clock(), _told(lease)
        if self._leased_until is not None and not self._is_complete():
            lost = AddressesLost(by_lease=now >= self._leased_until)
            self._leased_until = None
            self._report(lost)
            return
        for address in self._addresses:
            try:
                self._kernel.set(address, told)
            except OSError as error:
                self._leased_until = None
                self._report(MoveFailed(f"{address}: {error.strerror}"))
                return
        self._leased_until = now + told

    def remove(self) -> None:
        """Remove the addresses."""
        self._leased_until = None
        self._remove(self._addresses)

    def _remove(self, addresses: Iterable[VirtualAddress]) -> None:
        for address in addresses:
            try:
                self._kernel.remove(address)
            except OSError as error:
                log.warning(
                    "an address cannot be removed, its lease will end it", address=str(address), reason=error.strerror
                )

    def announce(self) -> None:
        """Gratuitous ARP in both forms, unsolicited neighbour advertisements; none of what could not be set here."""
        if self._leased_until is None:
            return
        for address in self._addresses:
            self._send(address, announcements)

    def _send(self, address: VirtualAddress, compose: Callable[[str, bytes], Sequence[bytes]]) -> None:
        try:
            frames = self._frames_on(address.interface)
            for frame in compose(address.address, self._hardware[address.interface]):
                frames.send(frame)
        except OSError as error:
            log.warning("an address cannot be announced", address=str(address), reason=error.strerror)

    def _frames_on(self, interface: str) -> link.FrameSocket:
        """The socket of an interface; a new one when it was deleted and made again, or has another hardware address."""
        facts, known = link.facts_of(interface), self._frames.get(interface)
        if known is not None:
            if facts.exists and (facts.hardware, link.index_of(interface)) == (self._hardware[interface], known.index):
                return known
            self._forget(interface)
        if len(facts.hardware) != 6:
            raise OSError(errno.EOPNOTSUPP, "the interface has no Ethernet address" if facts.exists else facts.detail)
        self._frames[interface] = opened = link.FrameSocket(interface)
        self._hardware[interface] = facts.hardware
        return opened

    def _forget(self, interface: str) -> None:
        self._frames.pop(interface).close()

    def _is_complete(self) -> bool:
        """Whether all addresses are where they were set."""
        return len(self._here()) == len(self._addresses)

    def _here(self) -> list[VirtualAddress]:
        there = {name: link.facts_of(name).addresses for name in {each.interface for each in self._addresses}}
        return [each for each in self._addresses if each.address in there[each.interface]]

    def change(self, addresses: Sequence[VirtualAddress]) -> None:
        """Other addresses move from now on; if they are here, those that stay are not touched."""
        before, self._addresses = self._addresses, tuple(addresses)
        if self._leased_until is not None:
            self._remove(each for each in before if each not in self._addresses)
            left = self._leased_until - self._clock()
            self._leased_until = None
            self.add(max(1.0, left))
            self.announce()
        self._changed.set()

    async def run(self, report: Report) -> None:
        """Look after the addresses, and for others who have them."""
        self._report = report
        while True:
            self._changed = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._audit)
                nursery.start_soon(self._probe)
                for interface in {each.interface for each in self._addresses if not each.is_ipv6}:
                    nursery.start_soon(self._listen, interface)
                await self._changed.wait()
                nursery.cancel_scope.cancel()

    async def _audit(self) -> None:
        events = link.LinkEvents()
        try:
            while True:
                with trio.move_on_after(AUDIT_S):
                    await events.wait()
                if self._leased_until is None:
                    self._sweep()
                elif not self._is_complete():
                    lost = AddressesLost(by_lease=self._clock() >= self._leased_until)
                    self._leased_until = None
                    self._report(lost)
        finally:
            events.close()

    def _sweep(self) -> None:
        """Remove what somebody else has set here while it is not wanted here: this node would be a second owner."""
        now = self._clock()
        strays = self._here() if now >= self._sweep_at else []
        if strays:
            # Whoever sets it again at once is not answered without end.
            self._sweep_at = now + AUDIT_S
            for each in strays:
                log.warning("somebody has set an address here that this node does not own: removed", address=str(each))
            self._remove(strays)

    async def _probe(self) -> None:
        while True:
            await trio.sleep(PROBE_S)
            if self._leased_until is not None:
                for address in self._addresses:
                    self._send(address, lambda numeric, hardware: (probe(numeric, hardware),))

    async def _listen(self, interface: str) -> None:
        """Read the ARP of an interface, for as long as there is one."""
        while True:
            try:
                frames = self._frames_on(interface)
            except OSError:
                await trio.sleep(AUDIT_S)
                continue
            with trio.move_on_after(AUDIT_S):
                try:
                    await frames.wait()
                except trio.ClosedResourceError:
                    await trio.lowlevel.checkpoint()
                    continue
                self._hear(interface, frames)

    def _hear(self, interface: str, frames: link.FrameSocket) -> None:
        own = {each.address for each in self._addresses if each.interface == interface}
        for frame in frames.receive():
            claim = read_claim(frame)
            if claim is not None and claim.address in own and claim.hardware != self._hardware[interface]:
                self._claimed(claim.address, claim.hardware.hex(":"))

    async def settle(self) -> None:
        """Nothing is under way: each verb has done its work when it returns."""

    def close(self) -> None:
        """Let the sockets go."""
        for frames in self._frames.values():
            frames.close()
        self._kernel.close()


def _told(lease: float) -> float:
    """What the kernel is told, so that the address is gone when the lease is over.

    It counts whole seconds, and looks up to a quarter of a second late (ADDRCONF_TIMER_FUZZ).
    """
    return max(1.0, math.ceil(lease) - 1.0)


def _to_nobody(event: AddressesLost | MoveFailed) -> None:
    """Nobody listens yet."""
