"""Do two real agents share an address, whatever becomes of one of them?"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from sipdispatch import vrrp_run
from sipdispatch.config import VrrpConfig
from sipdispatch.control_client import ControlClient
from sipdispatch.vrrp_build import Secrets
from sipdispatch.vrrp_load import load_agent
from tests.peers.program import Program, wait_until
from tests.sipdispatch.vrrp_pair import ROOT, VIP, Node, Pair


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("v")  # a socket's path is short


@pytest.fixture
def pair(folder: Path) -> Iterator[Pair]:
    with Pair(folder) as pair:
        yield pair


def cli(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sipdispatch", "vrrp", *words, "-c", str(node.config)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_a_pair_settles_and_hands_over_on_stop(pair: Pair) -> None:
    pair.settle()
    status = pair.b.status()
    (peer,) = status["peers"]
    assert (peer["address"], peer["priority"], peer["interval"], peer["checksum"]) == (
        "192.0.2.11",
        250,
        0.1,
        "pseudo-header",
    )
    assert status["well"]
    assert status["adverts"]["refused"] == dict.fromkeys(status["adverts"]["refused"], 0)
    assert pair.a.running.stop() == 0
    pair.b.until("active")
    assert pair.owners() == ["b"]
    assert pair.b.status()["cause"] == "192.0.2.11 has given the address up"
    assert pair.b.status()["adverts"]["received_priority_0"] == 1
    assert not pair.a.socket.exists()
    assert pair.a.events()[-1] == "stopped"
    assert pair.b.running.stop() == 0
    assert pair.owners() == []


def test_a_killed_agent_loses_the_address_by_its_lease_and_starts_anew(pair: Pair) -> None:
    pair.settle()
    pair.a.running.signal(signal.SIGKILL)
    pair.b.until("active")
    assert pair.b.status()["cause"] == "no advert from 192.0.2.11 any more"
    wait_until(lambda: pair.owners() == ["b"], "the lease is over")
    # What it left in the file system does not stand in the way.
    assert pair.a.socket.exists()
    pair.a.running.stop()
    pair.a.start()
    pair.a.until("active")
    pair.b.until("backup")


def test_a_frozen_agent_loses_the_address_and_competes_anew(pair: Pair) -> None:
    pair.settle()
    pair.a.running.signal(signal.SIGSTOP)
    pair.b.until("active")
    wait_until(lambda: pair.owners() == ["b"], "the lease is over")
    pair.a.running.signal(signal.SIGCONT)
    pair.a.until("active")
    pair.b.until("backup")
    assert pair.a.status()["lateness"]["step_downs"] >= 1
    told = [line["cause"] for line in pair.a.logged() if line["event"] == "the role has changed"]
    assert any("did not run for" in cause for cause in told)


def test_an_address_that_somebody_takes_away_is_set_again(pair: Pair) -> None:
    pair.settle()
    pair.a.host.ip("address", "delete", f"{VIP}/24", "dev", "eth0")
    wait_until(pair.a.has_address, "it is set again")
    assert pair.a.status()["addresses_taken"] == 1
    assert pair.a.status()["state"] == "active"


def test_a_link_that_goes_down_is_a_fault_until_it_is_back(pair: Pair) -> None:
    pair.settle()
    pair.a.host.ip("link", "set", "eth0", "down")
    pair.a.until("fault")
    assert pair.a.status()["cause"] == "interface eth0: down, or without carrier"
    # The other end of the wire has no carrier either: neither can have the address.
    pair.b.until("fault")
    pair.a.host.ip("link", "set", "eth0", "up")
    wait_until(lambda: len(pair.owners()) == 1, "one of them has it again")


def test_an_interface_that_is_made_again_is_used_again(pair: Pair) -> None:
    pair.settle()
    pair.a.host.ip("link", "delete", "eth0")
    pair.a.until("fault")
    assert pair.a.status()["cause"] == "interface eth0: there is no such interface"
    pair.a.host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pair.b.host.name)
    pair.a.host.bring_up("eth0", "192.0.2.11/24")
    pair.b.host.bring_up("eth0", "192.0.2.12/24")
    wait_until(lambda: len(pair.owners()) == 1, "one of them has it again")
    for node in (pair.a, pair.b):
        wait_until(lambda node=node: node.status()["state"] in ("active", "backup"), "it takes part")  # type: ignore[misc]
    # Ten seconds after its link has come back, a node has its full priority.
    pair.a.until("active", seconds=40.0)
    pair.b.until("backup")


def test_an_agent_waits_for_an_interface_that_is_not_there_yet(folder: Path) -> None:
    with Pair(folder) as pair:
        pair.a.host.ip("link", "delete", "eth0")
        pair.a.start()
        pair.a.until("fault")
        pair.a.host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pair.b.host.name)
        pair.b.host.bring_up("eth0", "192.0.2.12/24")
        pair.a.host.bring_up("eth0", "192.0.2.11/24")
        pair.a.until("active")
        assert pair.a.status()["source"] == "192.0.2.11"


def test_a_change_of_the_configuration_moves_nothing(pair: Pair) -> None:
    pair.settle()
    since = pair.a.status()["since"]
    pair.a.write("announce_every = '10s'\npreempt = 'never'", priority=200)
    pair.b.write("interval = '200ms'", priority=150)
    for node in (pair.b, pair.a):
        node.running.signal(signal.SIGHUP)
        wait_until(lambda node=node: "the configuration was read again" in node.events(), "it is read again")  # type: ignore[misc]
    status = pair.a.status()
    assert (status["state"], status["since"], status["priority"], status["preempt"]) == ("active", since, 200, "never")
    (read,) = [line for line in pair.a.logged() if line["event"] == "the configuration was read again"]
    assert set(read["changed"]) == {"priority", "announce_every", "preempt"}
    assert pair.b.status()["interval"] == 0.2
    assert pair.owners() == ["a"]


async def test_what_was_read_last_is_in_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two signals, and the disk takes longer for the first one."""
    config = folder / "a.toml"
    config.write_text('[vrrp]\ninterface = "lo"\nvrid = 51\naddresses = ["192.0.2.100/24"]\n')
    loaded = load_agent(config)
    assert isinstance(loaded, VrrpConfig)
    started, go_on, asked = threading.Event(), threading.Event(), itertools.count()
    taken: list[bytes | None] = []

    def read_again(before: VrrpConfig) -> tuple[VrrpConfig, Secrets]:
        number = next(asked)
        if not number:
            started.set()
            assert go_on.wait(15.0)
        return before, Secrets(password=b"%d" % number)

    monkeypatch.setattr(vrrp_run, "_read_again", read_again)
    monkeypatch.setattr(vrrp_run._Plant, "_take_over", lambda _, __, secrets: taken.append(secrets.password))
    nothing: Any = None
    plant = vrrp_run._Plant(
        config=loaded, secrets=Secrets(), wire=nothing, movers=nothing, tracking=nothing, running=nothing
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plant.reload)
        await trio.to_thread.run_sync(started.wait, 15.0)
        nursery.start_soon(plant.reload)
        await trio.testing.wait_all_tasks_blocked(0.1)
        go_on.set()
    assert taken == [b"0", b"1"]


def test_other_addresses_are_taken_over_in_place(pair: Pair) -> None:
    pair.settle()
    text = pair.a.config.read_text().replace('["192.0.2.100/24"]', '["192.0.2.100/24", "192.0.2.101/24"]')
    pair.a.config.write_text(text)
    pair.a.running.signal(signal.SIGHUP)
    wait_until(lambda: pair.a.has_address("192.0.2.101"), "the second address is there")
    assert pair.a.status()["state"] == "active"
    # The other node says that its list differs, and obeys.
    wait_until(lambda: bool(pair.b.status()["alarms"]), "an alarm")
    (alarm,) = pair.b.status()["alarms"]
    assert alarm["field"] == "addresses"
    assert pair.b.status()["state"] == "backup"
    assert not pair.b.status()["well"]


@pytest.mark.parametrize(
    ("more", "event"),
    [
        ("interval = 'soon'", "the changed configuration is wrong; what is in force stays"),
        ("keys_file = 'none'", "the changed configuration is wrong; what is in force stays"),
        ("realtime = false", "the agent has to be restarted for this change; what is in force stays"),
    ],
)
def test_what_cannot_be_taken_over_changes_nothing(pair: Pair, more: str, event: str) -> None:
    pair.a.start()
    pair.a.until("active")
    pair.a.write(more, priority=200)
    pair.a.running.signal(signal.SIGHUP)
    wait_until(lambda: event in pair.a.events(), event)
    assert pair.a.status()["priority"] == 250
    assert pair.a.status()["state"] == "active"


def test_the_same_slip_on_both_nodes_leaves_the_address_where_it_is(pair: Pair) -> None:
    for node in (pair.a, pair.b):
        node.write('[vrrp.http]\nlisten = "127.0.0.1:9276"\n[vrrp.track]\ninterfaces = ["eth0"]')
    pair.settle()
    assert "HTTP is served" in pair.a.events()
    assert any("eth0 is watched anyway" in event for event in pair.a.events()), "a warning is told at the start"
    since = [node.status()["since"] for node in (pair.a, pair.b)]
    slip = '["192.0.2.100/24", { address = "192.0.2.101/24", interface = "eht1" }]'
    for node in (pair.a, pair.b):
        node.config.write_text(node.config.read_text().replace('["192.0.2.100/24"]', slip))
        node.running.signal(signal.SIGHUP)
    event = "the changed configuration is wrong; what is in force stays"
    for node in (pair.a, pair.b):
        wait_until(lambda node=node: event in node.events(), "it is refused")  # type: ignore[misc]
        (line,) = [line for line in node.logged() if line["event"] == event]
        assert "there is no interface eht1" in line["reason"]
    assert [(node.status()["state"], node.status()["since"]) for node in (pair.a, pair.b)] == [
        ("active", since[0]),
        ("backup", since[1]),
    ]


def test_an_agent_of_options_alone_has_nothing_to_read_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(pair.a.config.parent))
    pair.a.socket = pair.a.config.with_name("vrrp.sock")
    options = ["--interface", "eth0", "--vrid", "51", "--address", f"{VIP}/24"]
    argv = [sys.executable, "-m", "sipdispatch", "vrrp", "run", *options]
    pair.a.program = Program(argv, log=pair.a.log, namespace=pair.a.host, environment={"PYTHONPATH": str(ROOT)})
    pair.a.until("active")
    pair.a.running.signal(signal.SIGHUP)
    event = "there is no file to read again: everything stood in the options"
    wait_until(lambda: event in pair.a.events(), "it is told")
    assert pair.a.running.stop() == 0


@pytest.mark.parametrize(
    "more",
    [
        'peers = ["192.0.2.11", "192.0.2.12"]\nsource = "{own}"',
        "version = 2\ninterval = '1s'\npassword_file = 'password'",
        "keys_file = 'keys'",
        "checksum = 'message'\nlease = '3s'",
    ],
    ids=["unicast", "version 2", "keys", "the other checksum"],
)
def test_a_pair_settles_however_it_speaks(folder: Path, more: str) -> None:
    (folder / "password").write_text("secret\n")
    (folder / "keys").write_text(f"1 hex:{bytes(range(32)).hex()}\n")
    with Pair(folder) as pair:
        for node, own, other in ((pair.a, "192.0.2.11", "192.0.2.12"), (pair.b, "192.0.2.12", "192.0.2.11")):
            node.write(more.format(own=own).replace(f'"{own}", ', "").replace(f', "{own}"]', "]"))
            assert other or own
        pair.settle()
        assert pair.b.status()["alarms"] == []
        pair.a.running.stop()
        pair.b.until("active")


def test_a_pair_speaks_ipv6(folder: Path) -> None:
    with Pair(folder) as pair:
        for node in (pair.a, pair.b):
            node.config.write_text(
                node.config.read_text().replace('"192.0.2.100/24"', '"2001:db8::64/64", "192.0.2.100/24"')
            )
        pair.settle()
        status = pair.a.status()
        assert status["source"].startswith("fe80:")
        assert status["destinations"] == ["ff02::12"]
        assert pair.a.has_address("2001:db8::64")
        pair.a.running.stop()
        pair.b.until("active")
        assert pair.b.has_address("2001:db8::64")
        assert not pair.a.has_address("2001:db8::64")


def test_an_operator_steers_by_the_command_line(pair: Pair) -> None:
    pair.settle()
    done = cli(pair.a, "release", "--for", "60s")
    assert (done.returncode, done.stdout) == (0, "released for 60 s; 192.0.2.12 has the address\n")
    pair.b.until("active")
    shown = cli(pair.a, "status")
    assert shown.returncode == 1
    assert "why         released by the operator\n" in shown.stdout
    done = cli(pair.a, "hold")
    assert (done.returncode, done.stdout) == (0, "held; this node is FAULT\n")
    assert cli(pair.a, "status").returncode == 3
    done = cli(pair.a, "resume")
    assert (done.returncode, done.stdout) == (0, "resumed; this node is BACKUP, priority 250\n")
    pair.a.until("active")
    shown = cli(pair.a, "status", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["vrrp"]["keepalived_state"] == "MASTER"
    past = cli(pair.a, "events", "--json")
    assert [event["after"] for event in json.loads(past.stdout)["events"]][-4:] == [
        "backup",
        "fault",
        "backup",
        "active",
    ]
    assert 'sipdispatch_vrrp_state{state="active"} 1\n' in cli(pair.a, "metrics").stdout


def test_a_node_that_is_alone_keeps_the_address_and_says_so(pair: Pair) -> None:
    pair.a.start()
    pair.a.until("active")
    done = cli(pair.a, "release")
    assert done.returncode == 1
    expected = "released until sipdispatch vrrp resume; nobody has taken the address, so it is here again\n"
    assert done.stdout == expected


def test_a_hook_is_run_for_a_change_of_the_role(pair: Pair) -> None:
    note = pair.a.config.with_suffix(".note")
    script = f"echo $SIPDISPATCH_BEFORE $SIPDISPATCH_AFTER >> {note}"
    hook = f'[[hook]]\ncommand = ["/bin/sh", "-c", "{script}"]\non = ["vrrp"]\n'
    pair.a.config.write_text(pair.a.config.read_text() + hook)
    pair.a.start()
    pair.a.until("active")
    pair.a.running.stop()
    assert note.read_text() == "initialize backup\nbackup active\nactive initialize\n"


@pytest.mark.parametrize("place", ["default", "configured"])
def test_a_second_agent_on_a_node_does_not_start(pair: Pair, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """It would take the address again when the first one is told to give it up."""
    second = Node(pair.a.host, pair.a.config.parent, 250)
    second.log = pair.a.config.with_suffix(".second")
    if place == "default":
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(pair.a.config.parent))
        pair.a.config.write_text(pair.a.config.read_text().partition("[vrrp.control]")[0])
        pair.a.socket = pair.a.config.with_name("vrrp.sock")
    pair.a.start()
    pair.a.until("active")
    assert second.start().wait(15.0) == 2
    assert "another agent runs on this node" in second.log.read_text()
    assert pair.a.has_address()
    assert pair.a.status()["addresses_taken"] == 0


def test_an_address_in_the_nodes_own_configuration_makes_no_second_owner(pair: Pair) -> None:
    pair.b.host.ip("address", "add", f"{VIP}/32", "dev", "eth0")
    pair.settle()
    assert "an address that moves is here at the start: it is removed" in pair.b.events()
    pair.b.host.ip("address", "add", f"{VIP}/32", "dev", "eth0")
    wait_until(lambda: pair.owners() == ["a"], "it is removed again")
    # Nor does it stay when the owner leaves.
    pair.a.host.ip("address", "add", f"{VIP}/32", "dev", "eth0")
    pair.a.running.stop()
    assert not pair.a.has_address()


def test_a_peer_that_is_not_listened_to_is_an_alarm_on_both_owners(pair: Pair) -> None:
    pair.b.write('peers = ["192.0.2.11"]')
    pair.a.write('peers = ["192.0.2.12"]\nsource = "192.0.2.14"')
    pair.a.host.bring_up("eth0", "192.0.2.14/24")
    pair.a.start()
    pair.b.start()
    wait_until(lambda: pair.owners() == ["a", "b"], "neither obeys")
    wait_until(lambda: bool(pair.b.status()["alarms"]), "an alarm")
    alarms = pair.b.status()["alarms"]
    text = "adverts are refused: its source is not one of the configured peers"
    assert ("refused", "192.0.2.14", text) in [(each["field"], each["peer"], each["text"]) for each in alarms]
    assert not pair.b.status()["well"]


def test_a_track_follows_the_proxy_to_another_socket(pair: Pair) -> None:
    configured = pair.a.config.read_text() + "[vrrp.track]\ncontrol = true\n[control]\nsocket = "
    one, other = (pair.a.config.with_name(name) for name in ("one.sock", "other.sock"))
    pair.a.config.write_text(f'{configured}"{one}"\n')
    pair.a.start()

    def detail() -> str:
        return str(next(each["detail"] for each in pair.a.status()["tracks"] if each["name"] == "control"))

    pair.a.until("active")
    assert detail() == f"nobody listens on {one}"
    pair.a.config.write_text(f'{configured}"{other}"\n')
    pair.a.running.signal(signal.SIGHUP)
    wait_until(lambda: detail() == f"nobody listens on {other}", "it asks there")


def test_without_the_privilege_it_says_what_is_missing(folder: Path) -> None:
    config = folder / "a.toml"
    config.write_text('[vrrp]\ninterface = "lo"\nvrid = 51\naddresses = ["192.0.2.100/24"]\n')
    argv = ["setpriv", "--bounding-set", "-all", sys.executable, "-m", "sipdispatch", "vrrp", "run", "-c", str(config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "adverts cannot be sent without CAP_NET_RAW" in done.stderr


def test_the_socket_serves_the_methods(pair: Pair) -> None:
    pair.a.start()
    pair.a.until("active")
    with ControlClient(pair.a.socket) as agent:
        assert "vrrp.release" in agent.call("system.listMethods")
        assert agent.call("core.version").endswith("(VRRP agent)")
        assert agent.call("core.uptime")["uptime"] >= 0
        assert agent.call("events") == {"following": True}
        agent.call("vrrp.hold")
        assert next(agent.events())["after"] == "fault"
