"""Do both pipelines agree on any datagram?

The invariant: whatever the bytes, the compiled pipeline hands over or decides exactly as Python does: the same bytes to
the same address by the same listener, the same destination and key to remember, the same facts for the counters.
"""

from __future__ import annotations

from functools import lru_cache

import dispatcher._fastpath as compiled
from dispatcher.choice import Chance
from dispatcher.flat import flatten
from dispatcher.route import route
from dispatcher.snapshot import Snapshot
from fuzz.world import WORLDS, World
from tests.dispatcher.twins import outcome_of, with_tables

NOW = 1048.5
ENTRIES = 64
"""Of the table of recent choices, which has those of one datagram only."""

_SNAPSHOTS = {id(snapshot): with_tables(snapshot) for snapshot in WORLDS}


def check(data: bytes) -> None:
    """Raise whatever the two pipelines do not agree on."""
    world = World.of(data)
    snapshot = _SNAPSHOTS[id(world.snapshot)]
    asked: list[int] = []

    def lately(key: int) -> int | None:
        asked.append(key)
        return world.recent

    outcome = route(
        snapshot,
        world.datagram,
        world.source,
        world.arrival,
        names=world.names,
        recent=lately,
        chance=Chance(1, 0x123456789ABCDEF),
        now=NOW,
        calls=world.calls,
    )
    recent = compiled.RecentChoices(ENTRIES)
    if world.recent is not None:
        for key in asked:
            recent.remember(key, world.recent, NOW)
    decided = compiled.decide(image(world.snapshot), recent, world.datagram, world.source, world.arrival, NOW)
    if decided[0] != "hand-over":
        assert outcome_of(decided) == outcome, f"{outcome_of(decided)}\n{outcome}"


def image(snapshot: Snapshot) -> compiled.Image:
    """What the compiled pipeline knows of one of the worlds' snapshots."""
    return _image(id(snapshot))


@lru_cache(maxsize=len(WORLDS))
def _image(key: int) -> compiled.Image:
    made = flatten(_SNAPSHOTS[key], 1, compiled.Draft, None).image
    assert isinstance(made, compiled.Image)
    return made
