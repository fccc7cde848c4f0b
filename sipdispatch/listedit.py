"""How is one line put into the dispatcher list, or taken out, so that all the others stay as they are?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path


def with_line(text: bytes, line: str) -> bytes:
    """The list with one more line at its end, which ends as the others do."""
    end = b"\r\n" if b"\r\n" in text else b"\n"
    if text and not text.endswith(b"\n"):
        text += end
    return text + line.strip().encode() + end


def without_lines(text: bytes, numbers: Collection[int]) -> bytes:
    """The list without these lines, which count from 1; comments in lines of their own stay."""
    lines = text.splitlines(keepends=True)
    return b"".join(line for number, line in enumerate(lines, 1) if number not in numbers)


def save(path: Path, text: bytes) -> None:
    """Replace the file as a whole, with the mode and owner that it has; a link stays a link.  Raises OSError."""
    path = path.resolve()
    status = path.stat()
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            with contextlib.suppress(PermissionError):  # only root may give a file away
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
