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


def replace(path: Path, content: bytes, *, like: os.stat_result | None = None) -> os.stat_result:
    """Put a new file in the place of another, so that a crash leaves the old one or the new one; its status.

    It is for its owner only; or has mode, owner and group of `like`, the status of the old one, and the old one's
    extended attributes (access lists are among them).  Raises OSError, and the old one stays as it is: also when the
    new one cannot be given to its owner, for only root may do that.
    """
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if like is not None:
                _dress(file.fileno(), path, like)
            os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        beside.replace(path)
        return status
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _dress(descriptor: int, path: Path, like: os.stat_result) -> None:
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    for name in os.listxattr(path):
        with contextlib.suppress(OSError):  # one that only the system may set
            os.setxattr(descriptor, name, os.getxattr(path, name))
