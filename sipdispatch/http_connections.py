"""How are HTTP connections kept from disturbing the proxy?

Hypercorn speaks HTTP/1.1 on each, as its own worker has it do; the loop around is ours, since that worker sets no limit
to connections, shields a send to a client that does not read from every cancellation, and speaks HTTP/2 to whoever
asks.  Signals stay with the proxy, and what Hypercorn logs goes where the proxy's log goes.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any, cast

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from dispatcher.logbudget import LogBudget
from sipdispatch.http_limits import Limits

NO_BODIES = 0
ACCEPT_AGAIN_S = 0.1
"""After accepting failed for want of file descriptors or memory."""
LITTLE_WAIT_S = 1.0

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
_BUSY_BODY = b'{"error": {"status": 503, "message": "too many connections"}}'
TOO_MANY = _BUSY % (len(_BUSY_BODY), _BUSY_BODY)
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing forgets what the client has not read."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve_connections(listening: socket.socket, app: ASGIApp, limits: Limits) -> None:
    """Accept and serve until cancelled."""
    await _Connections(app, limits).serve(trio.SocketListener(trio.socket.from_stdlib_socket(listening)))


class _Connections:
    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = wrap_app(app, NO_BODIES, "asgi")  # type: ignore[arg-type]  # the same protocol, typed twice
        self._config = _configuration(limits)
        self._context = WorkerContext(None)
        self._limits = limits
        self._open: set[_Stream] = set()
        self._budget = LogBudget()

    async def serve(self, listener: trio.SocketListener) -> None:
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(self._let_go_when_cancelled)
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    self._say("no connection can be accepted", "::", error=str(error))
                    await trio.sleep(ACCEPT_AGAIN_S)
                    continue
                if len(self._open) < self._limits.connections:
                    mine = _Stream(stream, self._limits, self._say)
                    self._open.add(mine)
                    nursery.start_soon(self._serve_one, mine)
                else:
                    await self._refuse(stream)

    async def _let_go_when_cancelled(self) -> None:
        """Hypercorn shields its sends: they would hold up the end of the proxy until their clients have read."""
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._open:
                stream.give_up()

    async def _serve_one(self, stream: _Stream) -> None:
        try:
            with stream.scope:
                state = ConnectionState({})
                await _Connection(self._app, self._config, self._context, state, cast("Any", stream)).run()
        except* Exception:
            log.exception("serving HTTP failed by a mistake in this program; the connection is closed")
        finally:
            self._open.discard(stream)
            stream.close()

    async def _refuse(self, stream: trio.SocketStream) -> None:
        self._say("an HTTP client was refused: too many connections", _peer(stream.socket)[0])
        with trio.move_on_after(LITTLE_WAIT_S):
            try:
                await stream.send_all(TOO_MANY)
                # What has come but is not read would make closing a reset, and the client would not see the answer.
                os.read(stream.socket.fileno(), self._limits.head_bytes)
            except (OSError, trio.BrokenResourceError):
                pass
        stream.socket.close()

    def _say(self, event: str, host: str, **more: object) -> None:
        kept_back = self._budget.spend(host, trio.current_time())
        if kept_back is not None:
            log.warning(event, client=host, **more, **({"like_it": kept_back} if kept_back else {}))


class _Stream:
    """A connection that ends when its client does not take what is sent.  Hypercorn takes it for trio's own."""

    def __init__(self, stream: trio.SocketStream, limits: Limits, say: Any) -> None:
        self.scope = trio.CancelScope()
        self.socket = stream.socket
        self._stream = stream
        self._limits = limits
        self._say = say
        self._sending: trio.CancelScope | None = None

    async def send_all(self, data: bytes) -> None:
        """Send all of it in time; raises BrokenResourceError, and ends the connection, when that cannot be."""
        try:
            with trio.move_on_after(self._limits.send_s) as self._sending:
                await self._stream.send_all(data)
                return
        except trio.BrokenResourceError:
            self.scope.cancel()
            raise
        finally:
            self._sending = None
        if not self.scope.cancel_called:
            self._say("an HTTP client does not read its answer; the connection is closed", _peer(self.socket)[0])
        self.give_up()
        raise trio.BrokenResourceError

    def give_up(self) -> None:
        """End the connection whatever it is doing, and forget what has not been read of it."""
        self.scope.cancel()
        if self._sending is not None:
            self._sending.cancel()
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """At most one head's worth: more is read when what there is has been dealt with."""
        return await self._stream.receive_some(min(max_bytes or MAX_RECV, self._limits.head_bytes))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close(self) -> None:
        self.socket.close()


class _PlainH11(H11Protocol):
    """HTTP/1.1 and nothing else: who asks for HTTP/2 gets HTTP/1.1, as RFC 9110 7.8 allows."""

    async def _check_protocol(self, event: h11.Request) -> None:
        pass


class _Connection(TCPServer):
    """One connection: what TCPServer does, without TLS and HTTP/2."""

    async def run(self) -> None:
        try:
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self.protocol = _PlainH11(  # type: ignore[assignment]  # the wrapper's verbs
                    self.app,
                    self.config,
                    self.context,
                    task_group,
                    ConnectionState(self.state),
                    False,  # noqa: FBT003 - no TLS
                    _peer(self.stream.socket),
                    self.stream.socket.getsockname()[:2],
                    self.protocol_send,
                )
                await self.protocol.initiate()
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
                await self.idle_task.stop()  # it would keep a connection that has ended for as long as an idle one
        finally:
            await self._close()


def _peer(sock: trio.socket.SocketType) -> tuple[str, int]:
    """Address and port of the client, `::` when it has gone already."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:  # ENOTCONN
        return "::", 0
    return host, port


class _Log(Logger):
    """What Hypercorn has to say, in the proxy's log: that an answer failed.  No line for a request."""

    async def exception(self, message: str, *_args: Any, **_kwargs: Any) -> None:
        what = "answering an HTTP request failed by a mistake in this program"
        log.exception(what, says=message)  # noqa: LOG004 - Hypercorn calls it while it handles one


def _configuration(limits: Limits) -> Config:
    config = Config()
    config.logger_class = _Log
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.head_bytes
    config.keep_alive_timeout = limits.idle_s
    config.keep_alive_max_requests = limits.requests
    return config
