"""Can a message be sent to what stands in the destination column, and if not, what should be written there?"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, get_args

from dispatcher.destination import AVAILABLE_TRANSPORTS, Transport
from dispatcher.listword import Findings, Word, shown
from sip.errors import SipError
from sip.uri import SipUri, numeric, parse_uri

GENERAL_HINT: Final = "write sip:HOST or sip:HOST:PORT"
MAX_NAME = 253
MAX_LABEL = 63
"""Longest host name and longest part of one between dots (RFC 1035 2.3.4)."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_WRAPPED = re.compile(r"([<\"'])(.*?)([>\"'])?")
_FOREIGN = frozenset({"tel", "urn", "http", "https", "h323", "im", "pres", "iax", "iax2", "mailto"})
_Fault = tuple[int, str, str]
"""Offset in the word, message, hint."""


def read_destination(word: Word, found: Findings) -> SipUri | None:
    """The URI of the destination column; None, and the reasons in `found`, when no call could be sent there."""
    try:
        target = parse_uri(word.text.encode())
    except SipError as error:
        offset, message, hint = _explain(word.text, error)
        found.error(word.part(offset), message, hint)
        return None
    faults = [*_parameter_faults(target), *_host_faults(target)]
    for message, hint in faults:
        found.error(word, message, hint)
    return None if faults else target


def available(transport: str) -> bool:
    """Whether a message can leave by this transport in this version."""
    return transport in AVAILABLE_TRANSPORTS


def _is_destination(text: str) -> bool:
    try:
        return not any(_host_faults(parse_uri(text.encode())))
    except SipError:
        return False


def _is_ipv6(text: str) -> bool:
    return ":" in text and "%" not in text and numeric(text) is not None


def _explain(text: str, error: SipError) -> _Fault:
    """Why the URI grammar refuses this text, in the order in which people get it wrong."""
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped:
        return 0, f"a destination stands without quotes and brackets: {shown(text)}", f"write {shown(wrapped[2])}"
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() in ("sip", "sips"):
        return _explain_sip(text, scheme.end(), error)
    if scheme is not None and scheme[1].lower() in get_args(Transport):
        rest = text[scheme.end() :]
        return 0, f"'{scheme[0]}' is how a socket is written, not a destination", f"write sip:{shown(rest)}"
    if scheme is not None and scheme[1].lower() in _FOREIGN:
        return 0, f"a {scheme[1].lower()}: URI cannot be a destination", GENERAL_HINT
    if _is_ipv6(text):
        return 0, "scheme and brackets of the IPv6 address are missing", f"write sip:[{text}]"
    if _is_destination("sip:" + text):
        return 0, f"scheme is missing before '{shown(text)}' (Kamailio adds sip: by itself)", f"write sip:{shown(text)}"
    return 0, f"'{shown(text)}' is not a SIP URI", GENERAL_HINT


def _explain_sip(text: str, start: int, error: SipError) -> _Fault:
    """What is wrong in a text that does begin with sip: or sips:, which end at `start`."""
    prefix = text[:start]
    if text.startswith("//", start):
        return 0, f"'//' does not belong into a SIP URI: {shown(text)}", f"write {prefix}{shown(text[start + 2 :])}"
    begin = max(start, text.rfind("@") + 1)
    host_port = re.split("[;?]", text[begin:], maxsplit=1)[0]
    if not host_port:
        return begin, f"host is missing in '{shown(text)}'", GENERAL_HINT
    fault = _explain_host_port(host_port, shown(text[:begin]))
    if fault is not None:
        return begin + fault[0], fault[1], fault[2]
    if error.reason == "Empty parameter in URI":
        better = re.sub(";+", ";", text).removesuffix(";")
        return len(text) - 1, "';' with no parameter after it", f"write {shown(better)}"
    if error.reason == "Malformed escape in URI":
        return 0, "'%' must be followed by two hexadecimal digits", "write %25 for a percent sign"
    return 0, f"'{shown(text)}' is not a SIP URI", GENERAL_HINT


def _explain_host_port(text: str, prefix: str) -> _Fault | None:
    """What is wrong with host:port, None when the fault lies elsewhere; `prefix` is the URI before it."""
    if "%" in text and text.count(":") > 1:
        return 0, f"an interface cannot be named in a SIP URI: {shown(text)}", "write an address that needs none"
    host, colon, port = text.rpartition(":")
    if _is_ipv6(text):
        other = f" or {prefix}[{host}]:{port}" if _is_ipv6(host) and port.isdigit() else ""
        return 0, f"IPv6 address without brackets: {text}", f"write {prefix}[{text}]{other}"
    if _is_ipv6(host):
        return 0, f"IPv6 address without brackets: {shown(text)}", f"write {prefix}[{host}]:{shown(port)}"
    if text.startswith("["):
        host, bracket, after = text.partition("]")
        if not bracket or not _is_ipv6(host[1:]):
            message = f"'{shown(text)}' is not an IPv6 address in brackets"
            return 0, message, f"write {prefix}[ADDRESS] or {prefix}[ADDRESS]:PORT"
        host, colon, port = host + bracket, after[:1], after[1:]
    if colon and not port:
        return len(host), "':' with no port after it", f"write {prefix}{shown(host)}"
    if colon and not (port.isascii() and port.isdigit()):
        return len(host) + 1, f"port '{shown(port)}' is not a number", f"write {prefix}{shown(host)}:5060"
    if colon and not (len(port) < 6 and 0 < int(port) < 65536):
        return len(host) + 1, f"port must be 1 to 65535, not {shown(port)}", f"write {prefix}{shown(host)}:5060"
    if not text.isascii():
        return 0, f"host name is not ASCII: {shown(text)}", "write its xn-- form"
    return None


def _parameter_faults(target: SipUri) -> Iterator[tuple[str, str]]:
    if target.headers is not None:
        yield "headers ('?...') cannot be sent to a destination", "end the URI before the '?'"
    names = Counter(name for name, _ in target.params)
    for name in sorted(name for name, count in names.items() if count > 1):
        yield f"parameter '{shown(name)}' stands twice", "write it once"
    if target.param("maddr") is not None:
        yield "parameter maddr would send calls to another address than the host", "write that address as the host"
    if "transport" in names and not target.param("transport"):
        yield "parameter transport has no value", "write transport=udp or leave it out"
        return
    transport = "tls" if target.scheme == "sips" else target.transport
    if transport not in get_args(Transport):
        yield f"transport '{shown(transport)}' does not exist here", "write transport=udp or leave it out"
    elif available(transport):
        return
    elif target.scheme == "sips":
        yield f"sips needs TLS, which is not available yet, only {_available()}", "write sip: instead of sips:"
    else:
        yield (
            f"transport {transport} is not available yet, only {_available()}: no call could be sent",
            "write transport=udp or leave it out",
        )


def _available() -> str:
    return ", ".join(sorted(AVAILABLE_TRANSPORTS))


def _host_faults(target: SipUri) -> Iterator[tuple[str, str]]:
    host = target.numeric_host
    if host is None:
        yield from _name_faults(target.host)
        return
    address = ipaddress.ip_address(host)
    if address.is_unspecified or (address.version == 4 and address.packed[0] == 0):
        yield f"{host} is a wildcard, not the address of a server", "write the server's own address"
    elif address.is_multicast:
        yield f"{host} is a multicast address", "write one line for each server's own address"
    elif host == "255.255.255.255":
        yield f"{host} is the broadcast address", "write one line for each server's own address"
    elif isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        yield "an IPv4 address written as IPv6 cannot be sent to", f"write {address.ipv4_mapped}"
    elif isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        yield (
            f"{host} is a link-local address, which needs an interface that a SIP URI cannot name",
            "write a global or unique local address",
        )


def _name_faults(host: str) -> Iterator[tuple[str, str]]:
    name = host.removesuffix(".")
    labels = name.split(".")
    if labels[-1].isdigit():
        plain = ".".join(label.lstrip("0") or "0" for label in labels) if len(name) < MAX_NAME else ""
        better = plain if numeric(plain) else "four numbers from 0 to 255, without zeros in front"
        yield f"'{shown(host)}' is neither an IPv4 address nor a host name", f"write {better}"
    elif len(name) > MAX_NAME:
        yield f"host name of {len(name)} characters is too long, {MAX_NAME} is the most", "write a shorter name"
    elif any(len(label) > MAX_LABEL for label in labels):
        yield (
            f"part of host name '{shown(host)}' is too long, {MAX_LABEL} characters between dots are the most",
            "write a shorter name",
        )
    elif not all(_LABEL.fullmatch(label) for label in labels):
        yield (
            f"'{shown(host)}' is not a host name",
            "between dots stand letters, digits and inner hyphens",
        )
