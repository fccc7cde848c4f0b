"""What becomes of one client of the control socket, from its first byte to its going?

Its requests are answered one after the other, in their order.  Once it follows what happens, that is told in between.
Nothing that it does or leaves undone takes long or keeps much: a long answer is made in slices while it is sent, a
client that does not read is left, and a follower that is too slow misses what it has no room for.
"""

from __future__ import annotations

import json
import math
import select
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import attrs
import structlog
import trio

from dispatcher.slices import Slices
from sipdispatch.control_call import ATTEND, Asking, Followed, Methods, call_method
from sipdispatch.control_params import MethodError
from sipdispatch.happening import Happening
from sipdispatch.jsonrpc import (
    INTERNAL_ERROR,
    TAIL,
    Document,
    Failure,
    Lines,
    Request,
    failure_text,
    head_of_result,
    notification_text,
    read,
    refuse,
)
from sipdispatch.operations import OperationError

CHUNK_BYTES: Final = 16_384
"""What is read and sent at once."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen(kw_only=True)
class Limits:
    """Numbers that an operator never meets and a program gone wild does; times are seconds."""

    clients: int = 64
    """At once."""
    reserved: int = 16
    """Besides, for root and for the user that the proxy runs as."""
    attendants: int = 8
    """Besides all those: who only waits for the end of this process, as the VRRP agent does."""
    newcomers: int = 16
    """Who may say that it attends, when there is no room for a client; the one that has had longest has to go."""
    speak: float = 1.0
    """How long a newcomer has for that."""
    stalled: float = 10.0
    """For a client to take a piece of its answer, CHUNK_BYTES long."""
    idle: float = 10.0
    """After this time without a request, or without reading what it follows, a client makes room for a new one."""
    request_bytes: int = 8 << 20
    """Of requests that have no end yet, of all clients together."""
    watch: float = 1.0
    """Between two looks whether a client that waits is still there."""


TOO_MANY: Final = 503
"""The code of the error for a client, or a request, that finds no room."""

_CROWDED: Final = Document(
    (
        refuse(
            TOO_MANY,
            "Too Many Clients",
            "there is no room for so long a request: other clients have begun long ones",
            "try again; see who they are: ss -xp",
        ),
    )
)


@lru_cache(maxsize=256)
def event_line(happening: Happening) -> bytes:
    """What a follower is told; made once for all of them."""
    return notification_text("event", happening.to_json()).encode() + b"\n"


class Connection:
    """One client, whose socket is closed when `run` returns.  `by` says who it is, for the log and the history.

    `take_seat` says whether one more may attend; `begun` is what has been read of it already; `on_kept` as in `kept`.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        operations: Followed,
        methods: Methods,
        *,
        by: str,
        limits: Limits,
        take_seat: Callable[[Connection], bool],
        on_kept: Callable[[], object] = lambda: None,
        begun: bytes = b"",
    ) -> None:
        self._stream = stream
        self._methods = methods
        self._limits = limits
        self._take_seat = take_seat
        self._begun = begun
        self._lines = Lines()
        self._on_kept = on_kept
        self._crowded = False
        self._asking = Asking(operations=operations, by=by, follow=self._follow, attend=self._attend)
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._sending = trio.Lock()
        self._idle_since = math.inf
        self._stalled_since = math.inf
        self._following: trio.Event | None = None
        self._attending = False
        self._in_method = False
        self._changing = False
        self._leaving = False

    @property
    def _waiting(self) -> bool:
        """Whether something is under way for this client that no end of its requests would end."""
        return self._in_method or self._following is not None

    @property
    def idle_since(self) -> float:
        """Since when nobody would miss it; infinity while it is of use."""
        if self._attending:
            return math.inf
        return self._idle_since if self._following is None else self._stalled_since

    @property
    def kept(self) -> int:
        """Bytes of a request that has no end yet; when there are some, `on_kept` is called after each piece of it."""
        return self._lines.waiting

    def drop_request(self) -> None:
        """Keep nothing of that request; the client is told with its next piece, or its end."""
        self._lines.drop()
        self._crowded = True

    def leave(self) -> None:
        """End soon: at once, or when what its client asks to be changed has been changed."""
        self._leaving = True
        if not self._changing:
            self._scope.cancel()

    async def run(self) -> None:
        """Serve the client until it goes or is left."""
        with self._scope:
            async with self._stream, trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._watch)
                await self._answer_all()
                if self._following is not None:
                    await trio.sleep_forever()
                self._nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        """Leave a client that has closed its socket and not only ended its requests, so that nothing waits for it.

        While its requests are read their end does that; what it has sent before it went is still done.
        """
        hung_up = select.poll()
        hung_up.register(self._stream.socket.fileno(), 0)
        while not (self._waiting and hung_up.poll(0)):  # noqa: ASYNC110 - trio has no event for a hang-up alone
            await trio.sleep(self._limits.watch)
        self.leave()

    # ----------------------------------------------------------------------------------------------------------------
    # Requests

    async def _answer_all(self) -> None:
        lines, chunk = self._lines, self._begun
        while True:
            self._idle_since = trio.current_time()
            try:
                chunk = chunk or await self._stream.receive_some(CHUNK_BYTES)
            except trio.BrokenResourceError:
                chunk = b""
            self._idle_since = math.inf
            if self._crowded:
                self._crowded = False
                await self._answer(_CROWDED)
            for line in lines.receive(chunk) if chunk else lines.finish():
                await self._answer(read(line))
                await trio.lowlevel.checkpoint()
            if not chunk:
                return
            chunk = b""
            if lines.waiting:
                self._on_kept()

    async def _answer(self, document: Document) -> None:
        writer = _Writer(self._send)
        answered = 0
        for each in document.calls:
            result: Any = each if isinstance(each, Failure) else await self._result(each)
            if isinstance(each, Request) and each.is_notification:
                continue
            if not answered:
                await self._take_turn_to_send()
            await writer.put(", " if answered else "[" if document.is_batch else "")
            await self._write(writer, each, result)
            answered += 1
        if answered:
            await writer.put("]\n" if document.is_batch else "\n")
            await writer.flush()
            self._sending.release()
        if self._following is not None:
            self._following.set()

    async def _result(self, request: Request) -> Any:
        """What the method returns, or a Failure."""
        method = self._methods.get(request.method)
        self._in_method = True
        self._changing = method is not None and method.changes
        try:
            return await call_method(self._methods, request, self._asking)
        except MethodError as error:
            return Failure(error.code, error.message, request.id, error.details)
        except Exception as error:  # a mistake of ours costs an answer, not the proxy
            log.exception(
                "a control request failed by a mistake in this program; please report it", method=request.method
            )
            what = f"this request meets a mistake of the program: {type(error).__name__}"
            return refuse(INTERNAL_ERROR, "Internal error", what, "report it, with the proxy's log", of=request.id)
        finally:
            self._in_method = self._changing = False
            if self._leaving:
                self._scope.cancel()

    async def _write(self, writer: _Writer, of: Request | Failure, result: Any) -> None:
        if isinstance(result, Failure):
            await writer.put(failure_text(result))
            return
        await writer.put(head_of_result(of.id))
        try:
            for piece in result if isinstance(result, Iterator) else (json.dumps(result, allow_nan=False),):
                await writer.put(piece)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            log.exception("a control request failed by a mistake in this program; please report it", method="")
            self._scope.cancel()  # half of the answer is out: nothing can follow it
            await trio.lowlevel.checkpoint()
        await writer.put(TAIL)

    # ----------------------------------------------------------------------------------------------------------------
    # Sending

    async def _take_turn_to_send(self) -> None:
        with trio.move_on_after(self._limits.stalled):
            await self._sending.acquire()
            return
        await self._lost()

    async def _send(self, chunk: bytes) -> None:
        try:
            with trio.fail_after(self._limits.stalled):
                await self._stream.send_all(chunk)
        except (trio.BrokenResourceError, trio.TooSlowError):
            await self._lost()

    async def _lost(self) -> None:
        """Nothing more can be said to this client."""
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    async def _follow(self) -> None:
        """From now on the client is told what happens, after the answer to the request that it is in."""
        if self._following is not None:
            raise OperationError("this connection follows what happens already", "events", "ask once")
        if self._attending:
            raise OperationError("this connection attends", "events", "follow on another one")
        assert self._nursery is not None  # noqa: S101 - run has opened it
        self._following = trio.Event()
        await self._nursery.start(self._tell, self._following)

    def _attend(self) -> None:
        """From now on the client has a seat of its own and makes no room for others."""
        if self._following is not None:
            raise OperationError("this connection follows what happens", ATTEND, "attend on another one")
        if not self._take_seat(self):
            raise OperationError(
                f"{self._limits.attendants} attend already", ATTEND, "see who they are: ss -xp; end some"
            )
        self._attending = True

    async def _tell(self, answered: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        async with self._asking.operations.follow() as arriving:
            task_status.started()
            await answered.wait()
            async for happening in arriving:
                self._stalled_since = trio.current_time()
                async with self._sending:
                    try:
                        await self._stream.send_all(event_line(happening))
                    except trio.BrokenResourceError:
                        break
                self._stalled_since = math.inf
        self.leave()


class _Writer:
    """Collects the pieces of an answer, sends them in chunks and gives the packets their turns."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._ready = bytearray()
        self._slices = Slices()

    async def put(self, piece: str) -> None:
        self._ready += piece.encode()
        if len(self._ready) >= CHUNK_BYTES:
            await self.flush()
            await self._slices.turn()
        elif self._slices.over:
            await self._slices.turn()

    async def flush(self) -> None:
        chunk = bytes(self._ready)
        self._ready.clear()
        await self._send(chunk)
