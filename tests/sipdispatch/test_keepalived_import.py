"""Does our configuration say what the keepalived.conf said, and is told what it does not say?"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipdispatch.keepalived_import import Imported, translate, virtual_routers
from sipdispatch.keepalived_read import Fate, UnreadableError, read_keepalived
from sipdispatch.toml_text import toml_text
from sipdispatch.vrrp_import_command import check_result
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require

FILES = Path(__file__).parent / "keepalived"
NAMES = sorted(path.stem for path in FILES.glob("*.conf"))
FOR_NODE = {"one_file_for_both": "a"}

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


def imported(text: str, *, name: str | None = None, node: str | None = None, other: int | None = None) -> Imported:
    document = read_keepalived(text, node=node)
    routers = virtual_routers(document)
    router = routers[0] if name is None else next(each for each in routers if each.is_called(name))
    return translate(document, router, other_priority=other)


def of_file(name: str) -> Imported:
    return imported((FILES / f"{name}.conf").read_text(), node=FOR_NODE.get(name))


def tree(result: Imported) -> dict[str, Any]:
    return tomllib.loads(toml_text(result.tables))


def instance(*lines: str, above: str = "") -> str:
    inside = ["interface eth0", "virtual_router_id 51", *lines]
    if not any("virtual_ipaddress {" in line for line in lines):
        inside.append("virtual_ipaddress { 192.0.2.100/24 }")
    body = "\n".join(inside)
    return f"{above}\nvrrp_instance VI {{\n{body}\n}}\n"


def vrrp(*lines: str, above: str = "", other: int | None = None) -> dict[str, Any]:
    section: dict[str, Any] = tree(imported(instance(*lines, above=above), other=other))["vrrp"]
    return section


def remarks(*lines: str, above: str = "", other: int | None = None) -> list[tuple[Fate, str]]:
    return [(each.fate, each.what) for each in imported(instance(*lines, above=above), other=other).remarks]


# Files as people have them


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


# The virtual router


@pytest.mark.parametrize(
    ("priority", "other", "expected"),
    [
        ("1", None, 100),
        ("99", None, 100),
        ("100", None, 100),
        ("150", 50, 150),
        ("254", None, 254),
        ("255", None, 254),
        ("90", 50, 101),
        ("50", 90, 100),
        ("100", 90, 101),
        ("90", 100, 100),
        ("100", 101, 100),
        ("101", 100, 101),
    ],
)
def test_a_priority_is_raised_and_the_order_kept(priority: str, other: int | None, expected: int) -> None:
    assert vrrp(f"priority {priority}", other=other)["priority"] == expected
    told = (Fate.CHANGED, f"priority {priority}") in remarks(f"priority {priority}", other=other)
    assert told is (str(expected) != priority)


@given(st.integers(1, 255), st.integers(1, 255))
def test_two_files_that_know_each_other_keep_their_order(one: int, other: int) -> None:
    ours, theirs = (vrrp(f"priority {a}", other=b)["priority"] for a, b in ((one, other), (other, one)))
    if max(one, other) < 255:
        assert (ours > theirs) is (one > other)
        assert (ours == theirs) is (one == other)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("advert_int 1",), (2, "1s")),
        ((), (2, "1s")),
        (("advert_int 0.4",), (2, "1s")),
        (("advert_int 2.6",), (2, "3s")),
        (("version 3", "advert_int 0.05"), (3, "50ms")),
        (("version 3", "advert_int 0.004"), (3, "10ms")),
        (("version 3", "advert_int 100"), (3, "40.95s")),
        (("version 3", "advert_int 1.25"), (3, "1250ms")),
    ],
)
def test_the_interval_follows_the_version(lines: tuple[str, ...], expected: tuple[int, str]) -> None:
    section = vrrp(*lines)
    assert (section["version"], section["interval"]) == expected


def test_the_version_may_stand_among_the_global_definitions() -> None:
    assert vrrp(above="global_defs { vrrp_version 3 }")["version"] == 3
    assert vrrp("version 2", above="global_defs {\nvrrp_version 3\n}")["version"] == 2
    assert vrrp("version 2", "virtual_ipaddress { 2001:db8::1 }")["version"] == 3


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), None),
        (("preempt",), None),
        (("nopreempt",), "never"),
        (("preempt_delay 0",), None),
        (("preempt_delay 60",), "after 60s"),
        (("preempt_delay 4.12",), "after 4120ms"),
        (("nopreempt", "preempt_delay 60"), "never"),
    ],
)
def test_preemption_is_one_word(lines: tuple[str, ...], expected: str | None) -> None:
    assert vrrp(*lines).get("preempt") == expected


def test_the_initial_state_is_ignored_and_so_told() -> None:
    assert remarks("state BACKUP") == []
    assert remarks("state MASTER") == [(Fate.CHANGED, "state MASTER")]
    (remark,) = imported(instance("state MASTER", "nopreempt")).remarks
    assert "keepalived ignores nopreempt" in remark.why


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("priority high",), "high is no priority"),
        (("priority 0",), "0 is no priority"),
        (("priority",), "nothing is no priority"),
        (("advert_int soon",), "soon is no time"),
        (("version 4",), "4 is no version"),
        (("virtual_router_id 256",), "VI has no virtual_router_id from 1 to 255"),
        (("virtual_ipaddress { }",), "VI has no address that could be moved"),
    ],
)
def test_what_keepalived_would_not_run_is_refused(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnreadableError) as error:
        imported(instance(*lines))
    assert error.value.message == message


def test_a_definition_that_is_missing_points_at_the_node() -> None:
    with pytest.raises(UnreadableError) as error:
        imported(instance("priority $PRIO"))
    assert "--node" in error.value.hint


def test_a_file_without_instances_is_refused() -> None:
    with pytest.raises(UnreadableError):
        virtual_routers(read_keepalived("global_defs { }\nvrrp_sync_group G { group { VI } }"))


def test_an_interface_that_is_missing_is_left_to_the_operator() -> None:
    text = "vrrp_instance VI {{\nvirtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1 {} }}\n}}\n{}"
    for device, above, expected in (
        ("dev eth7", "", "eth7"),
        ("", "global_defs { default_interface eth5 }", "eth5"),
        ("", "", "eth0"),
    ):
        result = imported(text.format(device, above))
        assert tree(result)["vrrp"]["interface"] == expected
        assert [each.fate for each in result.remarks] == [Fate.TO_DO]


# Addresses and peers


def test_addresses_that_mean_nothing_are_left_out() -> None:
    placed = "192.0.2.2 dev eth1 no_track scope link"
    lines = [
        "192.0.2.1/24",
        "192.0.2.1/32",
        "name",
        "224.0.0.1",
        placed,
        "fe80::1%eth0",
    ]
    block = "virtual_ipaddress {\n" + "\n".join(lines) + "\n}"
    assert vrrp(block)["addresses"] == ["192.0.2.1/24", {"address": "192.0.2.2/32", "interface": "eth1"}]
    assert [what for fate, what in remarks(block) if fate is Fate.LEFT_OUT] == [
        "192.0.2.1/32",
        "name",
        "224.0.0.1",
        placed,
        "fe80::1%eth0",
    ]


def test_where_adverts_name_other_addresses_it_is_told() -> None:
    block = "virtual_ipaddress {\n192.0.2.1/24\n192.0.2.2 dev eth1\n}"
    assert remarks(block) == [(Fate.CHANGED, "192.0.2.2 dev eth1")]
    assert remarks("virtual_ipaddress_excluded {\n192.0.2.2/24\n2001:db8::1\n}") == [(Fate.CHANGED, "192.0.2.2/24")]


def test_peers_and_source_are_nodes() -> None:
    peers = ["192.0.2.12", "192.0.2.12", "192.0.2.11", "192.0.2.100", "2001:db8::1", "name", "224.0.0.18"]
    block = "unicast_peer {\n" + "\n".join(peers) + "\n}"
    section = vrrp("unicast_src_ip 192.0.2.11", block)
    assert section["peers"] == ["192.0.2.12"]
    assert section["source"] == "192.0.2.11"
    assert "least_ttl" not in section, "the peer is in the network of the address"
    assert [what for _, what in remarks(block)] == peers[3:]
    assert "source" not in vrrp("mcast_src_ip 192.0.2.100")


@pytest.mark.parametrize(
    ("peer", "least"), [("198.51.100.1", 1), ("198.51.100.1 min_ttl 250", 250), ("192.0.2.12 min_ttl 0 max_ttl 9", 1)]
)
def test_the_least_ttl_is_what_keepalived_takes(peer: str, least: int) -> None:
    assert vrrp(f"unicast_peer {{ {peer} }}")["least_ttl"] == least
    assert ("max_ttl" in peer) is any(fate is Fate.LEFT_OUT for fate, _ in remarks(f"unicast_peer {{ {peer} }}"))


def test_another_group_and_ttl_are_left_out() -> None:
    assert remarks("mcast_dst_ip 224.0.0.99") == [(Fate.LEFT_OUT, "mcast_dst_ip 224.0.0.99")]
    assert remarks("mcast_dst_ip 224.0.0.18", "unicast_ttl 255") == []
    assert remarks("unicast_ttl 64") == [(Fate.LEFT_OUT, "unicast_ttl 64")]


def test_the_checksum_of_the_rfc_has_a_name() -> None:
    assert vrrp("version 3", "v3_checksum_as_v2")["checksum"] == "message"
    assert vrrp(above="global_defs { v3_checksum_as_v2 on }")["checksum"] == "message"
    assert "checksum" not in vrrp("v3_checksum_as_v2 off")


# Secrets


def test_a_password_never_leaves_the_file() -> None:
    result = imported(instance("authentication {\nauth_type PASS\nauth_pass s3cret\n}", "auth_pass s3cret"))
    assert "s3cret" not in toml_text(result.tables)
    assert "s3cret" not in str(result.remarks)
    assert tree(result)["vrrp"]["password_file"] == "/etc/sipdispatch/vrrp.password"
    assert Fate.TO_DO in {each.fate for each in result.remarks}


def test_authentication_that_is_none_is_left_out() -> None:
    assert remarks("version 3", "authentication { auth_pass x }") == [(Fate.LEFT_OUT, "authentication")]
    assert remarks("authentication { auth_type AH }") == [(Fate.LEFT_OUT, "auth_type AH")]
    assert remarks("authentication { }") == []


@pytest.mark.parametrize(("mode", "enforced"), [("", True), ("mode enforce", True), ("mode permissive", False)])
def test_keys_go_into_a_file(mode: str, *, enforced: bool) -> None:
    section = vrrp("version 3", f"auth_hmac {{\nkey 1 secret\n{mode}\n}}")
    assert (section["keys_file"], section["keys_enforced"]) == ("/etc/sipdispatch/vrrp.keys", enforced)


# Tracks and hooks


def test_tracks_become_interfaces_and_commands() -> None:
    section = tree(of_file("tracked"))["vrrp"]
    assert section["track"]["interfaces"] == ["eth1"]
    check, port, maintenance = section["track"]["command"]
    assert check == {
        "name": "check",
        "command": ["/usr/bin/pgrep", "-x", "asterisk"],
        "interval": "1s",
        "timeout": "1s",
        "rise": 3,
        "fall": 3,
    }
    assert port["command"] == ["/bin/sh", "-c", "/bin/true < /dev/null"]
    assert maintenance["command"][-1] == "/var/run/keepalived.maintenance"


@pytest.mark.parametrize(
    ("weight", "content", "good"),
    [
        ("", "0", True),
        ("", "5", True),
        ("", "-5", False),
        ("weight 0", "0", True),
        ("weight 0", "1", False),
        ("weight -10", "1", False),
        ("weight -10", "-1", True),
        ("weight -10", "0\n", True),
        ("weight -10", None, True),
        ("weight -10", "", True),
    ],
)
def test_the_number_in_a_file_counts_as_in_keepalived(
    weight: str, content: str | None, *, good: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    above = f'track_file f {{\nfile "{path}"\n{weight}\n}}'
    (track,) = vrrp("track_file { f }", above=above)["track"]["command"]
    assert (subprocess.run(track["command"], check=False).returncode == 0) is good


def script(text: str, *more: str, lines: tuple[str, ...] = ()) -> dict[str, Any]:
    above = f'vrrp_script s {{\nscript "{text}"\n' + "\n".join(more) + "\n}"
    track: dict[str, Any] = vrrp("track_script { s }", *lines, above=above)["track"]
    return track


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("sipsak -s sip:s@192.0.2.11", "192.0.2.11:5060"),
        ("/usr/bin/sipsak -vvN -D1 -s sip:s@192.0.2.11:5070", "192.0.2.11:5070"),
        ("sipsak -r 5080 -s sip:192.0.2.11:5070", "192.0.2.11:5080"),
        ("sipsak -p 192.0.2.11:5090 -s sip:s@example.com", "192.0.2.11:5090"),
        ("/usr/bin/timeout --signal KILL -k 1 2 sipsak -s sip:localhost", "127.0.0.1:5060"),
        ("env timeout 2 sipsak -s sip:[2001:db8::1]:5061", "[2001:db8::1]:5061"),
    ],
)
def test_sipsak_becomes_the_agents_own_question(text: str, target: str) -> None:
    assert script(text) == {"sip": target}


@pytest.mark.parametrize(
    "text",
    [
        "sipsak",
        "sipsak -s nonsense",
        "sipsak -p : -s sip:192.0.2.11",
        "sipsak -s sip:proxy.example.com",
        "sipsak -s sip:s@192.0.2.11;transport=tcp",
        "sipsak -s sips:s@192.0.2.11",
        "sipsak -E tcp -s sip:s@192.0.2.11",
        "sipsak -q alive -s sip:s@192.0.2.11",
        "sipsak -s sip:s@0.0.0.0",
        "timeout 2",
        "timeout",
        "/usr/bin/check -s sip:192.0.2.11",
    ],
)
def test_another_question_stays_a_command(text: str) -> None:
    track = script(text.replace(";", "\\;") if ";" in text else text)
    assert "sip" not in track
    assert len(track["command"]) == 1


def test_the_second_sipsak_stays_a_command() -> None:
    above = "\n".join(f'vrrp_script s{n} {{ script "sipsak -s sip:192.0.2.11:507{n}" }}' for n in (1, 2))
    track = vrrp("track_script {\ns1\ns2\ns1\n}", above=above)["track"]
    assert track["sip"] == "192.0.2.11:5071"
    assert [each["name"] for each in track["command"]] == ["s2"]


def test_the_virtual_address_is_not_asked() -> None:
    asks = 'vrrp_script s { script "sipsak -s sip:192.0.2.100" }'
    assert remarks("track_script { s }", above=asks) == [(Fate.LEFT_OUT, "script sipsak -s sip:192.0.2.100")]
    section = vrrp("track_script { s }", "mcast_src_ip 192.0.2.11", above=asks)
    assert section["track"] == {"sip": "192.0.2.11:5060"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((), ("1s", "1s", 1, 1)),
        (("interval 5", "rise 2", "fall 3"), ("5s", "5s", 2, 3)),
        (("interval 0.5", "timeout 3"), ("500ms", "3s", 1, 1)),
        (("interval 0", "timeout 100000", "rise 0", "fall 99999"), ("10ms", "3600s", 1, 1000)),
        (("interval x", "rise y"), ("1s", "1s", 1, 1)),
    ],
)
def test_times_and_counts_of_a_script(more: tuple[str, ...], expected: tuple[str, str, int, int]) -> None:
    (command,) = script("/bin/true", *more)["command"]
    assert (command["interval"], command["timeout"], command["rise"], command["fall"]) == expected


def test_a_script_may_stand_without_quotes_and_has_to_stand_there() -> None:
    above = "vrrp_script s { script killall -0 asterisk }\nvrrp_script t { script '  ' }\nvrrp_script u { interval 1 }"
    section = vrrp("track_script { s }", above=above)
    assert section["track"]["command"][0]["command"] == ["/usr/bin/env", "killall", "-0", "asterisk"]
    assert [fate for fate, _ in remarks("track_script {\nt\nu\n}", above=above)] == [Fate.LEFT_OUT] * 2


@pytest.mark.parametrize(
    ("lines", "above"),
    [
        (("track_script { s weight 5 reverse }",), "vrrp_script s { script /bin/true }"),
        (("track_script { s }",), "vrrp_script s {\nscript /bin/true\nweight 5 reverse\n}"),
        (("track_interface { eth1 weight 5 reverse }",), ""),
        (("track_file { f weight 5 reverse }",), "track_file f { file /x }"),
        (("track_file { f }",), "track_file f {\nfile /x\nweight 5 reverse\n}"),
        (("track_file { f }",), ""),
        (("track_process { p }",), ""),
    ],
)
def test_what_cannot_be_tracked_is_left_out(lines: tuple[str, ...], above: str) -> None:
    assert "track" not in vrrp(*lines, above=above)
    assert Fate.LEFT_OUT in {fate for fate, _ in remarks(*lines, above=above)}


def hook_output(result: Imported, after: str) -> list[str]:
    said = []
    for hook in tree(result)["hook"]:
        assert hook["on"] == ["vrrp"]
        environment = {"SIPDISPATCH_AFTER": after, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(hook["command"], env=environment, capture_output=True, text=True, check=True)
        said += done.stdout.splitlines()
    return said


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("active", ["to master", "all INSTANCE VI MASTER 120"]),
        ("backup", ["to backup", "all INSTANCE VI BACKUP 120"]),
        ("fault", ["to fault", "all INSTANCE VI FAULT 120"]),
        ("initialize", ["to stop", "all INSTANCE VI STOP 120"]),
        ("test", []),
    ],
)
def test_notify_scripts_run_when_they_did(after: str, expected: list[str]) -> None:
    states = ("master", "backup", "fault", "stop")
    lines = [f"notify_{state} \"/bin/echo 'to {state}'\" root root" for state in states]
    assert hook_output(imported(instance("priority 120", *lines, 'notify "/bin/echo all"')), after) == expected


def test_a_notify_without_a_command_is_left_out() -> None:
    result = imported(instance('notify_master ""'))
    assert "hook" not in tree(result)
    assert [each.fate for each in result.remarks] == [Fate.LEFT_OUT]


# Several virtual routers


def test_a_group_is_one_virtual_router() -> None:
    text = (FILES / "sync_group.conf").read_text()
    (router,) = virtual_routers(read_keepalived(text))
    assert (router.name, [each.value for each in router.instances]) == ("VG1", ["outside", "inside"])
    assert router.is_called("inside")
    assert not router.is_called("elsewhere")
    assert hook_output(imported(text.replace("/usr/local/bin/vrrp.", "/bin/echo ")), "active") == [
        "mast arg1 arg2",
        "all GROUP VG1 MASTER 150",
    ]


def test_an_instance_is_in_one_group_at_most() -> None:
    text = (
        "vrrp_sync_group A { group { one two nobody } }\nvrrp_sync_group B { group { two } }\n"
        "vrrp_instance three { }\nvrrp_instance one { }\nvrrp_instance two { }"
    )
    assert [router.name for router in virtual_routers(read_keepalived(text))] == ["three", "A"]


def test_only_the_first_of_a_group_says_whom_it_speaks_to() -> None:
    more = "vrrp_instance W {\nvirtual_router_id 51\nunicast_peer { 10.0.0.1 }\nvirtual_ipaddress { 10.0.0.9 }\n}"
    result = imported(instance(above=f"vrrp_sync_group G {{ group {{ VI W }} }}\n{more}"))
    assert "peers" not in tree(result)["vrrp"]
    assert [(each.fate, each.what) for each in result.remarks] == [
        (Fate.CHANGED, "vrrp_instance W"),
        (Fate.LEFT_OUT, "unicast_peer"),
    ]


# What else may stand there


def test_every_keyword_that_is_not_known_is_told() -> None:
    result = imported(
        instance("brand_new on", above="brand_new\nglobal_defs {\nbrand_new 1\nlvs_x\nvrrp_no_swap off\n}")
    )
    assert [(each.what, each.why) for each in result.remarks] == [
        ("brand_new", "this keyword is not known here"),
        ("brand_new 1", "this keyword is not known here"),
        ("brand_new on", "this keyword is not known here"),
    ]


PIECES = st.sampled_from(
    [
        "state MASTER",
        "interface eth1",
        "virtual_router_id 9",
        "priority 80",
        "priority x",
        "advert_int 0.333",
        "version 3",
        "nopreempt",
        "preempt_delay 2000",
        "unicast_src_ip 192.0.2.100",
        "unicast_src_ip 2001:db8::1",
        "unicast_peer {\n192.0.2.100\n198.51.100.1 min_ttl 3 max_ttl\n2001:db8::1\n}",
        "authentication {\nauth_type PASS\nauth_pass x\n}",
        "virtual_ipaddress {\n192.0.2.100/24 dev eth0 label\n2001:db8::5\n10.0.0.1/33\n}",
        "virtual_ipaddress_excluded { 2001:db8::6/64 }",
        "track_interface {\neth0\neth1 weight\n}",
        "track_script {\na\nb weight 1\nc\n}",
        "track_file {\nf\n}",
        "notify x",
        "notify_master '|'",
        "garp_master_refresh 0.1",
        "use_vmac",
        "}\nvrrp_instance W {",
        "}\nvrrp_sync_group G {\ngroup { VI W }",
        '}\nvrrp_script a {\nscript "sipsak -s sip:192.0.2.9"',
        "}\nvrrp_script b {\nscript ''",
        "}\nvrrp_script c {\nscript ' a\"b '\ninterval -1\nrise 1.5",
        "}\ntrack_file f {\nfile /x\nweight",
        "}\nglobal_defs {\nvrrp_version 3\ndefault_interface",
    ]
)


@settings(deadline=None)  # our own reader teaches its tables anew each time
@given(st.lists(PIECES, max_size=25))
def test_whatever_stands_there_the_result_can_be_read(pieces: list[str]) -> None:
    text = "vrrp_instance VI {\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.100/24 }\n" + "\n".join(pieces) + "\n}"
    try:
        results = [
            translate(document, router) for document in (read_keepalived(text),) for router in virtual_routers(document)
        ]
    except UnreadableError:
        return
    for result in results:
        check_result(toml_text(result.tables), Path("keepalived.conf"))
        assert all(1 <= each.line <= text.count("\n") + 1 for each in result.remarks)
