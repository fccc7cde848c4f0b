"""Listeners opened on real sockets: what is set on them, who else may have them, what is said when it fails."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher import sockets
from dispatcher.listener import Listener
from dispatcher.sockets import ListenError, OpenListener, interface_names, open_listener
from tests.dispatcher.namespace import run_in_namespace

LOOPBACKS = ["127.0.0.1", "::1"]
NOBODY = 65534


@contextlib.contextmanager
def opened(host: str, port: int = 0, **options: int) -> Iterator[OpenListener]:
    listening = open_listener(Listener("udp", (host, port)), **options)
    try:
        yield listening
    finally:
        listening.close()


@contextlib.contextmanager
def without_privilege() -> Iterator[None]:
    """Lose the effective capabilities for a moment, as an unprivileged proxy never had them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def refusal(listener: Listener) -> ListenError:
    with pytest.raises(ListenError) as caught:
        open_listener(listener).close()
    assert str(caught.value) == f"{caught.value.where}: {caught.value.what}; {caught.value.hint}"
    assert caught.value.where == str(listener)
    return caught.value


@pytest.mark.parametrize("host", LOOPBACKS)
def test_it_is_bound_not_blocking_and_knows_its_real_port(host: str) -> None:
    with opened(host) as listening:
        assert listening.listener.address == listening.sock.getsockname()[:2]
        assert listening.listener.address[1] != 0
        assert listening.sock.gettimeout() == 0
        assert not listening.sock.get_inheritable()
        assert not listening.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not listening.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_errors_are_queued_and_families_apart() -> None:
    with opened("127.0.0.1") as four, opened("::1") as six:
        assert four.sock.getsockopt(socket.IPPROTO_IP, 11) == 1  # IP_RECVERR
        assert four.sock.getsockopt(socket.IPPROTO_IP, 10) == 0  # IP_PMTUDISC_DONT
        assert six.sock.getsockopt(socket.IPPROTO_IPV6, 25) == 1  # IPV6_RECVERR
        assert six.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.parametrize("host", ["198.51.100.77", "2001:db8::77"])
def test_the_virtual_address_need_not_be_there_yet(host: str) -> None:
    with opened(host) as listening:
        assert listening.listener.address[0] == host


def test_both_families_take_the_same_port() -> None:
    with opened("127.0.0.1") as four, opened("::1", four.listener.address[1]) as six:
        assert six.listener.address[1] == four.listener.address[1]


@pytest.mark.parametrize("host", [*LOOPBACKS, "198.51.100.77"])
def test_a_second_proxy_fails_plainly(host: str) -> None:
    with opened(host) as first:
        error = refusal(first.listener)
        assert error.what.startswith("another sipdispatch proxy (")
        assert error.what.endswith(f"pid {os.getpid()}) already listens here")
        assert error.hint == "stop it or choose another address or port"


def test_a_second_proxy_fails_even_where_the_socket_could_be_shared() -> None:
    with opened("127.0.0.1") as first:
        first.sock.close()
        assert "another sipdispatch proxy" in refusal(first.listener).what


def test_nobody_takes_part_of_the_datagrams_by_address_reuse() -> None:
    with opened("127.0.0.1") as first, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="already in use"):
            thief.bind(first.listener.address)


def test_a_closed_listener_can_be_opened_again() -> None:
    with opened("127.0.0.1") as first:
        pass
    with opened("127.0.0.1", first.listener.address[1]):
        pass


def test_a_killed_proxy_leaves_no_lock() -> None:
    script = (
        "import sys; from dispatcher.listener import Listener; from dispatcher.sockets import open_listener\n"
        "listening = open_listener(Listener('udp', ('127.0.0.1', 0)))\n"
        "print(listening.listener.address[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert f"pid {other.pid}" in refusal(Listener("udp", ("127.0.0.1", port))).what
        other.send_signal(signal.SIGKILL)
        other.wait()
    with opened("127.0.0.1", port):
        pass


@pytest.mark.parametrize("host", LOOPBACKS)
def test_another_program_on_the_port_is_named(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((host, 0))
        listener = Listener("udp", (host, other.getsockname()[1]))
        error = refusal(listener)
        assert error.what.startswith("the address is already in use by ")
        assert error.what.endswith(f"(pid {os.getpid()})")
        other.close()
    with opened(*listener.address):  # the failure gave its lock back
        pass


def test_another_program_that_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "udp_holder", lambda _address: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        error = refusal(Listener("udp", other.getsockname()))
    assert error.what == "the address is already in use by another process"


def test_a_low_port_needs_a_privilege() -> None:
    with without_privilege():
        error = refusal(Listener("udp", ("127.0.0.1", 1023)))
    assert error.what == "port 1023 needs a privilege that this process does not have"
    assert "CAP_NET_BIND_SERVICE" in error.hint


@pytest.mark.parametrize(
    ("listener", "what", "hint"),
    [
        (Listener("tcp", ("127.0.0.1", 0)), "only udp listeners can be opened", "write the listener with udp"),
        (Listener("udp", ("0.0.0.0", 0)), "a wildcard has no address for Via", "write the addresses"),
        (Listener("udp", ("::", 0)), "a wildcard has no address for Via", "write the addresses"),
        (Listener("udp", ("fe80::1%nosuch0", 0)), "there is no interface 'nosuch0'", "write one of lo"),
        (Listener("udp", ("fe80::1", 0)), "a link-local address needs its interface", "write fe80::1%INTERFACE"),
        (Listener("udp", ("ff02::1%lo", 0)), "nothing can be sent from a multicast", "write an address of one node"),
        (Listener("udp", ("224.0.0.1", 0)), "nothing can be sent from a multicast", "write an address of one node"),
        (Listener("udp", ("255.255.255.255", 0)), "nothing can be sent from", "write an address of one node"),
        (Listener("udp", ("::ffff:192.0.2.1", 0)), "an IPv4 address written as IPv6", "write 192.0.2.1"),
    ],
)
def test_what_cannot_be_opened(listener: Listener, what: str, hint: str) -> None:
    error = refusal(listener)
    assert error.what.startswith(what)
    assert error.hint.startswith(hint)


class FailingSocket(socket.socket):
    """A socket that fails where and as a table says."""

    fail_at: str
    error: OSError

    def __init__(self, family: int = -1, kind: int = -1) -> None:
        self._fail("socket", family)
        super().__init__(family, kind)

    def bind(self, address: object) -> None:
        self._fail("bind", self.family)
        super().bind(address)  # type: ignore[arg-type]

    def _fail(self, at: str, family: int) -> None:
        if self.fail_at == f"{at} {'unix' if family == socket.AF_UNIX else 'inet'}":
            raise self.error


@pytest.mark.parametrize(
    ("fail_at", "number", "what", "hint"),
    [
        ("socket inet", errno.EAFNOSUPPORT, "this node has no IPv6 (", "remove the listener or enable IPv6"),
        ("bind inet", errno.EADDRNOTAVAIL, "the address cannot be bound on this node", "write an address of this node"),
        ("bind inet", errno.ENODEV, "cannot bind: No such device", "check the address"),
        ("socket unix", errno.EAFNOSUPPORT, "cannot make the listener's lock (", "allow AF_UNIX sockets"),
        ("bind unix", errno.EPERM, "cannot take the listener's lock (", "allow AF_UNIX sockets"),
    ],
)
def test_what_the_kernel_refuses(
    monkeypatch: pytest.MonkeyPatch, fail_at: str, number: int, what: str, hint: str
) -> None:
    monkeypatch.setattr(FailingSocket, "fail_at", fail_at, raising=False)
    monkeypatch.setattr(FailingSocket, "error", OSError(number, os.strerror(number)), raising=False)
    monkeypatch.setattr(socket, "socket", FailingSocket)
    error = refusal(Listener("udp", ("::1", 65002)))
    assert error.what.startswith(what)
    assert error.hint.startswith(hint)


def test_a_link_local_address_is_bound_on_its_interface() -> None:
    with opened("fe80::99%lo") as listening:
        assert listening.sock.getsockname()[3] == socket.if_nametoindex("lo")


def test_the_lock_of_an_unseen_process() -> None:
    """In another pid namespace the holder's pid is 0; when its backlog is full nobody is asked."""
    listener = Listener("udp", ("127.0.0.1", 65001))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        lock.bind(b"\0sipdispatch/listener/" + str(listener).encode())
        # Nobody listens: connecting is refused.
        assert refusal(listener).what == "another sipdispatch proxy already listens here"


@pytest.mark.parametrize(("pid", "said"), [(0, ""), (2**22 + 1, f" (pid {2**22 + 1})")])
def test_who_has_the_lock_may_be_out_of_sight(monkeypatch: pytest.MonkeyPatch, pid: int, said: str) -> None:
    monkeypatch.setattr(sockets, "_UCRED", FixedCredentials(pid))
    with opened("127.0.0.1") as first:
        assert refusal(first.listener).what == f"another sipdispatch proxy{said} already listens here"


class FixedCredentials:
    """What SO_PEERCRED says of a process in another pid namespace (0), or of one that has just gone."""

    size = 12

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def unpack(self, _read: bytes) -> tuple[int, int, int]:
        return self.pid, 0, 0


def test_the_granted_receive_buffer_is_said() -> None:
    with opened("127.0.0.1", receive_buffer_bytes=65536) as small:
        assert small.receive_buffer_bytes == 65536
        assert small.shortfall is None
    with without_privilege(), opened("127.0.0.1", receive_buffer_bytes=2**30) as large:
        assert large.receive_buffer_bytes < 2**30
        assert large.shortfall == (
            f"{large.listener}: the receive buffer is {large.receive_buffer_bytes} bytes instead of 1073741824; "
            "raise it with: sysctl -w net.core.rmem_max=1073741824"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only CAP_NET_ADMIN may pass net.core.rmem_max")
def test_with_the_capability_the_buffers_pass_the_systems_limit() -> None:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with opened("127.0.0.1", receive_buffer_bytes=limit + 65536) as listening:
        assert listening.receive_buffer_bytes == limit + 65536


def test_what_leaves_is_marked() -> None:
    with opened("127.0.0.1", dscp=24) as four, opened("::1", dscp=24) as six:
        assert four.sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 24 << 2
        assert six.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 24 << 2
    for dscp in (-1, 64):
        with pytest.raises(ListenError, match="out of range"), opened("127.0.0.1", dscp=dscp):
            pass


def test_another_network_namespace_has_its_own_locks() -> None:
    with opened("127.0.0.1") as first:
        said = run_in_namespace(
            f"""
            from dispatcher.listener import Listener
            from dispatcher.sockets import open_listener
            print(open_listener(Listener("udp", ("127.0.0.1", {first.listener.address[1]}))).listener)
            """
        )
        assert said == str(first.listener)


def test_a_virtual_address_that_comes_later_can_send_and_receive() -> None:
    said = run_in_namespace(
        """
        import socket, subprocess
        from dispatcher.listener import Listener
        from dispatcher.sockets import open_listener
        listening = open_listener(Listener("udp", ("198.51.100.7", 5060)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            subprocess.run(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"], check=True)
            phone.sendto(b"ping", ("198.51.100.7", 5060))
            payload, source = listening.sock.recvfrom(100)
            listening.sock.sendto(b"pong", source)
            print(payload, phone.recvfrom(100))
        """
    )
    assert said == "b'ping' (b'pong', ('198.51.100.7', 5060))"


def test_the_interfaces_are_named() -> None:
    assert "lo" in interface_names()
