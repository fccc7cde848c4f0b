"""Which message is to be explained, and from where does it come: a file, or what the options say?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from dispatcher.listener import Listener
from dispatcher.snapshot import Snapshot
from sip.errors import SipError
from sip.limits import MAX_MESSAGE_BYTES
from sip.message import Message
from sip.request import read_request
from sip.uri import Address, host_port, numeric
from sip.via import parse_via, reply_address, vias
from sipdispatch.errors import CommandError
from sipdispatch.explain_options import MessageOptions

STRANGERS = {4: ("203.0.113.1", "198.51.100.1", "192.0.2.1"), 6: ("2001:db8::1", "3fff::1")}
"""Addresses that belong to nobody (RFC 5737, 3849, 9637), by family: a source that nobody has named is one of them."""

_PORT = 5060


@attrs.frozen(kw_only=True)
class Asked:
    """The options about the message, as written; None where one was not given."""

    file: str | None = None
    call_id: str | None = None
    method: str | None = None
    uri: str | None = None
    from_: str | None = None
    to: str | None = None
    source: str | None = None
    listener: str | None = None

    @property
    def describing(self) -> dict[str, str]:
        """The options that say something about the message itself, and what they say."""
        options = {
            "--call-id": self.call_id,
            "--method": self.method,
            "--uri": self.uri,
            "--from": self.from_,
            "--to": self.to,
        }
        return {option: value for option, value in options.items() if value is not None}


@attrs.frozen(kw_only=True)
class Arriving:
    """A datagram with its source and the place of the listener.

    `assumed` has what nobody has said and a word about what was taken instead.
    """

    datagram: bytes
    source: Address
    arrival: int
    assumed: dict[str, str]


def asked_in(options: MessageOptions) -> Asked:
    """What the options say; raises CommandError where that makes no message."""
    asked = Asked(
        file=options["file"],
        call_id=options["call_id"],
        method=options["method"],
        uri=options["uri"],
        from_=options["from_"],
        to=options["to"],
        source=options["source"],
        listener=options["listener"],
    )
    if asked.file is None and not asked.describing:
        raise CommandError(
            "there is no message to explain",
            "sipdispatch explain",
            "write a FILE with a message (- for standard input), or say --call-id TEXT",
        )
    if asked.file is not None and asked.describing:
        raise CommandError(
            "the message is in the file, and the options would make another one",
            f"sipdispatch explain {asked.file}",
            "leave out the file, or --call-id, --method, --uri, --from and --to",
        )
    return asked


def read_file(name: str) -> bytes:
    """The bytes of a message; raises CommandError."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_MESSAGE_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise CommandError(
            f"the message cannot be read: {error.strerror}",
            name,
            "name a file that can be read, or - for standard input",
        ) from error


def arrive(asked: Asked, datagram: bytes | None, snapshot: Snapshot) -> Arriving:
    """The message (None: made of the options) as it reaches the proxy; raises CommandError."""
    assumed: dict[str, str] = {}
    source = None if asked.source is None else _address(asked.source, "--source")
    arrival = None if asked.listener is None else _listener(asked.listener, snapshot.listeners)
    if source is None and datagram is not None and (source := _sender(datagram)) is not None:
        assumed["source"] = "as its top Via says; --source says otherwise"
    if source is None:
        family = snapshot.listeners[arrival or 0].family
        source = _stranger(snapshot, family), _PORT
        assumed["source"] = "assumed; --source says otherwise"
    if arrival is None:
        arrival = _listener_of(snapshot.listeners, source)
        if len(snapshot.listeners) > 1:
            assumed["listener"] = "the first of its family; --listener says otherwise"
    listener = snapshot.listeners[arrival]
    if listener.family != (6 if ":" in source[0] else 4):
        raise CommandError(
            f"a message from {source[0]} cannot arrive on {listener}",
            "options --source and --listener",
            "write addresses of one family",
        )
    if datagram is None:
        datagram = _make(asked, listener, source, assumed)
    return Arriving(datagram=datagram, source=source, arrival=arrival, assumed=assumed)


def _address(text: str, option: str) -> Address:
    """`[udp:]ADDRESS[:PORT]`; an IPv6 address without a port may stand without brackets."""
    bare = text.lower().removeprefix("udp:")
    host, colon, port = (bare, "", "") if numeric(bare.strip("[]")) is not None else bare.rpartition(":")
    address = numeric(host.removeprefix("[").removesuffix("]"))
    is_port = (port.isascii() and port.isdigit() and 0 < int(port) < 65536) if colon else True
    if address is None or not is_port:
        raise CommandError(
            f"{text!r} is no address",
            f"option {option}",
            "write one as 198.51.100.7, 198.51.100.7:5060 or [2001:db8::7]:5060",
        )
    return address, int(port) if colon else _PORT


def _listener(text: str, listeners: Sequence[Listener]) -> int:
    address = _address(text, "--listener")
    for place, listener in enumerate(listeners):
        if address in (listener.address, listener.advertised):
            return place
    raise CommandError(
        f"the proxy does not listen on {host_port(address)}",
        "option --listener",
        f"write one of {', '.join(map(str, listeners))}",
    )


def _listener_of(listeners: Sequence[Listener], source: Address) -> int:
    family = 6 if ":" in source[0] else 4
    for place, listener in enumerate(listeners):
        if listener.family == family:
            return place
    raise CommandError(
        f"there is no IPv{family} listener for a message from {source[0]}",
        "option --source",
        "write an address of a family that the proxy listens on",
    )


def _sender(datagram: bytes) -> Address | None:
    """Where a message in a file comes from, by its top Via; None for a reply, a name, or what cannot be read."""
    try:
        message = Message.parse(datagram)
        return reply_address(parse_via(vias(message)[0])) if message.method else None
    except (SipError, IndexError):
        return None


def _stranger(snapshot: Snapshot, family: int) -> str:
    """An address that is nobody's, on the edge if there is one."""
    return next((host for host in STRANGERS[family] if not snapshot.is_core(host)), STRANGERS[family][0])


def _make(asked: Asked, listener: Listener, source: Address, assumed: dict[str, str]) -> bytes:
    """The request that the options describe; raises CommandError when it is not legal."""
    method = asked.method or "INVITE"
    uri = asked.uri or f"sip:{listener.sent_by.decode()}"
    caller = asked.from_ or "sip:explain@invalid"
    called = asked.to or (caller if method == "REGISTER" else uri)
    if asked.call_id is None:
        assumed["call_id"] = "assumed; --call-id says otherwise"
    lines = (
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {host_port(source)};branch=z9hG4bK-explain;rport",
        "Max-Forwards: 70",
        f"From: {_in_brackets(caller)};tag=explain",
        f"To: {_in_brackets(called)}",
        f"Call-ID: {asked.call_id or 'explain'}",
        f"CSeq: 1 {method}",
        "Content-Length: 0",
        "",
        "",
    )
    for option, value in asked.describing.items():
        if not value.isprintable() or not value.strip():
            raise CommandError(f"{value!r} cannot stand in a message", f"option {option}", "write one line of text")
    datagram = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    try:
        read_request(Message.parse(datagram))
    except SipError as error:
        raise CommandError(
            f"this makes no legal request: {error.reason}",
            f"option {', '.join(asked.describing)}",
            "write a method as INVITE, URIs as sip:8006@example.com, a Call-ID without blanks",
        ) from error
    return datagram


def _in_brackets(text: str) -> str:
    return text if "<" in text else f"<{text}>"


def says_line_feeds_only(datagram: bytes) -> bool:
    """Whether a file has lost its carriage returns, which shortens the body too."""
    return b"\n" in datagram and b"\r\n" not in datagram
