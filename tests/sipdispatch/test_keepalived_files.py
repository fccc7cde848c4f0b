"""Do the files that people have become our configuration, and is told what is left out of each?"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sipdispatch.keepalived_read import Fate
from sipdispatch.toml_text import toml_text
from sipdispatch.vrrp_import_command import check_result
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require
from tests.sipdispatch.keepalived_scene import FILES, FOR_NODE, NAMES, of_file, tree

EXPECTED: dict[str, dict[str, Any]] = {
    "article_a": {
        "interface": "eth0",
        "vrid": 51,
        "priority": 101,
        "addresses": ["192.0.2.100/24"],
        "version": 2,
        "interval": "1s",
        "password_file": "/etc/sipdispatch/vrrp.password",
        "track": {"sip": "192.0.2.11:5060"},
    },
    "article_vip": {
        "interface": "eth0",
        "vrid": 60,
        "priority": 150,
        "addresses": ["192.0.2.100/24"],
        "version": 2,
        "interval": "1s",
        "preempt": "never",
        "source": "192.0.2.11",
        "track": {"sip": "192.0.2.11:5060"},
    },
    "debian_sample": {
        "interface": "eth0",
        "vrid": 51,
        "priority": 100,
        "addresses": ["192.168.200.16/32", "192.168.200.17/32", "192.168.200.18/32"],
        "version": 2,
        "interval": "1s",
    },
    "unicast_cloud": {
        "interface": "eth0",
        "vrid": 33,
        "priority": 100,
        "addresses": [{"address": "203.0.113.10/32", "interface": "eth1"}],
        "version": 2,
        "interval": "2s",
        "preempt": "never",
        "source": "10.0.0.11",
        "peers": ["10.0.0.12"],
        "least_ttl": 1,
        "password_file": "/etc/sipdispatch/vrrp.password",
    },
    "dual_stack": {
        "interface": "eth0",
        "vrid": 10,
        "priority": 200,
        "addresses": ["192.0.2.100/24", "2001:db8::100/64", "192.0.2.101/24"],
        "version": 3,
        "interval": "250ms",
        "preempt": "after 30s",
        "announce_every": "60s",
    },
    "ipv6": {
        "interface": "eth0",
        "vrid": 66,
        "priority": 254,
        "addresses": ["fe80::1:100/64", "2001:db8::100/128"],
        "version": 3,
        "interval": "1s",
    },
    "sync_group": {
        "interface": "eth0",
        "vrid": 51,
        "priority": 150,
        "addresses": ["192.0.2.100/24", {"address": "10.0.0.100/24", "interface": "eth1"}],
        "version": 2,
        "interval": "1s",
        "track": {
            "interfaces": ["eth1"],
            "command": [
                {
                    "name": "chk_kamailio",
                    "command": ["/usr/bin/env", "killall", "-0", "kamailio"],
                    "interval": "2s",
                    "timeout": "1s",
                    "rise": 1,
                    "fall": 1,
                }
            ],
        },
    },
    "two_halves": {
        "interface": "eth0",
        "vrid": 51,
        "priority": 101,
        "addresses": ["192.0.2.100/32"],
        "version": 2,
        "interval": "1s",
    },
    "one_file_for_both": {
        "interface": "eth0",
        "vrid": 51,
        "priority": 100,
        "addresses": ["192.0.2.100/24"],
        "version": 2,
        "interval": "1s",
        "source": "192.0.2.11",
        "peers": ["192.0.2.12"],
    },
    "wan": {
        "interface": "eth0",
        "vrid": 9,
        "priority": 120,
        "addresses": ["192.0.2.100/24"],
        "version": 3,
        "interval": "330ms",
        "source": "192.0.2.11",
        "peers": ["198.51.100.12"],
        "least_ttl": 250,
    },
    "everything_on_lines": {
        "interface": "eth0",
        "vrid": 200,
        "priority": 100,
        "addresses": ["192.0.2.200/24"],
        "version": 2,
        "interval": "1s",
        "announce_every": "10s",
        "track": {
            "command": [
                {
                    "name": "my-check",
                    "command": ["/usr/local/bin/check", "two words", "three"],
                    "interval": "3s",
                    "timeout": "3s",
                    "rise": 1,
                    "fall": 1,
                }
            ]
        },
    },
}
"""The section [vrrp], by file; `tracked` has a test of its own."""

LEFT_OUT: dict[str, list[tuple[int, str]]] = {
    "article_a": [],
    "article_vip": [],
    "debian_sample": [
        (20, "smtp_alert"),
        (27, "192.168.200.18 label eth0:1"),
        (31, "virtual_server 192.168.200.100 443"),
    ],
    "unicast_cloud": [],
    "dual_stack": [(12, "192.0.2.100/24 brd 192.0.2.255 scope global")],
    "ipv6": [(11, "use_vmac vrrp66"), (12, "vmac_xmit_base")],
    "sync_group": [(32, "virtual_routes")],
    "two_halves": [],
    "tracked": [(39, "standby"), (40, "nowhere")],
    "one_file_for_both": [(5, "include /etc/keepalived/local.conf")],
    "wan": [(15, "down_timer_adverts 5"), (18, "dont_track_primary")],
    "everything_on_lines": [(7, "192.0.2.200/24 dev eth0 label eth0:vip")],
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_file_becomes_this_section(name: str) -> None:
    assert tree(of_file(name))["vrrp"] == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_of_a_file_is_told_with_its_line(name: str) -> None:
    left = [(each.line, each.what) for each in of_file(name).remarks if each.fate is Fate.LEFT_OUT]
    assert left == LEFT_OUT[name]


@pytest.mark.parametrize("name", NAMES)
def test_our_own_reader_takes_the_result(name: str) -> None:
    check_result(toml_text(of_file(name).tables), FILES / f"{name}.conf")


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    require("keepalived")
    with Network() as network:
        host, other = network.host("a"), network.host("b")
        network.wire(host, "192.0.2.11/24", other, "192.0.2.12/24")
        network.wire(host, "10.0.0.11/24", other, "10.0.0.12/24")
        yield host


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_keepalived_itself_understands_the_file(name: str, host: Namespace) -> None:
    """Its exit status says too that a script is not there, and what it thinks of owners of addresses."""
    argv = host.command([str(require("keepalived")), "-t", "-i", FOR_NODE.get(name, "x"), "-f", f"{FILES / name}.conf"])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 4, 5, 6), said
    for trouble in ("Unknown keyword", "missing '}'", "Extra '}'", "Unterminated", "Unmatched", "Unknown interface"):
        assert trouble not in said
