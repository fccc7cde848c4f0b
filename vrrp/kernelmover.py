"""How are the addresses of a virtual router set on this node's own interfaces?

With a lease: the kernel drops what it is not told to keep (`vrrp.parameters.Parameters.lease`), so that an agent that
was killed, hangs or is frozen loses the address by itself.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence

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
        self._report: Report = _to_nobody

    def add(self, lease: float) -> None:
        """Set the addresses, or prolong them."""
        now = self._clock()
        if self._leased_until is not None and not self._is_complete():
            lost = AddressesLost(by_lease=now >= self._leased_until)
            self._leased_until = None
            self._report(lost)
            return
        for address in self._addresses:
            try:
                self._kernel.set(address, lease)
            except OSError as error:
                self._leased_until = None
                self._report(MoveFailed(f"{address}: {error.strerror}"))
                return
        self._leased_until = now + math.ceil(lease)

    def remove(self) -> None:
        """Remove the addresses."""
        self._leased_until = None
        for address in self._addresses:
            try:
                self._kernel.remove(address)
            except OSError as error:
                log.warning(
                    "an address cannot be removed, its lease will end it", address=str(address), reason=error.strerror
                )

    def announce(self) -> None:
        """Gratuitous ARP in both forms, unsolicited neighbour advertisements."""
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
        if interface not in self._frames:
            self._hardware[interface] = link.facts_of(interface).hardware
            if len(self._hardware[interface]) != 6:
                raise OSError(errno.EOPNOTSUPP, "the interface has no Ethernet address")
            self._frames[interface] = link.FrameSocket(interface)
        return self._frames[interface]

    def _is_complete(self) -> bool:
        """Whether all addresses are where they were set."""
        there = {name: link.facts_of(name).addresses for name in {each.interface for each in self._addresses}}
        return all(each.address in there[each.interface] for each in self._addresses)

    async def run(self, report: Report) -> None:
        """Look after the addresses, and for others who have them."""
        self._report = report
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._audit)
            nursery.start_soon(self._probe)
            for interface in {each.interface for each in self._addresses if not each.is_ipv6}:
                nursery.start_soon(self._listen, interface)

    async def _audit(self) -> None:
        events = link.LinkEvents()
        try:
            while True:
                with trio.move_on_after(AUDIT_S):
                    await events.wait()
                if self._leased_until is not None and not self._is_complete():
                    lost = AddressesLost(by_lease=self._clock() >= self._leased_until)
                    self._leased_until = None
                    self._report(lost)
        finally:
            events.close()

    async def _probe(self) -> None:
        while True:
            await trio.sleep(PROBE_S)
            if self._leased_until is not None:
                for address in self._addresses:
                    self._send(address, lambda numeric, hardware: (probe(numeric, hardware),))

    async def _listen(self, interface: str) -> None:
        frames = self._frames_on(interface)
        own = {each.address for each in self._addresses if each.interface == interface}
        while True:
            await frames.wait()
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


def _to_nobody(event: AddressesLost | MoveFailed) -> None:
    """Nobody listens yet."""
