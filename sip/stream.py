"""Where does a message on a stream end and the next one begin (RFC 3261 18.3, RFC 5626 3.5.1)?"""

from __future__ import annotations

import re

from sip.errors import SipError
from sip.limits import MAX_LENGTH_DIGITS, MAX_MESSAGE_BYTES
from sip.message import Message, unfold

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LONGEST_END = 3


class Framer:
    """Cuts a stream into messages.  Memory is bounded: a message that is too long raises before all of it is read.

    Order of calls: `receive_data` with what came, then `next_message` until it is None, and so on.  After a SipError
    nothing that follows can be understood, and the stream is to be closed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._looked = 0
        """So many bytes have no end of a head in them: a head that drips in is not searched again and again."""
        self._length: int | None = None
        """Of the message at the front of the buffer, once its head is complete."""

    def receive_data(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, None when more must come; raises SipError.

        Line ends between messages are keepalives and are dropped.  Without Content-Length there is no body: RFC 3261
        20.14 demands it on streams.
        """
        if self._length is None:
            self._drop_keepalives()
            self._length = self._find_length()
        if self._length is None or len(self._buffer) < self._length:
            return None
        message = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length, self._looked = None, 0
        return message

    @property
    def holds_a_part(self) -> bool:
        """Whether a message has begun that is not yet whole."""
        return bool(self._buffer.strip(b"\r\n"))

    def _drop_keepalives(self) -> None:
        if not self._looked and self._buffer.startswith((b"\r", b"\n")):
            self._buffer = self._buffer.lstrip(b"\r\n")

    def _find_length(self) -> int | None:
        """Head and body together, None when the head is not whole yet."""
        end = _END_OF_HEAD.search(self._buffer, max(self._looked - _LONGEST_END, 0), MAX_MESSAGE_BYTES)
        if end is None:
            if len(self._buffer) >= MAX_MESSAGE_BYTES:
                raise SipError("Message Too Large", 513)
            self._looked = len(self._buffer)
            return None
        raw = Message.parse(bytes(self._buffer[: end.end()])).first.get(b"content-length")
        length = end.end() + (0 if raw is None else _read_length(unfold(raw)))
        if length > MAX_MESSAGE_BYTES:
            raise SipError("Message Too Large", 513)
        return length


def _read_length(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
        raise SipError("Malformed Content-Length")
    return int(digits)
