"""Do the test networks behave like networks?"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.namespace import FOLDER, PREFIX, Network, sweep
from tests.peers.need import require

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.peers


def test_a_host_behind_a_masquerade_reaches_the_other_side_as_its_router() -> None:
    require("ping")
    with Network() as network:
        phone, router, edge = (network.host(label) for label in ("phone", "router", "edge"))
        network.wire(phone, "10.0.0.2/24", router, "10.0.0.1/24")
        outside, _ = network.wire(router, "192.0.2.1/24", edge, "192.0.2.10/24")
        phone.route("default", "10.0.0.1")
        router.masquerade(outside, ports="7000-7999")

        assert "1 received" in phone.run("ping", "-n", "-c", "1", "-W", "2", "192.0.2.10")
        with phone.udp("10.0.0.2", 5060) as inner, edge.udp("192.0.2.10", 5060) as outer:
            inner.sendto(b"out", ("192.0.2.10", 5060))
            received, source = outer.recvfrom(100)
            assert received == b"out"
            assert source[0] == "192.0.2.1"
            assert 7000 <= source[1] <= 7999
            outer.sendto(b"back", source)
            assert inner.recvfrom(100) == (b"back", ("192.0.2.10", 5060))


def test_hosts_on_a_switch_hear_each_other_in_both_families() -> None:
    with Network() as network:
        lan = network.switch("lan")
        one, other = network.host("one"), network.host("other")
        network.plug(one, lan, "192.0.2.1/24", "2001:db8::1/64")
        network.plug(other, lan, "192.0.2.2/24", "2001:db8::2/64")
        for here, there in (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")):
            with one.udp(here, 5060) as sender, other.udp(there, 5060) as receiver:
                sender.sendto(here.encode(), (there, 5060))
                assert receiver.recvfrom(100)[0] == here.encode()


def test_networks_are_gone_afterwards() -> None:
    with Network() as network:
        host = network.host("short")
        inside = subprocess.Popen(host.command(["sh", "-c", "echo here; exec sleep 60"]), stdout=subprocess.PIPE)
        assert inside.stdout is not None
        assert inside.stdout.readline() == b"here\n"
        assert (FOLDER / host.name).exists()
    assert not (FOLDER / host.name).exists()
    with inside:
        assert inside.wait(20) == -signal.SIGKILL


def test_what_a_dead_run_left_behind_is_swept() -> None:
    with Network():
        script = "from tests.peers.namespace import Namespace; Namespace('left')"
        done = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
        assert done.wait(20) == 0
        left = list(FOLDER.glob(f"{PREFIX}-{done.pid}-*"))
        assert left
        sweep()
        assert not left[0].exists()
