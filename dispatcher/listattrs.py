"""What do the attributes of a line (`name=value;name=value`) say, and what is wrong with them?"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

import attrs

from dispatcher.destination import NO_ATTRIBUTES, Transport
from dispatcher.listuri import available
from dispatcher.listword import Findings, Word, shown
from sip.errors import SipError
from sip.uri import Address, SipUri, numeric, parse_uri

MAX_NUMBER: Final = 2**31 - 1
"""The largest number of a list: what a signed 32-bit integer holds, in Kamailio too."""
KAMAILIO_WEIGHTS: Final = range(1, 101)
MAX_PROBES_IN_A_ROW: Final = 1000
LONGEST_SLIP: Final = 40
"""A name longer than this is no slip of the pen for one of ours."""

_ITEM = re.compile(r"([^=;]*)(?:=(\"[^\"]*\"|'[^']*'|[^;]*))?([^;]*)(;|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,10}")
_DURATION = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,7})?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0}
_SOCKET = re.compile(r"([A-Za-z]+):(\[[^\]]*\]|[^:\[\]]+):([0-9]{1,5})")
_REPLY_CODE = re.compile(r"code=([2-6][0-9]{2})|class=([2-6])", re.IGNORECASE)


class UnusableValueError(Exception):
    """The value of an attribute cannot be used: what it should be, and one that could stand there."""

    def __init__(self, message: str, better: str) -> None:
        super().__init__(message)
        self.message = message
        self.better = better


@attrs.frozen
class Attributes:
    """The attributes of one line: typed as fields of an Entry, as written, and where each name stands."""

    fields: Mapping[str, Any] = attrs.Factory(dict)
    written: Mapping[str, str] = NO_ATTRIBUTES
    words: Mapping[str, Word] = attrs.Factory(dict)


@attrs.frozen
class _Item:
    """One `name=value`; `text` is the whole of it, `value` is without quotes, None when there is no '='."""

    text: str
    name: Word
    value: Word | None
    quoted: bool


def read_attributes(word: Word, target: SipUri | None, found: Findings) -> Attributes:
    """Every attribute of the fifth column, those with a meaning typed; what is wrong goes to `found`.

    `target` is the destination of the same line, None when it is unusable.
    """
    fields: dict[str, Any] = {}
    written: dict[str, str] = {}
    words: dict[str, Word] = {}
    for item in _items(word, found):
        name = item.name.text.lower()
        if not _NAME.fullmatch(name):
            found.error(item.name, *_not_a_name(item))
        elif name in written:
            found.error(item.name, f"attribute {shown(name)} stands twice", "write it once")
        elif name in ("code", "class") and "reply_codes" in written:
            message = f"'{shown(item.text)}' stands outside reply_codes"
            found.error(item.name, message, 'write reply_codes="code=200;class=4"')
        else:
            written[name] = "" if item.value is None else item.value.text
            words[name] = item.name
            _read_item(name, item, fields, found)
    socket, host = fields.get("socket"), None if target is None else target.numeric_host
    if socket is not None and host is not None and (":" in host) != (":" in socket[0]):
        message = f"socket {socket[0]} and destination {host} are of different address families"
        found.error(words["socket"], message, "write a socket of the destination's family")
    return Attributes(fields, MappingProxyType(written), words)


def _items(word: Word, found: Findings) -> Iterator[_Item]:
    """Cut the column at its semicolons; ends at the first quote that makes no sense."""
    for match in _ITEM.finditer(word.text):
        if not match[0]:  # the end of the text
            continue
        value = None if match[2] is None else word.part(match.start(2), match.end(2))
        quoted = value is not None and value.text[:1] in ('"', "'")
        if not match[0].strip(";"):
            found.error(word.part(match.start()), "';' with no attribute before it", "write one ';' between attributes")
            continue
        if match[3]:
            found.error(word.part(match.start(3)), "text after a closing quote", "write ';' between attributes")
            return
        if value is not None and quoted:
            quote = value.text[0]
            if len(value.text) == 1 or value.text[-1] != quote:
                found.error(value, f"quote is never closed: {shown(value.text)}", f"close it with {quote}")
                return
            value = value.part(1, len(value.text) - 1)
        if match[4] and match.end() == len(word.text):
            found.warning(word.part(match.start(4)), "';' after the last attribute", "leave it out")
        text = match[0].removesuffix(";")
        yield _Item(text, word.part(match.start(1), match.end(1)), value, quoted)


def _not_a_name(item: _Item) -> tuple[str, str]:
    text = shown(item.text)
    if item.value is None and _WHOLE_NUMBER.fullmatch(item.text):
        return f"attribute '{text}' has no name", f"write weight={text} if it is a weight"
    return f"'{text}' is not an attribute", "write name=value, the name of letters, digits, '_', '-' and '.'"


def _read_item(name: str, item: _Item, fields: dict[str, Any], found: Findings) -> None:
    """Type one attribute into `fields`; `name` is in lower case."""
    known = KNOWN.get(name)
    if item.value is not None and not item.value.text:
        example = "VALUE" if known is None else known.example
        found.error(item.name, f"attribute {shown(name)} has no value after '='", f"write {shown(name)}={example}")
        return
    if known is None:
        found.warning(item.name, *_without_effect(name))
    elif item.value is None:
        found.error(item.name, f"attribute {name} has no value", f"write {name}={known.example}")
        return
    else:
        text = item.value.text
        try:
            fields[name] = known.read(text)
        except UnusableValueError as fault:
            hint = f"write {name}={_better(known, text, fault)}"
            found.error(item.value, f"{name} {fault.message}, not '{shown(text)}'", hint)
            return
        if name in ("weight", "rweight") and fields[name] not in KAMAILIO_WEIGHTS:
            found.warning(item.value, *_beyond_kamailio(name, fields[name]))
    if item.value is not None and not item.quoted and "#" in item.value.text:
        found.warning(
            item.value.part(item.value.text.index("#")),
            "'#' inside attributes is part of the value, not a comment",
            "write a space before it, or quotes round the value",
        )


def _better(known: Known, value: str, fault: UnusableValueError) -> str:
    """The value to write instead; a '#' or a comma in it says what the writer had in mind."""
    first, _, comment = value.partition("#")
    if comment and _usable(known, first):
        return f"{first} #{shown(comment)}"
    first, _, attribute = value.partition(",")
    if "=" in attribute and _usable(known, first):
        return f"{first};{shown(attribute)}"
    return fault.better


def _usable(known: Known, value: str) -> bool:
    try:
        known.read(value)
    except UnusableValueError:
        return False
    return True


def _beyond_kamailio(name: str, weight: int) -> tuple[str, str]:
    if weight:
        return f"Kamailio takes {name} 1 to 100 and reads {weight} as 0", "write 1 to 100 if both read this list"
    return f"Kamailio takes {name} 1 to 100 and complains about 0", "here it means no new work"


def _without_effect(name: str) -> tuple[str, str]:
    meaning = KAMAILIO_ONLY.get(name)
    if meaning is not None:
        return f"attribute {name} has no effect here", f"in Kamailio it is {meaning}"
    near = difflib.get_close_matches(name, KNOWN, n=1) if len(name) < LONGEST_SLIP else []
    return f"attribute {shown(name)} is unknown and has no effect", f"did you mean {near[0]}?" if near else "it is kept"


@attrs.frozen
class Known:
    """An attribute that has an effect: how its value is read, and a value that is fit for an example."""

    read: Callable[[str], Any]
    example: str


def _number(low: int, example: str, high: int = MAX_NUMBER) -> Known:
    def read(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise UnusableValueError(f"is a whole number from {low} to {high}", example)
        return int(text)

    return Known(read, example)


def _duration(low: float, high: float, words: str, example: str) -> Known:
    def read(text: str) -> float:
        match = _DURATION.fullmatch(text)
        seconds = 0.0 if match is None else float(match[1]) * _SECONDS[match[2]]
        if not low <= seconds <= high:
            raise UnusableValueError(f"is a time from {words} (a number with ms, s or m; seconds without)", example)
        return seconds

    return Known(read, example)


def _socket(text: str) -> Address:
    match = _SOCKET.fullmatch(text)
    if match is None:
        raise UnusableValueError("is transport:address:port", _better_socket(text))
    transport, host, port = match[1].lower(), match[2], int(match[3])
    if transport not in get_args(Transport) or not available(transport):
        raise UnusableValueError("can be a udp socket only", f"udp:{host}:{port}")
    try:
        address = ipaddress.IPv6Address(host[1:-1]) if host[0] == "[" else ipaddress.IPv4Address(host)
    except ValueError:
        raise UnusableValueError("is a numeric address", f"udp:192.0.2.1:{port}") from None
    if address.is_unspecified or address.is_multicast or "%" in host:
        raise UnusableValueError("is an address of this node", f"udp:192.0.2.1:{port}")
    if not 0 < port < 65536:
        raise UnusableValueError("has a port from 1 to 65535", f"udp:{host}:5060")
    return str(address), port


def _better_socket(text: str) -> str:
    """What the writer of a socket with a part missing may have meant."""
    rest = text.removeprefix("udp:")
    host, _, port = rest.rpartition(":")
    if numeric(rest) and ":" not in rest:
        return f"udp:{rest}:5060"
    if numeric(host) and ":" not in host:
        return f"udp:{host}:{shown(port)}"
    if numeric(host):
        return f"udp:[{host}]:{shown(port)}"
    return "udp:192.0.2.1:5060 or udp:[2001:db8::1]:5060"


def _ping_from(text: str) -> str:
    try:
        parse_uri(text.encode())
    except SipError:
        raise UnusableValueError("is a SIP URI", "sip:probe@edge.example.com") from None
    return text


def _reply_codes(text: str) -> frozenset[int]:
    codes = set(range(200, 300))
    for item in text.split(";"):
        match = _REPLY_CODE.fullmatch(item)
        if match is None:
            raise UnusableValueError("lists code=NNN (200 to 699) and class=N (2 to 6)", '"code=404;class=3"')
        first, many = (int(match[1]), 1) if match[1] else (int(match[2]) * 100, 100)
        codes.update(range(first, first + many))
    return frozenset(codes)


KNOWN: Final[Mapping[str, Known]] = MappingProxyType(
    {
        "weight": _number(0, "50"),
        "rweight": _number(0, "50"),
        "priority": _number(0, "10"),
        "duid": Known(str, "pbx1"),
        "maxload": _number(0, "200"),
        "socket": Known(_socket, "udp:192.0.2.1:5060"),
        "ping_from": Known(_ping_from, "sip:probe@edge.example.com"),
        "probe_interval": _duration(0.1, 3600, "100ms to 60m", "1s"),
        "probe_timeout": _duration(0.01, 60, "10ms to 1m", "500ms"),
        "rise": _number(1, "2", MAX_PROBES_IN_A_ROW),
        "fall": _number(1, "2", MAX_PROBES_IN_A_ROW),
        "reply_codes": Known(_reply_codes, '"code=404;class=3"'),
    }
)
"""Each is a field of Entry by the same name."""

KAMAILIO_ONLY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cc": "congestion control",
        "latency": "the first value of the latency statistics",
        "none": "a mark for empty attributes",
        "obproxy": "the outbound proxy of probes",
        "ocmax": "overload control",
        "ocmin": "overload control",
        "ocrate": "overload control",
        "ping_reply_codes": "the list of good replies; write reply_codes",
        "ping_socket": "the socket of probes",
        "sockname": "the name of a socket; write socket=udp:ADDRESS:PORT",
    }
)
