"""Messages for tests of the language: a plain request, its pieces replaced or added to one by one."""

from __future__ import annotations

from sip.message import Message
from sip.request import Request, read_request

START = b"INVITE sip:8006@192.0.2.1 SIP/2.0"
FIELDS = {
    b"Via": b"SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport",
    b"Max-Forwards": b"70",
    b"From": b'"Alice" <sip:8005@192.0.2.1>;tag=from-tag',
    b"To": b"<sip:8006@192.0.2.1>",
    b"Call-ID": b"call-1@phone",
    b"CSeq": b"1 INVITE",
}


def datagram(
    start: bytes = START,
    *,
    change: dict[bytes, bytes | None] | None = None,
    extra: tuple[bytes, ...] = (),
    body: bytes = b"",
    eol: bytes = b"\r\n",
) -> bytes:
    """The plain request; `change` replaces a field's value or, with None, takes the field away; `extra` are lines."""
    fields = {**FIELDS, **(change or {})}
    lines = [name + b": " + value for name, value in fields.items() if value is not None]
    return eol.join((start, *lines, *extra, b"", body))


def parsed(**pieces: object) -> Request:
    """The same request, read."""
    return read_request(Message.parse(datagram(**pieces)))  # type: ignore[arg-type]
