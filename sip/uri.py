"""What does a URI say: scheme, user, host, port and parameters (RFC 3261 19.1 and 25.1)?"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import attrs

from sip.errors import SipError
from sip.limits import MAX_CACHED_URI_BYTES

Address = tuple[str, int]
"""A socket address: canonical numeric host without brackets, port."""

DEFAULT_PORT = 5060
DEFAULT_TLS_PORT = 5061

HOST = rb"\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_][A-Za-z0-9_.-]*+"
"""Names are read as loosely as DNS does, underscores and a final dot included; wants a group round it."""

_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*):")
_USER = rb"[A-Za-z0-9\-_.!~*'()&=+$,;?/%#]++"  # '#' is not legal but dialled by every phone with a hash key
_SIP_URI = re.compile(
    rb"([sS][iI][pP][sS]?):"
    rb"(?:(" + _USER + rb")(?::([A-Za-z0-9\-_.!~*'()&=+$,%]*+))?@)?"
    rb"(" + HOST + rb")"
    rb"(?::([0-9]{1,5}))?"
    rb"((?:;[^;?@\x00-\x20\"<>\x7f]*+)*)"  # an '@' there would move the host for whoever takes what is before it for
    rb"(?:\?([^@\x00-\x20\"<>\x7f]*+))?"  # the user, as in `sip:a:1;b@c`
)
_HOST = re.compile(HOST)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


@attrs.frozen(kw_only=True)
class SipUri:
    """A sip: or sips: URI; user, password and headers stay as they were written, escapes included."""

    scheme: str
    user: bytes | None
    password: bytes | None
    host: str
    port: int | None
    params: tuple[tuple[str, str | None], ...]
    headers: bytes | None

    def param(self, name: str) -> str | None:
        """The value of a parameter, "" when it is only a flag, None when it is absent."""
        for key, value in self.params:
            if key == name:
                return "" if value is None else value
        return None

    @property
    def transport(self) -> str:
        """The transport asked for, in lower case (RFC 3263 4.1 without NAPTR); sips is TLS whatever it asks for."""
        asked = (self.param("transport") or "udp").lower()
        if self.scheme == "sips":
            return "wss" if asked in ("ws", "wss") else "tls"
        return asked

    @property
    def numeric_host(self) -> str | None:
        """The canonical numeric address when the host is one, else None."""
        return numeric(self.host)

    @property
    def default_port(self) -> int:
        return DEFAULT_TLS_PORT if self.transport == "tls" else DEFAULT_PORT


def scheme_of(text: bytes) -> bytes:
    """The scheme of any URI in lower case; raises SipError when there is none."""
    match = _SCHEME.match(text)
    if match is None:
        raise SipError("Malformed URI")
    return match[1].lower()


def parse_uri(text: bytes) -> SipUri:
    """Parse a sip: or sips: URI without surrounding white space or angle brackets; raises SipError."""
    return _parse_remembered(text) if len(text) <= MAX_CACHED_URI_BYTES else _parse(text)


def _parse(text: bytes) -> SipUri:
    match = _SIP_URI.fullmatch(text)
    if match is None:
        raise SipError("Malformed SIP URI")
    scheme, user, password, host, port, params, headers = match.groups()
    if b"%" in text and _BAD_ESCAPE.search(text):
        raise SipError("Malformed escape in URI")
    if port is not None and not 0 < int(port) < 65536:
        raise SipError("Port out of range in URI")
    return SipUri(
        scheme=scheme.decode().lower(),
        user=user,
        password=password,
        host=parse_host(host),
        port=None if port is None else int(port),
        params=_parse_params(params) if params else (),
        headers=headers,
    )


_parse_remembered = lru_cache(maxsize=4096)(_parse)


def parse_host(text: bytes) -> str:
    """A host of the grammar (name, IPv4, IPv6 reference) in lower case, canonical if numeric; raises SipError."""
    if text.startswith(b"["):
        return _ipv6(text[1:-1].decode("ascii"))
    return text.decode("ascii").lower()


def numeric(host: str) -> str | None:
    """The canonical text when the host is an IP address, else None."""
    if _IPV4.fullmatch(host):
        return host
    if ":" in host:
        try:
            return _ipv6(host)
        except SipError:
            return None
    return None


def canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The one text of an address, as sockets give it: mapped IPv4 in dots (RFC 5952 5), on every Python."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def unescape(text: bytes) -> bytes:
    """Replace %HH escapes by their bytes (RFC 3261 19.1.2)."""
    return _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), text) if b"%" in text else text


def host_port(address: Address) -> str:
    """An address as it is written in URIs and Via: brackets round IPv6."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ipv6(text: str) -> str:
    """The canonical text; raises SipError, also for a zone."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise SipError("Malformed IPv6 reference") from None
    if address.scope_id is not None:
        raise SipError("Malformed IPv6 reference")
    return canonical(address)


def _parse_params(text: bytes) -> tuple[tuple[str, str | None], ...]:
    """Escaped letters mean the letters (RFC 4475 3.1.1.4), so `m%61ddr` is read as what a server reads in it."""
    params: list[tuple[str, str | None]] = []
    for item in text[1:].split(b";"):
        written, equals, raw = item.partition(b"=")
        name = unescape(written).decode("latin-1").lower()
        if not name:
            raise SipError("Empty parameter in URI")
        value = unescape(raw)
        if name == "maddr" and _HOST.fullmatch(value) is None:
            raise SipError("Malformed maddr in URI")
        params.append((name, value.decode("latin-1") if equals else None))
    return tuple(params)
