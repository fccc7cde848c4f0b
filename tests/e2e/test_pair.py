"""Do calls and phones go on when an edge of the pair fails, though the two share nothing but a list and a secret?

The nodes fail in turn under load: the proxy of the first is killed, and when it has just been started again the second
one's link is cut.
"""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import pytest

from bench.failover_story import Moments, ownership
from bench.pair_edge import Edge
from bench.pair_faults import FAULTS, SETTLING_S
from bench.pair_scene import Scene
from bench.pair_story import Blow, Toll, beats_of, calls_of, sent_by, toll_of

pytestmark = [pytest.mark.peers, pytest.mark.slow]

INTERVAL_S = 0.1
RATE = 25.0
TALK_S = 1.0
BEAT_S = 0.01


@attrs.frozen(kw_only=True)
class Struck:
    """A node that was struck, on the clock of the witness, and the one that took over; `mended_at` is still to come."""

    node: str
    heir: str
    at: float
    mended_at: float


def test_calls_and_phones_go_on_when_the_nodes_fail_in_turn(tmp_path: Path) -> None:
    with Scene(tmp_path, interval=INTERVAL_S, rate=RATE, talk=TALK_S, beat=BEAT_S) as scene:
        assert len({shared_by(edge) for edge in scene.edges.values()}) == 1
        scene.call()
        first = strike(scene, "proxy", "A", "B")
        second = strike(scene, "link", "B", "A")
        left = scene.finish()
        record, ended_at = scene.watch.record(), time.monotonic()
        offset = time.time() - ended_at
    crossings = scene.crossings()
    calls, beats = calls_of(crossings, scene.cast), beats_of(crossings, scene.cast)
    for struck, until in ((first, second.at), (second, ended_at)):
        toll = toll_of(calls, beats, Blow(at=struck.at + offset, heir=struck.heir, until=until + offset))
        print(struck, toll)
        check_toll(toll)
        owners = [who for _, who in ownership(record, Moments(fault_at=struck.at, until=until, heir=struck.heir))]
        assert owners == [struck.node, "", struck.heir]
        # Who has lost the address says nothing more in its name.
        assert not sent_by(crossings, scene.cast, struck.node, struck.mended_at + offset, until + offset)
    assert left == 0, "channels are left at the servers"


def strike(scene: Scene, name: str, node: str, heir: str) -> Struck:
    """Strike a node, let the other take over and what was hit end, and mend it."""
    at = time.monotonic()
    FAULTS[name].strike(scene, node)
    scene.until_owner(heir)
    time.sleep(SETTLING_S)
    scene.phones_go_on()
    time.sleep(max(0.0, at + 2 * TALK_S + SETTLING_S - time.monotonic()))
    mended_at = time.monotonic()
    FAULTS[name].repair(scene, node)
    return Struck(node=node, heir=heir, at=at, mended_at=mended_at)


def check_toll(toll: Toll) -> None:
    assert toll.switch is not None, "the heir has never answered"
    assert toll.up >= RATE * TALK_S
    assert (toll.up_lost, toll.begun_lost, toll.others_lost) == (0, 0, 0)


def shared_by(edge: Edge) -> tuple[bytes, str]:
    return edge.proxy.list_file.read_bytes(), (edge.proxy.state / "secret").read_text().strip()
