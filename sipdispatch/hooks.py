"""How does a command of the operator's learn what has happened, without anybody waiting for it?

The facts are in the environment of the command, as SIPDISPATCH_*, and one line of JSON on its standard input.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from sipdispatch.command_run import PLAIN_ENVIRONMENT, Run, run_command
from sipdispatch.happening import Happening
from sipdispatch.notice_settings import Hook
from sipdispatch.notice_shapes import shortened

QUEUE: Final = 1_000
"""Happenings that wait for one hook; the oldest are dropped."""
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between two tries; the last one repeats."""
FACT_LENGTH: Final = 1_000
"""Letters of a fact: one that quotes a server must not become longer than an environment may be."""
HURRY_S: Final = 2.0
"""What the commands have left when the process ends."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


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
    return {**PLAIN_ENVIRONMENT, **named}


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
    return await run_command(
        hook.command, timeout=hook.timeout, environment=facts_for(happening, node), line=line_for(happening, node)
    )


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
