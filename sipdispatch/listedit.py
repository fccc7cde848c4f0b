"""How is one line put into the dispatcher list, or taken out, so that all the others stay as they are?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sipdispatch.whole_file import replace


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
    replace(path, text, like=path.stat())
