"""How are the addresses of a virtual router set on this node's own interfaces?

With a lease: the kernel drops what it is not told to keep (`vrrp.parameters.Parameters.lease`), so that an agent that
was killed, hangs or is frozen loses the address by itself.
"""

from __future__ import annotations

import contextlib
import errno
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs
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
SLICE = 32
"""Addresses told of, or asked for, before adverts and timers get their turn."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Claimed = Callable[[str, str], None]
"""An address of ours and the hardware address of whoever says that it is its own."""


@attrs.frozen
class _Port:
    """A way to the neighbours of one family on one interface, and whose name its frames carry."""

    frames: link.FrameSocket
    hardware: bytes


class KernelMover:
    """Sets and removes addresses by netlink, and announces them by ARP and neighbour advertisements.

    `clock` is the agent's.
    """

    def __init__(self, addresses: Sequence[VirtualAddress], *, claimed: Claimed, clock: Callable[[], float]) -> None:
        self._addresses = tuple(addresses)
        self._claimed = claimed
        self._clock = clock
        self._kernel = link.Addresses()
        self._ports: dict[tuple[str, bool], _Port] = {}
        self._is_blind = False
        self._untold: deque[VirtualAddress] = deque()
        self._announced = trio.Event()
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
        failure = self._set(told)
        if failure is not None:
            self._leased_until = None
            self._report(MoveFailed(failure))
            return
        self._leased_until = now + told

    def _set(self, lease: float) -> str | None:
        """Why they cannot be set, if they cannot."""
        try:
            denied = self._kernel.set(self._addresses, lease)
        except OSError as error:
            return f"the kernel cannot be asked: {_reason(error)}"
        return f"{denied[0].address}: {denied[0].reason}" if denied else None

    def remove(self) -> None:
        """Remove the addresses."""
        self._leased_until = None
        self._untold.clear()
        self._remove(self._addresses)

    def _remove(self, addresses: Sequence[VirtualAddress]) -> None:
        try:
            denied = self._kernel.remove(addresses)
        except OSError as error:
            denied = [link.Denied(each, _reason(error)) for each in addresses]
        for each in denied:
            log.warning(
                "an address cannot be removed, its lease will end it", address=str(each.address), reason=each.reason
            )

    def announce(self) -> None:
        """Gratuitous ARP in both forms, unsolicited neighbour advertisements; none of what could not be set here.

        The first ones at once, the others between what else there is to do.
        """
        if self._leased_until is None:
            return
        self._untold = deque(self._addresses)
        self._announce_some()
        self._announced.set()

    def _announce_some(self) -> None:
        some = [self._untold.popleft() for _ in range(min(SLICE, len(self._untold)))]
        self._send(some, announcements)

    async def _announce_rest(self) -> None:
        while True:
            while self._untold and self._leased_until is not None:
                self._announce_some()
                await trio.lowlevel.checkpoint()
            self._announced = trio.Event()
            await self._announced.wait()

    def _send(self, addresses: Iterable[VirtualAddress], compose: Callable[[str, bytes], Sequence[bytes]]) -> None:
        """Send what is composed for each address and the hardware address of its interface."""
        unsent: dict[tuple[str, bool], OSError] = {}
        ports: dict[tuple[str, bool], _Port] = {}
        for address in addresses:
            at = (address.interface, address.is_ipv6)
            if at in unsent:
                continue
            try:
                port = ports[at] = ports.get(at) or self._port_at(*at)
                for frame in compose(address.address, port.hardware):
                    port.frames.send(frame)
            except OSError as error:
                unsent[at] = error
                log.warning("an address cannot be announced", address=str(address), reason=_reason(error))

    def _port_at(self, interface: str, is_ipv6: bool) -> _Port:  # noqa: FBT001 - a key of the ports
        """A new one when the interface was deleted and made again, or has another hardware address."""
        known = self._ports.get((interface, is_ipv6))
        try:
            there = self._kernel.link(interface)
        except OSError as error:
            if known is not None and error.errno == errno.ENODEV:
                self._forget(interface, is_ipv6)
            raise
        if known is not None:
            if (there.hardware, there.index) == (known.hardware, known.frames.index):
                return known
            self._forget(interface, is_ipv6)
        if len(there.hardware) != 6:
            raise OSError(errno.EOPNOTSUPP, "the interface has no Ethernet address")
        opened = _Port(link.FrameSocket(interface, is_ipv6=is_ipv6), there.hardware)
        self._ports[interface, is_ipv6] = opened
        return opened

    def _forget(self, interface: str, is_ipv6: bool) -> None:  # noqa: FBT001
        self._ports.pop((interface, is_ipv6)).frames.close()

    def _is_complete(self) -> bool:
        """Whether all addresses are where they were set, as far as is known."""
        here = self._here()
        return here is None or len(here) == len(self._addresses)

    def _here(self) -> list[VirtualAddress] | None:
        """Those of the addresses that are on their interfaces; None when that cannot be seen, which is said once."""
        try:
            here = self._kernel.here(self._addresses)
        except OSError as error:
            if not self._is_blind:
                log.warning("the addresses of this node cannot be looked at", reason=_reason(error))
            self._is_blind = True
            return None
        self._is_blind = False
        return here

    def change(self, addresses: Sequence[VirtualAddress]) -> None:
        """Other addresses move from now on; if they are here, those that stay are not touched."""
        before, self._addresses = self._addresses, tuple(addresses)
        if self._leased_until is not None:
            self._remove([each for each in before if each not in self._addresses])
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
                nursery.start_soon(self._announce_rest)
                nursery.start_soon(self._probe)
                for at in {(each.interface, each.is_ipv6) for each in self._addresses}:
                    nursery.start_soon(self._listen, *at)
                await self._changed.wait()
                nursery.cancel_scope.cancel()

    async def _audit(self) -> None:
        events: link.LinkEvents | None = None
        try:
            while True:
                with contextlib.suppress(OSError):  # without them the addresses are looked at all the same
                    events = events or link.LinkEvents()
                with trio.move_on_after(AUDIT_S):
                    await (events.wait if events is not None else trio.sleep_forever)()
                self._look_after()
        finally:
            if events is not None:
                events.close()

    def _look_after(self) -> None:
        if self._leased_until is None:
            self._sweep()
        elif not self._is_complete():
            lost = AddressesLost(by_lease=self._clock() >= self._leased_until)
            self._leased_until = None
            self._report(lost)

    def _sweep(self) -> None:
        """Remove what somebody else has set here while it is not wanted here: this node would be a second owner."""
        now = self._clock()
        strays = self._here() if now >= self._sweep_at else None
        if strays:
            # Whoever sets it again at once is not answered without end.
            self._sweep_at = now + AUDIT_S
            for each in strays:
                log.warning("somebody has set an address here that this node does not own: removed", address=str(each))
            self._remove(strays)

    async def _probe(self) -> None:
        while True:
            await trio.sleep(PROBE_S)
            for start in range(0, len(self._addresses), SLICE):
                if self._leased_until is not None:
                    self._send(self._addresses[start : start + SLICE], _questions)
                await trio.lowlevel.checkpoint()

    async def _listen(self, interface: str, is_ipv6: bool) -> None:  # noqa: FBT001 - a key of the ports
        """Read who has which address on an interface, for as long as there is one."""
        while True:
            try:
                port = self._port_at(interface, is_ipv6)
            except OSError:
                await trio.sleep(AUDIT_S)
                continue
            with trio.move_on_after(AUDIT_S):
                try:
                    await port.frames.wait()
                except trio.ClosedResourceError:
                    await trio.lowlevel.checkpoint()
                    continue
                self._hear(interface, port)

    def _hear(self, interface: str, port: _Port) -> None:
        own = {each.address for each in self._addresses if each.interface == interface}
        for frame in port.frames.receive():
            claim = read_claim(frame)
            if claim is not None and claim.address in own and claim.hardware != port.hardware:
                self._claimed(claim.address, claim.hardware.hex(":"))

    async def settle(self) -> None:
        """Nothing is under way: each verb has done its work when it returns."""

    def close(self) -> None:
        """Let the sockets go."""
        for port in self._ports.values():
            port.frames.close()
        self._kernel.close()


def _questions(address: str, hardware: bytes) -> tuple[bytes, ...]:
    return (probe(address, hardware),)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _told(lease: float) -> float:
    """What the kernel is told, so that the address is gone when the lease is over.

    It counts whole seconds, and looks up to a quarter of a second late (ADDRCONF_TIMER_FUZZ).
    """
    return max(1.0, math.ceil(lease) - 1.0)


def _to_nobody(event: AddressesLost | MoveFailed) -> None:
    """Nobody listens yet."""
