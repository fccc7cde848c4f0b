"""How does the agent reach the network below IP, and set addresses?  The only file that needs privileges.

CAP_NET_RAW for adverts and for frames, CAP_NET_ADMIN for addresses.  What is written and read there is made and judged
elsewhere (`vrrp.packet`, `vrrp.frames`, `vrrp.reception`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from typing import Any

import attrs
import netifaces
import trio
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vrrp.address import VirtualAddress
from vrrp.datagram import Datagram
from vrrp.packet import GROUP_IPV4, GROUP_IPV6, PROTOCOL, canonical

MOST_BYTES = 4608
"""An advert of 255 IPv6 addresses with a trailer has 4,116; cut off, it would be refused and its sender not obeyed."""
MOST_AT_ONCE = 256
"""Datagrams read before anything else gets its turn."""
RECEIVE_BUFFER_BYTES = 256 * 1024
NETWORK_CONTROL = 0xC0
"""The traffic class of routing protocols, CS6 (RFC 4594 3.1)."""

_ETH_P_ARP = 0x0806
_ETH_P_ALL = 0x0003
_IP_PKTINFO = 8
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_RTMGRP = 0x1 | 0x10 | 0x100
"""Links, addresses of IPv4, addresses of IPv6."""
_IFA_F_NODAD = 0x02
_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)


@attrs.frozen
class InterfaceFacts:
    """What an interface is at this moment.  `hardware` is empty where it has no Ethernet address."""

    exists: bool
    running: bool
    hardware: bytes
    addresses: tuple[str, ...]
    """Numeric, without prefix and zone, in the kernel's order."""
    networks: tuple[str, ...] = ()
    """The same with the lengths of their prefixes, `192.0.2.11/24`."""

    @property
    def detail(self) -> str:
        """For people."""
        if not self.exists:
            return "there is no such interface"
        return "up" if self.running else "down, or without carrier"


def facts_of(interface: str) -> InterfaceFacts:
    """Look at an interface; 0.1 ms."""
    try:
        known: dict[int, list[dict[str, str]]] = netifaces.ifaddresses(interface)
    except ValueError:
        return InterfaceFacts(exists=False, running=False, hardware=b"", addresses=())
    hardware = known.get(netifaces.AF_LINK, [{}])[0].get("addr", "")
    both = (*known.get(netifaces.AF_INET, ()), *known.get(netifaces.AF_INET6, ()))
    return InterfaceFacts(
        exists=True,
        running=_is_running(interface),
        hardware=bytes.fromhex(hardware.replace(":", "")) if hardware else b"",
        addresses=tuple(canonical(each["addr"]) for each in both),
        networks=tuple(_with_prefix(each["addr"], each.get("netmask", "")) for each in both),
    )


def _with_prefix(address: str, netmask: str) -> str:
    """The address as it stands in netifaces, which says `255.255.255.0` or `ffff:ffff::/64`, with its prefix."""
    length = netmask.rpartition("/")[2] if ":" in address else netmask
    return str(ip_interface(f"{canonical(address)}/{length}" if length else canonical(address)))


def index_of(interface: str) -> int:
    """Its number, which another interface of the same name does not have; OSError (ENODEV) when there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:  # has no errno before Python 3.14
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _is_running(interface: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("16sH14x", interface.encode()[:15], 0))
        except OSError:
            return False
    flags: int = struct.unpack_from("H", answer, 16)[0]
    return flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING


def primary_of(interface: str, *, is_ipv6: bool, virtual: Sequence[str] = ()) -> str | None:
    """Where adverts leave from: the first address that does not move; of IPv6 the link-local one (RFC 9568 5.1)."""
    for address in facts_of(interface).addresses:
        if (":" in address) is is_ipv6 and address not in virtual and (not is_ipv6 or address.startswith("fe80:")):
            return address
    return None


def require_usable(source: str, index: int) -> None:
    """Raise OSError while nothing can leave from this address: of IPv6, until it is known that nobody else has it."""
    is_ipv6 = ":" in source
    with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, 0, 0, index) if is_ipv6 else (source, 0))


class AdvertSocket:
    """Sends and receives adverts on one interface, to the multicast group and to peers.

    OSError when it cannot be opened: no such interface, no CAP_NET_RAW.
    """

    def __init__(self, interface: str, source: str, *, peers: Sequence[str] = (), multicast: bool = True) -> None:
        self._is_ipv6 = ":" in source
        group = GROUP_IPV6 if self._is_ipv6 else GROUP_IPV4
        self._source = source
        self._destinations = (*((group,) if multicast else ()), *peers)
        self._index = index_of(interface)
        family = socket.AF_INET6 if self._is_ipv6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
        try:
            self._set_up(interface, group)
        except OSError:
            self._socket.close()
            raise

    def _set_up(self, interface: str, group: str) -> None:
        own = self._socket
        own.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)
        if self._is_ipv6:
            membership = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", self._index)
            for option, value in (
                (socket.IPV6_UNICAST_HOPS, 255),
                (socket.IPV6_MULTICAST_HOPS, 255),
                (socket.IPV6_MULTICAST_LOOP, 0),
                (socket.IPV6_MULTICAST_IF, self._index),
                (socket.IPV6_RECVHOPLIMIT, 1),
                (socket.IPV6_RECVPKTINFO, 1),
                (socket.IPV6_TCLASS, NETWORK_CONTROL),
            ):
                own.setsockopt(socket.IPPROTO_IPV6, option, value)
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        else:
            membership = struct.pack("@4s4si", socket.inet_aton(group), bytes(4), self._index)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, NETWORK_CONTROL)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
            own.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    @property
    def source(self) -> str:
        """Where adverts leave from."""
        return self._source

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where each advert goes."""
        return self._destinations

    def send(self, message: bytes, destination: str) -> None:
        """Raises OSError when it cannot be sent."""
        if self._is_ipv6:
            own = struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, self._source), self._index)
            control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, own)
            self._socket.sendmsg([message], [control], 0, (destination, 0, 0, self._index))
        else:
            own = struct.pack("@i4s4s", self._index, socket.inet_aton(self._source), bytes(4))
            self._socket.sendmsg([message], [(socket.IPPROTO_IP, _IP_PKTINFO, own)], 0, (destination, 0))

    def send_nowhere(self) -> None:
        """As far as this node's own firewall, which raises OSError (EPERM) when it lets no advert out.

        What is sent has no hop left: it passes the rules for output, and the kernel ends it behind them (ip_mc_output).
        """
        if self._is_ipv6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 0)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        self.send(bytes(8), GROUP_IPV6 if self._is_ipv6 else GROUP_IPV4)

    def receive(self) -> Iterator[Datagram]:
        """What has come since the last time, without waiting."""
        for _ in range(MOST_AT_ONCE):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(MOST_BYTES, 256)
            except OSError:
                # Nothing more, or an error that belongs to something sent (ICMP, a link that went down).
                return
            datagram = _read_ipv6(data, ancillary, sender) if self._is_ipv6 else _read_ipv4(data)
            if datagram is not None:
                yield datagram

    async def wait(self) -> None:
        """Return when something has come."""
        await trio.lowlevel.wait_readable(self._socket)

    def close(self) -> None:
        """Leave the group, and close."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def _read_ipv4(packet: bytes) -> Datagram | None:
    """Cut by the header's own length: Ethernet pads short frames."""
    if len(packet) < 20:
        return None
    header, whole = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4], "big")
    return Datagram(
        packet[header:whole],
        socket.inet_ntoa(packet[12:16]),
        socket.inet_ntoa(packet[16:20]),
        packet[8],
    )


def _read_ipv6(data: bytes, ancillary: Sequence[tuple[int, int, bytes]], sender: Any) -> Datagram | None:
    found = {kind: value for level, kind, value in ancillary if level == socket.IPPROTO_IPV6}
    try:
        hop_limit = struct.unpack("@i", found[socket.IPV6_HOPLIMIT])[0]
        destination = socket.inet_ntop(socket.AF_INET6, found[socket.IPV6_PKTINFO][:16])
    except (KeyError, struct.error):
        return None
    return Datagram(data, canonical(sender[0]), destination, hop_limit)


class FrameSocket:
    """Sends Ethernet frames on one interface and receives its ARP, or with `everything` all that others send there.

    OSError when it cannot be opened: no such interface, no CAP_NET_RAW.
    """

    def __init__(self, interface: str, *, everything: bool = False) -> None:
        self.index = index_of(interface)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        ethertype = _ETH_P_ALL if everything else _ETH_P_ARP
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(ethertype))
        try:
            self._socket.bind((interface, ethertype))
        except OSError:
            self._socket.close()
            raise

    def send(self, frame: bytes) -> None:
        """Raises OSError when it cannot be sent."""
        self._socket.send(frame)

    def receive(self) -> Iterator[bytes]:
        """The frames that have come since the last time, without waiting."""
        for _ in range(MOST_AT_ONCE):
            try:
                frame, sender = self._socket.recvfrom(MOST_BYTES)
            except OSError:
                return
            if sender[2] != socket.PACKET_OUTGOING:
                yield frame

    async def wait(self) -> None:
        """Return when something has come."""
        await trio.lowlevel.wait_readable(self._socket)

    def close(self) -> None:
        """Close it."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


class Addresses:
    """Sets and removes addresses, with a lease from the kernel.  Open and close it in one thread."""

    def __init__(self) -> None:
        self._route = IPRoute()

    def set(self, address: VirtualAddress, lease: float) -> None:
        """Set it, or prolong its lease: `lease` seconds from now, in whole ones.  OSError when it cannot be set.

        One of IPv6 is deprecated from the start, so that this node never speaks from it by itself (RFC 6724 5 rule 3),
        and is not looked for before it is used: it has just been the peer's.
        """
        seconds = math.ceil(lease)
        more = {"flags": _IFA_F_NODAD} if address.is_ipv6 else {}
        self._ask("replace", address, valid_lft=seconds, preferred_lft=0 if address.is_ipv6 else seconds, **more)

    def remove(self, address: VirtualAddress) -> None:
        """Remove it, with whatever prefix; one that is not there is no error.  OSError when it stays."""
        self._delete(address)
        if address.address in facts_of(address.interface).addresses:
            # Somebody else has set it: with another prefix it is another address to the kernel, and answers as well.
            for prefix in self._prefixes_of(address):
                self._delete(attrs.evolve(address, prefix=prefix))

    def _delete(self, address: VirtualAddress) -> None:
        try:
            self._ask("del", address)
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _prefixes_of(self, address: VirtualAddress) -> list[int]:
        """Those with which it is on its interface."""
        index = index_of(address.interface)
        with _as_oserror():
            told = [each for each in self._route.addr("dump", index=index) if each["index"] == index]
        return [
            each["prefixlen"]
            for each in told
            if canonical(each.get_attr("IFA_LOCAL") or each.get_attr("IFA_ADDRESS")) == address.address
        ]

    def _ask(self, command: str, address: VirtualAddress, **more: int) -> None:
        index = index_of(address.interface)
        with _as_oserror():
            self._route.addr(command, index=index, address=address.address, prefixlen=address.prefix, **more)

    def close(self) -> None:
        """Let the kernel's socket go; the addresses stay for their lease."""
        self._route.close()


class LinkEvents:
    """Says when a link or an address of this node has changed; what has changed is to be looked at."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP))

    async def wait(self) -> None:
        """Return after the next change, or at once if there was one since the last time."""
        await trio.lowlevel.wait_readable(self._socket)
        for _ in range(MOST_AT_ONCE):
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                # Its buffer has overflowed: a change like any other, for nobody reads what is in it.
                continue

    def close(self) -> None:
        """Close it."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
