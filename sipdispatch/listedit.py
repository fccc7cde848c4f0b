"""How is one line put into the dispatcher list, or taken out, so that all the others stay as they are?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from dispatcher.watch import Reading, signature_of
from sipdispatch.whole_file import replace


def with_line(text: bytes, line: str) -> bytes:
    """The list with one more line at its end, which ends as the others do."""
    end = b"\r\n" if b"\r\n" in text else b"\n"
    if text and not text.endswith(b"\n"):
        text += end
    return text + line.strip().encode() + end


def without_lines(text: bytes, numbers: Collection[int]) -> bytes:
    """The list without these lines, which count from 1; comments in lines of their own stay."""
    *ended, last = text.split(b"\n")  # as the reader does: a carriage return in a comment ends no line
    lines = [*(line + b"\n" for line in ended), last]
    return b"".join(line for number, line in enumerate(lines, 1) if number not in numbers)


def save(path: Path, text: bytes) -> Reading:
    """Replace the file as a whole, with its owner, mode and attributes; a link stays a link.  The file's new state.

    The file is the old one or the new one, whatever happens.  Raises OSError, and the file is the old one: also when
    the new one cannot be given to the owner of the old, which nobody but root can.
    """
    path = path.resolve()
    status = replace(path, text, like=path.stat())
    return Reading.made(signature_of(status), text)
