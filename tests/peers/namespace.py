"""How does a test get several hosts on one machine?  Named network namespaces joined by veth pairs and bridges.

Nothing in the machine's own namespace is touched.  A name carries the process id of its test run, so that a run which
died leaves nothing behind for long: the next run removes what has no living owner.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from tests.peers.need import missing, require, require_root

PREFIX = "sipdispatch"
FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h

T = TypeVar("T")

_numbers = itertools.count(1)


class Namespace:
    """One host: its own interfaces, addresses, routes and firewall.  Made by `Network.host`."""

    def __init__(self, label: str) -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}-{label}"
        self._interfaces = 0
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as it must be run to happen inside; the process id stays the program's own."""
        return [str(require("ip")), "netns", "exec", self.name, *argv]

    def run(self, *argv: str, seconds: float = 30.0) -> str:
        """Run a command inside to its end; its output.  CalledProcessError when it fails."""
        return _run(self.command(argv), seconds)

    def ip(self, *arguments: str) -> None:
        """`ip` inside: links, addresses, routes."""
        _ip("-n", self.name, *arguments)

    def next_interface(self) -> str:
        """The name of the next interface: eth0, eth1 ..."""
        self._interfaces += 1
        return f"eth{self._interfaces - 1}"

    def bring_up(self, interface: str, *addresses: str) -> None:
        """Set the addresses (`192.0.2.1/24`, `2001:db8::1/64`) and the link up; IPv6 ones are usable at once."""
        for address in addresses:
            self.ip("address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", interface, "up")

    def route(self, to: str, via: str) -> None:
        """Add a route: `to` is a network or `default`."""
        self.ip("route", "add", to, "via", via)

    def forward(self) -> None:
        """Make the host a router, for both families."""
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")

    def masquerade(self, interface: str, *, ports: str | None = None) -> None:
        """Make the host a NAT router: what leaves by `interface` gets its address.

        `ports` (`7000-7999`) forces the source port of UDP into a range, as a busy NAT would change it.
        """
        self.forward()
        udp = f"oifname {interface} meta l4proto udp masquerade to :{ports}\n" if ports else ""
        rules = f"type nat hook postrouting priority srcnat\n{udp}oifname {interface} masquerade\n"
        self.nft(f"table ip nat {{\nchain leaving {{\n{rules}}}\n}}\n")

    def nft(self, ruleset: str) -> None:
        """Add rules to the host's firewall, in nft's own language."""
        self.run(str(require("nft")), ruleset)

    def open_socket(
        self, kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET, protocol: int = 0
    ) -> socket.socket:
        """A socket that lives inside, in the hands of this process: it sends and hears as the host does."""
        return self.inside(lambda: socket.socket(family, kind, protocol))

    def inside(self, act: Callable[[], T]) -> T:
        """What `act` returns, or raises, in a thread that has moved in; sockets that it makes stay inside."""
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self.name,)) as thread:
            return thread.submit(act).result()

    def udp(self, host: str, port: int = 0) -> socket.socket:
        """A UDP socket bound inside, with a timeout of five seconds."""
        sock = self.open_socket(socket.SOCK_DGRAM, socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.settimeout(5.0)
        sock.bind((host, port))
        return sock

    def remove(self) -> None:
        """End what runs inside and remove the namespace with all its interfaces."""
        _remove(self.name)


class Network:
    """Hosts and the wires between them, gone when the block is left."""

    def __init__(self) -> None:
        require("ip")
        require_root("a network namespace")
        self._namespaces: list[Namespace] = []

    def __enter__(self) -> Self:
        sweep()
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in reversed(self._namespaces):
            namespace.remove()

    def host(self, label: str) -> Namespace:
        """A new host without a wire."""
        try:
            namespace = Namespace(label)
        except subprocess.CalledProcessError as error:
            missing(f"this machine allows no network namespaces: {error.stderr.strip()}")
        self._namespaces.append(namespace)
        return namespace

    def wire(self, one: Namespace, one_address: str, other: Namespace, other_address: str) -> tuple[str, str]:
        """Join two hosts by a wire of their own; the names of the interface at each end."""
        ends = self._veth(one, other)
        one.bring_up(ends[0], one_address)
        other.bring_up(ends[1], other_address)
        return ends

    def switch(self, label: str) -> Namespace:
        """A switch, to plug hosts into."""
        switch = self.host(label)
        switch.ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        switch.ip("link", "set", "bridge", "up")
        return switch

    def plug(self, host: Namespace, switch: Namespace, *addresses: str) -> str:
        """Join a host to a switch; the name of the host's interface."""
        interface, port = self._veth(host, switch)
        switch.ip("link", "set", port, "master", "bridge")
        switch.bring_up(port)
        host.bring_up(interface, *addresses)
        return interface

    @staticmethod
    def _veth(one: Namespace, other: Namespace) -> tuple[str, str]:
        ends = one.next_interface(), other.next_interface()
        one.ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other.name)
        return ends


def sweep() -> None:
    """Remove the namespaces of test runs that no longer live."""
    for entry in FOLDER.glob(f"{PREFIX}-*"):
        owner = entry.name.removeprefix(f"{PREFIX}-").split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):  # another run may sweep at the same time
                _remove(entry.name)


def _enter(name: str) -> None:
    """Move the calling thread into the namespace (setns(2); os.setns exists from Python 3.12 on)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (FOLDER / name).open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def _remove(name: str) -> None:
    for pid in _ip("netns", "pids", name).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "delete", name)


def _ip(*arguments: str) -> str:
    return _run([str(require("ip")), *arguments], 30.0)


def _run(argv: Sequence[str], seconds: float) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
        error.add_note(done.stderr)  # its own text keeps to itself why it failed
        raise error
    return done.stdout
