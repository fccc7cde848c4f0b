"""Sets of destinations to choose from, and what the choices have in common."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence

from hypothesis import strategies as st

from dispatcher import slots
from dispatcher.algorithm import Algorithm, Kind, Ranking
from dispatcher.destination import Destination, Entry
from dispatcher.keyed import derive
from dispatcher.selection import (
    Groups,
    Pool,
    everyone_up,
    first_candidate,
    make_pool,
)
from health.board import State, Verdict, Word
from sip.uri import parse_uri

KEY = derive(b"k" * 32)
OTHER_KEY = derive(b"o" * 32)
UP = State().code
SUSPECT = State(verdict=Verdict.SUSPECT).code
DOWN = State(verdict=Verdict.DOWN).code
DRAINING = State(Word.DRAINING).code
DISABLED = State(Word.DISABLED).code

built = functools.cache(slots.build)


@functools.cache
def coarse(groups: Groups) -> bytes:
    """A slot table that repeats itself after 64 slots: as good for who comes after whom, and built in no time."""
    return slots.build(groups, slots=64) * (slots.SLOTS // 64)


def destination(
    number: int,
    weight: int | None = None,
    *,
    rweight: int | None = None,
    priority: int = 0,
    duid: str | None = None,
    uri: str | None = None,
    maxload: int = 0,
) -> Destination:
    uri = uri or f"sip:10.0.{number >> 8}.{number & 255}"
    entry = Entry(
        set_id=1,
        uri=uri,
        target=parse_uri(uri.encode()),
        weight=weight,
        rweight=rweight,
        priority=priority,
        duid=duid,
        maxload=maxload,
    )
    return Destination(entry=entry, address=(f"10.0.{number >> 8}.{number & 255}", 5060))


def weighted(*weights: int | None) -> list[Destination]:
    return [destination(number, weight) for number, weight in enumerate(weights, start=1)]


def pool_of(destinations: Sequence[Destination], key: bytes = KEY, ranking: Ranking = Ranking.WEIGHT) -> Pool:
    """A pool with the real table of one ranking."""
    return make_pool(1, destinations, key, rankings=(ranking,), build=built)


def every_choice(pool: Pool, liveness: Sequence[int] | None = None, table: int = 0) -> list[int]:
    """The choice of every slot."""
    liveness = everyone_up(len(pool.destinations)) if liveness is None else liveness
    return [first_candidate(pool, slot, liveness, table) for slot in range(slots.SLOTS)]


def shares(choices: Sequence[int], count: int) -> list[float]:
    """Percentages by index."""
    found = Counter(choices)
    return [100 * found[index] / len(choices) for index in range(count)]


def expected(*weights: int) -> list[float]:
    return [100 * weight / sum(weights) for weight in weights]


WEIGHTS = st.one_of(st.none(), st.integers(-1, 3), st.integers(1, 10**40))
CODES = st.sampled_from([State(word, verdict).code for word in Word for verdict in Verdict])
ALGORITHMS = st.sampled_from(
    [*(Algorithm(kind) for kind in Kind if kind is not Kind.HEADER), Algorithm(Kind.HEADER, "X")]
)
SETS = st.lists(st.tuples(WEIGHTS, WEIGHTS, st.integers(0, 3), CODES), max_size=9)
