"""Which of many numbered requests, and of their answers, arrive?"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Self

from sip.uri import Address, host_port
from tests.peers.program import wait_until

BUFFER_BYTES = 4 * 1024 * 1024
POLL_SECONDS = 0.05
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; past the system's limit, for root
_COPIED = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:", b"contact:", b"record-route:")


def udp(host: str, port: int = 0) -> socket.socket:
    """A bound, non-blocking UDP socket with room for some thousand datagrams where the system allows it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    make_roomy(sock)
    sock.bind((host, port))
    return sock


def make_roomy(sock: socket.socket) -> None:
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


def uri_of(sock: socket.socket, user: str = "bob") -> str:
    """A URI that means the socket itself."""
    return f"sip:{user}@{host_port(address_of(sock))}"


def line_of(sock: socket.socket, attributes: str = "weight=50") -> str:
    """The socket as a line of a dispatcher list."""
    return f"1 sip:{host_port(address_of(sock))} 0 0 {attributes}\n"


def request(number: int, source: Address, uri: str, *, method: str = "MESSAGE") -> bytes:
    """A request outside a dialog; its Call-ID begins with its number."""
    own = host_port(source)
    contact = f"Contact: <sip:test@{own}>\r\n" if method == "INVITE" else ""
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{method}-{number}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:test@{own}>;tag=t{number}\r\nTo: <{uri}>\r\nCall-ID: {number}@{own}\r\nCSeq: 1 {method}\r\n"
        f"{contact}Content-Length: 0\r\n\r\n"
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
            raw, source = sock.recvfrom(65535)
            found.append((raw, source[:2]))
    return found


class Servers:
    """Answers every request that comes to these sockets with 200 while the block is open.

    `heard` are the requests, each with the place of the socket it came to.  The sockets stay the caller's.
    """

    def __init__(self, *sockets: socket.socket) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self._sockets = sockets
        self._running = True
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    def arrived(self) -> Counter[int]:
        """How often each numbered request has come."""
        return Counter(number_of(raw) for _, raw in self.heard)

    def _run(self) -> None:
        while self._running:
            for sock in select.select(self._sockets, (), (), POLL_SECONDS)[0]:
                for raw, source in read_all(sock):
                    self.heard.append((self._sockets.index(sock), raw))
                    sock.sendto(answer(raw), source)


class Traffic:
    """Requests from a socket to a proxy, `rate` a second while the block is open.

    Request N has the Request-URI `uris[N % len(uris)]`.  `answered` counts the answers by number.
    """

    def __init__(self, client: socket.socket, proxy: Address, uris: Sequence[str], *, rate: float) -> None:
        self.sent = 0
        self.answered: Counter[int] = Counter()
        self._client = client
        self._proxy = proxy
        self._uris = uris
        self._rate = rate
        self._ending = threading.Event()
        self._ended = threading.Event()
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

    def finish(self, servers: Servers, numbers: Collection[int] | None = None) -> int:
        """Send no more, and check that each request (each of `numbers`) came to a server and its answer came back.

        Exactly once each; how many they were.
        """
        self._ending.set()
        assert self._ended.wait(5.0)
        wanted = Counter(range(self.sent) if numbers is None else numbers)
        with contextlib.suppress(AssertionError):
            wait_until(
                lambda: Counter(self.answered) >= wanted, "the last answers", seconds=2.0, failure=AssertionError
            )
        arrived = servers.arrived()
        assert not wanted - arrived, f"lost requests: {sorted(wanted - arrived)[:20]}"
        assert not wanted - self.answered, f"lost answers: {sorted(wanted - self.answered)[:20]}"
        assert all(arrived[number] == self.answered[number] == 1 for number in wanted)
        return len(wanted)

    def _run(self) -> None:
        own = address_of(self._client)
        begun = time.monotonic()
        while self._running:
            due = begun + self.sent / self._rate
            if self._ending.is_set():
                due = math.inf
                self._ended.set()
            pause = max(0.0, min(due - time.monotonic(), POLL_SECONDS))
            if select.select((self._client,), (), (), pause)[0]:
                for raw, _ in read_all(self._client):
                    self.answered[number_of(raw)] += 1
            if time.monotonic() >= due:
                self._client.sendto(request(self.sent, own, self._uris[self.sent % len(self._uris)]), self._proxy)
                self.sent += 1
