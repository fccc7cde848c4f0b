"""Which of many numbered requests, and of their answers, arrive?"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from sip.uri import Address, host_port
from tests.peers.program import wait_until

BUFFER_BYTES = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; past the system's limit, for root
_COPIED = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:")


def udp(host: str, port: int = 0) -> socket.socket:
    """A bound, non-blocking UDP socket with room for some thousand datagrams where the system allows it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    roomy(sock)
    sock.bind((host, port))
    return sock


def roomy(sock: socket.socket) -> None:
    """Give a socket a large receive buffer and make it non-blocking."""
    sock.settimeout(0)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)


def address_of(sock: socket.socket) -> Address:
    """Where a socket is bound."""
    host, port = sock.getsockname()[:2]
    return host, port


def request(number: int, source: Address, uri: str, *, method: str = "MESSAGE") -> bytes:
    """A request outside a dialog; its Call-ID begins with its number."""
    own = host_port(source)
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{method}-{number}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:test@{own}>;tag=t{number}\r\nTo: <{uri}>\r\nCall-ID: {number}@{own}\r\nCSeq: 1 {method}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def answer(raw: bytes, status: bytes = b"200 OK") -> bytes:
    """What a server answers to a request."""
    lines = [line for line in raw.split(b"\r\n") if line.lower().startswith(_COPIED)]
    return b"\r\n".join((b"SIP/2.0 " + status, *lines, b"Content-Length: 0", b"", b""))


def number_of(raw: bytes) -> int:
    """The number in a message's Call-ID."""
    return int(raw.partition(b"\r\nCall-ID: ")[2].partition(b"@")[0])


def read_all(sock: socket.socket) -> list[tuple[bytes, Address]]:
    """What has arrived at a non-blocking socket, each with its source."""
    found: list[tuple[bytes, Address]] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                raw, source = sock.recvfrom(65535)
            except ConnectionRefusedError:  # an answer to somebody who has gone
                continue
            found.append((raw, source[:2]))
    return found


class Traffic:
    """Requests to a proxy, `rate` a second while the block is open, that `servers` answer with 200.

    The request with number N goes to the Request-URI `uris[N % len(uris)]`.  `arrived` counts the requests at the
    servers by number, `answered` the answers at the client.  The sockets stay the caller's.
    """

    def __init__(
        self,
        client: socket.socket,
        proxy: Address,
        servers: Sequence[socket.socket],
        uris: Sequence[str],
        *,
        rate: float,
    ) -> None:
        self.sent = 0
        self.arrived: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self._client = client
        self._proxy = proxy
        self._servers = servers
        self._uris = uris
        self._rate = rate
        self._sending = True
        self._running = True
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    def after(self, requests: int) -> None:
        """Wait until so many more requests have been sent."""
        wanted = self.sent + requests
        wait_until(lambda: self.sent >= wanted, f"{requests} more requests")

    def finish(self, numbers: Sequence[int] | None = None) -> None:
        """Send no more and check that each request (each of `numbers`) has arrived and was answered, exactly once."""
        self._sending = False
        wanted = Counter(range(self.sent) if numbers is None else numbers)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.answered >= wanted, "the last answers", seconds=2.0, failure=AssertionError)
        assert self.arrived & wanted == wanted, f"lost requests: {sorted(wanted - self.arrived)[:20]}"
        assert self.answered & wanted == wanted, f"lost answers: {sorted(wanted - self.answered)[:20]}"
        assert max(self.arrived.values()) == max(self.answered.values()) == 1

    def _run(self) -> None:
        own = address_of(self._client)
        begun = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for sock in (self._client, *self._servers):
                selector.register(sock, selectors.EVENT_READ)
            while self._running:
                due = begun + self.sent / self._rate
                for key, _ in selector.select(max(0.0, min(due - time.monotonic(), 0.05))):
                    self._read(key.fileobj)
                if self._sending and time.monotonic() >= due:
                    uri = self._uris[self.sent % len(self._uris)]
                    self._client.sendto(request(self.sent, own, uri), self._proxy)
                    self.sent += 1

    def _read(self, sock: object) -> None:
        assert isinstance(sock, socket.socket)
        for raw, source in read_all(sock):
            if sock is self._client:
                self.answered[number_of(raw)] += 1
            else:
                self.arrived[number_of(raw)] += 1
                sock.sendto(answer(raw), source)
