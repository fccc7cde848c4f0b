"""How does a command of the operator's learn what has happened, without anybody waiting for it?

A command gets a fixed argument list and no shell.  The facts are in its environment, as SIPDISPATCH_*, and one line of
JSON on its standard input.  It runs in a session and process group of its own, in the folder /, with nothing else open
than its standard streams; when it has ended, or was given up, what it leaves in that group is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections import deque
from datetime import UTC, datetime
from typing import Final

import attrs
import structlog
import trio

from sipdispatch.happening import Happening
from sipdispatch.notice_settings import Hook
from sipdispatch.notice_shapes import shortened

QUEUE: Final = 1_000
"""Happenings that wait for one hook; the oldest are dropped."""
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between two tries; the last one repeats."""
OUTPUT_OCTETS: Final = 4_096
"""What is kept of the output of one run; the rest is read and thrown away."""
PAUSE_S: Final = 0.05
"""Between two reads of output that nobody will see: who writes without end has to wait, not the calls."""
TERM_S: Final = 2.0
"""Between SIGTERM and SIGKILL."""
DRAIN_S: Final = 0.2
"""How long output is read after the end, from what has left the group and still has the pipe."""
FACT_LENGTH: Final = 1_000
"""Letters of a fact: one that quotes a server must not become longer than an environment may be."""
HURRY_S: Final = 2.0
"""What the commands have left when the process ends."""
REAP_S: Final = 1.0
"""For a process that was killed: one that the kernel has asleep takes longer."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen(kw_only=True)
class Run:
    """How a command has ended: `text` for people, and the beginning of what it has written."""

    succeeded: bool
    text: str
    output: str = ""


def facts_for(happening: Happening, node: str) -> dict[str, str]:
    """The whole environment of a command."""
    facts = {
        "NODE": node,
        "SEQUENCE": str(happening.sequence),
        "AT": f"{happening.at:.3f}",
        "TIME": datetime.fromtimestamp(happening.at, UTC).isoformat(timespec="milliseconds"),
        "KIND": happening.kind,
        "BEFORE": happening.before,
        "AFTER": happening.after,
        "CAUSE": happening.cause,
        "SET": "" if happening.set_id is None else str(happening.set_id),
        "URI": happening.uri,
        "ADDRESS": happening.address,
        "NUMBER": str(happening.number) if happening.number else "",
    }
    named = {f"SIPDISPATCH_{name}": _plain(value) for name, value in facts.items()}
    return {"PATH": PATH, "LANG": "C.UTF-8", **named}


def line_for(happening: Happening, node: str) -> bytes:
    """The same as one line of JSON: the document of the happening, and `node`."""
    document = {name: _plain(value) if isinstance(value, str) else value for name, value in happening.to_json().items()}
    return json.dumps({"node": node, **document}).encode("ascii") + b"\n"


def _plain(text: str) -> str:
    """What an environment can hold: without NUL, and not endless."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:FACT_LENGTH]


# --------------------------------------------------------------------------------------------------------------------
# One run


async def run_hook(hook: Hook, happening: Happening, node: str) -> Run:
    """Run the command once; raises nothing but what cancels it, and leaves no process behind either way."""
    try:
        process = await trio.lowlevel.open_process(
            [os.fsdecode(word.encode()) for word in hook.command],  # UTF-8, whatever the locale is
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: os.fsdecode(fact.encode()) for name, fact in facts_for(happening, node).items()},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return Run(succeeded=False, text=f"it cannot be started: {(error.strerror or str(error)).lower()}")
    output = bytearray()
    in_time = False
    try:
        with trio.move_on_after(hook.timeout):
            await _attend(process, line_for(happening, node), output)
            in_time = True
    finally:
        with trio.CancelScope(shield=True):
            if not in_time:
                await _end(process)
            status = await _reap(process, output)
    text = _ended(status) if in_time else f"it has not ended within {hook.timeout:g} s"
    return Run(succeeded=in_time and status == 0, text=text, output=output.decode("utf-8", "replace"))


async def _attend(process: trio.Process, line: bytes, output: bytearray) -> None:
    """Feed it and read from it until it has ended; it is not waited for yet, so its number stays its own."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_feed, process, line)
        nursery.start_soon(_read, process, output)
        await _has_ended(process.pid)
        nursery.cancel_scope.cancel()


async def _feed(process: trio.Process, line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(trio.BrokenResourceError):  # it need not read
        await process.stdin.send_all(line)
    await process.stdin.aclose()


async def _read(process: trio.Process, output: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for octets in process.stdout:
            output += octets[: OUTPUT_OCTETS - len(output)]
            if len(output) == OUTPUT_OCTETS:
                await trio.sleep(PAUSE_S)


async def _has_ended(pid: int) -> None:
    """Return when the process has ended, and leave its status for whoever waits for it."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # Linux before 5.3; a container that does not allow it
        await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT, abandon_on_cancel=True)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _end(process: trio.Process) -> None:
    """Ask the whole group to end; what does not will be killed."""
    _signal_group(process.pid, signal.SIGTERM)
    with trio.move_on_after(TERM_S):
        await _has_ended(process.pid)


async def _reap(process: trio.Process, output: bytearray) -> int | None:
    """Kill what is left of the group, read what is left of the output, and take the status; None: it cannot die."""
    _signal_group(process.pid, signal.SIGKILL)
    with trio.move_on_after(DRAIN_S):
        await _read(process, output)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await stream.aclose()
    with trio.move_on_after(REAP_S):
        return await process.wait()
    return None


def _signal_group(pid: int, number: signal.Signals) -> None:
    """The leader has not been waited for, so nobody else can have its number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _ended(status: int | None) -> str:
    match status:
        case None:
            return "it cannot be ended"
        case 0:
            return "it has ended well"
        case int() if status < 0:
            return f"it was ended by {_signal_name(-status)}"
        case _:
            return f"exit status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# --------------------------------------------------------------------------------------------------------------------
# One after the other


class HookQueue:
    """The happenings that wait for one hook, and the commands that run for them.

    They begin in the order in which things have happened, at most `at_once` together, and for one destination one
    after the other, with all its tries.
    """

    def __init__(self, hook: Hook, node: str, *, capacity: int = QUEUE) -> None:
        self._hook = hook
        self._node = node
        self._waiting: deque[Happening] = deque()
        self._capacity = capacity
        self._running: set[int] = set()
        self._dropped = 0
        self._changed = trio.Event()
        self._stopping = trio.Event()

    def put(self, happening: Happening) -> None:
        """Have the command run for it, if it is of a kind that the hook wants; never waits."""
        if happening.kind not in self._hook.kinds:
            return
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(happening)
        self._changed.set()

    def stop(self) -> None:
        """Let `run` return soon: what waits is still begun, nothing is tried again, and all ends in HURRY_S."""
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Run the commands; returns after `stop`."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                while True:
                    self._changed = trio.Event()
                    while (happening := self._next()) is not None:
                        self._running.add(happening.number)
                        nursery.start_soon(self._see_to, happening)
                    if self._stopping.is_set():
                        scope.deadline = min(scope.deadline, trio.current_time() + HURRY_S)
                        if not self._running:
                            break
                    await self._changed.wait()
        self._say_dropped(len(self._waiting))

    def _next(self) -> Happening | None:
        """The first that waits and may begin, taken out."""
        if len(self._running) >= self._hook.at_once:
            return None
        for index, happening in enumerate(self._waiting):
            if happening.number not in self._running:
                del self._waiting[index]
                return happening
        return None

    async def _see_to(self, happening: Happening) -> None:
        """All tries for one happening."""
        try:
            await self._try(happening)
        except Exception:  # a mistake of ours costs a run, not the proxy
            log.exception("a hook failed by a mistake in this program; please report it", hook=self._hook.name)
        finally:
            self._running.discard(happening.number)
            self._changed.set()
        self._say_dropped(0)

    async def _try(self, happening: Happening) -> None:
        tries = 0
        while True:
            run = await run_hook(self._hook, happening, self._node)
            tries += 1
            if run.succeeded:
                return
            if tries > self._hook.retries or self._stopping.is_set():
                break
            with trio.move_on_after(BACKOFF_S[min(tries, len(BACKOFF_S)) - 1]):
                await self._stopping.wait()
            if self._stopping.is_set():
                break
        log.error(
            "a hook failed",
            hook=self._hook.name,
            reason=run.text,
            tries=tries,
            sequence=happening.sequence,
            output=shortened(run.output),
        )

    def _say_dropped(self, left: int) -> None:
        dropped, self._dropped = self._dropped + left, 0
        if dropped:
            log.warning("happenings were dropped: the hook is too slow", hook=self._hook.name, count=dropped)
