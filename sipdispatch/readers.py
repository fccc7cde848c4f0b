"""What does one value of the configuration mean?

Each function takes what stands in the TOML file and returns the value of `sipdispatch.config`, or raises BadValueError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

from dispatcher.algorithm import Algorithm, parse_algorithm
from dispatcher.listener import Listener
from dispatcher.rules import Network
from dispatcher.user_pattern import PatternError, compile_user_pattern
from sip.uri import DEFAULT_PORT, unescape

_SHOWN_LENGTH = 60
_HOST_LENGTH = 253  # RFC 1035 2.3.4, without the dot at the end
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # token, RFC 3261 25.1
_METHODS = tuple("INVITE BYE OPTIONS REGISTER SUBSCRIBE NOTIFY REFER INFO MESSAGE PRACK UPDATE PUBLISH".split())
_OTHER_TRANSPORTS = ("tcp", "tls", "sctp", "ws", "wss")

BUFFER_MINIMUM = 64 << 10
"""One datagram of the largest size; the kernel would take less and lose every burst."""
BUFFER_MAXIMUM = 1 << 30
"""The kernel halves what is beyond (net/core/sock.c: the value is doubled inside an int)."""
SET_MAXIMUM = 2**31 - 1
RECENT_CHOICES_MAXIMUM = 1 << 24
RETRY_AFTER_MAXIMUM_S = 86_400
SERVER_HEADER_LENGTH = 128


class BadValueError(ValueError):
    """A value that cannot stand where it stands: what is wrong with it, and what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint


# --------------------------------------------------------------------------------------------------------------------
# Kinds of value


def shown(value: object) -> str:
    """A value as a message quotes it: on one line, long ones cut."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


def kind(value: object) -> str:
    """What sort of TOML value this is, for people."""
    match value:
        case bool():
            return f"{shown(value)}"
        case str():
            return f"text ({shown(value)})"
        case int() | float():
            return f"a number ({shown(value)})"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a date or time ({shown(value)})"


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """Tell the nearest of the known words, or all of them."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(known)}"


def read_text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'write "{value}", in quotes' if is_number else "write text, in quotes"
        raise BadValueError(f"must be text, not {kind(value)}", hint)
    if not value.strip():
        raise BadValueError("is empty", "write a value, or leave the key out")
    return value


def read_bool(value: object) -> bool:
    """One of the two words of TOML, nothing that merely looks like yes."""
    if not isinstance(value, bool):
        raise BadValueError(
            f"must be true or false, not {kind(value)}", "write true or false, in lower case, without quotes"
        )
    return value


def read_int(low: int, high: int, what: str) -> Callable[[object], int]:
    """A reader of whole numbers from `low` to `high`; `what` names their unit or meaning."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            hint = f"write {value} without quotes" if _is_digits(value) else f"write {what} from {low} to {high}"
            raise BadValueError(f"must be a whole number, not {kind(value)}", hint)
        if not low <= value <= high:
            raise BadValueError(f"{value} is out of range", f"write {what} from {low} to {high}")
        return value

    return read


def read_word(known: tuple[str, ...]) -> Callable[[object], Any]:
    """A reader of one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f"must be text, not {kind(value)}", suggestion("", known))
        if value not in known:
            raise BadValueError(f"{shown(value)} is not known here", suggestion(value, known))
        return value

    return read


def read_path(base: Path) -> Callable[[object], Path]:
    """A reader of paths; a relative one starts at `base`, an absolute folder."""

    def read(value: object) -> Path:
        text = read_text(value)
        if text.startswith(("~", "$")):
            raise BadValueError(f"{shown(text)} is not expanded as a shell does it", "write the whole path, from /")
        if "\0" in text:
            raise BadValueError("a path has no NUL in it", "write the whole path, from /")
        return base / text

    return read


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


# --------------------------------------------------------------------------------------------------------------------
# Addresses, names, networks


def read_listener(value: object) -> Listener:
    """`[udp:]ADDRESS[:PORT]`, an IPv6 address in brackets."""
    text = read_text(value)
    prefix, colon, rest = text.partition(":")
    transport = prefix.lower() if colon else ""
    if transport in {"sip", "sips"} or rest.startswith("//"):
        raise BadValueError(f"{shown(text)} is a URI", 'write transport, address and port, as in "udp:192.0.2.10:5060"')
    if transport in _OTHER_TRANSPORTS:
        raise BadValueError(f"{transport} is not served by this version, only udp is", f'write "udp:{rest}"')
    host, port = _split_host_port(rest if transport == "udp" else text)
    return Listener("udp", (_bindable(host, text), DEFAULT_PORT if port is None else port))


def read_advertise(value: object) -> tuple[str, int | None]:
    """`NAME_OR_ADDRESS[:PORT]`: (host, port or None)."""
    text = read_text(value)
    prefix = text.partition(":")[0].lower()
    if prefix in {"udp", "sip", "sips", *_OTHER_TRANSPORTS} and ":" in text:
        raise BadValueError(
            f"{shown(text)} begins with {prefix}:", f'write only host and port, as in "{text[len(prefix) + 1 :]}"'
        )
    host, port = _split_host_port(text)
    name = _host(host, text)
    if _is_wildcard(name):
        raise BadValueError(
            f"nobody can send to {name}", "write the address or the name by which others reach this listener"
        )
    return name, port


def read_domain(value: object) -> str:
    """A host name or numeric address that stands for this proxy, in lower case."""
    text = read_text(value)
    prefix, colon, _ = text.partition(":")
    if prefix.lower() in {"sip", "sips"} and colon:
        raise BadValueError(f"{shown(text)} is a URI", f'write only the name, as in "{text[len(prefix) + 1 :]}"')
    if "@" in text:
        raise BadValueError(
            f"{shown(text)} has a user part", f'write only the domain, as in "{text.rpartition("@")[2]}"'
        )
    if text.startswith("*"):
        raise BadValueError(f"{shown(text)} is a pattern", "write each domain by itself")
    host, port = _split_host_port(text)
    if port is not None:
        raise BadValueError(
            f"{shown(text)} has a port", f'write only the name, as in "{host}": a domain has every port'
        )
    return _host(host, text)


def read_network(value: object) -> Network:
    """A network in CIDR form, or a single address."""
    text = read_text(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        bare = text.replace("[", "").replace("]", "")
        hint = f'write "{bare}"' if bare != text else 'write it as in "10.0.0.0/8" or "2001:db8::/32"'
        raise BadValueError(f"{shown(text)} is not a network", hint) from None
    raise BadValueError(
        f"{shown(text)} is an address inside a network, not the network",
        f'write "{network}" for the network or "{text.partition("/")[0]}" for the one address',
    )


def read_core_network(value: object) -> Network:
    """A network of servers: never everything, because servers may send anywhere through the proxy."""
    network = read_network(value)
    if network.prefixlen == 0:
        raise BadValueError(
            f"{shown(str(network))} makes everybody a server, and the proxy an open relay",
            "write only the networks that your own servers are in",
        )
    return network


def _split_host_port(text: str) -> tuple[str, int | None]:
    """Host (a bracketed IPv6 address keeps its brackets) and port of `HOST[:PORT]`."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            raise BadValueError(f"{shown(text)} has no closing bracket", 'write it as in "[2001:db8::1]:5060"')
        host += bracket
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
        if ":" in port:
            raise BadValueError(
                f"{shown(text)} is an IPv6 address without brackets, so that its port cannot be told",
                'write it as in "[2001:db8::1]:5060"',
            )
    if not rest:
        return host, None
    port = rest[1:]
    if rest[0] != ":" or not _is_digits(port) or not 0 < int(port[:6]) < 65536:
        raise BadValueError(f"{shown(rest.removeprefix(':'))} is not a port", "write a port from 1 to 65535")
    return host, int(port)


def _bindable(host: str, text: str) -> str:
    """The canonical numeric address that a socket can be bound to."""
    if host in {"", "*"}:
        raise BadValueError(
            f"{shown(text)} has no address",
            'write the address to listen on, or "0.0.0.0" or "[::]" for all that the node has when it starts',
        )
    address = _address(host)
    if address is None:
        raise _no_address(host, text)
    if address.is_multicast or host == "255.255.255.255":
        raise BadValueError(
            f"{address} is not an address of one host", "write an address of this node or the virtual IP"
        )
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            raise BadValueError(f"{host} is an IPv4 address in IPv6 clothes", f'write "udp:{address.ipv4_mapped}:5060"')
        if address.is_link_local:
            raise BadValueError(
                f"{host} is a link-local address, which no other host can answer to",
                "write a global or unique local address",
            )
    return str(address)


def _no_address(host: str, text: str) -> BadValueError:
    if "/" in text:
        return BadValueError(f"{shown(text)} is a network", "write one address of it, without the prefix length")
    if host.startswith("["):
        return BadValueError(f"{shown(host)} is not an IPv6 address", 'write it as in "[2001:db8::1]:5060"')
    if host.isdigit():
        return BadValueError(
            f"{shown(text)} has no address", f'write the address before the port: "udp:192.0.2.10:{host}"'
        )
    if re.fullmatch(r"[0-9.]+", host):
        return BadValueError(
            f"{shown(host)} is not an IPv4 address",
            "write four numbers from 0 to 255 without leading zeros",
        )
    if host.lower() == "localhost":
        return BadValueError("localhost is a name, and a listener has an address", 'write "udp:127.0.0.1:5060"')
    return BadValueError(
        f"{shown(host)} is a name, and a listener has an address",
        f'write {{ address = "udp:192.0.2.10:5060", advertise = "{host}" }} with the right address',
    )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The numeric address a host of a URI is, if it is one."""
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except ValueError:
        return None


def _host(host: str, text: str) -> str:
    """A host of a URI: numeric, canonical and without brackets, or a name in lower case."""
    address = _address(host)
    if address is not None:
        return str(address)
    if host.startswith("["):
        raise BadValueError(f"{shown(host)} is not an IPv6 address", 'write it as in "[2001:db8::1]"')
    if not host.isascii():
        raise BadValueError(
            f"{shown(host)} has letters that DNS has not", 'write its ASCII form, which begins with "xn--"'
        )
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise BadValueError(f"{shown(text)} is not a host name or an address", 'write it as in "sip.example.com"')
    return name


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


# --------------------------------------------------------------------------------------------------------------------
# Single keys


def read_algorithm(value: object) -> Algorithm:
    """A name or a number of Kamailio's, with or without quotes."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValueError(f"must be text, not {kind(value)}", 'write a name in quotes, as in algorithm = "weight"')
    try:
        return parse_algorithm(str(value))
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise BadValueError(message, hint or 'write algorithm = "weight" if in doubt') from None


def read_size(value: object) -> int:
    """Bytes: a number, or text such as "8MiB"."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise BadValueError(f"{shown(value)} is not a size", 'write a number and KiB, MiB or GiB, as in "8MiB"')
        size = int(found[1]) * _UNITS[found[2]]
    if not BUFFER_MINIMUM <= size <= BUFFER_MAXIMUM:
        raise BadValueError(f"{size} bytes is out of range", 'write a size from "64KiB" to "1GiB"')
    return size


def read_no_destination(value: object) -> int | Literal["panic"]:
    """The answer when no destination is usable: a status code, or "panic" for sending to all."""
    if value == "panic":
        return "panic"
    if isinstance(value, bool) or not isinstance(value, int):
        hint = f"write {value} without quotes" if _is_digits(value) else 'write a status code, as 503, or "panic"'
        raise BadValueError(f'must be a status code or "panic", not {kind(value)}', hint)
    if not 400 <= value <= 699:
        raise BadValueError(f"{value} is not the code of a refusal", 'write a code from 400 to 699, or "panic"')
    return value


def read_server_header(value: object) -> str:
    """The text of the Server header; "" leaves it out."""
    if value == "":
        return ""
    text = read_text(value)
    if not text.isascii() or not text.isprintable() or text != text.strip() or len(text) > SERVER_HEADER_LENGTH:
        raise BadValueError(
            f"{shown(text)} cannot stand in a header",
            f"write at most {SERVER_HEADER_LENGTH} printable ASCII characters, without spaces at the ends",
        )
    return text


# --------------------------------------------------------------------------------------------------------------------
# Conditions of rules


def read_method(value: object) -> bytes:
    """A method that a rule may name: any but ACK and CANCEL."""
    text = read_text(value)
    if not _METHOD.fullmatch(text):
        raise BadValueError(
            f"{shown(text)} is not a method", 'write it as in "REGISTER", several as in ["INVITE", "BYE"]'
        )
    if text.upper() in {"ACK", "CANCEL"}:
        raise BadValueError(
            f"{text} has no rule of its own: it goes where its INVITE went",
            'write "INVITE", which ACK and CANCEL match too',
        )
    if text != text.upper() and text.upper() in _METHODS:
        raise BadValueError(
            f"{shown(text)} is not the method {text.upper()}: methods have capitals", f'write "{text.upper()}"'
        )
    return text.encode("ascii")


def read_user_prefix(value: object) -> bytes:
    """The beginning of an unescaped user part."""
    text = read_text(value)
    if text.lower().startswith(("sip:", "sips:", "tel:")) or "@" in text:
        raise BadValueError(f"{shown(text)} is more than a user part", 'write only its beginning, as in "+49"')
    if text.startswith("^") or ".*" in text:
        raise BadValueError(f"{shown(text)} is a pattern", "write user_regex for patterns; a prefix is plain text")
    if ";" in text:
        raise BadValueError(
            f"{shown(text)} has a parameter, and these are not looked at", "write only what stands before ;"
        )
    plain = unescape(text.encode())
    if plain != text.encode():
        raise BadValueError(
            f"{shown(text)} is escaped, and users are compared unescaped",
            f"write {shown(plain.decode('utf-8', 'replace'))}",
        )
    return plain


def read_user_regex(value: object) -> re.Pattern[str]:
    """A pattern that is searched for in an unescaped user part."""
    text = read_text(value)
    try:
        return compile_user_pattern(text)
    except PatternError as error:
        message, hint = error.args
        raise BadValueError(f"{shown(text)}: {message}", hint) from None


def read_rule_listener(value: object) -> str:
    """The text by which a rule names a listener: what arrives has come to one address, never to a wildcard."""
    try:
        listener = read_listener(value)
    except BadValueError as error:
        raise BadValueError(error.message, 'write a listener as in "udp:192.0.2.10:5060"') from None
    if listener.is_wildcard:
        raise BadValueError(f"{listener} is no address that a message arrives at", "write one address of this node")
    return str(listener)
