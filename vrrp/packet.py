"""What does an advert look like on the wire, in versions 2 and 3, over IPv4 and IPv6?

Version 2 (RFC 3768 5.1, with the password of RFC 2338 5.3.6), IPv4 only:

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+-------+---------------+---------------+---------------+
    |Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
    +-------+-------+---------------+---------------+---------------+
    |   Auth Type   | Adver Int (s) |           Checksum            |
    +---------------+---------------+-------------------------------+
    |                     IP Address (1 .. n)                       |
    +---------------------------------------------------------------+
    |                Authentication Data (8 bytes,                  |
    |                 always there, zero without)                   |
    +---------------------------------------------------------------+

Version 3 (RFC 9568 5.1), addresses of 4 or of 16 bytes:

    +-------+-------+---------------+---------------+---------------+
    |Version| Type  | Virtual Rtr ID|   Priority    | IPvX Addr Cnt |
    +-------+-------+---------------+---------------+---------------+
    |Reserve|Max Adver Int (1/100 s)|           Checksum            |
    +-------+-----------------------+-------------------------------+
    |                    IPvX Address(es) (1 .. n)                  |
    +---------------------------------------------------------------+

What follows the last field is no error: a receiver needs the complete message (RFC 9568 7.1), and to drop an advert
that can be understood is to end with two owners.  It is handed on as `rest`: an authentication trailer, or padding that
somebody did not cut off.  The caller cuts by the length of the IP header.  (keepalived refuses whatever is longer.)
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import struct

import attrs

from vrrp.refusal import Refusal

PROTOCOL = 112
ADVERTISEMENT = 1
GROUP_IPV4 = "224.0.0.18"
GROUP_IPV6 = "ff02::12"
MOST_INTERVAL_S = 40.95
"""4095 hundredths in the 12 bits of version 3; version 2 has whole seconds up to 255."""
PASSWORD_BYTES = 8

_HEADER_BYTES = 8
_CHECKSUM_AT = 6
_NO_AUTHENTICATION, _SIMPLE_PASSWORD = 0, 1


class Checksum(enum.Enum):
    """What the checksum of an advert covers; the value is for status and metrics.

    RFC 5798 5.2.8 can be read in two ways for IPv4: keepalived and FRR put a pseudo header in front, Cisco, Juniper
    and RFC 9568 do not.  Over IPv6 it is always there, in version 2 never.
    """

    PSEUDO_HEADER = "pseudo-header"
    MESSAGE = "message"
    GROUP_HEADER = "group-header"
    """A pseudo header with the multicast group in a unicast packet: keepalived up to 1.3.6."""


@attrs.frozen(kw_only=True)
class Advert:
    """An advertisement.  ValueError for one that cannot be written.

    `interval` in seconds; `addresses` numeric and canonical, all of one family; `password` up to eight bytes without
    zeros at the end, version 2 only.
    """

    version: int
    vrid: int
    priority: int
    interval: float
    addresses: tuple[str, ...]
    password: bytes | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        families = {":" in address for address in self.addresses}
        if self.version not in (2, 3):
            raise ValueError(f"VRRP version {self.version}: 2 or 3")
        if not 1 <= self.vrid <= 255:
            raise ValueError(f"virtual router {self.vrid}: 1 to 255")
        if not 0 <= self.priority <= 255:
            raise ValueError(f"priority {self.priority}: 0 to 255")
        if not 1 <= len(self.addresses) <= 255 or len(families) != 1:
            raise ValueError("an advert has 1 to 255 addresses of one family")
        if self.version == 2:
            self._check_version_2(families)
        elif not 0.01 <= round(self.interval, 2) <= MOST_INTERVAL_S:
            raise ValueError(f"interval {self.interval:g} s: 0.01 to 40.95 in version 3")
        elif self.password is not None:
            raise ValueError("version 3 has no password")

    def _check_version_2(self, families: set[bool]) -> None:
        if families == {True}:
            raise ValueError("version 2 has no IPv6")
        if self.interval not in range(1, 256):
            raise ValueError(f"interval {self.interval:g} s: whole seconds, 1 to 255, in version 2")
        if self.password is not None and (len(self.password) > PASSWORD_BYTES or self.password.endswith(b"\0")):
            raise ValueError("a password has at most 8 bytes, and no zero at its end")


@attrs.frozen
class Decoded:
    """An advert, how its checksum was made, and what followed its last field."""

    advert: Advert
    checksum: Checksum
    rest: bytes = b""


def encode(advert: Advert, *, source: str, destination: str, checksum: Checksum = Checksum.PSEUDO_HEADER) -> bytes:
    """The VRRP message, without an IP header.

    `source` and `destination` are the numeric addresses of the IP header; `checksum` has a say in version 3 over IPv4.
    """
    packed = [pack(address) for address in advert.addresses]
    head = bytes((advert.version << 4 | ADVERTISEMENT, advert.vrid, advert.priority, len(packed)))
    if advert.version == 2:
        auth_type = _NO_AUTHENTICATION if advert.password is None else _SIMPLE_PASSWORD
        times = bytes((auth_type, int(advert.interval)))
        packed.append((advert.password or b"").ljust(PASSWORD_BYTES, b"\0"))
    else:
        times = struct.pack("!H", round(advert.interval * 100))
    message = b"".join((head, times, b"\0\0", *packed))
    if advert.version == 2:
        checksum = Checksum.MESSAGE
    elif ":" in source:
        checksum = Checksum.PSEUDO_HEADER
    return with_checksum(message, source=source, destination=destination, checksum=checksum)


def with_checksum(message: bytes, *, source: str, destination: str, checksum: Checksum) -> bytes:
    """The message with its checksum filled in, over all that it holds."""
    message = message[:_CHECKSUM_AT] + b"\0\0" + message[_CHECKSUM_AT + 2 :]
    total = internet_checksum(_covered(checksum, source, destination, len(message)) + message)
    return message[:_CHECKSUM_AT] + struct.pack("!H", total) + message[_CHECKSUM_AT + 2 :]


def decode(data: bytes, *, source: str, destination: str) -> Decoded | Refusal:
    """The advert in what followed the IP header, or the first check that it fails (RFC 9568 7.1)."""
    if len(data) < _HEADER_BYTES:
        return Refusal.LENGTH
    version = data[0] >> 4
    if version not in (2, 3) or (version == 2 and ":" in source):
        return Refusal.VERSION
    if data[0] & 0x0F != ADVERTISEMENT:
        return Refusal.TYPE
    _, vrid, priority, count, high, low = data[:_CHECKSUM_AT]
    size = 16 if ":" in source else 4
    addresses_end = _HEADER_BYTES + count * size
    end = addresses_end + (PASSWORD_BYTES if version == 2 else 0)
    if len(data) < end:
        return Refusal.LENGTH
    checksum = _find_checksum(version, data, end, source, destination)
    if checksum is None:
        return Refusal.CHECKSUM
    if vrid == 0:
        return Refusal.VRID
    if count == 0:
        return Refusal.COUNT
    if version == 2 and high not in (_NO_AUTHENTICATION, _SIMPLE_PASSWORD):
        return Refusal.AUTH_TYPE
    interval = float(low) if version == 2 else ((high & 0x0F) << 8 | low) / 100
    if interval == 0:
        return Refusal.INTERVAL
    has_password = version == 2 and high == _SIMPLE_PASSWORD
    advert = Advert(
        version=version,
        vrid=vrid,
        priority=priority,
        interval=interval,
        addresses=tuple(canonical(data[at : at + size]) for at in range(_HEADER_BYTES, addresses_end, size)),
        password=data[addresses_end:end].rstrip(b"\0") if has_password else None,
    )
    return Decoded(advert, checksum, data[end:])


def _find_checksum(version: int, data: bytes, end: int, source: str, destination: str) -> Checksum | None:
    """Which form makes the checksum right."""
    message = data[:end]
    if version == 2:
        forms: tuple[Checksum, ...] = (Checksum.MESSAGE,)
    elif ":" in source:
        # The kernel's own IPv6 checksum, which keepalived uses, covers a trailer too.
        if internet_checksum(_covered(Checksum.PSEUDO_HEADER, source, destination, len(data)) + data) == 0:
            return Checksum.PSEUDO_HEADER
        forms = (Checksum.PSEUDO_HEADER,)
    else:
        forms = (Checksum.PSEUDO_HEADER, Checksum.MESSAGE, Checksum.GROUP_HEADER)
    for form in forms:
        if internet_checksum(_covered(form, source, destination, end) + message) == 0:
            return form
    return None


def _covered(checksum: Checksum, source: str, destination: str, length: int) -> bytes:
    """What the checksum covers in front of the message."""
    if checksum is Checksum.MESSAGE:
        return b""
    if checksum is Checksum.GROUP_HEADER:
        destination = GROUP_IPV4
    ends = pack(source) + pack(destination)
    return ends + (struct.pack("!IxxxB", length, PROTOCOL) if ":" in source else struct.pack("!xBH", PROTOCOL, length))


@functools.lru_cache(maxsize=256)
def pack(address: str) -> bytes:
    """The bytes of a numeric address; the zone of a link-local one (`%eth0`) is not part of it."""
    return ipaddress.ip_address(address.partition("%")[0]).packed


@functools.lru_cache(maxsize=256)
def canonical(address: str | bytes) -> str:
    """The one way to write a numeric address, without zone."""
    return str(ipaddress.ip_address(pack(address) if isinstance(address, str) else address))


def internet_checksum(data: bytes) -> int:
    """What makes the one's complement sum of the 16-bit words right (RFC 1071); 0: it is right.

    The sum is the remainder by 0xFFFF, since 0x10000 leaves 1.  Only data that is zero throughout is misjudged.
    """
    return 0xFFFF - (int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF or 0xFFFF)
