"""Does the proxy live?  Its control socket tells of its death at once.

The kernel closes the connection of a process that dies, however it dies.  That counts when the way back is closed too:
a proxy that lives lets the agent in again.  One that hangs keeps the connection; the SIP track sees that.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path
from typing import Final

import trio

from sipdispatch.control_call import ATTEND
from sipdispatch.vrrp_track import Say, first_line

FIRST_PAUSE_S: Final = 0.001
MOST_PAUSE_S: Final = 0.5
"""Between two tries to connect: none, then twice as long each time.

A process that dies may close its connections a moment before its listening socket: the next try is let in, and closed
when that goes too.
"""
ANSWER_S: Final = 1.0
"""For a proxy that has let the agent in to say so."""
_CHUNK_BYTES: Final = 16_384
_REQUEST: Final = b'{"jsonrpc": "2.0", "method": "%s", "id": 1}\n' % ATTEND.encode()
_NOBODY: Final = (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTDIR)
_DENIED: Final = (errno.EACCES, errno.EPERM)


async def attend_proxy(path: Path, say: Say) -> None:
    """Stay connected until cancelled, and tell each time that changes."""
    seen, pause = False, 0.0
    while True:
        try:
            connected = _connect(path)
        except OSError as error:
            say(ok=False, detail=_why(error, path, seen=seen))
        else:
            with connected:
                attendance = _Attendance(connected, path, say)
                await attendance.run()
            seen = seen or attendance.answered
            if attendance.admitted:
                pause = 0.0
                continue
        await trio.sleep(pause)
        pause = min(max(pause * 2, FIRST_PAUSE_S), MOST_PAUSE_S)


def _connect(path: Path) -> trio.socket.SocketType:
    """At once or not at all; raises OSError."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        asking.connect(os.fspath(path))
        asking.send(_REQUEST)
    except OSError:
        asking.close()
        raise
    return trio.socket.from_stdlib_socket(asking)


def _why(error: OSError, path: Path, *, seen: bool) -> str:
    if error.errno in _NOBODY:
        return "the proxy has ended" if seen else f"nobody listens on {path}"
    if error.errno in _DENIED:
        return f"permission denied on {path}"
    if error.errno == errno.EAGAIN:
        return f"the proxy does not answer on {path}: too many wait before this agent"
    return f"{(error.strerror or str(error)).lower()}: {path}"


class _Attendance:
    """One connection, from the wish to attend to its end."""

    def __init__(self, connected: trio.socket.SocketType, path: Path, say: Say) -> None:
        self._connected = connected
        self._path = path
        self._say = say
        self._begun = b""
        self.answered = False
        self.admitted = False

    async def run(self) -> None:
        """Return when the other side has closed it."""
        answer = None
        with trio.move_on_after(ANSWER_S) as scope:
            answer = await self._read_line()
        if scope.cancelled_caught:
            self._say(ok=False, detail=f"the proxy does not answer on {self._path}")
            answer = await self._read_line()
        if answer is None:
            return
        self.answered = True
        refusal = _refusal(answer)
        self.admitted = not refusal
        self._say(ok=True, detail=f"the proxy is there, but: {refusal}" if refusal else "attends the proxy")
        while await self._read():
            pass

    async def _read_line(self) -> bytes | None:
        """The first line; None when the connection ends before."""
        while b"\n" not in self._begun and len(self._begun) < _CHUNK_BYTES:
            chunk = await self._read()
            if not chunk:
                return None
            self._begun += chunk
        return self._begun.partition(b"\n")[0]

    async def _read(self) -> bytes:
        try:
            return await self._connected.recv(_CHUNK_BYTES)
        except OSError:
            return b""


def _refusal(answer: bytes) -> str:
    """Why there is no seat for this agent; empty if there is one."""
    try:
        document = json.loads(answer)
        if "error" not in document:
            return ""
        return first_line(str(document["error"]["message"])) or "it gives no reason"
    except (ValueError, LookupError, TypeError, RecursionError):
        return "what answers is no sipdispatch proxy"
