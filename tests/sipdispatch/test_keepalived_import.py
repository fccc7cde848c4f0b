"""Does our configuration say what the keepalived.conf said, and is told what it does not say?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipdispatch.keepalived_import import translate, virtual_routers
from sipdispatch.keepalived_read import Fate, UnreadableError, read_keepalived
from sipdispatch.toml_text import toml_text
from sipdispatch.vrrp_import_command import check_result
from tests.sipdispatch.keepalived_scene import FILES, hook_output, imported, instance, remarks, tree, vrrp

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
