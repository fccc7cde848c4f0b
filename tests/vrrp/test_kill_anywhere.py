"""Does an agent that is killed at any moment leave nothing behind: no address after the lease, nothing in the way?

Lone nodes in network namespaces of their own, several at a time.  Each run kills its agent at a random moment of its
start, of a transition or of its end.  Then the address must go by itself, or with the next agent, which is started on
the same files, sometimes at once as systemd does it, and must find nothing that it has to be told about.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs
import pytest

from sipdispatch.control_client import ControlClient
from tests.peers.namespace import Network
from tests.sipdispatch.vrrp_pair import Node

pytestmark = [pytest.mark.slow]

SEED: Final = 20_260_402
LANES: Final = 4
"""Nodes at a time: more would only wait for each other."""
RUNS: Final = 9
"""Of each lane."""
LEASE_S: Final = 2.0
GRACE_S: Final = 1.0
"""The kernel looks for what is over up to a quarter of a second late, and so often does the test on a busy machine."""
STARTING_S: Final = 40.0
CALLS: Final = (("hold",), ("hold", "resume"), ("release",), ("release", "resume"), ("hold", "release", "resume"))


@attrs.frozen(kw_only=True)
class Killing:
    """One run: when the agent was killed, and what was there then and afterwards; times in seconds."""

    seed: int
    stage: str
    moment: float
    """After the start, the first call or the signal."""
    had_address: bool
    left_socket: bool
    stayed: float
    """How long the address did; infinity if it was not waited for."""
    problems: tuple[str, ...]

    def __str__(self) -> str:
        left = f"address {self.had_address}, socket {self.left_socket}"
        return f"seed {self.seed:10} {self.stage:10} {1000 * self.moment:6.0f} ms: {left}, {self.stayed:.1f} s"


def lane(number: int, folder: Path) -> list[Killing]:
    """One node whose agent is killed again and again, and ends well at last."""
    rng = random.Random(SEED + number)
    with Network() as network:
        host, switch = network.host(f"n{number}"), network.switch("s")
        network.plug(host, switch, "192.0.2.11/24")
        node = Node(host, folder, 250, f'lease = "{LEASE_S:g}s"')
        began = time.monotonic()
        problems = _started(node)
        starting = time.monotonic() - began
        _ended(node, problems)
        killings = [_kill(node, rng.randrange(1 << 32), starting) for _ in range(RUNS)]
        if node.program is not None:
            node.program.stop()
        problems += _started(node)
        _ended(node, problems)
        last = killings[-1]
        return [*killings[:-1], attrs.evolve(last, problems=(*last.problems, *problems))]


def _started(node: Node) -> list[str]:
    """Start it and wait for the address; what it has to tell besides."""
    node.start()
    node.until("active", STARTING_S)
    status = node.status()
    told = {key: status[key] for key in ("leases_lost", "addresses_taken", "held", "released", "alarms")}
    return [f"it starts with {key} = {value}" for key, value in told.items() if value]


def _ended(node: Node, problems: list[str]) -> None:
    """Let it end, and look for what it has left."""
    if node.running.stop() != 0:
        problems.append("it has not ended well")
    problems += _left(node)
    if node.socket.exists():
        problems.append("an agent that has ended has left its socket")


def _left(node: Node) -> list[str]:
    found = [] if not node.has_address() else ["the address is still there"]
    known = {node.socket.name, node.config.name, node.log.name}
    return found + [f"{path.name} is left" for path in node.config.parent.iterdir() if path.name not in known]


def _kill(node: Node, seed: int, starting: float) -> Killing:
    rng = random.Random(seed)
    stage = rng.choice(("start", "transition", "end"))
    problems = []
    if stage == "start":
        node.start()
        moment = rng.uniform(0.0, 1.1 * starting)
    else:
        problems = _started(node)
        # A role takes 0.4 s to change back; a stop is over within a few milliseconds.
        moment = rng.choice((rng.uniform(0.0, 0.01), rng.uniform(0.0, 0.5 if stage == "transition" else 0.1)))
    if stage == "transition":
        for word in rng.choice(CALLS):
            with ControlClient(node.socket) as agent:
                agent.call(f"vrrp.{word}")
    elif stage == "end":
        node.running.signal(signal.SIGTERM)
    time.sleep(moment)
    node.running.signal(signal.SIGKILL)
    node.running.wait(10.0)
    killed, stayed = time.monotonic(), 0.0
    had_address, left_socket = node.has_address(), node.socket.exists()
    if rng.random() < 1 / 3:
        stayed = float("inf")
    else:
        while node.has_address() and stayed < 2 * LEASE_S + GRACE_S:
            stayed = time.monotonic() - killed
            time.sleep(0.05)
        problems += _left(node)
    return Killing(
        seed=seed,
        stage=stage,
        moment=moment,
        had_address=had_address,
        left_socket=left_socket,
        stayed=stayed,
        problems=tuple(problems),
    )


@pytest.fixture(scope="module")
def killings(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Killing]:
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lane, number, tmp_path_factory.mktemp(f"k{number}")) for number in range(LANES)]
        told = [killing for each in lanes for killing in each.result()]
    print(f"seed {SEED}", *told, sep="\n")
    return told


def test_the_address_is_gone_when_its_lease_is_over(killings: Sequence[Killing]) -> None:
    assert [str(each) for each in killings if LEASE_S + GRACE_S < each.stayed < float("inf")] == []
    assert {each.stayed for each in killings if not each.had_address} <= {0.0, float("inf")}


def test_the_next_one_starts_as_if_nothing_had_been(killings: Sequence[Killing]) -> None:
    assert [(str(each), each.problems) for each in killings if each.problems] == []


def test_it_was_killed_at_moments_of_every_kind(killings: Sequence[Killing]) -> None:
    assert len(killings) == LANES * RUNS
    stages = Counter(each.stage for each in killings)
    assert min(stages[stage] for stage in ("start", "transition", "end")) >= 5
    # Before and after it had set the address, made its socket, taken either away.
    assert {each.had_address for each in killings} == {each.left_socket for each in killings} == {True, False}
