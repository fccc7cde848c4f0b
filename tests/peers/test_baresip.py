"""Do two real phones register at a real Asterisk and talk?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.asterisk import Asterisk
from tests.peers.baresip import Phone
from tests.peers.namespace import Network

pytestmark = pytest.mark.peers

PBX = ("192.0.2.10", 5060)


def test_two_phones_register_talk_hold_and_hang_up(tmp_path: Path) -> None:
    with Network() as network:
        lan = network.switch("lan")
        pbx, alice_host, bob_host = (network.host(label) for label in ("pbx", "alice", "bob"))
        for host, address in ((pbx, PBX[0]), (alice_host, "192.0.2.11"), (bob_host, "192.0.2.12")):
            network.plug(host, lan, f"{address}/24")
        with (
            Asterisk(*PBX, directory=tmp_path, namespace=pbx) as asterisk,
            Phone("8005", registrar=PBX, namespace=alice_host, address="192.0.2.11", directory=tmp_path) as alice,
            Phone("8006", registrar=PBX, namespace=bob_host, address="192.0.2.12", directory=tmp_path) as bob,
        ):
            for phone in (alice, bob):
                phone.wait_for("REGISTER_OK")
            registered = " ".join(asterisk.contacts())
            assert "@192.0.2.11:5060" in registered
            assert "@192.0.2.12:5060" in registered

            alice.dial(f"sip:8006@{PBX[0]}")
            for phone in (alice, bob):
                phone.wait_for("CALL_ESTABLISHED")
            alice.wait_for_media()
            bob.wait_for_media()

            alice.hold()
            alice.resume()
            alice.wait_for_media(beyond=alice.media())

            bob.hang_up()
            alice.wait_for("CALL_CLOSED")
            assert alice.media().sent == 0


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with Network() as network:
        pbx, host = network.host("pbx"), network.host("phone")
        network.wire(pbx, f"{PBX[0]}/24", host, "192.0.2.11/24")
        with (
            Asterisk(*PBX, directory=tmp_path, namespace=pbx) as asterisk,
            Phone(
                "8005", registrar=PBX, namespace=host, address="192.0.2.11", directory=tmp_path, password="no"
            ) as phone,
        ):
            assert "401" in phone.wait_for("REGISTER_FAIL")["param"]
            assert asterisk.contacts() == []
