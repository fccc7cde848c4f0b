"""How does a listener become an open socket that no second proxy can share?"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv6Address, ip_address

import attrs

from dispatcher.holder import command_of, udp_holder
from dispatcher.listener import Listener

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""About 1,800 datagrams of SIP size with the kernel's overhead: 60 ms at 30,000 a second, longer than any pause."""
SEND_BUFFER_BYTES = 1024 * 1024

# linux/in.h, linux/in6.h, asm-generic/socket.h: Python's socket module does not name all of these.
_IP_FREEBIND = 15
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_DONT = 0
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_IPV6_FREEBIND = 78
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_UCRED = struct.Struct("=iII")
_LOCK_BACKLOG = 64
"""Each proxy that fails to start leaves one unanswered connection behind; after these it fails without a pid."""


class ListenError(Exception):
    """A listener cannot be opened: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: str, hint: str) -> None:
        super().__init__(f"{where}: {what}; {hint}")
        self.what = what
        self.where = where
        self.hint = hint


@attrs.frozen(kw_only=True)
class OpenListener:
    """A bound, non-blocking socket, its lock, and what the kernel granted.

    `listener.address` has the real port when port 0 was asked for.  Buffers are in bytes as the kernel counts them for
    the caller (half of what getsockopt says, which includes its overhead).
    """

    listener: Listener
    sock: socket.socket
    lock: socket.socket
    receive_buffer_bytes: int
    send_buffer_bytes: int
    wanted_receive_buffer_bytes: int

    @property
    def shortfall(self) -> str | None:
        """A sentence for the start line when the kernel gave less than was asked for."""
        if self.receive_buffer_bytes >= self.wanted_receive_buffer_bytes:
            return None
        return (
            f"{self.listener}: the receive buffer is {self.receive_buffer_bytes} bytes instead of "
            f"{self.wanted_receive_buffer_bytes}; raise it with: sysctl -w "
            f"net.core.rmem_max={self.wanted_receive_buffer_bytes}"
        )

    def close(self) -> None:
        """Close the socket first, so that who gets the lock can bind."""
        self.sock.close()
        self.lock.close()


def open_listener(
    listener: Listener,
    *,
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
    send_buffer_bytes: int = SEND_BUFFER_BYTES,
    dscp: int | None = None,
) -> OpenListener:
    """Open a UDP listener; its address need not be on this node yet (IP_FREEBIND).

    `dscp` is the mark of what leaves, 0 to 63 (24 is CS3, RFC 4594's neighbour for signalling), None leaves it alone.
    Raises ListenError with what, where and what to do.
    """
    _refuse_unfit(listener)
    # Port 0 is nobody's until it is bound; every other lock comes before the bind, so that it also guards a socket that
    # would allow sharing (SO_REUSEPORT).
    lock = _lock(listener) if listener.address[1] else None
    sock: socket.socket | None = None
    try:
        sock = _bind(listener)
        if lock is None:
            listener = attrs.evolve(listener, address=(listener.address[0], sock.getsockname()[1]))
            lock = _lock(listener)
        _mark(sock, listener, dscp)
        return OpenListener(
            listener=listener,
            sock=sock,
            lock=lock,
            receive_buffer_bytes=_size_buffer(sock, socket.SO_RCVBUF, _SO_RCVBUFFORCE, receive_buffer_bytes),
            send_buffer_bytes=_size_buffer(sock, socket.SO_SNDBUF, _SO_SNDBUFFORCE, send_buffer_bytes),
            wanted_receive_buffer_bytes=receive_buffer_bytes,
        )
    except BaseException:
        for opened in (sock, lock):
            if opened is not None:
                opened.close()
        raise


def _refuse_unfit(listener: Listener) -> None:
    """Raise ListenError for what IP_FREEBIND lets bind without ever working, or what the kernel refuses unclearly."""
    ip = ip_address(listener.address[0])
    if listener.transport != "udp":
        what, hint = "only udp listeners can be opened", "write the listener with udp"
    elif ip.is_unspecified:
        what, hint = "a wildcard has no address for Via and for replies to leave from", "write the addresses"
    elif ip.is_multicast or str(ip) == "255.255.255.255":
        what, hint = "nothing can be sent from a multicast or broadcast address", "write an address of one node"
    elif isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        what, hint = "an IPv4 address written as IPv6", f"write {ip.ipv4_mapped}"
    else:
        return
    raise ListenError(what, str(listener), hint)


def _bind(listener: Listener) -> socket.socket:
    """A bound socket without SO_REUSEADDR: a second bind fails."""
    where = str(listener)
    family = socket.AF_INET if listener.family == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise ListenError(
            f"this node has no IPv{listener.family} ({error.strerror})",
            where,
            f"remove the listener or enable IPv{listener.family} in the kernel",
        ) from error
    try:
        sock.settimeout(0)
        if listener.family == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            # A reply is not retransmitted by us: let routers cut a long one instead of refusing it once.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        sock.bind(_sockaddr(listener))
    except OSError as error:
        sock.close()
        raise _bind_error(listener, error) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _sockaddr(listener: Listener) -> tuple[str, int] | tuple[str, int, int, int]:
    """The address for bind; a link-local one has its interface behind `%` (RFC 4007 11).  Raises ListenError."""
    host, port = listener.address
    host, _, scope = host.partition("%")
    if scope:
        try:
            return host, port, 0, socket.if_nametoindex(scope)
        except OSError as error:
            raise ListenError(
                f"there is no interface {scope!r}", str(listener), f"write one of {', '.join(interface_names())}"
            ) from error
    if listener.family == 6 and host.startswith("fe80:"):
        raise ListenError(
            "a link-local address needs its interface",
            str(listener),
            f"write {host}%INTERFACE with one of {', '.join(interface_names())}",
        )
    return host, port


def interface_names() -> tuple[str, ...]:
    """The names of this node's network interfaces."""
    return tuple(name for _, name in socket.if_nameindex())


def _bind_error(listener: Listener, error: OSError) -> ListenError:
    where = str(listener)
    match error.errno:
        case errno.EADDRINUSE:
            holder = udp_holder(listener.address)
            return ListenError(
                f"the address is already in use by {holder or 'another process'}",
                where,
                "stop it or choose another address or port",
            )
        case errno.EACCES:
            return ListenError(
                f"port {listener.address[1]} needs a privilege that this process does not have",
                where,
                "choose a port from 1024 up, or give it CAP_NET_BIND_SERVICE",
            )
        case errno.EADDRNOTAVAIL:
            return ListenError(
                "the address cannot be bound on this node", where, "write an address of this node or its virtual IP"
            )
        case _:
            return ListenError(f"cannot bind: {error.strerror}", where, "check the address")


def _lock(listener: Listener) -> socket.socket:
    """Hold the listener's name in this network namespace; the kernel lets go of it when the process ends, however.

    An abstract unix socket (unix(7)): no file to be left over, and SO_PEERCRED tells who has it.  Raises ListenError.
    """
    where = str(listener)
    name = b"\0sipdispatch/listener/" + where.encode()
    try:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(
            f"cannot make the listener's lock ({error.strerror})", where, "allow AF_UNIX sockets to this process"
        ) from error
    try:
        lock.bind(name)
        lock.listen(_LOCK_BACKLOG)
    except OSError as error:
        lock.close()
        if error.errno != errno.EADDRINUSE:
            raise ListenError(
                f"cannot take the listener's lock ({error.strerror})", where, "allow AF_UNIX sockets to this process"
            ) from error
        raise ListenError(
            f"another sipdispatch proxy{_lock_holder(name)} already listens here",
            where,
            "stop it or choose another address or port",
        ) from error
    return lock


def _lock_holder(name: bytes) -> str:
    """` (pid N)` of who has the lock, empty when it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(0)
        try:
            asking.connect(name)
            pid, _uid, _gid = _UCRED.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        except OSError:
            return ""
    if not pid:  # in another pid namespace
        return ""
    command = command_of(pid)
    return f" (pid {pid})" if command is None else f" ({command}, pid {pid})"


def _mark(sock: socket.socket, listener: Listener, dscp: int | None) -> None:
    if dscp is None:
        return
    if not 0 <= dscp <= 63:
        raise ListenError(f"DSCP {dscp} is out of range", str(listener), "write 0 to 63; 24 is CS3")
    if listener.family == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)


def _size_buffer(sock: socket.socket, option: int, force: int, wanted: int) -> int:
    """Ask for a buffer, past the system's limit where permitted (CAP_NET_ADMIN); what was granted, in bytes."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, wanted)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, option, wanted)
    return sock.getsockopt(socket.SOL_SOCKET, option) // 2
