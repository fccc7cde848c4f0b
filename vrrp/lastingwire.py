"""How does the agent keep its way to the peers while interfaces and addresses come and go?

At boot the interface may not be there yet, or have no address; later it may be deleted and made again, under the same
name and another index.  The sockets are opened again whenever what they were opened for is not there any more.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterable

import attrs
import structlog
import trio

from vrrp import link
from vrrp.datagram import Datagram
from vrrp.packet import GROUP_IPV4, GROUP_IPV6

AUDIT_S = 1.0
"""How often the interface is looked at even if the kernel has told nothing."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Said = Callable[[bool, str], None]
"""Whether adverts can be exchanged, and what is known about it, for people."""
Moved = Callable[[str], None]
"""The address that adverts leave from has changed."""


@attrs.frozen(kw_only=True)
class Way:
    """Where adverts go.

    `source` None: the interface's first address of the family that is not `virtual`; of IPv6, the link-local one.
    """

    interface: str
    is_ipv6: bool = False
    source: str | None = None
    virtual: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    multicast: bool = True

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where each advert goes."""
        group = GROUP_IPV6 if self.is_ipv6 else GROUP_IPV4
        return (*((group,) if self.multicast else ()), *self.peers)


class LastingWire:
    """A `vrrp.service.Wire` that is opened by `run`, and again when it must be."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._socket: link.AdvertSocket | None = None
        self._opened_for: tuple[int, str, Way] | None = None
        self._source = way.source or ("::" if way.is_ipv6 else "0.0.0.0")  # noqa: S104 - not known yet
        self._opened = trio.Event()
        self._told_source: str | None = None
        self._again = trio.Event()
        self._seen: tuple[bool, str] | None = None
        self._is_blind = False

    @property
    def source(self) -> str:
        """Where adverts leave from, or did last; unspecified until it is known."""
        return self._source

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where each advert goes."""
        return self._way.destinations

    def send(self, message: bytes, destination: str) -> None:
        """Raises OSError when it cannot be sent."""
        if self._socket is None:
            raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))
        self._socket.send(message, destination)

    def receive(self) -> Iterable[Datagram]:
        """What has come since the last time, without waiting."""
        return () if self._socket is None else self._socket.receive()

    async def wait(self) -> None:
        """Return when something has come, or may have."""
        while self._socket is None:
            await self._opened.wait()
        try:
            await self._socket.wait()
        except trio.ClosedResourceError:
            await trio.lowlevel.checkpoint()

    def change(self, way: Way) -> None:
        """Go another way from now on; if the socket is not for it, `run` opens another one, and it serves till then."""
        if way != self._way:
            self._way = way
            self._again.set()

    async def run(self, said: Said, moved: Moved) -> None:
        """Keep it open, and tell how it is after every look."""
        events = link.LinkEvents()
        try:
            while True:
                self._again = trio.Event()
                well, detail = self._look()
                if self._socket is not None and self._source != self._told_source:
                    self._told_source = self._source
                    moved(self._source)
                said(well, detail)
                with trio.move_on_after(AUDIT_S):
                    await _first_of(events.wait, self._again.wait)
        finally:
            events.close()

    def _look(self) -> tuple[bool, str]:
        """Open, close or leave the socket, by what the interface is now; by what it was, while that cannot be seen."""
        way = self._way
        try:
            facts = link.facts_of(way.interface)
        except OSError as error:
            reason = error.strerror or str(error)
            if not self._is_blind:
                log.warning("the interface cannot be looked at", interface=way.interface, reason=reason)
            self._is_blind = True
            return self._seen or (False, f"it cannot be looked at: {reason.lower()}")
        self._is_blind = False
        self._seen = self._follow(facts)
        return self._seen

    def _follow(self, facts: link.InterfaceFacts) -> tuple[bool, str]:
        way = self._way
        if not facts.exists:
            self.close()
            return False, facts.detail
        source = way.source or facts.primary(is_ipv6=way.is_ipv6, virtual=way.virtual)
        if source is None or source not in facts.addresses:
            self.close()
            family = "IPv6" if way.is_ipv6 else "IPv4"
            return False, f"it has no address {source}" if source else f"it has no {family} address of its own"
        try:
            self._open(source, facts.index)
        except OSError as error:
            self.close()
            return False, f"adverts cannot leave from {source}: {(error.strerror or str(error)).lower()}"
        return facts.running, facts.detail

    def _open(self, source: str, index: int) -> None:
        way = self._way
        # Which addresses move says no more than where adverts leave from.
        wanted = (index, source, attrs.evolve(way, source=source, virtual=()))
        if self._socket is not None and wanted == self._opened_for:
            return
        self.close()
        link.require_usable(source, index)
        self._socket = link.AdvertSocket(way.interface, source, peers=way.peers, multicast=way.multicast)
        self._opened_for, self._source = wanted, source
        self._opened.set()

    def close(self) -> None:
        """Close the socket; `run` opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._opened = trio.Event()


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return when one of them does."""
    async with trio.open_nursery() as nursery:

        async def wait(each: Callable[[], Awaitable[None]]) -> None:
            await each()
            nursery.cancel_scope.cancel()

        for each in waits:
            nursery.start_soon(wait, each)
