"""Does the section [vrrp] become the router, the way and the secrets that it says?"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from sipdispatch.config import Control, VrrpConfig, VrrpFlags
from sipdispatch.errors import CommandError
from sipdispatch.vrrp_build import (
    Secrets,
    agent_socket,
    all_tracks,
    proxy_socket,
    read_secrets,
    restart_keys,
    router_of,
    way_of,
)
from sipdispatch.vrrp_load import load_agent
from sipdispatch.vrrp_settings import Vrrp, VrrpControl, VrrpTrack
from vrrp.address import VirtualAddress
from vrrp.parameters import NEVER

OWN = "192.0.2.11"
VRRP = Vrrp(interface="eth0", vrid=51, addresses=(VirtualAddress.of("192.0.2.100/24", "eth0"),))
MIXED = attrs.evolve(
    VRRP,
    addresses=tuple(
        VirtualAddress.of(text, interface)
        for text, interface in (
            ("2001:db8::100/64", "eth0"),
            ("192.0.2.100/24", "eth0"),
            ("fe80::100/64", "eth0"),
            ("198.51.100.1/32", "eth1"),
            ("2001:db8:1::100/64", "eth1"),
        )
    ),
)


def test_a_router_is_as_it_is_configured() -> None:
    vrrp = attrs.evolve(VRRP, priority=250, interval=0.5, preempt=NEVER, lease=5.0, least_ttl=254, version=3)
    router = router_of(vrrp, OWN, Secrets(password=b"x"))
    parameters, reception = router.parameters, router.reception
    assert (parameters.address, parameters.priority, parameters.interval) == (OWN, 250, 0.5)
    assert (parameters.preempt, parameters.lease, parameters.version) == (NEVER, 5.0, 3)
    assert (reception.vrid, reception.interval, reception.least_ttl, reception.password) == (51, 0.5, 254, b"x")
    assert (reception.own, reception.addresses) == (frozenset({OWN}), frozenset({"192.0.2.100"}))
    assert (router.advertised, router.excluded, router.signing_key) == (("192.0.2.100",), (), None)


def test_intervals_and_leases_follow_the_version() -> None:
    assert VRRP.advert_interval == 0.1
    assert attrs.evolve(VRRP, version=2).advert_interval == 1.0
    assert router_of(VRRP, OWN, Secrets()).parameters.lease == 2.0
    assert router_of(attrs.evolve(VRRP, interval=1.0), OWN, Secrets()).parameters.lease == 5.0


@pytest.mark.parametrize(
    ("vrrp", "advertised"),
    [
        (MIXED, ("fe80::100", "2001:db8::100")),
        (attrs.evolve(MIXED, source=OWN), ("192.0.2.100",)),
        (attrs.evolve(MIXED, peers=("192.0.2.12",)), ("192.0.2.100",)),
        (attrs.evolve(MIXED, interface="eth1", source=OWN), ("198.51.100.1",)),
        # None of the family is on the interface of the adverts: then those that are elsewhere are told.
        (attrs.evolve(MIXED, interface="eth9"), ("fe80::100", "2001:db8::100", "2001:db8:1::100")),
    ],
)
def test_adverts_name_the_addresses_of_their_family_and_interface(vrrp: Vrrp, advertised: tuple[str, ...]) -> None:
    router = router_of(vrrp, OWN, Secrets())
    assert router.advertised == advertised
    assert {*router.advertised, *router.excluded} == {each.address for each in vrrp.addresses}


@pytest.mark.parametrize(
    ("peers", "multicast", "destinations", "listened_to"),
    [
        ((), None, ("224.0.0.18",), set()),
        (("192.0.2.12",), None, ("192.0.2.12",), {"192.0.2.12"}),
        (("192.0.2.12",), True, ("224.0.0.18", "192.0.2.12"), set()),
    ],
)
def test_adverts_go_to_the_group_the_peers_or_both(
    peers: tuple[str, ...],
    multicast: bool | None,  # noqa: FBT001
    destinations: tuple[str, ...],
    listened_to: set[str],
) -> None:
    vrrp = attrs.evolve(VRRP, peers=peers, multicast=multicast)
    assert way_of(vrrp).destinations == destinations
    assert router_of(vrrp, OWN, Secrets()).reception.peers == listened_to


def test_the_link_is_a_track_that_leaves_no_choice() -> None:
    link, control, sip = all_tracks(attrs.evolve(VRRP, track=VrrpTrack(control=True, sip=(OWN, 5060))))
    assert (link.name, link.fault) == ("interface eth0", True)
    assert (control.fault, sip.name, sip.rise, sip.fall) == (False, "sip", 3, 2)


def test_secrets_are_read(tmp_path: Path) -> None:
    password, keys = tmp_path / "password", tmp_path / "keys"
    password.write_text("secret\n")
    keys.write_text(f"# the pair's\n2 hex:{bytes(32).hex()}\n1 {'x' * 40}\n")
    assert read_secrets(VRRP) == Secrets()
    read = read_secrets(attrs.evolve(VRRP, version=2, password_file=password, keys_file=keys))
    assert read.password == b"secret"
    assert [key.number for key in read.keys] == [2, 1]
    router = router_of(VRRP, OWN, read)
    assert router.signing_key == read.keys[0]
    assert router.reception.keys == read.keys
    assert "secret" not in repr(read)
    assert "secret" not in repr(router)


@pytest.mark.parametrize(
    ("key", "content", "what"),
    [
        ("password_file", b"much too long", "the password has 13 bytes"),
        ("password_file", b"\n", "the password has 0 bytes"),
        ("password_file", b"\xff", "the file is not UTF-8"),
        ("password_file", None, "the file cannot be read: No such file or directory"),
        ("keys_file", b"", "no key"),
        ("keys_file", b"1 short", "line 1: key 1 has"),
        ("keys_file", None, "the file cannot be read: No such file or directory"),
    ],
)
def test_secrets_that_cannot_be_used_are_told(tmp_path: Path, key: str, content: bytes | None, what: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=what) as told:
        read_secrets(attrs.evolve(VRRP, password_file=path if key == "password_file" else None, keys_file=path))
    assert told.value.faults[0].where == str(path)


def test_sockets_are_where_the_configuration_says_or_in_the_usual_place() -> None:
    there = VrrpConfig(path=None, vrrp=VRRP, control=Control(socket=Path("/x/proxy.sock")))
    assert proxy_socket(there, {}, 0) == Path("/x/proxy.sock")
    assert proxy_socket(VrrpConfig(path=None, vrrp=VRRP), {}, 0) == Path("/run/sipdispatch/control.sock")
    own = attrs.evolve(VRRP, control=VrrpControl(socket=Path("/x/vrrp.sock")))
    assert agent_socket(own, {}, 0) == Path("/x/vrrp.sock")
    assert agent_socket(VRRP, {"RUNTIME_DIRECTORY": "/run/x"}, 0) == Path("/run/x/vrrp.sock")


def test_what_needs_a_restart_is_named() -> None:
    assert restart_keys(VRRP, attrs.evolve(VRRP, priority=200, interval=1.0, peers=("192.0.2.12",))) == []
    assert restart_keys(VRRP, attrs.evolve(VRRP, interface="eth1", vrid=52, realtime=False)) == [
        "interface",
        "vrid",
        "realtime",
    ]
    assert restart_keys(VRRP, MIXED) == ["addresses"]


# --------------------------------------------------------------------------------------------------------------------
# Reading


SECTION = '[vrrp]\ninterface = "eth0"\nvrid = 51\naddresses = "192.0.2.100/24"\n'


def test_a_mistake_of_the_proxy_does_not_keep_the_agent_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(f"[proxy]\nlisten = 5\n[health]\nrise = 'x'\n[http]\n{SECTION}")
    loaded = load_agent(path)
    assert isinstance(loaded, VrrpConfig), loaded
    assert (loaded.path, loaded.vrrp.vrid, loaded.warnings) == (path, 51, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[proxy]\n", "there is no section [vrrp]"),
        ("[vrp]\n", "did you mean vrrp?"),
        (f"{SECTION}[banana]\n", "there is no such section"),
        (f"{SECTION}[control]\nsocket = 5\n", "must be text"),
        (f"{SECTION}[[hook]]\ncommand = 'x'\n", "must be a list"),
        ("[vrrp\n", "this is not TOML"),
        ("vrrp = 5\n", "must be a table"),
    ],
)
def test_its_own_mistakes_do(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(text)
    problems = load_agent(path)
    assert isinstance(problems, tuple)
    assert any(what in str(problem) for problem in problems)
    assert isinstance(load_agent(tmp_path / "gone.toml"), tuple)


def test_options_stand_in_place_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(SECTION)
    flags = VrrpFlags(vrid=7, addresses=("192.0.2.200/24",), preempt="never")
    loaded = load_agent(path, flags)
    assert isinstance(loaded, VrrpConfig)
    assert (loaded.vrrp.vrid, loaded.vrrp.preempt, loaded.flags) == (7, NEVER, flags)
    assert [each.address for each in loaded.vrrp.addresses] == ["192.0.2.200"]
    path.write_text("vrrp = 5\n")
    assert isinstance(load_agent(path, flags), tuple)
    alone = load_agent(None, VrrpFlags(interface="eth0", vrid=1, addresses=("192.0.2.1/24",)))
    assert isinstance(alone, VrrpConfig)
