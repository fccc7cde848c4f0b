"""How is one of two nodes that share an address struck?

    A 192.0.2.11 --+
    B 192.0.2.12 --+-- a switch; the address 192.0.2.100/24 is A's as long as nothing has happened
    C 192.0.2.9  --+   the client: it sends a datagram each millisecond to the address

Each is a network namespace.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.failover_agents import Agent, Pair, Seat
from bench.failover_watch import PACE_S, PROTOCOL, Service, Watch
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require
from tests.peers.program import PeerError, Program, wait_until

ADDRESSES: Final = {"A": "192.0.2.11", "B": "192.0.2.12"}
CLIENT: Final = "192.0.2.9"
STARTING_S: Final = 60.0
"""An agent on a busy machine needs so long at most until it takes part."""
_RAW_SOCKET: Final = f":{PROTOCOL:04X} "
"""How /proc/net/raw shows it, in the host of the process whose folder it is read from."""
READY_S: Final = 1.2
"""From its open socket to all the rest, the last word about the start included: it comes a second later."""


def other(node: str) -> str:
    """The other one of the two."""
    return "B" if node == "A" else "A"


class Console:
    """`ip` or `bridge` inside a host, kept running: a command takes effect within a millisecond."""

    def __init__(self, program: str, host: Namespace) -> None:
        argv = host.command([str(require(program)), "-batch", "-"])
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=5.0)

    def say(self, *commands: str) -> None:
        """Have the commands carried out, one after another."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()


class Scene:
    """The hosts while the block is open; no agent runs yet.  Files go to `directory`."""

    def __init__(
        self,
        pair: Pair,
        agents: Mapping[str, Agent],
        directory: Path,
        *,
        tracking: bool = False,
        pace: float | None = PACE_S,
    ) -> None:
        self.pair = pair
        self.programs: dict[str, Program] = {}
        self._agents = agents
        self._directory = directory
        self._tracking = tracking
        self._pace = pace
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            network = stack.enter_context(Network())
            self.hosts = {label: network.host(label) for label in "ABC"}
            self.switch = network.switch("S")
            self._ports = dict(zip("ABC", ("eth0", "eth1", "eth2"), strict=True))
            interfaces = {
                label: network.plug(self.hosts[label], self.switch, f"{address}/24")
                for label, address in (*ADDRESSES.items(), ("C", CLIENT))
            }
            self.interfaces = interfaces
            self._bridge = stack.enter_context(Console("bridge", self.switch))
            self._links = stack.enter_context(Console("ip", self.switch))
            self.services = {label: self._service(label) for label in ADDRESSES}
            nodes = {label: (self.hosts[label], interfaces[label], ADDRESSES[label]) for label in ADDRESSES}
            client = self.hosts["C"], interfaces["C"], CLIENT
            self.watch = stack.enter_context(Watch(nodes, client, self.services, pace=self._pace))
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _service(self, label: str) -> Service:
        folder = self._directory / f"service-{label}"
        folder.mkdir(parents=True)
        return Service(self.hosts[label], ADDRESSES[label], folder)

    def _end(self) -> None:
        for node, program in self.programs.items():
            self.send(node, signal.SIGKILL)
            program.stop()

    def start(self, node: str) -> None:
        """Start the agent of a node; again, if it has ended."""
        if node in self.programs:
            self.programs[node].stop()
        service = self.services[node]
        seat = Seat(
            host=self.hosts[node],
            interface=self.interfaces[node],
            address=ADDRESSES[node],
            peer=ADDRESSES[other(node)],
            priority=self.pair.priorities["AB".index(node)],
            directory=self._directory / f"agent-{node}",
            alive=service.alive,
            proxy=service.control,
        )
        self.programs[node] = self._agents[node](seat, self.pair, tracking=self._tracking)

    def send(self, node: str, number: signal.Signals) -> None:
        """A signal to all processes of an agent."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.programs[node].pid, number)

    def kill(self, node: str) -> None:
        """End an agent without a warning."""
        self.send(node, signal.SIGKILL)

    def ask_to_end(self, node: str) -> None:
        """As an operator does."""
        self.programs[node].signal(signal.SIGTERM)

    def pull_plug(self, node: str) -> None:
        """Cut a node's link."""
        self._links.say(f"link set {self._ports[node]} down")

    def cut(self) -> None:
        """Let neither of the nodes hear the other; the client is in reach of both."""
        self._isolate("on")

    def heal(self) -> None:
        """Let them hear each other again."""
        self._isolate("off")

    def _isolate(self, word: str) -> None:
        self._bridge.say(*(f"link set dev {self._ports[node]} isolated {word}" for node in ADDRESSES))

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Wait; PeerError with the end of both agents' logs when it does not come."""
        wait_until(ready, what, seconds=seconds, failure=self.failure)

    def until_owner(self, node: str, *, seconds: float = STARTING_S) -> None:
        """Wait until a node has the address, the other has not, and the client has its answers from there."""

        def settled() -> bool:
            return self.watch.owners() == node and (self._pace is None or self.watch.answering() == node)

        self.until(settled, f"the address is {node}'s alone", seconds=seconds + 10 * self.pair.interval)

    def failure(self, what: str) -> PeerError:
        """An error that tells who has the address, and what the agents said."""
        told = "\n".join(f"{node}: {program.failure('')}" for node, program in self.programs.items())
        return PeerError(f"{what}; the address is at {self.watch.owners() or 'no node'}\n{told}")

    def begin(self) -> None:
        """Start both agents, and let A have the address for a while."""
        self.start("A")
        if not self.pair.preempt:
            self.until_owner("A")  # else whoever starts faster keeps it
        self.start("B")
        for node in ADDRESSES:
            self.until_listening(node)
        self.until_owner("A")
        time.sleep(READY_S + 2 * self.pair.interval)
        self.until_owner("A")

    def until_listening(self, node: str) -> None:
        """Wait until an agent hears adverts."""
        heard = Path(f"/proc/{self.programs[node].pid}/net/raw")
        self.until(lambda: _RAW_SOCKET in heard.read_text(), f"{node} listens", seconds=STARTING_S)

    def strike_at(self, share: float) -> None:
        """Wait until A's last advert is so much of an interval ago."""
        self.watch.hear("A", 2 * self.pair.interval + 1.0)
        time.sleep(share * self.pair.interval)
