"""What has happened, as a program reads it: all of it so far, or each as it comes (server-sent events)?

A follower that reads too slowly loses some and is told how many; it never makes anybody wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sipdispatch.happening import Happening
from sipdispatch.operations import Telling

ALIVE_S = 15.0
"""A comment this often, so that what stands in between does not take the connection for dead."""
RETRY_MS = 2000
"""How long a browser waits before it connects again."""


class Follow(Response):
    """An answer without an end: everything that happens, of one set or of all.

    With `last_seen`, the `Last-Event-ID` of a client that comes back, it begins with what that has missed.
    `counted` is entered while somebody follows.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        operations: Telling,
        set_id: int | None,
        last_seen: int | None,
        counted: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._operations = operations
        self._set_id = set_id
        self._last_seen = last_seen
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        with self._counted():
            await self._until_gone(receive, send)

    async def _until_gone(self, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_when_gone, receive, nursery.cancel_scope)
            await self._follow(send)
            nursery.cancel_scope.cancel()

    async def _follow(self, send: Send) -> None:
        async def say(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        newest = _newest(self._operations.history())
        last_seen = newest if self._last_seen is None else self._last_seen
        async with self._operations.follow() as arriving:
            past = self._operations.history()
            newest = _newest(past)
            await say(f"retry: {RETRY_MS}\n\n" + "".join(map(as_event, self._ours(missed(past, last_seen)))))
            while True:
                text = ": alive\n\n"
                with trio.move_on_after(ALIVE_S):
                    try:
                        happened = await arriving.receive()
                    except trio.EndOfChannel:
                        return
                    if happened.sequence <= newest:
                        continue
                    text = lost(happened.sequence - newest - 1)
                    newest = happened.sequence
                    text += "".join(map(as_event, self._ours([happened])))
                if text:
                    await say(text)

    def _ours(self, happened: Iterable[Happening]) -> list[Happening]:
        return [each for each in happened if self._set_id is None or each.set_id == self._set_id]


def _newest(past: Sequence[Happening]) -> int:
    return past[-1].sequence if past else 0


def missed(past: Iterable[Happening], last_seen: int) -> list[Happening]:
    """What came after the last one that a client saw; all if that one was of an earlier process, which counted on."""
    known = list(past)
    if not known or last_seen > known[-1].sequence:
        return known
    return [each for each in known if each.sequence > last_seen]


def as_event(happened: Happening) -> str:
    """One event of a stream: its kind, its sequence, and the JSON of the happening."""
    return f"event: {happened.kind}\nid: {happened.sequence}\ndata: {json.dumps(happened.to_json())}\n\n"


def lost(count: int) -> str:
    """An event that says how many are missing."""
    return f'event: lost\ndata: {{"lost": {count}}}\n\n' if count > 0 else ""


async def _end_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
