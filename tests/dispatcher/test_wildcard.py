"""What a wildcard listener means on nodes with all kinds of addresses."""

from __future__ import annotations

import json

import netifaces
import pytest

from dispatcher.listener import Listener
from dispatcher.wildcard import expand_wildcard, node_hosts
from tests.dispatcher.namespace import run_in_namespace

LO4, LO6 = "127.0.0.1", "::1"


def pretend(monkeypatch: pytest.MonkeyPatch, interfaces: dict[str, list[str]]) -> None:
    def ifaddresses(name: str) -> dict[int, list[dict[str, str]]]:
        found: dict[int, list[dict[str, str]]] = {}
        for host in interfaces[name]:
            family = netifaces.AF_INET6 if ":" in host else netifaces.AF_INET
            found.setdefault(int(family), []).append({"addr": host})
        return found

    monkeypatch.setattr(netifaces, "interfaces", lambda: list(interfaces))
    monkeypatch.setattr(netifaces, "ifaddresses", ifaddresses)


FULL = {
    "lo": [LO4, LO6],
    "eth0": ["192.0.2.1", "192.0.2.9", "2001:db8::1", "fe80::1%eth0"],
    "eth1": ["10.0.0.1", "192.0.2.1", "fd00::1"],
}


@pytest.mark.parametrize(
    ("interfaces", "host", "expected"),
    [
        (FULL, "0.0.0.0", ["192.0.2.1", "192.0.2.9", "10.0.0.1"]),
        (FULL, "::", ["2001:db8::1", "fd00::1"]),
        (FULL, "192.0.2.77", ["192.0.2.77"]),
        ({"lo": [LO4, LO6], "eth0": ["169.254.1.1", "fe80::1%eth0"]}, "0.0.0.0", [LO4]),
        ({"lo": [LO4, LO6], "eth0": ["169.254.1.1", "fe80::1%eth0"]}, "::", [LO6]),
        ({"eth0": ["169.254.1.1"]}, "0.0.0.0", ["169.254.1.1"]),
        ({"eth0": ["fe80::1%eth0"]}, "::", ["fe80::1%eth0"]),
        ({"eth0": ["192.0.2.1"]}, "::", []),
        ({}, "0.0.0.0", []),
    ],
)
def test_what_a_wildcard_means(
    monkeypatch: pytest.MonkeyPatch, interfaces: dict[str, list[str]], host: str, expected: list[str]
) -> None:
    pretend(monkeypatch, interfaces)
    assert expand_wildcard(Listener("udp", (host, 5062))) == tuple((each, 5062) for each in expected)


def test_the_real_addresses_of_a_node_are_read() -> None:
    said = run_in_namespace(
        """
        import json
        from dispatcher.wildcard import node_hosts
        print(json.dumps([node_hosts(4), node_hosts(6)]))
        """,
        setup="ip link set lo up; ip address add 192.0.2.1/32 dev lo; ip address add 2001:0db8::0001/128 dev lo",
    )
    four, six = json.loads(said)
    assert set(four) == {LO4, "192.0.2.1"}
    assert set(six) == {LO6, "2001:db8::1"}


def test_this_node_has_loopback() -> None:
    assert LO4 in node_hosts(4)
