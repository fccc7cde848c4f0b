"""UDP without a network: sockets that hand datagrams to each other in memory, in order, and lose what a test wants."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from typing import Any, Self

import attrs
import trio

from sip.uri import Address


@attrs.define
class Sent:
    """A datagram on the wire; `at` is the clock when it was sent."""

    payload: bytes
    source: Address
    target: Address
    at: float

    @property
    def start(self) -> str:
        """The first line, shortened: method or status."""
        line = self.payload.partition(b"\r\n")[0].decode()
        return line.split()[1] if line.startswith("SIP/2.0") else line.split()[0]


class Wire(trio.abc.SocketFactory):
    """Every socket that trio opens while this is the socket factory is on this wire.  `lose` says what gets lost."""

    def __init__(self) -> None:
        self.sockets: dict[Address, WireSocket] = {}
        self.sent: list[Sent] = []
        self.lose: Callable[[Sent], bool] = lambda _sent: False

    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> WireSocket:  # noqa: A002
        return WireSocket(self)

    def starts(self, source: Address | None = None) -> list[str]:
        """What has been sent, by everybody or by one."""
        return [sent.start for sent in self.sent if source in (None, sent.source)]


class WireSocket(trio.socket.SocketType):
    """As much of a UDP socket as the demo uses."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._address: Address = ("", 0)
        self._put, self._take = trio.open_memory_channel[tuple[bytes, Address]](math.inf)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def bind(self, address: Any) -> None:
        await trio.lowlevel.checkpoint()
        host, port = address
        port = port or 40000 + len(self._wire.sockets)
        if (host, port) in self._wire.sockets:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self._address = (host, port)
        self._wire.sockets[self._address] = self

    def getsockname(self) -> Any:
        return self._address

    async def sendto(self, *arguments: Any) -> int:
        payload, target = arguments
        await trio.lowlevel.checkpoint()
        sent = Sent(bytes(payload), self._address, target, trio.current_time())
        self._wire.sent.append(sent)
        there = self._wire.sockets.get(target)
        if there is not None and not self._wire.lose(sent):
            there._put.send_nowait((sent.payload, self._address))
        return len(payload)

    async def recvfrom(self, *_: Any) -> Any:
        return await self._take.receive()

    def close(self) -> None:
        self._wire.sockets.pop(self._address, None)
