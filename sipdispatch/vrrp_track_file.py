"""Is there a file that says that this node is in maintenance?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import trio

from sipdispatch.vrrp_track import Say, first_line

EVERY_S: Final = 0.2
_REASON_BYTES: Final = 1_000


async def watch_file(path: Path, say: Say) -> None:
    """Look for it again and again until cancelled."""
    while True:
        ok, detail = _look(path)
        say(ok=ok, detail=detail)
        await trio.sleep(EVERY_S)


def _look(path: Path) -> tuple[bool, str]:
    """A file that cannot be looked for may be there: a switch that does not work is told, and not found out later."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True, f"there is no {path}"
    except OSError as error:
        return False, f"{(error.strerror or str(error)).lower()}: {path}"
    return False, _reason(path) or f"there is {path}"


def _reason(path: Path) -> str:
    """Its first line; none of what cannot be read at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        return first_line(os.read(descriptor, _REASON_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""
    finally:
        os.close(descriptor)
