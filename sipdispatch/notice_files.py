"""What is in the files that keep the secrets of hooks and notifiers?

They are read for each notice, so that a secret which has been changed needs no restart.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from sipdispatch.notice_settings import parse_url
from sipdispatch.readers import BadValueError
from sipdispatch.whole_file import read_regular

_FILE_LIMIT_OCTETS: Final = 64 << 10
_FIELD = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\t\x20-\x7e]*)")
_OURS: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


class SecretFileError(Exception):
    """A file that cannot be used: its name and why, never what is in it."""


def read_line(path: Path) -> str:
    """The one line of a file with a password or a secret."""
    lines = _lines(path)
    if len(lines) != 1:
        raise SecretFileError(f"{path}: has {len(lines)} lines instead of one")
    return lines[0]


def read_url_file(path: Path) -> str:
    """The URL in a file."""
    try:
        return parse_url(read_line(path))
    except BadValueError as error:
        raise SecretFileError(f"{path}: what it says {error.message}") from None


def read_header_fields(path: Path) -> dict[str, str]:
    """The header fields in a file, one in each line as `Name: value`."""
    fields = {}
    for number, line in enumerate(_lines(path), 1):
        match = _FIELD.fullmatch(line)
        if match is None:
            raise SecretFileError(f"{path}: line {number} is not a header field, as Name: value")
        if match[1].lower() in _OURS:
            raise SecretFileError(f"{path}: line {number}: {match[1]} is set by sipdispatch")
        fields[match[1]] = match[2].strip()
    return fields


def _lines(path: Path) -> list[str]:
    """The lines of a file that are not empty, without the blanks at their ends."""
    try:
        raw, status = read_regular(path, _FILE_LIMIT_OCTETS + 1)
    except OSError as error:
        raise SecretFileError(f"{path}: cannot be read: {error.strerror}") from None
    if raw is None:
        raise SecretFileError(f"{path}: is not a regular file")
    if stat.S_IMODE(status.st_mode) & 0o007:
        raise SecretFileError(f"{path}: can be read by every user: chmod o= {path}")
    if len(raw) > _FILE_LIMIT_OCTETS:
        raise SecretFileError(f"{path}: is longer than {_FILE_LIMIT_OCTETS} octets")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SecretFileError(f"{path}: is not UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
