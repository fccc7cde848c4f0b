"""Which of the files that an operator edits have changed, and are they whole?

Files are looked at by name once a second, so a save by rename (a new inode under the old name), a save in place and a
swapped symbolic link are all seen, and whatever else an editor puts into the folder is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import attrs
import structlog
import trio

INTERVAL_S = 1.0
MISSING_LOOKS = 5
"""A file away for this many looks was not merely being renamed: it is said once."""

Signature = tuple[int, int, int, int, int, int]
"""What tells two states of a file apart: time of change in nanoseconds, size in bytes, inode; mode, owner and group,
for one that could not be read may be readable now."""

_log = structlog.get_logger()


def signature(path: Path) -> Signature | None:
    """The state of a file now; None when it is not there or cannot be looked at.

    Take it *before* reading the file and hand it to `watch`: a change while the file was read is then not missed.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return signature_of(found)


def signature_of(found: os.stat_result) -> Signature:
    """The same of a file that was looked at."""
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid, found.st_gid


@attrs.frozen
class Reading:
    """What of a file was read when: two that are equal are one state of it.

    When it was written would not do alone: who writes twice within a tick of the kernel's clock leaves the time as it
    was.  Nor would the contents: who touches a file wants it read.  Mode and owner change neither.
    """

    written: tuple[int, int, int] | None
    """The beginning of a signature."""
    digest: bytes
    """Empty of what could not be read."""

    @classmethod
    def of(cls, path: Path) -> Reading:
        """The file as it is; take it *before* it is read in earnest."""
        before = signature(path)
        try:
            text = path.read_bytes()
        except OSError:
            return cls(before and before[:3], b"")
        return cls.made(before, text)

    @classmethod
    def made(cls, before: Signature | None, text: bytes) -> Reading:
        """Of this text, in a file of this signature."""
        return cls(before and before[:3], hashlib.sha256(text).digest())


@attrs.define
class _Watched:
    """One file between two looks."""

    told: Signature | None
    """The state that the caller knows."""
    seen: Signature | None
    missing: int = 0

    def look(self, now: Signature | None) -> bool:
        """Whether the file has settled in a state that the caller does not know."""
        before, self.seen = self.seen, now
        if now is None:
            self.missing += 1
            return False
        self.missing = 0
        # Two looks alike: who writes has finished, or pauses for longer than anyone saves a file.
        if now != before or now == self.told:
            return False
        self.told = now
        return True


async def watch(
    paths: Iterable[Path],
    on_change: Callable[[tuple[Path, ...]], Awaitable[None]],
    *,
    known: Mapping[Path, Signature | None] | None = None,
    interval_s: float = INTERVAL_S,
) -> None:
    """Call back with the files that have changed and settled, those of one look together; never returns.

    A file that goes away changes nothing until it is back: there is nothing to load.  `known` has the signatures of
    what the caller has read; without it the files' state at the start counts as known.
    """
    known = known or {}
    watched = {path: _Watched(known.get(path, now), now) for path, now in ((each, signature(each)) for each in paths)}
    while True:
        await trio.sleep(interval_s)
        changed = tuple(path for path, state in watched.items() if state.look(signature(path)))
        for path, state in watched.items():
            if state.missing == MISSING_LOOKS:
                _log.warning("a watched file is missing; what was read from it stays in force", path=str(path))
        if changed:
            await on_change(changed)
