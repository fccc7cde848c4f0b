"""Which destination of a set gets this message?

A choice is a pure function of the set, the secret, the key's digest (or the turn) and who is alive.  Taking a
destination away, by the list or because it is down, moves only what was its own, and spreads that over the others by
weight.

Who shares, and how:

- Weights are relative, with any sum.  Without a single weight in the set all shares are equal.
- Weight 0 means no new work, ever.
- A destination without a weight, in a set where others have one, has no share but is a last resort: it takes over, in
  equal shares, when nobody with a weight is usable.  (Kamailio gives it nothing or, as the last line, everything.)
- A destination that has just come back may have a ramp: a byte that says how many of 256 keys it takes already.
- `latency` compares the first two in the order of the key, `call-load` counts the calls of all.
"""

from __future__ import annotations

import heapq
import math
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

import attrs

from dispatcher import slots
from dispatcher.algorithm import DEFAULT, Algorithm, Kind, Ranking, parse_algorithm
from dispatcher.destination import Destination
from dispatcher.keyed import CHOICE, DART, SCORE, Key, digest
from dispatcher.slots import NONE, PLACES, Contender
from dispatcher.steps import Steps, stepwise
from health.board import NEW_WORK, State, state

__all__ = [
    "DEFAULT",
    "FULL_SHARE",
    "Algorithm",
    "Kind",
    "Pool",
    "Ranking",
    "Table",
    "candidates",
    "choose",
    "everyone_up",
    "first_candidate",
    "has_room",
    "idle",
    "in_panic",
    "least_loaded",
    "make_pool",
    "parse_algorithm",
    "ramp_place",
    "sketch",
    "slot_of",
    "spared",
    "tabled",
    "turns",
    "wanted",
]

Groups = tuple[tuple[Contender, ...], ...]

HEAVIEST = 2**63 - 1
"""A greater weight counts as this."""

FULL_SHARE = 255
"""The ramp of a destination that takes every key of its own; a lower number is how many of 256 it takes."""

QUICKER = 0.75
"""Of the first one's latency: what the second must stay below to have the call."""
QUICKER_S = 0.005
"""And by how much.  Servers of one farm differ by less than that while they are well: there the weights decide, or all
calls would go to the nearest one."""

_RAMP_SHIFT = 48
_PART_SHIFT = 56
_SLOT_MASK = slots.SLOTS - 1
_UNKNOWN = slots.view(b"\xff" * slots.TABLE_SIZE)
_EVENT = struct.Struct("<QH")  # seed of the destination, slot
_HASHES = 2**64


@attrs.frozen(eq=False)
class Table:
    """One order of the destinations for each slot: known places, and the groups of those who come after them.

    `packed` is the slot table as `dispatcher.slots.build` returns it, None where no place is known.
    """

    groups: Groups
    packed: bytes | None = attrs.field(default=None, repr=False)
    places: memoryview = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _places(self.packed), takes_self=True)
    )


@attrs.frozen(kw_only=True, eq=False)
class Pool:
    """A set, ready for choices.  Indexes count `destinations`; a liveness has one byte (`health.board`) for each.

    `tables` stand in the order of `Ranking`; `turns` are the indexes that round-robin goes through.
    """

    set_id: int
    key: Key = attrs.field(repr=False)
    destinations: tuple[Destination, ...]
    tables: tuple[Table, ...]
    turns: tuple[int, ...]
    salt: int = attrs.field(repr=False)
    """64 bits to combine (exclusive or) with a Call-ID's digest, where one call may pass through several sets."""


# ------------------------------------------------------------------------------------------------------------------
# Making a pool


def make_pool(
    set_id: int,
    destinations: Sequence[Destination],
    key: Key,
    *,
    rankings: Collection[Ranking] = (Ranking.WEIGHT,),
    build: Callable[[Groups], bytes] = slots.build,
) -> Pool:
    """The pool of a set with slot tables for `rankings`; `build` is asked for the table of each different grouping.

    A choice by a ranking without a table is sound but costs a score for each destination.  Raises ValueError for more
    than 65,535 destinations.
    """
    return tabled(sketch(set_id, destinations, key), rankings, build)


@stepwise
def sketch(set_id: int, destinations: Sequence[Destination], key: Key) -> Steps[Pool]:
    """A pool without slot tables; raises ValueError for more than 65,535 destinations."""
    if len(destinations) > slots.MOST_DESTINATIONS:
        raise ValueError(
            f"set {set_id} has {len(destinations)} destinations; a set has {slots.MOST_DESTINATIONS} at most"
        )
    seeds = []
    for name in (yield from _names(destinations)):
        seeds.append(digest(key, DART, name))
        yield
    groupings = yield from _groupings(destinations, seeds)
    return Pool(
        set_id=set_id,
        key=key,
        destinations=tuple(destinations),
        tables=tuple(Table(groupings[ranking]) for ranking in Ranking),
        turns=tuple(sorted(contender.destination for group in groupings[Ranking.WEIGHT] for contender in group)),
        salt=digest(key, CHOICE, b"set %d" % set_id),
    )


def wanted(pool: Pool, rankings: Collection[Ranking]) -> tuple[Groups, ...]:
    """The different groupings that these rankings need a slot table of."""
    return tuple(dict.fromkeys(pool.tables[ranking.value].groups for ranking in Ranking if ranking in rankings))


def tabled(pool: Pool, rankings: Collection[Ranking], build: Callable[[Groups], bytes]) -> Pool:
    """The pool with a slot table for each of the rankings, those that group alike sharing one."""
    packed = {groups: build(groups) for groups in wanted(pool, rankings)}
    return attrs.evolve(
        pool,
        tables=tuple(
            Table(table.groups, packed[table.groups]) if ranking in rankings else table
            for ranking, table in zip(Ranking, pool.tables, strict=True)
        ),
    )


def _places(packed: bytes | None) -> memoryview:
    return _UNKNOWN if packed is None else slots.view(packed)


def _names(destinations: Sequence[Destination]) -> Steps[list[bytes]]:
    """What hashing knows each destination by: its identity; those who share one (a duid) are told apart by the rest."""
    identities = []
    for destination in destinations:
        identities.append(destination.identity)
        yield
    holders = Counter(identities)
    names: list[bytes] = []
    seen: Counter[bytes] = Counter()
    for destination, identity in zip(destinations, identities, strict=True):
        name = identity
        if holders[identity] > 1:
            host, port = destination.address
            name += f"\0{host}\0{port}\0{destination.transport}\0{destination.entry.uri}".encode()
        seen[name] += 1
        names.append(name if seen[name] == 1 else b"%b\0%d" % (name, seen[name]))
        yield
    return names


def _groupings(destinations: Sequence[Destination], seeds: Sequence[int]) -> Steps[dict[Ranking, Groups]]:
    """Who comes before whom, whatever the key."""
    entries = [destination.entry for destination in destinations]
    everyone = range(len(entries))
    weights = [entry.weight for entry in entries]
    relative = [entry.rweight for entry in entries]
    tiers: dict[int, list[int]] = {}
    for index in everyone:
        tiers.setdefault(entries[index].priority, []).append(index)
    levels = [tiers[priority] for priority in sorted(tiers)]
    yield
    by_weight = _shares([everyone], weights, seeds)
    yield
    workers = sorted(contender for group in by_weight for contender in group)  # in the order of the list
    yield
    by_relative = by_weight if relative.count(None) == len(relative) else _shares([everyone], relative, seeds)
    yield
    by_tier = by_weight if len(levels) < 2 else _shares(levels, weights, seeds)
    yield
    by_priority = sorted(workers, key=lambda worker: -entries[worker.destination].priority)
    yield
    return {
        Ranking.WEIGHT: by_weight,
        Ranking.RELATIVE_WEIGHT: by_relative,
        Ranking.TIERS: by_tier,
        Ranking.PRIORITY: tuple((contender,) for contender in by_priority),
    }


def _shares(levels: Sequence[Sequence[int]], weights: Sequence[int | None], seeds: Sequence[int]) -> Groups:
    """The groups of each level: those who have a share of it, then its last resorts."""
    groups: list[tuple[Contender, ...]] = []
    for level in levels:
        weightless = [index for index in level if weights[index] is None]
        weighted = [(index, weight) for index in level if (weight := weights[index]) is not None and weight > 0]
        groups.append(tuple(Contender(index, seeds[index], min(weight, HEAVIEST)) for index, weight in weighted))
        groups.append(tuple(Contender(index, seeds[index], 1) for index in weightless))
    return tuple(group for group in groups if group)


# ------------------------------------------------------------------------------------------------------------------
# Choosing


def idle(_index: int) -> int:
    """The calls of a destination when nobody counts them."""
    return 0


def slot_of(key_digest: int) -> int:
    """The slot of a key, from the low 16 bits of its digest."""
    return key_digest & _SLOT_MASK


def ramp_place(key_digest: int) -> int:
    """Where a key stands in everybody's ramp, 0 to 255: eight bits that its slot has nothing to do with."""
    return key_digest >> _RAMP_SHIFT & 0xFF


def choose(
    pool: Pool,
    algorithm: Algorithm,
    key_digest: int,
    counter: int,
    liveness: Sequence[int],
    ramp: bytes = b"",
    latency: Sequence[float] = (),
    calls: Callable[[int], int] = idle,
) -> int | None:
    """The index of the destination for new work, None when none is usable.

    `key_digest` is the 64-bit hash of what the algorithm is keyed on, any 64 random bits for `random`; `counter` counts
    the choices by `round-robin` from 0 and is not looked at otherwise.  `ramp` and `latency` (seconds, 0.0 unknown)
    have an item for each index or none at all; `calls` tells how many calls an index has, for `call-load` only.
    Where nobody takes this key by their ramps, the ramps do not count.
    """
    if ramp:
        taking = spared(bytes(liveness), ramp, ramp_place(key_digest))
        chosen = choose(pool, algorithm, key_digest, counter, taking, b"", latency, calls)
        if chosen is not None:
            return chosen
    if algorithm.in_order:
        index = first_candidate(pool, key_digest, liveness, algorithm.table)
        return None if index < 0 else index
    if algorithm.kind is Kind.ROUND_ROBIN:
        return next(turns(pool, counter, liveness), None)
    if algorithm.kind is Kind.LATENCY:
        return _quicker_of_two(pool, key_digest, liveness, algorithm.table, latency)
    return next(least_loaded(pool, key_digest, liveness, algorithm.table, calls), None)


def first_candidate(pool: Pool, key_digest: int, liveness: Sequence[int], table: int = 0) -> int:
    """The first of `candidates`, -1 when there is none."""
    index = pool.tables[table].places[(key_digest & _SLOT_MASK) * PLACES]
    if index != NONE and liveness[index] & NEW_WORK:
        return index
    return next(candidates(pool, key_digest, liveness, table), -1)


def candidates(pool: Pool, key_digest: int, liveness: Sequence[int], table: int = 0) -> Iterator[int]:
    """The destinations that take new work, in the order of this key.

    After the known places of the slot come the others, group by group, by weighted rendezvous scores: the moment at
    which each would first hit the slot, -ln(u) / weight with u in (0, 1] from its keyed hash.
    """
    slot = key_digest & _SLOT_MASK
    ranked = pool.tables[table]
    placed = [index for index in ranked.places[slot * PLACES : (slot + 1) * PLACES] if index != NONE]
    for index in placed:
        if liveness[index] & NEW_WORK:
            yield index
    for group in ranked.groups:
        others = [
            (_first_hit(pool.key, contender, slot), contender.seed, contender.destination)
            for contender in group
            if liveness[contender.destination] & NEW_WORK and contender.destination not in placed
        ]
        heapq.heapify(others)  # the first one is wanted far more often than all of them
        while others:
            yield heapq.heappop(others)[2]


def everyone_up(count: int) -> bytes:
    """The liveness of a set in which everyone takes new work."""
    return bytes((State().code,)) * count


@lru_cache(maxsize=64)
def in_panic(liveness: bytes) -> bytes:
    """The liveness that panic chooses by: probes may be wrong, the operator's word holds: all enabled ones are up."""
    return bytes(State(state(code).word).code for code in liveness)


@lru_cache(maxsize=512)
def spared(liveness: bytes, ramp: bytes, place: int) -> bytes:
    """The liveness without new work for those whose ramp has not reached this place (0 to 255) of a key."""
    return bytes(
        code & ~NEW_WORK if share <= place and share != FULL_SHARE else code
        for code, share in zip(liveness, ramp, strict=True)
    )


def _first_hit(key: Key, contender: Contender, slot: int) -> float:
    """A time from the exponential distribution whose rate is the weight."""
    uniform = (digest(key, SCORE, _EVENT.pack(contender.seed, slot)) + 1) / _HASHES
    return -math.log(uniform) / contender.weight


def turns(pool: Pool, counter: int, liveness: Sequence[int]) -> Iterator[int]:
    """The usable destinations in the order of one turn of round-robin.

    Those who stand in for one that cannot take its turn rotate too, or its successor would do the work of two.
    """
    if not pool.turns:
        return
    lap, place = divmod(counter, len(pool.turns))
    owner = pool.turns[place]
    if liveness[owner] & NEW_WORK:
        yield owner
    others = [index for index in pool.turns if index != owner and liveness[index] & NEW_WORK]
    first = (lap + place) % max(1, len(others))
    yield from others[first:] + others[:first]


def _quicker_of_two(
    pool: Pool, key_digest: int, liveness: Sequence[int], table: int, latency: Sequence[float]
) -> int | None:
    """The power of two choices (Mitzenmacher, 1996): the better of two, for the best of all would have every call.

    And as of two servers one is the best of all, the slower keeps a part of the calls that it comes first for: a third
    when it takes three times as long.  All or nothing would leave it idle, or send every call from one to the other
    and back as their loads show.  A last resort takes no part while somebody with a share is usable.
    """
    order = candidates(pool, key_digest, liveness, table)
    first = next(order, None)
    if first is None or not latency:
        return first
    second = next(order, None)
    return second if second is not None and _is_quicker(pool, second, first, key_digest, latency) else first


def _is_quicker(pool: Pool, second: int, first: int, key_digest: int, latency: Sequence[float]) -> bool:
    """Whether the second of two candidates has the call with this key because it answers clearly sooner.

    Where one of the two has not been measured nothing is compared: it gets the share of its weight, and is measured.
    """
    theirs, own = latency[second], latency[first]
    if not theirs or not own or theirs >= own * QUICKER or own - theirs < QUICKER_S:
        return False
    if (key_digest >> _PART_SHIFT & 0xFF) * own < theirs * 256:  # bits that neither slot nor ramp looks at
        return False
    entries = pool.destinations[first].entry, pool.destinations[second].entry
    return (entries[0].weight is None) == (entries[1].weight is None)


def least_loaded(
    pool: Pool, key_digest: int, liveness: Sequence[int], table: int, calls: Callable[[int], int]
) -> Iterator[int]:
    """Those who take new work and have room, the fewest calls for their weight first, equals in the order of the key.

    Last resorts come after all others.  It costs a look at every destination of the set.
    """
    for group in pool.tables[table].groups:
        loads: dict[float, list[int]] = {}
        for contender in group:
            index = contender.destination
            if liveness[index] & NEW_WORK and has_room(pool, index, calls):
                loads.setdefault(calls(index) / contender.weight, []).append(index)
        for load in sorted(loads):
            equals = set(loads[load])
            if len(equals) == 1:
                yield equals.pop()
            else:
                yield from (index for index in candidates(pool, key_digest, liveness, table) if index in equals)


def has_room(pool: Pool, index: int, calls: Callable[[int], int]) -> bool:
    """Whether a destination has fewer calls than its `maxload` allows."""
    most = pool.destinations[index].entry.maxload
    return not most or calls(index) < most
