"""What does one address, name or network of the configuration mean?

Each function takes what stands in the TOML file and returns the value of `sipdispatch.config`, or raises BadValueError.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from dispatcher.listener import Listener
from dispatcher.rules import Network
from sip.uri import DEFAULT_PORT, Address
from sipdispatch.readers import BadValueError, is_digits, read_text, shown

_HOST_LENGTH = 253  # RFC 1035 2.3.4, without the dot at the end
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_OTHER_TRANSPORTS = ("tcp", "tls", "sctp", "ws", "wss")


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


def read_source(value: object) -> str:
    """An address of this node that probes leave from, without port."""
    text = read_text(value)
    host, port = _split_host_port(f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text)
    if port is not None:
        raise BadValueError(f"{shown(text)} has a port", f'write only the address, as in "{host}"')
    address = _address(host)
    if address is None or address.is_unspecified or address.is_multicast or address.is_link_local:
        raise BadValueError(f"{shown(text)} is no address of one node", 'write one, as in "192.0.2.11"')
    return str(address)


def read_tcp_address(value: object) -> Address:
    """`ADDRESS:PORT`, an IPv6 address in brackets; the wildcards are all addresses."""
    text = read_text(value)
    if "//" in text:
        raise BadValueError(f"{shown(text)} is a URL", 'write address and port, as in "127.0.0.1:9275"')
    host, port = _split_host_port(text)
    if port is None:
        raise BadValueError(f"{shown(text)} has no port", f'write it with a port, as in "{text}:9275"')
    address = _address(host)
    if address is None or address.is_multicast:
        raise BadValueError(f"{shown(host)} is no address of this node", f'write "127.0.0.1:{port}" or "[::1]:{port}"')
    return str(address), port


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


def read_limited_network(value: object) -> Network:
    """A network that limits and bans can tell from others: of IPv6 no smaller than a /64."""
    network = read_network(value)
    if network.version == 6 and network.prefixlen > 64:
        wider = network.supernet(new_prefix=64)
        raise BadValueError(f"{shown(str(network))} is a part of one source, which is a /64", f'write "{wider}"')
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
    if rest[0] != ":" or not is_digits(port) or not 0 < int(port[:6]) < 65536:
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


def read_rule_listener(value: object) -> str:
    """The text by which a rule names a listener: what arrives has come to one address, never to a wildcard."""
    try:
        listener = read_listener(value)
    except BadValueError as error:
        raise BadValueError(error.message, 'write a listener as in "udp:192.0.2.10:5060"') from None
    if listener.is_wildcard:
        raise BadValueError(f"{listener} is no address that a message arrives at", "write one address of this node")
    return str(listener)
