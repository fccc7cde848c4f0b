"""How is a small file read as a whole, or replaced as a whole?"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def read_regular(path: Path, limit: int) -> tuple[bytes | None, os.stat_result]:
    """At most `limit` bytes of a file, None if it is no regular one, and its status; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold us up
    try:
        status = os.fstat(descriptor)
        return os.read(descriptor, limit) if stat.S_ISREG(status.st_mode) else None, status
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, *, like: os.stat_result | None = None) -> None:
    """Put a new file in the place of another, so that a crash leaves the old one or the new one; raises OSError.

    It is for its owner only, or has the mode of `like` and, where we may give it away, its owner and group.
    """
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if like is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
                with contextlib.suppress(PermissionError):  # only root may give a file away
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
