"""For how long does a server ask to be left alone (RFC 3261 20.33)?"""

from __future__ import annotations

import re

from sip.message import Message

_RETRY_AFTER = re.compile(rb"[ \t\r\n]*+([0-9]{1,10})[ \t\r\n]*+(?![^;( \t\r\n])")
"""delta-seconds; a comment or parameters may follow, and whoever forgets blanks before them is understood."""


def read_retry_after(message: Message) -> int | None:
    """The seconds that Retry-After says; None without the field or when it cannot be read.

    A comment and the parameter `duration` are for people; nobody has defined what a proxy would do with them.
    """
    raw = message.first.get(b"retry-after")
    match = None if raw is None else _RETRY_AFTER.match(raw)
    return None if match is None else int(match[1])
