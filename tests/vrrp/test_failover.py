"""In which order does it happen when a node, its agent, its proxy or the network fails?

One try of every fault of the failover bench with our agent on both nodes, several at the same time; how long things
take is the bench's business.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import attrs
import pytest

from bench.failover import Try, attempt
from bench.failover_agents import OURS
from bench.failover_faults import FAULTS
from bench.failover_story import Figures
from tests.peers.need import require, require_root
from tests.peers.program import PeerError

pytestmark = [pytest.mark.peers, pytest.mark.slow]

INTERVAL_S = 0.1
AT_ONCE = 4

Outcome = tuple[Figures, list[str]]


@attrs.frozen
class Expected:
    """Who has the address in the end, and what follows upon what; other things may happen in between."""

    owner: str
    orders: Sequence[Sequence[str]]


TAKEN_OVER = ("B has", "B announces", "B answers")
HANDED_OVER = Expected("B", [("A releases", "A loses"), ("A releases", *TAKEN_OVER)])
# Whoever has learnt B's announcement forgets it for A's.
HEALED = Expected("A", [(*TAKEN_OVER, "A announces", "A answers"), (*TAKEN_OVER, "B loses")])

EXPECTED = {
    "crash": Expected("B", [TAKEN_OVER]),
    # Nobody takes the address away from the node but its lease.
    "kill": Expected("B", [(*TAKEN_OVER, "A loses")]),
    "stop": HANDED_OVER,
    # It was not running for so long that it steps down before it competes again; its lease may have ended before.
    "freeze": Expected("A", [(*TAKEN_OVER, "A releases", "A has", "A answers"), (*TAKEN_OVER, "A loses", "A has")]),
    "cut-winner": HEALED,
    "cut-loser": HEALED,
    "cut-winner-high": HEALED,
    "cut-loser-high": HEALED,
    # B obeys A's first advert, which leaves before A has the address: who is quicker then is chance.
    "failback": Expected("A", [("A has", "A announces", "A answers"), ("B loses",)]),
    "reload": Expected("A", []),
    "hang": HANDED_OVER,
    "die": HANDED_OVER,
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Outcome]]]:
    require("ip")
    require("bridge")
    require_root("a network namespace")
    folder = tmp_path_factory.mktemp("failover")
    with ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as pool:
        tries = {name: Try(fault=name, interval=INTERVAL_S, agent=OURS, share=0.5, number=1) for name in FAULTS}
        yield {name: pool.submit(attempt, one, folder) for name, one in tries.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_address_moves_in_order(outcomes: Mapping[str, Future[Outcome]], fault: str) -> None:
    try:
        figures, events = outcomes[fault].result()
    except PeerError as error:
        pytest.fail(str(error), pytrace=False)
    expected = EXPECTED[fault]
    for order in expected.orders:
        rest = iter(events)
        assert all(event in rest for event in order), (order, events)
    if not expected.orders:
        assert set(events) <= {"A announces"}, events
    assert figures.owners == expected.owner
    assert not figures.strayed, "the client is at a node without the address"
