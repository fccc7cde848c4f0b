"""A small SIP server that says what a test wants, over UDP and TCP on one port, in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self

from sip.message import Message
from sip.reply import compose_reply
from sip.uri import Address, host_port
from tests.peers.ports import free_port

HANG_UP = b""
"""Among the answers: the connection is closed there."""

Script = Callable[[bytes, int], Sequence[bytes]]
"""What is sent for a request, the first being number 1."""

CHALLENGE = b'WWW-Authenticate: Digest realm="pbx", nonce="n1", qop="auth", algorithm='


def reply(request: bytes, status: int = 200, reason: str = "OK", *fields: bytes) -> bytes:
    """A reply as a server writes it."""
    message = Message.parse(request)
    via = b"Via:" + message.first[b"via"]
    return compose_reply(message, status, reason, via_line=via, to_tag=b"theirs", fields=(*fields, b"Server: small"))


def says(status: int = 200, reason: str = "OK", *fields: bytes) -> Script:
    """A server that has one answer to everything."""
    return lambda request, _number: [reply(request, status, reason, *fields)]


def silent(_request: bytes, _number: int) -> Sequence[bytes]:
    """A server that takes what comes and says nothing."""
    return []


def only_100(request: bytes, _number: int) -> Sequence[bytes]:
    """A server that begins and never ends."""
    return [reply(request, 100, "Trying")]


def another_call_id(request: bytes, _number: int) -> Sequence[bytes]:
    """A server that answers somebody else."""
    return [reply(request).replace(b"\r\nCall-ID: ", b"\r\nCall-ID: x")]


def half_an_answer(request: bytes, _number: int) -> Sequence[bytes]:
    """A server that hangs up in the middle of its answer."""
    return [reply(request)[:60], HANG_UP]


def asks_for_a_password(algorithm: bytes = b"MD5") -> Script:
    """A server that serves whoever has answered its challenge; what the answer is worth, it does not check."""

    def answer(request: bytes, _number: int) -> Sequence[bytes]:
        if b"\r\nAuthorization: Digest " in request:
            return [reply(request)]
        return [reply(request, 401, "Unauthorized", CHALLENGE + algorithm)]

    return answer


def answers_every(turn: int) -> Script:
    """A server that hears only every so manieth request."""
    return lambda request, number: [] if number % turn else [reply(request)]


class Answerer:
    """The server while the block is open; `heard` has the requests."""

    def __init__(self, script: Script, host: str = "127.0.0.1", *, port: int = 0) -> None:
        self.address: Address = (host, port or free_port(host))
        self.heard: list[bytes] = []
        self._script = script
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind(self.address)
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(self.address)
        self._tcp.listen()
        self._threads = [threading.Thread(target=serve, daemon=True) for serve in (self._serve_udp, self._serve_tcp)]
        self._connections: list[socket.socket] = []

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return host_port(self.address)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked call ends when its socket is shut down, not when it is closed.
        for sock in (self._udp, self._tcp, *self._connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        for sock in (self._udp, self._tcp, *self._connections):
            sock.close()

    def _answers(self, request: bytes) -> Sequence[bytes]:
        self.heard.append(request)
        return self._script(request, len(self.heard))

    def _serve_udp(self) -> None:
        while True:
            request, source = self._udp.recvfrom(65535)
            if not request:
                return
            for answer in self._answers(request):
                self._udp.sendto(answer, source)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            self._connections.append(connection)
            with contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while request := connection.recv(65535):
            for answer in self._answers(request):
                if answer == HANG_UP:
                    connection.close()
                    return
                connection.sendall(answer)
