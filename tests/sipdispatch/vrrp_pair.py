"""Two nodes on a LAN, each with a real agent of its own, and what there is to see from outside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, Self

from sipdispatch.control_client import ControlClient
from sipdispatch.errors import CommandError
from tests.peers.namespace import Namespace, Network
from tests.peers.program import Program, wait_until

ROOT: Final = Path(__file__).parents[2]
VIP: Final = "192.0.2.100"
CONFIG: Final = """\
[vrrp]
interface = "eth0"
vrid = 51
priority = {priority}
addresses = ["192.0.2.100/24"]
{more}
[vrrp.control]
socket = "{socket}"
"""


class Node:
    """A host and its agent."""

    def __init__(self, host: Namespace, folder: Path, priority: int, more: str = "") -> None:
        self.host = host
        self.config = folder / f"{host.name.rpartition('-')[2]}.toml"
        self.socket = self.config.with_suffix(".sock")
        self.log = self.config.with_suffix(".log")
        self._priority = priority
        self.write(more)
        self.program: Program | None = None

    def write(self, more: str, priority: int | None = None) -> None:
        """Another configuration."""
        text = CONFIG.format(priority=priority or self._priority, more=more, socket=self.socket)
        self.config.write_text(text)

    def start(self) -> Program:
        """Start the agent, without waiting for anything."""
        argv = [sys.executable, "-m", "sipdispatch", "vrrp", "run", "-c", str(self.config)]
        self.program = Program(argv, log=self.log, namespace=self.host, environment={"PYTHONPATH": str(ROOT)})
        return self.program

    @property
    def running(self) -> Program:
        assert self.program is not None
        return self.program

    def status(self) -> dict[str, Any]:
        """What the agent says of itself."""
        with ControlClient(self.socket) as agent:
            status: dict[str, Any] = agent.call("vrrp.status")
        return status

    def until(self, state: str, seconds: float = 15.0) -> None:
        """Wait until the agent has this role, and the address or not."""

        def there() -> bool:
            try:
                return self.status()["state"] == state and self.has_address() is (state == "active")
            except CommandError:
                return False

        self.running.until(there, f"{self.host.name} is {state}", seconds=seconds)

    def has_address(self, address: str = VIP) -> bool:
        """Whether the kernel has it."""
        links = json.loads(self.host.run("ip", "-json", "address", "show"))
        return any(each.get("local") == address for link in links for each in link["addr_info"])

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def events(self) -> list[str]:
        return [line["event"] for line in self.logged()]


class Pair:
    """Two nodes by one wire; `more` is what both configurations have besides."""

    def __init__(
        self, folder: Path, more: str = "", *, addresses: tuple[str, str] = ("192.0.2.11", "192.0.2.12")
    ) -> None:
        self._network = Network()
        self._folder = folder
        self._more = more
        self._addresses = addresses

    def __enter__(self) -> Self:
        network = self._network.__enter__()
        one, other = network.host("a"), network.host("b")
        network.wire(one, f"{self._addresses[0]}/24", other, f"{self._addresses[1]}/24")
        self.a = Node(one, self._folder, 250, self._more)
        self.b = Node(other, self._folder, 240, self._more)
        # A link that comes up under an agent is a fault that is over: such a node is not fit for ten seconds.
        wait_until(lambda: all(_has_carrier(host) for host in (one, other)), "both links are up")
        return self

    def __exit__(self, *error: object) -> None:
        for node in (self.a, self.b):
            if node.program is not None:
                node.program.stop()
        self._network.__exit__(*error)

    def settle(self) -> None:
        """Start both, and wait until the first one has the address and the other one has heard of it."""
        self.a.start()
        self.b.start()
        self.a.until("active")
        self.b.until("backup")
        wait_until(lambda: bool(self.b.status()["peers"]), "the backup hears the active node")

    def owners(self) -> list[str]:
        """Who has the address now."""
        return [name for name, node in (("a", self.a), ("b", self.b)) if node.has_address()]


def _has_carrier(host: Namespace) -> bool:
    links = json.loads(host.run("ip", "-json", "link", "show"))
    return all(each["operstate"] == "UP" for each in links if each["ifname"] != "lo")


__all__ = ["VIP", "Node", "Pair", "wait_until"]
