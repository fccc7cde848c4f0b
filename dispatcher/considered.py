"""Which part has each destination of a set in a choice, and why?"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import assert_never

import attrs

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.selection import (
    Pool,
    candidates,
    choose,
    everyone_up,
    has_room,
    idle,
    least_loaded,
    ramp_place,
    spared,
    turns,
)
from health.board import NEW_WORK, State, Verdict, Word, state


class Reason(enum.Enum):
    """What a choice makes of a destination; the value is a sentence's end for people."""

    CHOSEN = "takes it"
    NEXT = "comes next when those before it cannot"
    SLOWER = "has the higher latency of the first two"
    AT_MAXLOAD = "is at its maxload: no new work"
    WARMING_UP = "is back and takes a growing share only: not yet this one"
    AVOIDED = "has asked to be left alone for a while"
    DOWN = "is down"
    DRAINING = "is draining: no new work"
    DISABLED = "is disabled"
    NO_WEIGHT = "has weight 0: no new work"


@attrs.frozen
class Considered:
    """One destination of the set and its part in a choice."""

    index: int
    reason: Reason


def explain(
    pool: Pool,
    algorithm: Algorithm,
    key_digest: int,
    counter: int,
    liveness: Sequence[int],
    ramp: bytes = b"",
    latency: Sequence[float] = (),
    calls: Callable[[int], int] = idle,
) -> Iterator[Considered]:
    """Every destination of the set in the order in which `choose` looks at them, and why it is chosen or not.

    The arguments are those of `choose`.
    """
    chosen = choose(pool, algorithm, key_digest, counter, liveness, ramp, latency, calls)
    taking = spared(bytes(liveness), ramp, ramp_place(key_digest)) if ramp else liveness
    if chosen is not None and not taking[chosen] & NEW_WORK:
        taking = liveness  # nobody takes this key by their ramps
    asked = _each_once(
        chain(
            _order(pool, algorithm, key_digest, counter, taking, calls),
            _order(pool, algorithm, key_digest, counter, liveness, calls),
            candidates(pool, key_digest, liveness, algorithm.table),
        )
    )
    everyone = list(_everyone(pool, algorithm, key_digest, counter))
    rest = Reason.SLOWER if algorithm.kind is Kind.LATENCY else Reason.NEXT
    for place in everyone:
        if not liveness[place] & NEW_WORK:
            yield Considered(place, _refusal(state(liveness[place])))
            continue
        index = next(asked)
        if index == chosen:
            reason, rest = Reason.CHOSEN, Reason.NEXT
        elif algorithm.kind is Kind.CALL_LOAD and not has_room(pool, index, calls):
            reason = Reason.AT_MAXLOAD
        else:
            reason = rest if taking[index] & NEW_WORK else Reason.WARMING_UP
        yield Considered(index, reason)
    for index in sorted(set(range(len(pool.destinations))) - set(everyone)):
        yield Considered(index, Reason.NO_WEIGHT)


def _each_once(indexes: Iterable[int]) -> Iterator[int]:
    """In their order; the later of them are not asked for before they are wanted: each order costs a score for all."""
    told = set[int]()
    for index in indexes:
        if index not in told:
            told.add(index)
            yield index


def _order(
    pool: Pool,
    algorithm: Algorithm,
    key_digest: int,
    counter: int,
    liveness: Sequence[int],
    calls: Callable[[int], int],
) -> Iterator[int]:
    if algorithm.kind is Kind.CALL_LOAD:
        return least_loaded(pool, key_digest, liveness, algorithm.table, calls)
    if algorithm.kind is Kind.ROUND_ROBIN:
        return turns(pool, counter, liveness)
    return candidates(pool, key_digest, liveness, algorithm.table)


def _everyone(pool: Pool, algorithm: Algorithm, key_digest: int, counter: int) -> Iterator[int]:
    """Those with a share or a last resort, in the order in which they would be asked if all were up and had room."""
    up = everyone_up(len(pool.destinations))
    if algorithm.kind is Kind.ROUND_ROBIN:
        return turns(pool, counter, up)
    return candidates(pool, key_digest, up, algorithm.table)


def _refusal(found: State) -> Reason:
    """Why a destination in this state, whose liveness has no new work, takes none."""
    match found.word:
        case Word.DISABLED:
            return Reason.DISABLED
        case Word.DRAINING:
            return Reason.DRAINING
        case Word.ENABLED:
            return Reason.DOWN if found.verdict is Verdict.DOWN else Reason.AVOIDED
    assert_never(found.word)
