"""How does the agent reach the network below IP, and set addresses?  The only file that needs privileges.

CAP_NET_RAW for adverts and for frames, CAP_NET_ADMIN for addresses.  What is written and read there is made and judged
elsewhere (`vrrp.packet`, `vrrp.frames`, `vrrp.reception`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import math
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs
import trio

from vrrp import netlink
from vrrp.address import VirtualAddress
from vrrp.datagram import Datagram
from vrrp.frames import ADVERTISEMENTS_ONLY, ETHERTYPE_ARP, ETHERTYPE_IPV6
from vrrp.packet import GROUP_IPV4, GROUP_IPV6, PROTOCOL, canonical

MOST_BYTES = 4608
"""An advert of 255 IPv6 addresses with a trailer has 4,116; cut off, it would be refused and its sender not obeyed."""
MOST_AT_ONCE = 256
"""Datagrams read before anything else gets its turn."""
RECEIVE_BUFFER_BYTES = 256 * 1024
NETWORK_CONTROL = 0xC0
"""The traffic class of routing protocols, CS6 (RFC 4594 3.1)."""

_ETH_P_ALL = 0x0003
_IP_PKTINFO = 8
_SO_ATTACH_FILTER = 26
_MOST_REQUESTS = 64
"""In one datagram: their answers fit into the kernel's receive buffer."""
_ANSWER_BYTES = 64 * 1024
_MOST_LOOKS = 5
"""So often it is looked again when something changes meanwhile."""
_RTMGRP = 0x1 | 0x10 | 0x100
"""Links, addresses of IPv4, addresses of IPv6."""
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
    index: int = 0
    """Its number, which another interface of the same name does not have."""

    @property
    def detail(self) -> str:
        """For people."""
        if not self.exists:
            return "there is no such interface"
        return "up" if self.running else "down, or without carrier"

    def primary(self, *, is_ipv6: bool, virtual: Sequence[str] = ()) -> str | None:
        """The first address that does not move; of IPv6 the link-local one (RFC 9568 5.1)."""
        for address in self.addresses:
            if (":" in address) is is_ipv6 and address not in virtual and (not is_ipv6 or address.startswith("fe80:")):
                return address
        return None


def facts_of(interface: str) -> InterfaceFacts:
    """Look at an interface.  OSError when it cannot be looked at: no more files, no memory."""
    with contextlib.closing(Addresses()) as kernel:
        return kernel.facts(interface)


def here(addresses: Sequence[VirtualAddress]) -> list[VirtualAddress]:
    """Those that are on their interfaces now, with whatever prefix and label.  OSError as `facts_of`."""
    with contextlib.closing(Addresses()) as kernel:
        return kernel.here(addresses)


def index_of(interface: str) -> int:
    """Its number, which another interface of the same name does not have; OSError (ENODEV) when there is none."""
    with contextlib.closing(Addresses()) as kernel:
        return kernel.link(interface).index


def primary_of(interface: str, *, is_ipv6: bool, virtual: Sequence[str] = ()) -> str | None:
    """Where adverts leave from: `InterfaceFacts.primary`."""
    return facts_of(interface).primary(is_ipv6=is_ipv6, virtual=virtual)


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
    """Sends Ethernet frames on one interface and receives those by which others say that an address is their own.

    With `is_ipv6` neighbour advertisements, otherwise ARP; with `everything` all that others send there.
    OSError when it cannot be opened: no such interface, no CAP_NET_RAW.
    """

    def __init__(self, interface: str, *, is_ipv6: bool = False, everything: bool = False) -> None:
        self.index = index_of(interface)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        ethertype = _ETH_P_ALL if everything else ETHERTYPE_IPV6 if is_ipv6 else ETHERTYPE_ARP
        # Without a protocol until it is bound, it hears nothing before its filter is there, nor of other interfaces.
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            if ethertype == ETHERTYPE_IPV6:
                _let_in(self._socket, ADVERTISEMENTS_ONLY)
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


def _let_in(filtered: socket.socket, program: bytes) -> None:
    """Attach a program of classic BPF, eight bytes an instruction, which says what a socket hears."""
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    filtered.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


@attrs.frozen
class Denied:
    """The kernel has not done with an address what it was asked for; `reason` is for people."""

    address: VirtualAddress
    reason: str


class Addresses:
    """Sets and removes addresses, with a lease from the kernel, and says what there is, by one socket that stays open.

    Each verb asks for all its addresses at once: what each of hundreds costs would hold up the adverts.  OSError when
    the kernel cannot be asked, not even by another socket.
    """

    def __init__(self) -> None:
        self._sequences = itertools.cycle(range(1, 2**32))
        self._socket = _open_netlink()

    def link(self, interface: str) -> netlink.KnownLink:
        """An interface; OSError (ENODEV) when there is none of that name."""
        if len(interface.encode()) <= netlink.LONGEST_NAME:
            sequence = next(self._sequences)
            for said in self._ask([netlink.ask_link(sequence, interface)]):
                if isinstance(said, netlink.KnownLink):
                    return said
                if isinstance(said, netlink.Answered) and said.code not in {0, errno.ENODEV}:
                    raise OSError(said.code, os.strerror(said.code))
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def facts(self, interface: str) -> InterfaceFacts:
        """An interface with its addresses."""
        try:
            link = self.link(interface)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return InterfaceFacts(exists=False, running=False, hardware=b"", addresses=())
        known = [each for each in self._known() if each.index == link.index]
        return InterfaceFacts(
            exists=True,
            running=link.running,
            hardware=link.hardware,
            addresses=tuple(each.address for each in known),
            networks=tuple(f"{each.address}/{each.prefix}" for each in known),
            index=link.index,
        )

    def here(self, addresses: Sequence[VirtualAddress]) -> list[VirtualAddress]:
        """Those that are on their interfaces, with whatever prefix and label."""
        index_by_name = self._indices(addresses)
        known = {(each.index, each.address) for each in self._known()}
        return [each for each in addresses if (index_by_name.get(each.interface), each.address) in known]

    def set(self, addresses: Sequence[VirtualAddress], lease: float) -> list[Denied]:
        """Set them, or prolong their leases: `lease` seconds from now, in whole ones.  Those that cannot be set."""
        seconds = math.ceil(lease)
        return self._change(
            addresses,
            lambda number, index, each: netlink.set_address(number, index, each.address, each.prefix, seconds),
        )

    def remove(self, addresses: Sequence[VirtualAddress]) -> list[Denied]:
        """Remove them, with whatever prefix and label; one that is not there is no error.  Those that stay."""
        denied = self._delete(addresses)
        index_by_name = self._indices(addresses)
        unwanted = {(index_by_name.get(each.interface), each.address): each for each in addresses}
        # Somebody else has set it: with another prefix it is another address to the kernel, and answers as well.
        left = [
            attrs.evolve(unwanted[each.index, each.address], prefix=each.prefix)
            for each in self._known()
            if (each.index, each.address) in unwanted
        ]
        told = {each.address for each in denied}
        return denied + self._delete([each for each in left if each not in told])

    def _delete(self, addresses: Sequence[VirtualAddress]) -> list[Denied]:
        return self._change(
            addresses,
            lambda number, index, each: netlink.delete_address(number, index, each.address, each.prefix),
            is_fine=_GONE,
        )

    def _change(
        self,
        addresses: Sequence[VirtualAddress],
        compose: Callable[[int, int, VirtualAddress], bytes],
        *,
        is_fine: Sequence[int] = (),
    ) -> list[Denied]:
        index_by_name = self._indices(addresses)
        asked = {next(self._sequences): each for each in addresses if each.interface in index_by_name}
        answers = self._ask([compose(number, index_by_name[each.interface], each) for number, each in asked.items()])
        codes = {each.sequence: each.code for each in answers if isinstance(each, netlink.Answered)}
        code_by_address = {each: codes[number] for number, each in asked.items()}
        results = ((each, code_by_address.get(each, errno.ENODEV)) for each in addresses)
        return [Denied(each, os.strerror(code)) for each, code in results if code and code not in is_fine]

    def _indices(self, addresses: Iterable[VirtualAddress]) -> dict[str, int]:
        """The numbers of those interfaces of the addresses that there are."""
        found: dict[str, int] = {}
        for name in dict.fromkeys(each.interface for each in addresses):
            try:
                found[name] = self.link(name).index
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
        return found

    def _known(self) -> list[netlink.KnownAddress]:
        """All addresses of this node, in the kernel's order."""
        for _ in range(_MOST_LOOKS):
            answers = self._ask([netlink.ask_addresses(next(self._sequences))])
            if not any(isinstance(each, netlink.Torn) for each in answers):
                return [each for each in answers if isinstance(each, netlink.KnownAddress)]
        raise OSError(errno.EINTR, "the addresses of this node change faster than they can be read")

    def _ask(self, requests: Sequence[bytes]) -> list[netlink.Said]:
        """All that the kernel answers; all requests may be made twice without harm."""
        try:
            return self._exchange(requests)
        except OSError:
            # An error of a socket, such as answers that did not fit into its buffer, may last: another one has none.
            self._socket.close()
            self._socket = _open_netlink()
            return self._exchange(requests)

    def _exchange(self, requests: Sequence[bytes]) -> list[netlink.Said]:
        answers: list[netlink.Said] = []
        for start in range(0, len(requests), _MOST_REQUESTS):
            some = requests[start : start + _MOST_REQUESTS]
            self._socket.send(b"".join(some))
            waiting = len(some)
            while waiting:
                # The kernel has answered when `send` returns, and tells the rest of a long answer while it is read.
                for said in netlink.read_answers(self._socket.recv(_ANSWER_BYTES)):
                    answers.append(said)
                    waiting -= isinstance(said, netlink.Answered)
        return answers

    def close(self) -> None:
        """Let the kernel's socket go; the addresses stay for their lease."""
        self._socket.close()


def _open_netlink() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)


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
