"""Do a real keepalived and we read each other's adverts, and do real networks believe our frames?"""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tests.peers.keepalived import Instance, Keepalived
from tests.peers.namespace import Namespace, Network
from tests.peers.program import PeerError, wait_until
from vrrp.frames import announcements, probe, read_claim
from vrrp.packet import GROUP_IPV4, GROUP_IPV6, PROTOCOL, Advert, Checksum, encode
from vrrp.reception import Heard, Reception

pytestmark = pytest.mark.peers

OURS, THEIRS = "192.0.2.11", "192.0.2.12"
VIP, VIP6 = "192.0.2.100", "2001:db8::64"
ETH_P_ALL = 3
PACKET_OUTGOING = 4  # linux/if_packet.h
PATIENCE_SECONDS = 15.0


@attrs.frozen
class Carried:
    """A VRRP message as it came, with what its IP header says."""

    data: bytes
    source: str
    destination: str
    ttl: int


class Tap:
    """Our end of the wire: hears every frame of the other side and sends frames as they are."""

    def __init__(self, host: Namespace, interface: str) -> None:
        self._socket = host.open_socket(socket.SOCK_RAW, socket.AF_PACKET)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(PATIENCE_SECONDS)
        self.hardware: bytes = self._socket.getsockname()[4]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def frames(self) -> Iterator[bytes]:
        """What comes, until it is enough or it has taken too long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            frame, address = self._socket.recvfrom(2048)
            if address[2] != PACKET_OUTGOING:
                yield frame
        raise PeerError(f"not within {PATIENCE_SECONDS:g} s")

    def adverts(self) -> Iterator[Carried]:
        for frame in self.frames():
            layer: Any = Ether(frame)
            if IP in layer and layer[IP].proto == PROTOCOL:
                header = 14 + layer[IP].ihl * 4
                data = frame[header : 14 + layer[IP].len]
                yield Carried(data, layer[IP].src, layer[IP].dst, layer[IP].ttl)
            elif IPv6 in layer and layer[IPv6].nh == PROTOCOL:
                data = frame[54 : 54 + layer[IPv6].plen]
                yield Carried(data, layer[IPv6].src, layer[IPv6].dst, layer[IPv6].hlim)

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def advertise(self, advert: Advert, *, source: str, destination: str, hardware: bytes) -> None:
        """Our message in an IP header of scapy's, to the Ethernet address `hardware`."""
        data = encode(advert, source=source, destination=destination)
        if ":" in source:
            layer: Any = IPv6(src=source, dst=destination, nh=PROTOCOL, hlim=255, plen=len(data))
        else:
            layer = IP(src=source, dst=destination, proto=PROTOCOL, ttl=255, len=20 + len(data))
        self.send(
            bytes(Ether(src=self.hardware, dst=hardware, type=0x86DD if ":" in source else 0x0800) / layer) + data
        )


@attrs.frozen
class Wire:
    """We at one end, the host of keepalived at the other."""

    theirs: Namespace
    interface: str
    tap: Tap

    @property
    def their_hardware(self) -> bytes:
        text = self.theirs.run("ip", "-brief", "link", "show", self.interface).split()[2]
        return bytes.fromhex(text.replace(":", ""))

    @property
    def our_link_local(self) -> str:
        """The kernel's own, made of the hardware address (RFC 4291 appendix A)."""
        first, rest = self.tap.hardware[0] ^ 2, self.tap.hardware[1:]
        packed = struct.pack("!HxxxxxxB2sH3s", 0xFE80, first, rest[:2], 0xFFFE, rest[2:])
        return socket.inet_ntop(socket.AF_INET6, packed)


def _wait_for_ipv6(host: Namespace) -> None:
    """The kernel takes up to a second to see that the wire is there, and has no IPv6 before."""
    wait_until(lambda: "inet6 fe80" in host.run("ip", "-6", "address"), "IPv6 is up")


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Network() as network:
        ours, theirs = network.host("ours"), network.host("theirs")
        for host in (ours, theirs):
            # A link-local address that is still checked for duplicates cannot send.
            host.run("sh", "-c", "for of in all default; do echo 0 >/proc/sys/net/ipv6/conf/$of/accept_dad; done")
        here, there = network.wire(ours, f"{OURS}/24", theirs, f"{THEIRS}/24")
        for host in (ours, theirs):
            _wait_for_ipv6(host)
        with Tap(ours, here) as tap:
            yield Wire(theirs, there, tap)


INSTANCE = Instance(interface="", priority=150, addresses=(f"{VIP}/24", "192.0.2.101/24"))
EXPECTED = Advert(version=3, vrid=51, priority=150, interval=0.1, addresses=(VIP, "192.0.2.101"))
VARIANTS = {
    "v3": (INSTANCE, EXPECTED),
    "v3-unicast": (attrs.evolve(INSTANCE, peers=(OURS,), source=THEIRS), EXPECTED),
    "v3-ipv6": (
        attrs.evolve(INSTANCE, addresses=("fe80::64/64", f"{VIP6}/64")),
        attrs.evolve(EXPECTED, addresses=("fe80::64", VIP6)),
    ),
    "v2": (
        attrs.evolve(INSTANCE, version=2, interval=1),
        attrs.evolve(EXPECTED, version=2, interval=1.0),
    ),
    "v2-password": (
        attrs.evolve(INSTANCE, version=2, interval=1, password="secret"),
        attrs.evolve(EXPECTED, version=2, interval=1.0, password=b"secret"),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_keepalived_and_we_read_each_other(wire: Wire, tmp_path: Path, variant: str) -> None:
    instance, expected = VARIANTS[variant]
    over_ipv6 = ":" in expected.addresses[0]
    group = GROUP_IPV6 if over_ipv6 else GROUP_IPV4
    listens = Reception(
        vrid=51,
        version=expected.version,
        addresses=expected.addresses,
        interval=expected.interval,
        own=(wire.our_link_local if over_ipv6 else OURS,),
        password=expected.password,
    )

    def hear(wanted: Callable[[Advert], bool]) -> tuple[Heard, Carried]:
        for carried in wire.tap.adverts():
            heard = listens.judge(
                carried.data, source=carried.source, destination=carried.destination, ttl=carried.ttl, wall=0.0
            )
            assert isinstance(heard, Heard), (heard, carried)
            if wanted(heard.advert):
                return heard, carried
        raise AssertionError

    with Keepalived(
        attrs.evolve(instance, interface=wire.interface), namespace=wire.theirs, directory=tmp_path
    ) as peer:
        heard, carried = hear(lambda advert: advert.priority > 0)
        assert heard == Heard(expected, Checksum.MESSAGE if expected.version == 2 else Checksum.PSEUDO_HEADER)
        assert carried.ttl == 255
        assert carried.destination == (OURS if instance.peers else group)

        # Its announcements claim each address for the node that sends the adverts.
        claimed: dict[str, bytes] = {}
        for frame in wire.tap.frames():
            claim = read_claim(frame)
            if claim is not None and claim.address in expected.addresses:
                claimed[claim.address] = claim.hardware
            if set(claimed) == set(expected.addresses):
                break
        (their_hardware,) = set(claimed.values())
        assert their_hardware == wire.their_hardware

        def advertise(priority: int) -> None:
            multicast = b"\x33\x33\0\0\0\x12" if over_ipv6 else b"\x01\0\x5e\0\0\x12"
            wire.tap.advertise(
                attrs.evolve(expected, priority=priority),
                source=wire.our_link_local if over_ipv6 else OURS,
                destination=THEIRS if instance.peers else group,
                hardware=their_hardware if instance.peers else multicast,
            )

        # It reads ours: a lower one and stays, a better one and goes.
        peer.until_state("MASTER")
        advertise(100)
        peer.until(lambda: "lower priority 100" in peer.output(), "keepalived has read our advert")
        assert peer.state == "MASTER"
        advertise(200)
        peer.until_state("BACKUP")
        # Alone again it takes over, and says goodbye with priority 0.
        peer.until_state("MASTER")
        peer.signal(signal.SIGTERM)
        assert hear(lambda advert: advert.priority == 0)[0].advert == attrs.evolve(expected, priority=0)


@pytest.mark.parametrize(
    ("address", "form"), [(VIP, 0), (VIP, 1), (VIP6, 0)], ids=["request", "reply", "advertisement"]
)
def test_a_neighbour_learns_from_each_form_of_an_announcement(wire: Wire, address: str, form: int) -> None:
    wire.theirs.ip("neigh", "add", address, "lladdr", "02:00:00:00:00:99", "nud", "stale", "dev", wire.interface)
    wire.tap.send(announcements(address, wire.tap.hardware)[form])
    learnt = wire.tap.hardware.hex(":")
    wait_until(lambda: learnt in wire.theirs.run("ip", "neigh", "show", address), f"{address} is at {learnt}")


@pytest.mark.parametrize("address", [VIP, VIP6])
def test_whoever_has_an_address_answers_the_probe(wire: Wire, address: str) -> None:
    wire.theirs.bring_up(wire.interface, f"{address}/{64 if ':' in address else 24}")
    wire.tap.send(probe(address, wire.tap.hardware))
    claims = (claim for frame in wire.tap.frames() if (claim := read_claim(frame)) and claim.address == address)
    assert next(claims).hardware == wire.their_hardware
