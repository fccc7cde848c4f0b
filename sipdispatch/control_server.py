"""Who may connect to the control socket, and how many at once?"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from sipdispatch.control_call import ATTEND, Followed, Methods
from sipdispatch.control_connection import CHUNK_BYTES, TOO_MANY, Connection, Limits
from sipdispatch.control_socket import ControlSocket
from sipdispatch.jsonrpc import Request, failure_text, read, refuse

SAID_S: Final = 60.0
"""Between two lines of the log about the same."""
_PAUSE_S: Final = 0.1
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_CREDENTIALS: Final = struct.Struct("3i")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen
class Peer:
    """The process at the other end when it connected (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int

    def __str__(self) -> str:
        """The user by number: a name may have to be asked for over the network."""
        return f"uid {self.uid}, pid {self.pid}"


def peer_of(connected: trio.socket.SocketType) -> Peer:
    """Whom a connected unix socket leads to."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid)


def runs_the_proxy(peer: Peer) -> bool:
    """Whether it is root or the user of this process, who has places of its own."""
    return peer.uid in (0, os.geteuid())


async def serve_control(
    opened: ControlSocket,
    operations: Followed,
    methods: Methods,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    has_reserve: Callable[[Peer], bool] = runs_the_proxy,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve clients until cancelled, and take the socket away then.  Nothing that a client does ends it."""
    listening = trio.socket.from_stdlib_socket(opened.listening)
    doorway = _Doorway(operations, methods, limits, has_reserve)
    try:
        async with trio.open_nursery() as nursery:
            log.info("control is served", path=str(opened.path))
            task_status.started()
            while True:
                await doorway.admit(await _accept(listening), nursery)
    finally:
        opened.close()


async def _accept(listening: trio.socket.SocketType) -> trio.socket.SocketType:
    said_at = float("-inf")
    while True:
        try:
            return (await listening.accept())[0]
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                await trio.lowlevel.checkpoint()
                continue
            if trio.current_time() - said_at >= SAID_S:
                said_at = trio.current_time()
                log.warning("control clients cannot be accepted", reason=error.strerror)
            await trio.sleep(_PAUSE_S)


async def _wish_to_attend(stream: trio.SocketStream) -> bytes:
    """What was read until the first line was there, if it asks to attend and nothing else; else nothing."""
    begun = b""
    while b"\n" not in begun and len(begun) < CHUNK_BYTES:
        chunk = await stream.receive_some(CHUNK_BYTES)
        if not chunk:
            break
        begun += chunk
    calls = read(begun.partition(b"\n")[0]).calls
    wishes = [each for each in calls if isinstance(each, Request) and each.method == ATTEND]
    return begun if len(wishes) == len(calls) == 1 else b""


class _Doorway:
    """The clients that are there, and the decision about the next one."""

    def __init__(
        self, operations: Followed, methods: Methods, limits: Limits, has_reserve: Callable[[Peer], bool]
    ) -> None:
        self._operations = operations
        self._methods = methods
        self._limits = limits
        self._has_reserve = has_reserve
        self._there: dict[Connection, bool] = {}
        self._attendants: set[Connection] = set()
        self._newcomers: list[trio.CancelScope] = []
        self._refused = 0
        self._said_at = float("-inf")

    async def admit(self, connected: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        """Serve the client beside all others, or tell it that there is no room."""
        try:
            peer = peer_of(connected)
            stream = trio.SocketStream(connected)
        except OSError:  # gone already
            connected.close()
            return
        reserved = self._has_reserve(peer)
        if not self._has_room(reserved=reserved) and not self._make_room():
            nursery.start_soon(self._hear, stream, peer)
            return
        connection = self._connection(stream, peer)
        self._there[connection] = reserved
        nursery.start_soon(self._serve, connection)

    def _connection(self, stream: trio.SocketStream, peer: Peer, begun: bytes = b"") -> Connection:
        return Connection(
            stream,
            self._operations,
            self._methods,
            by=f"control: {peer}",
            limits=self._limits,
            take_seat=self._take_seat,
            on_kept=self._bound_requests,
            begun=begun,
        )

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception:  # a mistake of ours costs a connection, not the proxy
            log.exception("a control connection failed by a mistake in this program; please report it")
        finally:
            self._there.pop(connection, None)
            self._attendants.discard(connection)

    def _take_seat(self, connection: Connection) -> bool:
        """Count this one among those that attend, and no more among the clients; False when all seats are taken."""
        if connection not in self._attendants:
            if len(self._attendants) >= self._limits.attendants:
                return False
            self._there.pop(connection, None)
            self._attendants.add(connection)
        return True

    async def _hear(self, stream: trio.SocketStream, peer: Peer) -> None:
        """There is no room for this client: serve it all the same if it attends, else tell it so."""
        async with stream:
            begun = await self._first_words(stream)
            if begun and len(self._attendants) < self._limits.attendants:
                connection = self._connection(stream, peer, begun)
                self._attendants.add(connection)
                await self._serve(connection)
            else:
                await self._refuse(stream, peer)

    async def _first_words(self, stream: trio.SocketStream) -> bytes:
        """What has been read if its first line is the wish to attend; empty if it is not, or does not come in time."""
        if len(self._newcomers) >= self._limits.newcomers:
            self._newcomers[0].cancel()
            del self._newcomers[0]
        with trio.move_on_after(self._limits.speak) as scope, contextlib.suppress(trio.BrokenResourceError):
            self._newcomers.append(scope)
            try:
                return await _wish_to_attend(stream) if ATTEND in self._methods else b""
            finally:
                with contextlib.suppress(ValueError):
                    self._newcomers.remove(scope)
        return b""

    def _bound_requests(self) -> None:
        """When the clients have sent too much that has no end, whoever has sent most has sent it in vain."""
        while sum(connection.kept for connection in self._there) > self._limits.request_bytes:
            max(self._there, key=lambda connection: connection.kept).drop_request()

    def _has_room(self, *, reserved: bool) -> bool:
        """Those with a reserve use it first, and the places of all after it."""
        limits = self._limits
        if reserved:
            return len(self._there) < limits.clients + limits.reserved
        with_reserve = sum(self._there.values())
        return len(self._there) - min(with_reserve, limits.reserved) < limits.clients

    def _make_room(self) -> bool:
        """Leave the client that has been of no use for longest, if it is for long enough."""
        candidates = [connection for connection, reserved in self._there.items() if not reserved]
        oldest = min(candidates, key=lambda connection: connection.idle_since, default=None)
        if oldest is None or trio.current_time() - oldest.idle_since < self._limits.idle:
            return False
        oldest.leave()
        del self._there[oldest]
        return True

    async def _refuse(self, stream: trio.SocketStream, peer: Peer) -> None:
        self._refused += 1
        if trio.current_time() - self._said_at >= SAID_S:
            self._said_at = trio.current_time()
            log.warning("control clients are refused: too many are there", there=len(self._there), uid=peer.uid)
        failure = refuse(
            TOO_MANY,
            "Too Many Clients",
            f"there is no room for another client; connected: {len(self._there)}",
            "see who they are: ss -xp; end some, or try again",
            where="the control socket",
        )
        with trio.move_on_after(self._limits.watch), contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(failure_text(failure).encode() + b"\n")
        await trio.aclose_forcefully(stream)
