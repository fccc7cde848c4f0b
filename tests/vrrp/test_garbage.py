"""Does a flood of what is no advert change nothing, neither who has the address nor what the owner sends?

Two pairs at the same time: one as it comes, one that speaks to each other only and signs, which has a reason more to
refuse a packet for each of both.  Each node gets a thousand bad packets a second, of every kind.
"""

from __future__ import annotations

import itertools
import os
import random
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.peers.namespace import Namespace, Network
from tests.sipdispatch.vrrp_pair import VIP, Node
from tests.vrrp.garbage import KEY, KINDS, KINDS_SIGNED, REPLAYED, Flow, Target, is_advert
from vrrp.refusal import Refusal

pytestmark = [pytest.mark.slow]

SEED = 20_260_401
SECONDS, BAD_PER_S = 10, 1_000
INTERVAL_S = 0.1
A, B, C = "192.0.2.11", "192.0.2.12", "192.0.2.9"
SIGNED = "keys_file = 'keys'\npeers = ['{peer}']\n"
PACKET_OUTGOING = 4  # linux/if_packet.h
ETH_P_ALL, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 3, 35, 33
PAUSE_S, MOST_AT_ONCE = 0.01, 100
"""Between two bursts of the flood, and how long one may be: less than an agent's socket has room for."""


class Tap:
    """Notes when a node sends an advert, by the clock of the kernel, without anybody else's time."""

    def __init__(self, host: Namespace, source: str) -> None:
        self._source = source
        self._socket = host.open_socket(socket.SOCK_RAW, socket.AF_PACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("eth0", ETH_P_ALL))
        self.sent: list[tuple[float, int]] = []
        """When, and with which priority."""

    def read(self) -> None:
        """Read what there is."""
        while select.select([self._socket], [], [], 0)[0]:
            octets, told, _, address = self._socket.recvmsg(2048, 64)
            if address[2] == PACKET_OUTGOING and is_advert(octets, self._source):
                seconds, nanoseconds = struct.unpack("qq", told[0][2])
                self.sent.append((seconds + nanoseconds / 1e9, octets[36]))

    def close(self) -> None:
        self._socket.close()


@attrs.frozen(kw_only=True)
class Flood:
    """What became of it: status of both nodes before and after, what they sent meanwhile, what was sent to them."""

    before: tuple[dict[str, Any], dict[str, Any]]
    after: tuple[dict[str, Any], dict[str, Any]]
    sent: tuple[list[tuple[float, int]], list[tuple[float, int]]]
    bad: tuple[Counter[Refusal | None], Counter[Refusal | None]]
    owners: list[str]
    dropped: int
    took: float


def flood(folder: Path, *, signed: bool) -> Flood:
    """Let a pair settle, flood it, look at it again."""
    (folder / "keys").write_text(f"{KEY.number} hex:{KEY.secret.hex()}\n")
    with Network() as network:
        switch, mad = network.switch("s"), network.host("c")
        hosts = network.host("a"), network.host("b")
        for host, address in (*zip(hosts, (A, B), strict=True),):
            network.plug(host, switch, f"{address}/24")
            # The kernel drops what seems to come from this node itself; here nothing shall but the agent.
            host.run(
                "sh", "-c", "for each in all default eth0; do echo 1 >/proc/sys/net/ipv4/conf/$each/accept_local; done"
            )
        network.plug(mad, switch, f"{C}/24")
        more = SIGNED if signed else ""
        nodes = Node(hosts[0], folder, 250, more.format(peer=B)), Node(hosts[1], folder, 240, more.format(peer=A))
        taps = Tap(hosts[0], A), Tap(hosts[1], B)
        programs = [node.start() for node in nodes]
        try:
            nodes[0].until("active", 40.0)
            nodes[1].until("backup", 40.0)
            return _flooded(nodes, taps, mad, signed=signed)
        finally:
            for program in programs:
                program.stop()
            for tap in taps:
                tap.close()


def _flooded(nodes: tuple[Node, Node], taps: tuple[Tap, Tap], mad: Namespace, *, signed: bool) -> Flood:
    rng = random.Random(SEED)
    hardware = tuple(bytes.fromhex(_hardware(node.host).replace(":", "")) for node in (*nodes,))
    targets = (
        Target(address=A, hardware=hardware[0], peer=B, vip=VIP, signed=signed),
        Target(address=B, hardware=hardware[1], peer=A, vip=VIP, signed=signed),
    )
    own = bytes.fromhex(_hardware(mad).replace(":", ""))
    made = tuple((KINDS_SIGNED if signed else KINDS).values())
    flows = (
        Flow(targets[0], made, hardware=own, rng=rng),
        Flow(targets[1], (*made, REPLAYED) if signed else made, hardware=own, rng=rng),
    )
    before = nodes[0].status(), nodes[1].status()
    for tap in taps:
        tap.read()
        tap.sent.clear()
    with mad.open_socket(socket.SOCK_RAW, socket.AF_PACKET) as out:
        out.bind(("eth0", 0))
        # Ahead of all ordinary work, as the agents: a busy machine must not be what keeps the flood small.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        began = time.monotonic()
        due = 0
        while due < SECONDS * BAD_PER_S:
            time.sleep(PAUSE_S)
            behind, due = due, min(int((time.monotonic() - began) * BAD_PER_S), due + MOST_AT_ONCE)
            wall = time.time()
            for _ in range(behind, due):
                for flow in flows:
                    out.send(flow.take(wall))
            for tap in taps:
                tap.read()
        took = time.monotonic() - began
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    time.sleep(0.5)
    for tap in taps:
        tap.read()
    return Flood(
        before=before,
        after=(nodes[0].status(), nodes[1].status()),
        sent=(taps[0].sent, taps[1].sent),
        bad=(flows[0].sent, flows[1].sent),
        took=took,
        owners=[name for name, node in zip("ab", nodes, strict=True) if node.has_address()],
        dropped=sum(_dropped(node) for node in nodes),
    )


def _hardware(host: Namespace) -> str:
    return host.run("cat", "/sys/class/net/eth0/address").strip()


def _dropped(node: Node) -> int:
    """What the kernel could not put into the agent's full sockets."""
    table = Path(f"/proc/{node.running.pid}/net/raw").read_text().splitlines()[1:]
    return sum(int(line.split()[-1]) for line in table)


@pytest.fixture(scope="module")
def floods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Flood]]:
    print("seed", SEED)
    with ThreadPoolExecutor(2) as pool:
        cases = {
            name: pool.submit(flood, tmp_path_factory.mktemp("v"), signed=name == "signed")
            for name in ("plain", "signed")
        }
        yield {name: case.result() for name, case in cases.items()}


@pytest.fixture(params=["plain", "signed"])
def flooded(floods: Mapping[str, Flood], request: pytest.FixtureRequest) -> Flood:
    return floods[request.param]


def test_nothing_changes(flooded: Flood) -> None:
    for before, after in zip(flooded.before, flooded.after, strict=True):
        for key in ("state", "since", "cause", "transitions", "effective_priority", "addresses_taken", "leases_lost"):
            assert after[key] == before[key], key
        assert [peer["address"] for peer in after["peers"]] == [peer["address"] for peer in before["peers"]]
        # That somebody is not listened to is told: it could be the peer.
        told = {alarm["field"] for alarm in after["alarms"] if alarm["last"] > before["now"]}
        assert told <= {"refused"}
    assert flooded.owners == ["a"]


def test_no_advert_is_missing_and_none_is_too_many(flooded: Flood) -> None:
    sent, none = flooded.sent
    assert none == []
    assert {priority for _, priority in sent} == {250}
    took = sent[-1][0] - sent[0][0]
    assert took >= SECONDS - 1
    assert len(sent) - 1 == round(took / INTERVAL_S)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(sent)]
    print(f"{sum(flooded.bad[0].values()) / flooded.took:,.0f} bad packets a second")
    print(f"{len(sent)} adverts, the longest gap {1000 * max(gaps):.1f} ms, the shortest {1000 * min(gaps):.1f} ms")
    assert flooded.after[0]["announced"] - flooded.before[0]["announced"] <= 3, "bad adverts are no reason to announce"


def test_each_one_is_counted_by_its_reason(flooded: Flood) -> None:
    assert flooded.dropped == 0
    for before, after, bad in zip(flooded.before, flooded.after, flooded.bad, strict=True):
        was, now = before["adverts"]["refused"], after["adverts"]["refused"]
        counted = {refusal: now[refusal.label] - was[refusal.label] for refusal in Refusal}
        assert sum(counted.values()) == sum(bad.values())
        assert {refusal: number for refusal, number in counted.items() if number < bad[refusal]} == {}


def test_every_reason_there_is_was_given(floods: Mapping[str, Flood]) -> None:
    _, backup = floods["signed"].bad
    assert set(backup) - {None} == set(Refusal)
