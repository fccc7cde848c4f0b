"""How do list, policy and what is known of the destinations become one snapshot?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from dispatcher.algorithm import Algorithm, Kind, Ranking
from dispatcher.destination import DISABLED, INACTIVE, Destination
from dispatcher.listener import Listener
from dispatcher.selection import FULL_SHARE, Pool
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.steps import Steps, stepwise
from dispatcher.whereabouts import find
from health.board import NEW_WORK, State, Verdict, Word

_NOTHING: Mapping[int, Any] = MappingProxyType({})


def by_set(destinations: Iterable[Destination]) -> dict[int, tuple[Destination, ...]]:
    """The destinations of each set in the order of the list, sets in ascending order."""
    sets: dict[int, list[Destination]] = {}
    for destination in destinations:
        sets.setdefault(destination.entry.set_id, []).append(destination)
    return {set_id: tuple(sets[set_id]) for set_id in sorted(sets)}


def algorithms_of(policy: Policy, set_id: int) -> frozenset[Algorithm]:
    """The ways in which a set may be asked for, by the policy's own algorithm and by its rules."""
    asked: list[tuple[int, Algorithm]] = [(policy.default_set, policy.algorithm)]
    asked += [
        (policy.default_set if rule.set_id is None else rule.set_id, rule.algorithm or policy.algorithm)
        for rule in policy.rules
    ]
    return frozenset(algorithm for own, algorithm in asked if own == set_id)


def rankings_of(policy: Policy, set_id: int) -> frozenset[Ranking]:
    """The orders that those algorithms need."""
    return frozenset(algorithm.ranking for algorithm in algorithms_of(policy, set_id))


def state_of(destination: Destination) -> State:
    """Word and verdict that the flags of the list give.

    Kamailio's flag 1 (starts inactive) waits for a probe that says otherwise.
    """
    return _state_by_flags(destination.entry.flags)


@lru_cache
def _state_by_flags(flags: int) -> State:
    word = Word.DISABLED if flags & DISABLED else Word.ENABLED
    return State(word, Verdict.DOWN if flags & INACTIVE else Verdict.UP)


@stepwise
def assemble(
    *,
    version: int,
    policy: Policy,
    keys: tuple[bytes, ...],
    listeners: tuple[Listener, ...],
    pools: Mapping[int, Pool],
    numbers: Mapping[int, Sequence[int]],
    departed: Mapping[int, Destination] | None = None,
) -> Steps[Snapshot]:
    """The snapshot over these pools (one a set), as if the network had refused nobody; `numbers` has each set's."""
    destinations: list[Destination] = []
    all_numbers: list[int] = []
    starts: dict[int, int] = {}
    for set_id, pool in pools.items():
        starts[set_id] = len(destinations)
        destinations += pool.destinations
        all_numbers += numbers[set_id]
    liveness = {}
    for set_id, pool in pools.items():
        codes = bytearray()
        for destination in pool.destinations:
            codes.append(state_of(destination).code)
            yield
        liveness[set_id] = bytes(codes)
    where = yield from find.steps(destinations, all_numbers)
    return Snapshot(
        version=version,
        policy=policy,
        keys=keys,
        listeners=listeners,
        destinations=tuple(destinations),
        pools=pools,
        starts=starts,
        liveness=liveness,
        serving=is_serving(policy, pools, liveness),
        numbers=tuple(all_numbers),
        departed=departed or {},
        where=where,
    )


def with_states(
    snapshot: Snapshot,
    states: Mapping[int, State],
    avoided: Collection[int] = (),
    *,
    latency: Mapping[int, float] = _NOTHING,
    ramp: Mapping[int, int] = _NOTHING,
) -> Snapshot:
    """The snapshot with these states, by number; who has none keeps that of the list.

    Those who are `avoided` have asked for no new work: they get none while somebody else in their set takes any.  Of
    `latency` (seconds) and `ramp` (keys of 256, `dispatcher.slowstart`), whoever is missing has none.  What is derived
    from the list is shared with the given snapshot.
    """
    liveness: dict[int, bytes] = {}
    latencies: dict[int, tuple[float, ...]] = {}
    ramps: dict[int, bytes] = {}
    for set_id, pool in snapshot.pools.items():
        start = snapshot.starts[set_id]
        numbers = snapshot.numbers[start : start + len(pool.destinations)]
        codes = bytearray(
            code if (known := states.get(number)) is None else known.code
            for number, code in zip(numbers, snapshot.liveness[set_id], strict=True)
        )
        if avoided:
            _spare(snapshot.policy, pool, codes, [place for place, number in enumerate(numbers) if number in avoided])
        liveness[set_id] = bytes(codes)
        if latency and any(used.kind is Kind.LATENCY for used in algorithms_of(snapshot.policy, set_id)):
            latencies[set_id] = tuple(latency.get(number, 0.0) for number in numbers)
        if ramp:
            shares = bytes(ramp.get(number, FULL_SHARE) for number in numbers)
            if shares.count(FULL_SHARE) < len(shares):
                ramps[set_id] = shares
    if (liveness, latencies, ramps) == (snapshot.liveness, snapshot.latency, snapshot.ramp):
        return snapshot
    serving = is_serving(snapshot.policy, snapshot.pools, liveness)
    return snapshot.with_liveness(liveness, serving=serving, latency=latencies, ramp=ramps)


def _spare(policy: Policy, pool: Pool, codes: bytearray, places: Sequence[int]) -> None:
    """Take new work from those at these places, if others of the set take it by every algorithm that is asked for."""
    spared = bytearray(codes)
    for place in places:
        spared[place] &= ~NEW_WORK
    workers = (
        {contender.destination for group in pool.tables[ranking.value].groups for contender in group}
        for ranking in rankings_of(policy, pool.set_id) or Ranking
    )
    if all(any(spared[index] & NEW_WORK for index in members) for members in workers):
        codes[:] = spared


def sets_in_use(policy: Policy) -> frozenset[int]:
    """The sets that requests are dispatched to."""
    return frozenset(policy.default_set if rule.set_id is None else rule.set_id for rule in policy.rules) | {
        policy.default_set
    }


def is_serving(policy: Policy, pools: Mapping[int, Pool], liveness: Mapping[int, bytes]) -> bool:
    """Whether a request can be given to anybody: in a set that is in use, somebody with a weight takes new work."""
    return any(
        liveness[set_id][contender.destination] & NEW_WORK
        for set_id in sets_in_use(policy)
        if set_id in pools
        for table in pools[set_id].tables
        for group in table.groups
        for contender in group
    )
