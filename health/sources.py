"""From which socket of this node does the probe of a target leave?

One socket for each address family and source, opened when the first probe needs it.  None is ever bound to an address
that is not here (no IP_FREEBIND): such a socket cannot send, and the probes of a standby node must be true before the
virtual address comes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import attrs
import structlog
import trio

from health.errorqueue import IP_RECVERR, IPV6_RECVERR, SOL_IP, SOL_IPV6
from health.target import Target
from sip.uri import Address

RECEIVE_BUFFER_BYTES = 1024 * 1024
"""Asked for: some 500 answers, which is what 5,000 targets say in a pause of 100 ms."""
RETRY_S = 1.0
"""A socket that could not be opened is tried again after this time."""
SAY_AGAIN_S = 60.0
"""How often the log says that probes cannot leave from an address."""
ROUTE_S = 10.0
"""How long the local address that the routing table gives is believed."""

Key = tuple[socket.AddressFamily, Address]
"""Family and the address to bind to, as the target has it."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.define(eq=False)
class OpenSource:
    """A bound, non-blocking UDP socket.  Who reads it ends when `closed` is set or trio.ClosedResourceError comes."""

    sock: socket.socket
    address: Address
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        trio.lowlevel.notify_closing(self.sock)
        self.sock.close()


def _family_of(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def key_of(target: Target) -> Key:
    """Targets with one key share a socket."""
    family = _family_of(target.address)
    anywhere = "::" if family is socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - the kernel chooses for each datagram
    return family, target.source or (anywhere, 0)


class SourceSockets:
    """The sockets that probes leave from; `on_open` is told of each new one, to read it."""

    def __init__(self, on_open: Callable[[OpenSource], None]) -> None:
        self._on_open = on_open
        self._open: dict[Key, OpenSource] = {}
        self._retry_at: dict[Key, float] = {}
        self._say_at: dict[Key, float] = {}
        self._routes: dict[str, tuple[str, float]] = {}

    def address_for(self, target: Target) -> Address | None:
        """The address that a probe of this target leaves from; None, said in the log, when it cannot leave now."""
        try:
            address = self._socket(key_of(target)).address
            return address if target.source is not None else (self._route_to(target.address), address[1])
        except OSError as error:
            self.complain(target, error.strerror or str(error))
            return None

    def socket_for(self, target: Target) -> socket.socket:
        """The socket for this target; raises OSError when there is none."""
        return self._socket(key_of(target)).sock

    def complain(self, target: Target, reason: str) -> None:
        """Say in the log, once a minute for each source, that probes of such targets do not leave this node."""
        key = key_of(target)
        now = trio.current_time()
        if now >= self._say_at.get(key, now):
            self._say_at[key] = now + SAY_AGAIN_S
            log.warning(
                "a probe cannot leave this node; what is known of its target stays as it is",
                source=key[1][0],
                target=target.uri,
                address=target.address[0],
                reason=reason,
                hint="probes need a source address that this node always has, and a route to the target",
            )

    def keep(self, needed: AbstractSet[Key]) -> None:
        """Close the sockets with other keys, and forget what is known of routes."""
        for key in self._open.keys() - needed:
            self._open.pop(key).close()
        for moments in (self._retry_at, self._say_at):
            for key in moments.keys() - needed:
                del moments[key]
        self._routes.clear()

    def _socket(self, key: Key) -> OpenSource:
        found = self._open.get(key)
        if found is not None:
            return found
        now = trio.current_time()
        if now < self._retry_at.get(key, now):
            raise OSError("the socket for it could not be opened a moment ago")
        self._retry_at[key] = now + RETRY_S
        opened = self._open[key] = _open(key)
        del self._retry_at[key]
        self._on_open(opened)
        return opened

    def _route_to(self, address: Address) -> str:
        """The local address that the routing table gives for a target's; raises OSError."""
        now = trio.current_time()
        known = self._routes.get(address[0])
        if known is None or now >= known[1]:
            # A socket that has been connected keeps its address: each question takes a new one.  Nothing is sent.
            with socket.socket(_family_of(address), socket.SOCK_DGRAM) as sock:
                sock.connect(address)
                known = self._routes[address[0]] = sock.getsockname()[0], now + ROUTE_S
        return known[0]


def _open(key: Key) -> OpenSource:
    """Open and bind a socket that reports ICMP errors; raises OSError."""
    family, address = key
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.settimeout(0)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(SOL_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(SOL_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind(address)
        host, port = sock.getsockname()[:2]
    except BaseException:
        sock.close()
        raise
    return OpenSource(sock, (host, port))
