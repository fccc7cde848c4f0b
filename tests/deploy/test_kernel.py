"""Do the snippets for sysctl and nftables do what their comments say?"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from sipdispatch.config import Proxy
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require

DEPLOY = Path(__file__).parents[2] / "deploy"
BUFFERS = DEPLOY / "sysctl" / "60-sipdispatch.conf"
ADDRESSES = DEPLOY / "sysctl" / "61-sipdispatch-vrrp.conf"
SNIPPET = DEPLOY / "nftables" / "sipdispatch.nft"
EDGE, PEER, STRANGER, MONITORING = "192.168.0.101", "192.168.0.102", "192.168.0.150", "192.168.0.200"
GROUP = "224.0.0.18"
VRRP = 112


def settings(file: Path) -> dict[str, str]:
    """Key and value of each line that is not a comment."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def test_the_settings_for_a_moving_address_are_taken() -> None:
    sysctl = str(require("sysctl"))
    with Network() as network:
        host = network.host("edge")
        host.run(sysctl, "-w", *(f"{key}=0" for key in settings(ADDRESSES)))
        host.run(sysctl, "-p", str(ADDRESSES))
        taken = {key: host.run(sysctl, "-n", key).strip() for key in settings(ADDRESSES)}
    assert taken == settings(ADDRESSES)
    assert len(taken) == 4


def test_the_buffers_of_the_proxy_fit_and_the_kernel_knows_the_keys() -> None:
    """They belong to the whole machine, so they are not set here."""
    values = settings(BUFFERS)
    wanted: dict[str, int] = {field.name: field.default or 0 for field in attrs.fields(Proxy)}
    assert int(values["net.core.rmem_max"]) >= wanted["receive_buffer"] > 0
    assert int(values["net.core.wmem_max"]) >= wanted["send_buffer"] > 0
    assert [key for key in values if not Path("/proc/sys", *key.split(".")).exists()] == []


def test_no_address_of_others_is_open_to_everybody() -> None:
    for file in (BUFFERS, ADDRESSES):
        assert "net.ipv4.ip_nonlocal_bind" not in settings(file)
        assert "ip_nonlocal_bind" in file.read_text()


# --------------------------------------------------------------------------------------------------------------------
# The firewall

OWN_TABLE = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        jump sipdispatch
    }
}
"""
"""Of an operator who lets in nothing else at all."""


@attrs.frozen
class Lan:
    edge: Namespace
    peer: Namespace
    stranger: Namespace


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    nft = str(require("nft"))
    rules = tmp_path_factory.mktemp("nft") / "nftables.conf"
    rules.write_text(f'flush ruleset\ninclude "{SNIPPET}"\n{OWN_TABLE}')
    with Network() as network:
        switch = network.switch("lan")
        edge, peer, stranger = (network.host(name) for name in ("edge", "peer", "stranger"))
        network.plug(edge, switch, f"{EDGE}/24", "2001:db8::101/64")
        network.plug(peer, switch, f"{PEER}/24", f"{MONITORING}/24")
        network.plug(stranger, switch, f"{STRANGER}/24", "2001:db8::150/64")
        edge.run(nft, "-c", "-f", str(rules))
        edge.run(nft, "-f", str(rules))
        yield Lan(edge, peer, stranger)


@pytest.mark.parametrize("destination", [EDGE, GROUP])
def test_adverts_come_from_the_peer_and_from_nobody_else(lan: Lan, destination: str) -> None:
    with raw(lan.edge, EDGE) as hearing, raw(lan.peer, PEER) as peer, raw(lan.stranger, STRANGER) as stranger:
        for sender, ttl, text in ((stranger, 255, b"hijack"), (peer, 254, b"routed"), (peer, 255, b"advert")):
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            sender.sendto(text, (destination, 0))
        packet, sender_address = hearing.recvfrom(2000)
        assert (packet[20:], sender_address[0]) == (b"advert", PEER)


def raw(host: Namespace, address: str) -> socket.socket:
    """A socket for VRRP on the host, in the group."""
    made = host.open_socket(socket.SOCK_RAW, protocol=VRRP)
    own = socket.inet_aton(address)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + own)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    made.settimeout(5.0)
    return made


@pytest.mark.parametrize(("edge", "stranger"), [(EDGE, STRANGER), ("2001:db8::101", "2001:db8::150")])
def test_sip_comes_from_everybody_and_nothing_else(lan: Lan, edge: str, stranger: str) -> None:
    """Over IPv6 too, where nothing arrives without neighbour discovery."""
    with lan.edge.udp(edge, 5060) as sip, lan.edge.udp(edge, 5061) as other, lan.stranger.udp(stranger) as phone:
        phone.sendto(b"other", (edge, 5061))
        phone.sendto(b"sip", (edge, 5060))
        assert sip.recv(100) == b"sip"
        other.setblocking(False)  # noqa: FBT003 - what was sent before has been dropped before
        with pytest.raises(BlockingIOError):
            other.recv(100)


def test_a_port_that_nobody_serves_is_heard_of(lan: Lan) -> None:
    with lan.edge.udp(EDGE, 5060) as sip:
        sip.connect((PEER, 5060))
        sip.send(b"OPTIONS")
        with pytest.raises(ConnectionRefusedError):
            sip.recv(100)


def test_metrics_are_for_the_monitoring_alone(lan: Lan) -> None:
    with lan.edge.open_socket(socket.SOCK_STREAM) as server:
        server.bind((EDGE, 9275))
        server.listen()
        assert connects(lan.peer, MONITORING, (EDGE, 9275))
        assert not connects(lan.stranger, STRANGER, (EDGE, 9275))


def connects(host: Namespace, source: str, target: tuple[str, int]) -> bool:
    with host.open_socket(socket.SOCK_STREAM) as caller:
        caller.settimeout(0.5)
        caller.bind((source, 0))
        try:
            caller.connect(target)
        except TimeoutError:
            return False
        return True


def test_the_addresses_in_the_snippet_are_those_of_the_example_pair() -> None:
    other = re.search(r"^define sipdispatch_peer = (\S+)$", SNIPPET.read_text(), re.MULTILINE)
    assert other is not None
    assert f'peers = ["{other[1]}"]' in (DEPLOY / "pair/edge-a/sipdispatch.toml").read_text()
