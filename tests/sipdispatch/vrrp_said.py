"""What those who ask the tracks say, for a test to wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from sipdispatch.vrrp_track import Say

PATIENCE_S = 20.0


class Said:
    """A `Say` that keeps what was said."""

    def __init__(self) -> None:
        self.results: list[tuple[bool, str]] = []
        self._read = 0
        self._came = trio.Event()

    def __call__(self, *, ok: bool, detail: str) -> None:
        self.results.append((ok, detail))
        self._came.set()

    async def next(self) -> tuple[bool, str]:
        """The next result."""
        while self._read == len(self.results):
            self._came = trio.Event()
            await self._came.wait()
        self._read += 1
        return self.results[self._read - 1]

    async def until(self, *, ok: bool) -> str:
        """The detail of the next result that is so."""
        while True:
            result, detail = await self.next()
            if result is ok:
                return detail


@asynccontextmanager
async def asking(ask: Callable[[Say], Awaitable[None]]) -> AsyncIterator[Said]:
    """What is said while the block is open."""
    said = Said()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, said)
        with trio.fail_after(PATIENCE_S):
            yield said
        nursery.cancel_scope.cancel()
