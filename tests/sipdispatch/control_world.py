"""A control socket in earnest, in front of a proxy that does not run."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import trio

from dispatcher.problem import Problem
from health.board import Word
from sipdispatch.control_call import Followed, Methods
from sipdispatch.control_connection import Limits
from sipdispatch.control_methods import METHODS
from sipdispatch.control_server import Peer, serve_control
from sipdispatch.control_socket import open_control_socket
from sipdispatch.operations import OperationError, Operations, ReloadReport
from tests.sipdispatch.fake_operations import FakeOperations

VERSION = "sipdispatch 1.2.3 (pure Python)"
SOON = Limits(watch=0.01)
ADDED = ReloadReport(done=True, destinations=3, added=["sip:192.0.2.23"])
BROKEN = ReloadReport(
    done=False,
    destinations=2,
    problems=[
        Problem("a.list", 2, 18, severity="error", message="-1 is no number", hint="write 0"),
        Problem("a.list", 3, 1, severity="warning", message="doubtful"),
    ],
)


@attrs.define
class Steered(FakeOperations):
    """Also does what it is asked, and notes it in `done`; `answer` is what reading the list again reports."""

    done: list[tuple[Any, ...]] = attrs.field(factory=list)
    answer: ReloadReport = ADDED
    drained: trio.Event = attrs.field(factory=trio.Event)
    may_reload: trio.Event | None = None

    def _known(self, set_id: int, name: str) -> int:
        found = [each for each in self.told.destinations if each.set_id == set_id and name in (each.uri, "all", "a")]
        if set_id not in [one.set_id for one in self.told.sets]:
            raise OperationError(f"there is no set {set_id}", "the list", "see sipdispatch ds list")
        if not found:
            raise OperationError(f"no destination is called {name}", f"set {set_id}", "see sipdispatch ds list")
        return len(found)

    async def set_word(self, set_id: int, name: str, word: Word, *, by: str) -> int:
        count = self._known(set_id, name)
        self.done.append((set_id, name, word, by))
        return count

    async def wait_drained(self, set_id: int, name: str) -> None:
        self._known(set_id, name)
        await self.drained.wait()

    async def reload(self, *, dry_run: bool = False, reset_state: bool = False, by: str) -> ReloadReport:
        if self.may_reload is not None:
            await self.may_reload.wait()
        self.done.append(("reload", dry_run, reset_state, by))
        return attrs.evolve(self.answer, dry_run=dry_run, done=self.answer.done and not dry_run)

    async def add(self, line: str, *, save: bool = False, by: str) -> ReloadReport:
        self.done.append(("add", line, save, by))
        return self.answer

    async def remove(self, set_id: int, name: str, *, save: bool = False, by: str) -> ReloadReport:
        self._known(set_id, name)
        self.done.append(("remove", set_id, name, save, by))
        return self.answer

    async def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        return {"version": 1, "asked": dict(question)}

    def slot(self, key: str) -> int:
        return len(key)


class Client:
    """A program at the control socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, *lines: bytes) -> None:
        await self.stream.send_all(b"".join(line + b"\n" for line in lines))

    async def ask(self, method: str, params: Any = None, identity: Any = 1) -> Any:
        """The whole answer."""
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": identity}
        await self.send(json.dumps(request).encode())
        return await self.read()

    async def ask_quietly(self, line: bytes) -> Any:
        """The same with a line, for a client that may be refused before it has asked."""
        with suppress(trio.BrokenResourceError):
            await self.send(line)
        return await self.read()

    async def read(self) -> Any:
        """The next document; None at the end."""
        while b"\n" not in self._buffer:
            try:
                chunk = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


@attrs.define
class Served:
    path: Path
    operations: Steered
    cancel: trio.CancelScope
    clients: list[Client] = attrs.field(factory=list)

    async def connect(self) -> Client:
        """A client that is closed at the end."""
        client = Client(await trio.open_unix_socket(str(self.path)))
        self.clients.append(client)
        return client


@asynccontextmanager
async def serving(
    path: Path,
    operations: Operations | None = None,
    limits: Limits | None = None,
    *,
    reserve: bool = False,
    methods: Methods = METHODS,
) -> AsyncIterator[Served]:
    """Serve at this path; whoever connects has a place in reserve, or nobody has."""
    operations = Steered() if operations is None else operations

    def has_reserve(_: Peer) -> bool:
        return reserve

    async with trio.open_nursery() as nursery:
        opened = open_control_socket(path)

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            await serve_control(
                opened, operations, methods, limits=limits or Limits(), has_reserve=has_reserve, task_status=task_status
            )

        with trio.fail_after(30):
            await nursery.start(serve)
            assert isinstance(operations, Steered)
            served = Served(path, operations, nursery.cancel_scope)
            try:
                yield served
            finally:
                for client in served.clients:
                    client.stream.socket.close()
        nursery.cancel_scope.cancel()


S = TypeVar("S", bound=Followed)


@attrs.define
class Running(Generic[S]):
    """A proxy in a thread of its own; `do` has something done there."""

    operations: S
    token: trio.lowlevel.TrioToken
    cancel: trio.CancelScope

    def do(self, what: Callable[..., Any], *arguments: Any) -> Any:
        return trio.from_thread.run_sync(what, *arguments, trio_token=self.token)

    def stop(self) -> None:
        """As the proxy does when it ends: connections and socket go."""
        self.do(self.cancel.cancel)


@contextmanager
def running(
    path: Path, operations: S, limits: Limits | None = None, methods: Methods = METHODS
) -> Iterator[Running[S]]:
    """Serve at this path in a thread, for a client that is not asynchronous."""
    ready = threading.Event()
    those: list[Running[S]] = []

    async def serve() -> None:
        with trio.CancelScope() as scope:
            opened = open_control_socket(path)
            async with trio.open_nursery() as nursery:

                async def start(*, task_status: trio.TaskStatus[None]) -> None:
                    await serve_control(opened, operations, methods, limits=limits or Limits(), task_status=task_status)

                await nursery.start(start)
                those.append(Running(operations, trio.lowlevel.current_trio_token(), scope))
                ready.set()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(10)
    try:
        yield those[0]
    finally:
        with suppress(trio.RunFinishedError):
            those[0].stop()
        thread.join(10)
    assert not thread.is_alive()


async def following(served: Served) -> Client:
    client = await served.connect()
    assert (await client.ask("events"))["result"] == {"following": True}
    return client


async def answers(client: Client) -> bool:
    return bool((await client.ask("core.version"))["result"] == VERSION)


async def happens(condition: Any) -> None:
    """Wait until something is so; the test's own limit ends it."""
    while not condition():  # noqa: ASYNC110 - the other side is a real socket
        await trio.sleep(0.005)
