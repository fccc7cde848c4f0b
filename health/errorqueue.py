"""What does the network say about a datagram that was sent earlier?

Linux keeps ICMP errors and local send errors of a socket with IP_RECVERR in a queue of their own (recvmsg with
MSG_ERRQUEUE, ip(7)).  Each comes with the datagram's first bytes, the address it was sent to, and one control message:

    0                4        5        6        7        8                12               16
    +----------------+--------+--------+--------+--------+----------------+----------------+------------------+
    | errno          | origin | type   | code   | pad    | info (the MTU) | data           | offender sockaddr|
    +----------------+--------+--------+--------+--------+----------------+----------------+------------------+
"""

from __future__ import annotations

import enum
import errno as codes
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

import attrs

from sip.uri import Address

SOL_IP = 0
SOL_IPV6 = 41
IP_RECVERR = 11
IPV6_RECVERR = 25

_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_FAMILY = struct.Struct("=H")
_AF_INET = 2
_AF_INET6 = 10
_IPV4_AT = _EXTENDED_ERROR.size + 4  # family, port
_IPV6_AT = _EXTENDED_ERROR.size + 8  # family, port, flow


class Origin(enum.IntEnum):
    """Who noticed the error: SO_EE_ORIGIN_* of linux/errqueue.h."""

    NONE = 0
    LOCAL = 1
    ICMP = 2
    ICMP6 = 3
    OTHER = 255
    """Time stamps, zero copy and what may come: not about a lost datagram."""


@attrs.frozen(kw_only=True)
class SocketError:
    """One entry of the error queue.

    `address` is where the failed datagram was sent; None when the kernel does not say.  `icmp_type` and `icmp_code`
    are those of RFC 792 or RFC 4443, 0 for a local error.  `info` is the MTU for EMSGSIZE, else 0.  `offender` is the
    node that sent the ICMP message.  `quoted` is as much of the datagram as the ICMP message carried: anyone can forge
    an ICMP message, but only who saw the datagram can quote the branch in it.
    """

    address: Address | None
    errno: int
    origin: Origin
    icmp_type: int = 0
    icmp_code: int = 0
    info: int = 0
    offender: str | None = None
    quoted: bytes = b""

    @property
    def from_network(self) -> bool:
        """Whether another node said it, so that it tells something about the destination."""
        return self.origin is Origin.ICMP or self.origin is Origin.ICMP6

    def __str__(self) -> str:
        name = codes.errorcode.get(self.errno, str(self.errno))
        said = (
            f"ICMP type {self.icmp_type} code {self.icmp_code} from {self.offender}" if self.from_network else "local"
        )
        return f"{name} ({said})"


def parse_error(
    quoted: bytes, control: Iterable[tuple[int, int, bytes]], name: tuple[str, int, int, int] | Address | None
) -> SocketError | None:
    """Read what recvmsg(MSG_ERRQUEUE) returned: the quoted bytes, the control messages, the original destination.

    None when there is no extended error in it (another kind of control message, or one cut short).
    """
    for level, kind, extended in control:
        if (level, kind) in ((SOL_IP, IP_RECVERR), (SOL_IPV6, IPV6_RECVERR)) and len(extended) >= _EXTENDED_ERROR.size:
            number, origin, icmp_type, icmp_code, _pad, info, _ = _EXTENDED_ERROR.unpack_from(extended)
            return SocketError(
                # A local error before routing knows the host but has port 0 or nothing: that is no destination.
                address=(name[0], name[1]) if name and name[1] else None,
                errno=number,
                origin=Origin(origin) if origin <= Origin.ICMP6 else Origin.OTHER,
                icmp_type=icmp_type,
                icmp_code=icmp_code,
                info=info,
                offender=_offender(extended),
                quoted=quoted,
            )
    return None


def _offender(extended: bytes) -> str | None:
    """The address behind the extended error (SO_EE_OFFENDER); AF_UNSPEC when there is none."""
    if len(extended) < _EXTENDED_ERROR.size + _FAMILY.size:
        return None
    family = _FAMILY.unpack_from(extended, _EXTENDED_ERROR.size)[0]
    if family == _AF_INET and len(extended) >= _IPV4_AT + 4:
        return str(IPv4Address(extended[_IPV4_AT : _IPV4_AT + 4]))
    if family == _AF_INET6 and len(extended) >= _IPV6_AT + 16:
        return str(IPv6Address(extended[_IPV6_AT : _IPV6_AT + 16]))
    return None
