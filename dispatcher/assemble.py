"""How do list, policy and what is known of the destinations become one snapshot?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dispatcher.algorithm import Algorithm, Ranking
from dispatcher.destination import DISABLED, INACTIVE, Destination
from dispatcher.listener import Listener
from dispatcher.selection import Pool
from dispatcher.snapshot import Policy, Snapshot
from health.board import NEW_WORK, State, Verdict, Word


def by_set(destinations: Iterable[Destination]) -> dict[int, tuple[Destination, ...]]:
    """The destinations of each set in the order of the list, sets in ascending order."""
    sets: dict[int, list[Destination]] = {}
    for destination in destinations:
        sets.setdefault(destination.entry.set_id, []).append(destination)
    return {set_id: tuple(sets[set_id]) for set_id in sorted(sets)}


def rankings_of(policy: Policy, set_id: int) -> frozenset[Ranking]:
    """The orders in which a set may be asked for, by the policy's own algorithm and by its rules."""
    asked: list[tuple[int, Algorithm]] = [(policy.default_set, policy.algorithm)]
    asked += [
        (policy.default_set if rule.set_id is None else rule.set_id, rule.algorithm or policy.algorithm)
        for rule in policy.rules
    ]
    return frozenset(algorithm.ranking for own, algorithm in asked if own == set_id)


def state_of(destination: Destination, *, refused: bool) -> State:
    """Word and verdict: the flags of the list give the word, a refusal of the network the verdict.

    Kamailio's flag 1 (starts inactive) waits for a probe that says otherwise.
    """
    flags = destination.entry.flags
    word = Word.DISABLED if flags & DISABLED else Word.ENABLED
    return State(word, Verdict.DOWN if refused or flags & INACTIVE else Verdict.UP)


def assemble(
    *,
    version: int,
    policy: Policy,
    keys: tuple[bytes, ...],
    listeners: tuple[Listener, ...],
    pools: Mapping[int, Pool],
    numbers: Mapping[int, Sequence[int]],
    refused: Collection[int] = (),
    departed: Mapping[int, Destination] | None = None,
) -> Snapshot:
    """The snapshot over these pools (one a set); `numbers` has each set's, `refused` those that are held to be down."""
    destinations: list[Destination] = []
    all_numbers: list[int] = []
    starts: dict[int, int] = {}
    liveness: dict[int, bytes] = {}
    for set_id, pool in pools.items():
        starts[set_id] = len(destinations)
        destinations += pool.destinations
        all_numbers += numbers[set_id]
        liveness[set_id] = bytes(
            state_of(destination, refused=number in refused).code
            for destination, number in zip(pool.destinations, numbers[set_id], strict=True)
        )
    return Snapshot(
        version=version,
        policy=policy,
        keys=keys,
        listeners=listeners,
        destinations=tuple(destinations),
        pools=pools,
        starts=starts,
        liveness=liveness,
        serving=any(code & NEW_WORK for codes in liveness.values() for code in codes),
        numbers=tuple(all_numbers),
        departed=departed or {},
    )
