"""What may the section [vrrp] say: which address moves, to whom this node speaks, when it is fit?

A reader takes what stands in the TOML file and returns the value, or raises BadValueError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, Literal

import attrs

from sip.uri import Address
from sipdispatch.address_readers import read_listener
from sipdispatch.readers import BadValueError, kind, read_duration, read_int, read_text, shown
from vrrp.address import VirtualAddress
from vrrp.packet import Checksum
from vrrp.parameters import ALWAYS, FIT, MOST, NEVER, Preempt

Driver = Literal["kernel", "exec", "both"]

DEFAULT_INTERVAL_S: Final = {2: 1.0, 3: 0.1}
"""By version: the second has whole seconds only."""
_PREEMPT: Final = re.compile(r"after\s+(\S+)")
_PREEMPT_HINT: Final = 'write "always", "never" or "after 60s"'


@attrs.frozen(kw_only=True)
class TrackCommand:
    """One `[[vrrp.track.command]]`: a command whose exit status 0 is a yes; times in seconds."""

    command: tuple[str, ...]
    name: str = ""
    interval: float = 1.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 2


@attrs.frozen(kw_only=True)
class VrrpTrack:
    """The section `[vrrp.track]`: what tells whether this node can do the work; times in seconds.

    `interval`, `timeout`, `rise` and `fall` are those of the probe of `sip`.  `control` is the proxy's control socket,
    True the one that the proxy of the same file has.
    """

    sip: Address | None = None
    interval: float = 0.2
    timeout: float = 0.2
    rise: int = 3
    fall: int = 2
    serving: bool = False
    """Whether an answer 503 is a no: the proxy lives and has no server left."""
    control: bool | Path = False
    interfaces: tuple[str, ...] = ()
    file: Path | None = None
    """While it is there, the node is in maintenance."""
    commands: tuple[TrackCommand, ...] = ()


@attrs.frozen(kw_only=True)
class VrrpMover:
    """The section `[vrrp.mover]`: who sets and removes the addresses; times in seconds.

    Driver `exec`: the commands; `both`: the kernel sets them here, and the commands move them in an API.
    """

    driver: Driver = "kernel"
    acquire: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    timeout: float = 10.0
    retries: int = 3
    every: float = 30.0

    @property
    def commands(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """By key, those that there are."""
        keyed = (("acquire", self.acquire), ("release", self.release), ("verify", self.verify))
        return tuple((key, command) for key, command in keyed if command)


@attrs.frozen(kw_only=True)
class VrrpControl:
    """The section `[vrrp.control]`; as `sipdispatch.config.Control`, for the agent."""

    enabled: bool = True
    socket: Path | None = None
    owner: str | None = None
    group: str | None = None


@attrs.frozen(kw_only=True)
class VrrpHttp:
    """The section `[vrrp.http]`: where the agent's metrics are served; without it nowhere."""

    listen: Address


@attrs.frozen(kw_only=True)
class Vrrp:
    """The section `[vrrp]`; the manual page of sipdispatch-vrrp says what each key means.  Times in seconds.

    `interval`, `multicast` and `lease` None are what follows from version, peers and interval; see the properties.
    """

    interface: str
    vrid: int
    addresses: tuple[VirtualAddress, ...]
    priority: int = FIT
    version: int = 3
    interval: float | None = None
    preempt: Preempt = ALWAYS
    peers: tuple[str, ...] = ()
    multicast: bool | None = None
    source: str | None = None
    checksum: Checksum = Checksum.PSEUDO_HEADER
    least_ttl: int = 255
    password_file: Path | None = None
    keys_file: Path | None = None
    keys_enforced: bool = True
    announce_every: float = 30.0
    lease: float | None = None
    realtime: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    track: VrrpTrack = VrrpTrack()
    mover: VrrpMover = VrrpMover()
    control: VrrpControl = VrrpControl()
    http: VrrpHttp | None = None

    @property
    def advert_interval(self) -> float:
        """Between two adverts."""
        return DEFAULT_INTERVAL_S[self.version] if self.interval is None else self.interval

    @property
    def speaks_to_group(self) -> bool:
        """Whether adverts go to the multicast group."""
        return not self.peers if self.multicast is None else self.multicast

    @property
    def is_ipv6(self) -> bool:
        """The family of the adverts: that of the source, of the peers, else of the first address."""
        told = self.source or (self.peers[0] if self.peers else self.addresses[0].address)
        return ":" in told

    @property
    def advertised(self) -> tuple[str, ...]:
        """The addresses that stand in adverts: of their family, and on their interface if there is one.

        Of IPv6 the link-local ones come first (RFC 9568 5.2.9).
        """
        family = [each for each in self.addresses if each.is_ipv6 is self.is_ipv6]
        told = [each for each in family if each.interface == self.interface] or family
        return tuple(each.address for each in sorted(told, key=lambda each: not each.address.startswith("fe80:")))

    @property
    def excluded(self) -> tuple[str, ...]:
        """Those that move with them and are not told."""
        return tuple(each.address for each in self.addresses if each.address not in self.advertised)


# --------------------------------------------------------------------------------------------------------------------
# Readers


def read_interface(value: object) -> str:
    """The name of a network interface (IFNAMSIZ, dev_valid_name of the kernel)."""
    text = read_text(value)
    if len(text.encode()) > 15 or "/" in text or ":" in text or text in (".", "..") or any(map(str.isspace, text)):
        raise BadValueError(f"{shown(text)} is not the name of an interface", 'write it as ip link shows it, as "eth0"')
    return text


def read_priority(value: object) -> int:
    """From FIT to MOST, with a word about what keepalived allows besides."""
    try:
        return read_int(FIT, MOST, "a priority")(value)
    except BadValueError as error:
        if value == 255:
            raise BadValueError(
                "255 is the priority of the node whose own address it is, and this one moves", "write 254 or less"
            ) from None
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < FIT:
            raise BadValueError(
                f"{value} is out of range: less than {FIT} is what a node says of itself that is not well",
                f"write {FIT} to {MOST}, the higher one on the node that shall have the address",
            ) from None
        raise BadValueError(error.message, error.hint) from None


def read_version(value: object) -> int:
    """2 or 3."""
    if value not in (2, 3) or isinstance(value, bool | float):
        raise BadValueError(
            f"{shown(value)} is no version of VRRP", "write 3, or 2 for a peer that speaks nothing else"
        )
    return 2 if value == 2 else 3


read_interval: Final = read_duration(0.01, 255, '"10ms" to "40.95s", for version 2 "1s" to "255s"', "100ms")


def read_preempt(value: object) -> Preempt:
    """When a healthy Active of lower priority has to go."""
    if not isinstance(value, str):
        raise BadValueError(f"must be text, not {kind(value)}", _PREEMPT_HINT)
    if value == "always":
        return ALWAYS
    if value == "never":
        return NEVER
    match = _PREEMPT.fullmatch(value)
    if match is None:
        raise BadValueError(f"{shown(value)} is not known here", _PREEMPT_HINT)
    try:
        return Preempt(read_duration(0.001, 86_400, '"1ms" to "24h"', "60s")(match[1]))
    except BadValueError as error:
        raise BadValueError(error.message, _PREEMPT_HINT) from None


def read_checksum(value: object) -> Checksum:
    """The form of version 3 over IPv4."""
    for form in (Checksum.PSEUDO_HEADER, Checksum.MESSAGE):
        if value == form.value:
            return form
    raise BadValueError(
        f"{shown(value)} is not known here",
        'write "pseudo-header", as keepalived and FRR have it, or "message", as Cisco, Juniper and RFC 9568 have it',
    )


def read_peer(value: object) -> str:
    """A node's own address, numeric."""
    text = read_text(value)
    address = _numeric(text)
    if address is None or address.is_multicast or address.is_unspecified:
        raise BadValueError(f"{shown(text)} is no address of one node", 'write one without port, as in "192.0.2.12"')
    return str(address)


def _numeric(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def read_virtual_address(text: str, interface: str) -> VirtualAddress:
    """`ADDRESS[/PREFIX]` on an interface."""
    try:
        address = VirtualAddress.of(text, interface)
    except ValueError as error:
        bare = text.replace("[", "").replace("]", "")
        hint = f'write "{bare}"' if bare != text else 'write it as in "192.0.2.100/24"'
        message = str(error)
        if not message.startswith(text):
            message = f"{shown(text)} is not an address"
        raise BadValueError(message, hint) from None
    return address


def read_control(base: Path) -> Callable[[object], bool | Path]:
    """A reader of true, false, or the path of a socket."""

    def read(value: object) -> bool | Path:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or not value.strip():
            raise BadValueError(
                f"must be true, false or a path, not {kind(value)}",
                'write true for the proxy of this file, or the path of its socket, as "/run/sipdispatch/control.sock"',
            )
        return base / value

    return read


def read_sip(value: object) -> Address:
    """The node's own address at which its proxy listens."""
    try:
        listener = read_listener(value)
    except BadValueError as error:
        raise BadValueError(error.message, 'write the node\'s own address, as in "192.0.2.11:5060"') from None
    if listener.is_wildcard:
        raise BadValueError("nobody answers at a wildcard", 'write the node\'s own address, as in "192.0.2.11:5060"')
    return listener.address


def is_whole(value: float, unit: float) -> bool:
    """Whether a time is a whole number of units, but for what a float cannot hold."""
    return math.isclose(value / unit, round(value / unit), abs_tol=1e-9)
