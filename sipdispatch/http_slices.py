"""How does a long answer leave without keeping a packet waiting?"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dispatcher.slices import Slices

CHUNK_BYTES = 16384
"""What is handed to the connection at once, about: 0.1 ms."""
FAST = 1
"""zlib's level: twenty to one for metrics, at a third of the time that six takes for twenty-four to one."""
GZIP = 31
"""zlib's window bits for the largest window with gzip's header (zlib.h, deflateInit2)."""
SMALL = 5
"""zlib's memory level: an eighth of the usual one, so that what it keeps back comes out in small portions."""


class Sliced(Response):
    """An answer that is made while it is sent; `pieces` are small, and `limit_s` is for all of them."""

    def __init__(
        self,
        pieces: Iterator[str],
        media_type: str,
        *,
        gzip: bool,
        limit_s: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(headers={"content-type": media_type, "vary": "Accept, Accept-Encoding"})
        del self.headers["content-length"]
        if gzip:
            self.headers["content-encoding"] = "gzip"
        self._pieces = pieces
        self._gzip = gzip
        self._limit_s = limit_s
        self._clock = clock

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it; what is not sent within the limit is left out, and the connection closed for it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            with trio.move_on_after(self._limit_s) as limit:
                await self._send_pieces(send)
            if limit.cancelled_caught:
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_pieces(self, send: Send) -> None:
        squeeze = zlib.compressobj(FAST, zlib.DEFLATED, GZIP, SMALL) if self._gzip else None
        ready = bytearray()
        slices = Slices(self._clock)
        for piece in self._pieces:
            raw = piece.encode("utf-8", "replace")
            ready += raw if squeeze is None else squeeze.compress(raw)
            if len(ready) >= CHUNK_BYTES:
                await send({"type": "http.response.body", "body": bytes(ready), "more_body": True})
                ready.clear()
                await slices.turn()
            elif slices.over:
                await slices.turn()
        if squeeze is not None:
            ready += squeeze.flush()
        await send({"type": "http.response.body", "body": bytes(ready), "more_body": True})


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client's Accept-Encoding allows gzip (RFC 9110 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip() == "gzip":
            name, _, value = parameter.partition("=")
            return name.strip() != "q" or value.strip().strip("0.") != ""
    return False
