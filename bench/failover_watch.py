"""Who has the address, who answers at it, and what do the agents say?  Seen on all hosts at once, by one clock.

One thread is the client, both services and every witness: no other process has to get its turn in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Self

from bench.failover_story import Answer, Move, Record, Said
from tests.peers.namespace import Namespace

VIP = "192.0.2.100"
ECHO_PORT = 7
SIP_PORT = 5060
GROUP = "224.0.0.18"
PROTOCOL = 112
PACE_S = 0.001
REALTIME_PRIORITY = 60
MOST_WITHOUT_WAITING_US = 1_000_000

_PKTINFO = 8
_ARP = 0x0806
_RTMGRP_IPV4_IFADDR = 0x10
_RTM_NEWADDR, _RTM_DELADDR = 20, 21
_MOST_BYTES = 65536


def hurry() -> None:
    """Let nobody else on the machine get in the way of the calling thread, where that is allowed.

    A thread that gets in the way of everybody, because it never waits, is ended with its process (getrlimit(2)).
    """
    resource.setrlimit(resource.RLIMIT_RTTIME, (MOST_WITHOUT_WAITING_US, MOST_WITHOUT_WAITING_US))
    with contextlib.suppress(PermissionError):
        # What it starts must not inherit that.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REALTIME_PRIORITY))


class Service:
    """What stands for the proxy of a node: answers OPTIONS, and keeps connections to a control socket open."""

    def __init__(self, host: Namespace, address: str, directory: Path) -> None:
        self.alive = directory / "alive"
        """There while the service is: what a script can look for."""
        self.control = directory / "proxy.sock"
        self.sip = host.udp(address, SIP_PORT)
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(self.control))
        self.listening.listen()
        self._connections: list[socket.socket] = []
        self._silent = self._dead = False
        self.alive.touch()

    def answer(self) -> None:
        """Say 200 to a request."""
        data, source = self.sip.recvfrom(_MOST_BYTES)
        if not self._silent:
            self.sip.sendto(b"SIP/2.0 200 OK" + data[data.index(b"\r\n") :], source)

    def accept(self) -> bool:
        """Let an agent in, whatever it may ask for; False when nobody can come any more."""
        try:
            connected = self.listening.accept()[0]
        except BlockingIOError:
            return not self._dead
        self._connections.append(connected)
        connected.send(b'{"jsonrpc": "2.0", "id": 1, "result": true}\n')
        return True

    def hang(self) -> None:
        """Answer nothing any more."""
        self._silent = True
        self.alive.unlink(missing_ok=True)

    def die(self) -> None:
        """Be gone, as a killed process."""
        self.hang()
        self._dead = True
        self.control.unlink(missing_ok=True)
        for each in (self.listening, *self._connections):
            # Not closed, for the thread may be waiting for it; the other side sees no difference.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let all sockets go."""
        for each in (self.sip, self.listening, *self._connections):
            each.close()


class Watch:
    """Watches while the block is open; `pace` seconds lie between two datagrams of the client, None: it sends none.

    `nodes` are the hosts by their labels, with interface and own address; `client` is the client's host and interface.
    `vip` is the address that moves, `services` are those that stand for the proxies of the nodes.
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[Namespace, str, str]],
        client: tuple[Namespace, str, str],
        services: Mapping[str, Service],
        *,
        pace: float | None = PACE_S,
        vip: str = VIP,
    ) -> None:
        self._vip = vip
        self.sent: list[float] = []
        self.answers: list[Answer] = []
        self.moves: list[Move] = []
        self.said: list[Said] = []
        self._pace = pace
        self._heard: dict[str, threading.Event] = {label: threading.Event() for label in nodes}
        self._services = services
        self._stack = contextlib.ExitStack()
        self._read: dict[socket.socket, Callable[[], None]] = {}
        self._labels: dict[bytes | str, str] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        # They are read in this order: that in which things follow from each other, where all have happened at once.
        self._watch_adverts(client[0], client[2])
        for label, (host, interface, address) in nodes.items():
            self._labels[address] = self._labels[_hardware(host, interface)] = label
            self._watch_addresses(label, host)
        self._watch_announcements(client[0], client[1])
        self._client = client[0].open_socket(socket.SOCK_DGRAM)
        self._add(self._client, self._take_answers)
        for label, (host, _, _) in nodes.items():
            self._echo(label, host)
        for service in services.values():
            self._add(service.sip, service.answer)
            self._add(service.listening, partial(self._let_in, service))
        self._wake, self._woken = socket.socketpair()
        self._add(self._woken, lambda: None)
        self._add(self._wake, lambda: None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._wake.send(b"x")
        self._thread.join()
        self._stack.close()
        for service in self._services.values():
            service.close()

    def record(self) -> Record:
        """All that was seen up to now."""
        return Record(sent=[*self.sent], answers=[*self.answers], moves=[*self.moves], said=[*self.said])

    def owners(self) -> str:
        """Who has the address: `A`, `B`, `AB`, or empty."""
        there: dict[str, bool] = {move.node: move.there for move in [*self.moves]}
        return "".join(sorted(node for node, has in there.items() if has))

    def answering(self) -> str:
        """Who gave the last answer; empty before the first, and if the latest datagrams have none."""
        if not self.answers or self.answers[-1].number < len(self.sent) - max(20, int(0.05 / (self._pace or 1.0))):
            return ""
        return self.answers[-1].node

    def hear(self, node: str, seconds: float) -> bool:
        """Wait for the next advert of a node, but no longer than that; whether it came."""
        self._heard[node].clear()
        return self._heard[node].wait(seconds)

    def _add(self, sock: socket.socket, reader: Callable[[], None]) -> None:
        sock.settimeout(0.0)
        self._read[sock] = reader
        self._stack.callback(sock.close)

    def _watch_adverts(self, host: Namespace, address: str) -> None:
        adverts = host.open_socket(socket.SOCK_RAW, socket.AF_INET, PROTOCOL)
        membership = socket.inet_aton(GROUP) + socket.inet_aton(address)
        adverts.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._add(adverts, lambda: self._take_advert(adverts))

    def _watch_addresses(self, label: str, host: Namespace) -> None:
        events = host.open_socket(socket.SOCK_RAW, socket.AF_NETLINK)
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        events.bind((0, _RTMGRP_IPV4_IFADDR))
        self._add(events, lambda: self._take_moves(events, label))

    def _watch_announcements(self, host: Namespace, interface: str) -> None:
        arp = host.open_socket(socket.SOCK_RAW, socket.AF_PACKET)
        arp.bind((interface, _ARP))
        self._add(arp, lambda: self._take_arp(arp))

    def _echo(self, label: str, host: Namespace) -> None:
        echo = host.open_socket(socket.SOCK_DGRAM)
        echo.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        echo.bind(("0.0.0.0", ECHO_PORT))
        self._add(echo, lambda: _echo(echo, label.encode()))

    def _let_in(self, service: Service) -> None:
        if not service.accept():
            # It would be readable for ever.
            del self._read[service.listening]

    def _run(self) -> None:
        hurry()
        due = time.monotonic()
        while not self._ending:
            now = time.monotonic()
            if self._pace is not None and now >= due:
                self._send(now)
                due = max(due + self._pace, now)
            patience = None if self._pace is None else max(0.0, due - time.monotonic())
            for sock in select.select(self._read, (), (), patience)[0]:
                with contextlib.suppress(BlockingIOError):
                    self._read[sock]()

    def _send(self, now: float) -> None:
        number = len(self.sent)
        self.sent.append(now)
        with contextlib.suppress(OSError):
            self._client.sendto(struct.pack("!I", number), (self._vip, ECHO_PORT))

    def _take_answers(self) -> None:
        try:
            data = self._client.recv(64)
        except ConnectionRefusedError:
            return
        (number,) = struct.unpack_from("!I", data)
        self.answers.append(Answer(time.monotonic(), number, data[4:].decode()))

    def _take_moves(self, events: socket.socket, label: str) -> None:
        try:
            data = events.recv(_MOST_BYTES)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise RuntimeError("netlink messages were lost") from error
            raise
        now, vip = time.monotonic(), socket.inet_aton(self._vip)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            # All that can hold those four bytes in a message about an IPv4 address is the address itself.
            if kind in {_RTM_NEWADDR, _RTM_DELADDR} and vip in data[24:length]:
                there = kind == _RTM_NEWADDR
                if there is not (label in self.owners()):
                    self.moves.append(Move(now, label, there))
            data = data[(length + 3) & ~3 :]

    def _take_arp(self, arp: socket.socket) -> None:
        frame = arp.recv(2048)
        vip = socket.inet_aton(self._vip)
        if frame[28:32] == frame[38:42] == vip and (label := self._labels.get(frame[22:28])):
            self.said.append(Said(time.monotonic(), label))

    def _take_advert(self, adverts: socket.socket) -> None:
        packet = adverts.recv(2048)
        header = (packet[0] & 15) * 4
        label = self._labels.get(socket.inet_ntoa(packet[12:16]))
        if label is not None:
            self.said.append(Said(time.monotonic(), label, packet[header + 2]))
            self._heard[label].set()


def _hardware(host: Namespace, interface: str) -> bytes:
    text = host.run("ip", "-brief", "link", "show", interface).split()[2]
    return bytes.fromhex(text.replace(":", ""))


def _echo(echo: socket.socket, label: bytes) -> None:
    data, ancillary, _, source = echo.recvmsg(64, 256)
    with contextlib.suppress(OSError):  # the address has just gone
        echo.sendmsg([data, label], ancillary, 0, source)
