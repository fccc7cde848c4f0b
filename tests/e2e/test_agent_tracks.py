"""Does a running agent go by all its tracks: links, maintenance, a command, an operator's program that is not safe?"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from sipdispatch.control_client import ControlClient
from tests.peers.namespace import Namespace, Network
from tests.peers.program import Program, wait_until
from vrrp.parameters import FIT

pytestmark = pytest.mark.peers

CONFIGURATION = """
[vrrp]
interface = "eth0"
vrid = 51
priority = 200
addresses = ["192.0.2.100/24", { address = "198.51.100.100/24", interface = "eth1" }]
[vrrp.control]
socket = "vrrp.sock"
[vrrp.track]
interfaces = ["eth2"]
file = "maintenance"
[[vrrp.track.command]]
command = ["CHECK"]
name = "disk"
interval = "50ms"
rise = 1
fall = 2
"""
TRACKS = ("interface eth0", "interface eth2", "interface eth1", "file", "command disk")


@attrs.frozen
class Node:
    """A node of three interfaces with an agent, alone on its network."""

    host: Namespace
    agent: Program
    folder: Path

    def status(self) -> dict[str, Any]:
        with ControlClient(self.folder / "vrrp.sock") as client:
            told = client.call("vrrp.status")
        assert isinstance(told, dict)
        return told

    def track(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.status()["tracks"] if each["name"] == name)
        return found

    def until_track(self, name: str, *, ok: bool) -> str:
        """Wait until its verdict is this; what it says then."""
        wait_until(lambda: self.track(name)["ok"] is ok, f"{name} is {'well' if ok else 'not well'}")
        detail: str = self.track(name)["detail"]
        return detail

    def until_state(self, *states: str) -> None:
        wait_until(lambda: self.status()["state"] in states, f"the state is {states}")


def write(folder: Path) -> list[str]:
    """The files of a node; the command line of its agent."""
    check = folder / "check"
    check.write_text(f"#!/bin/sh\ncat {folder}/disk 2>/dev/null && exit 1\necho plenty\n")
    check.chmod(0o755)
    config = folder / "sipdispatch.toml"
    config.write_text(CONFIGURATION.replace("CHECK", str(check)))
    return [sys.executable, "-m", "sipdispatch", "vrrp", "run", "--config", str(config)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    with Network() as network:
        switch, host = network.switch("switch"), network.host("node")
        for address in ("192.0.2.11/24", "198.51.100.11/24", "203.0.113.11/24"):
            network.plug(host, switch, address)
        with Program(write(folder), log=folder / "log", namespace=host) as agent:
            agent.until(lambda: "vrrp.sock" in {each.name for each in folder.iterdir()}, "there is a control socket")
            found = Node(host, agent, folder)
            found.until_state("active")
            yield found


def test_all_tracks_are_there_and_well(node: Node) -> None:
    status = node.status()
    assert [(each["name"], each["ok"]) for each in status["tracks"]] == [(name, True) for name in TRACKS]
    assert [each["name"] for each in status["tracks"] if each["fault"]] == ["interface eth0", "interface eth1"]
    assert node.track("command disk")["detail"] == "plenty"


def test_maintenance_and_a_command_lower_the_priority_and_the_last_man_stands(node: Node) -> None:
    for file, track, detail in (
        ("maintenance", "file", "new kernel"),
        ("disk", "command disk", "new kernel (exit status 1)"),
    ):
        (node.folder / file).write_text("new kernel\n")
        assert node.until_track(track, ok=False) == detail
        node.until_state("active")
        status = node.status()
        assert status["effective_priority"] < FIT
        (node.folder / file).unlink()
        node.until_track(track, ok=True)


def test_a_watched_link_lowers_the_priority_and_one_of_an_address_is_a_fault(node: Node) -> None:
    node.host.ip("link", "set", "eth2", "down")
    assert node.until_track("interface eth2", ok=False) == "down, or without carrier"
    node.until_state("active")
    node.host.ip("link", "set", "eth1", "down")
    assert node.until_track("interface eth1", ok=False) == "down, or without carrier"
    node.until_state("fault")
    assert node.status()["cause"] == "interface eth1: down, or without carrier"
    for interface in ("eth1", "eth2"):
        node.host.ip("link", "set", interface, "up")
        node.until_track(f"interface {interface}", ok=True)
    node.until_state("active")
    assert node.status()["effective_priority"] < FIT


def test_a_track_that_a_reload_adds_moves_nothing_before_it_fails(node: Node) -> None:
    before = node.status()["transitions"]
    config = node.folder / "sipdispatch.toml"
    config.write_text(f'{config.read_text()}[[vrrp.track.command]]\ncommand = ["/bin/true"]\nname = "more"\n')
    node.agent.signal(signal.SIGHUP)
    wait_until(lambda: "command more" in {each["name"] for each in node.status()["tracks"]}, "it is there")
    wait_until(lambda: node.track("command more")["results"] > 0, "it has been asked")
    assert node.status()["transitions"] == before


def test_a_command_that_others_could_change_keeps_the_agent_from_starting(tmp_path: Path) -> None:
    argv = write(tmp_path)
    check = tmp_path / "check"
    check.chmod(0o757)
    with Program(argv, log=tmp_path / "log") as agent:
        assert agent.wait(30.0) == 2
        assert agent.output() == (
            f"sipdispatch: error: {check} can be changed by others (mode 0757)\n"
            f"  where: vrrp.track.command disk: {check}\n"
            f"  to do: chmod go-w {check}\n"
        )
