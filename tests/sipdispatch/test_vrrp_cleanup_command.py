"""Does `sipdispatch vrrp cleanup` remove what a killed agent has left, and nothing else?"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.namespace import Namespace, Network

CONFIG = """\
[vrrp]
interface = "eth0"
vrid = 51
addresses = ["192.0.2.100/24", "2001:db8::100/64"]
[vrrp.control]
socket = "{socket}"
"""


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Network() as network:
        node, other = network.host("node"), network.host("other")
        network.wire(node, "192.0.2.11/24", other, "192.0.2.12/24")
        yield node


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(CONFIG.format(socket=tmp_path / "vrrp.sock"))
    return path


def cleanup(node: Namespace, config: Path) -> tuple[int, str]:
    argv = [sys.executable, "-m", "sipdispatch", "vrrp", "cleanup", "--config", str(config)]
    done = subprocess.run(node.command(argv), capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def addresses(node: Namespace) -> set[str]:
    shown = json.loads(node.run("ip", "-json", "address", "show", "dev", "eth0"))
    return {info["local"] for info in shown[0]["addr_info"] if info["scope"] == "global"}


def test_what_was_left_goes_and_what_is_gone_is_no_error(node: Namespace, config: Path) -> None:
    node.bring_up("eth0", "192.0.2.100/24", "2001:db8::100/64")
    removed = "192.0.2.100/24 on eth0 removed\n2001:db8::100/64 on eth0 removed\n"
    assert cleanup(node, config) == (0, removed)
    assert addresses(node) == {"192.0.2.11"}
    assert cleanup(node, config) == (0, removed.replace("removed", "was not here"))


def test_an_address_with_another_prefix_goes_too(node: Namespace, config: Path) -> None:
    node.bring_up("eth0", "192.0.2.100/32")
    status, said = cleanup(node, config)
    assert (status, said.splitlines()[0]) == (0, "192.0.2.100/24 on eth0 removed")
    assert addresses(node) == {"192.0.2.11"}


def test_what_may_not_be_removed_is_told(node: Namespace, config: Path) -> None:
    node.bring_up("eth0", "192.0.2.100/24")
    ordinary = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    argv = [*ordinary, sys.executable, "-m", "sipdispatch", "vrrp", "cleanup", "--config", str(config)]
    done = subprocess.run(node.command(argv), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1,
        "192.0.2.100/24 on eth0 cannot be removed: Operation not permitted",
    )


@pytest.mark.parametrize("backlog", [1, 0])
def test_nothing_is_done_while_an_agent_runs(node: Namespace, config: Path, backlog: int) -> None:
    node.bring_up("eth0", "192.0.2.100/24")
    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as waiting:
        agent.bind(str(config.with_name("vrrp.sock")))
        agent.listen(backlog)
        if not backlog:
            waiting.connect(str(config.with_name("vrrp.sock")))
        status, said = cleanup(node, config)
    assert status == 2
    assert "the agent runs" in said
    assert "192.0.2.100" in addresses(node)
    assert cleanup(node, config)[0] == 0, "the socket of one that was killed is in nobody's way"


def test_addresses_that_commands_move_are_left_alone(node: Namespace, config: Path) -> None:
    node.bring_up("eth0", "192.0.2.100/24")
    config.write_text(
        config.read_text() + '[vrrp.mover]\ndriver = "exec"\nacquire = ["/bin/true"]\nrelease = ["/bin/true"]\n'
    )
    assert cleanup(node, config) == (0, "the addresses are moved by commands: nothing was removed\n")
    assert "192.0.2.100" in addresses(node)


def test_a_wrong_configuration_is_told(node: Namespace, config: Path) -> None:
    config.write_text("[vrrp]\n")
    status, said = cleanup(node, config)
    assert status == 2
    assert "vrrp.interface" in said
