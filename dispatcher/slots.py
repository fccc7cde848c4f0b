"""Which four destinations come first in each of the 65,536 slots?

Each destination throws darts at the slots at a rate proportional to its weight, and a slot ranks its destinations by
the time of their first hit.  That is the distribution of weighted rendezvous hashing, and the hits of a destination
depend on nothing but itself, so that taking one away moves nobody else.  Three things make it exact and quick:

- A second hit on the same slot changes nothing, so a destination is the *order* in which it first hits the slots: a
  random permutation, read from SHAKE128 (FIPS 202) of its keyed seed.  Every Python reads the same one, which
  `random.Random` promises for `random()` alone.
- The moment of its k-th new slot is not drawn but is the mean of what would be drawn, 1/M + 1/(M-1) + ... (a coupon
  collector's waiting times).  Shares stay proportional to weights and scatter less: two equal weights miss their half
  by more than half a percentage point with one secret in 100,000, where drawn times do with one in 100.
- IEEE 754 divisions, products and sums only, exact to the last bit: no C library's logarithm decides a choice.

The table is SLOTS rows of PLACES indexes, 16 bits each, little-endian, 512 KiB.  A place is NONE where the order is not
known or nobody is left; whoever is not in a row comes after those who are.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from operator import attrgetter, truediv
from typing import NamedTuple

SLOTS = 65_536
PLACES = 4
NONE = 0xFFFF
"""An empty place."""
MOST_DESTINATIONS = 0xFFFF
"""Indexes have 16 bits, and one value means nobody."""
TABLE_SIZE = SLOTS * PLACES * 2
"""Bytes in a table."""

_HORIZON = 15.0904
"""How many darts are thrown at each slot, on average and by all destinations together: ln 65,536 + 4.  After that many
one table in 55 has a slot that was never hit (it goes on), and one slot in 5,000 has fewer than four destinations; many
more when one destination has most of the weight, for the others had little time."""
_WINDOWS = 4
"""The horizon is sorted a quarter at a time, which takes a quarter of the memory."""

_HOST_IS_LITTLE_ENDIAN = array("H", [1]).tobytes()[0] == 1


class Contender(NamedTuple):
    """A destination as the table sees it (a tuple, because ten thousand of them travel to another process as JSON)."""

    destination: int
    """Its index: what is written into the table, 0 to 65,534."""
    seed: int
    """64-bit keyed hash of its identity."""
    weight: int
    """At least 1; only the ratio to the others' counts."""


Groups = Sequence[Sequence[Contender]]
"""Everyone of a group comes before anyone of the next one."""


def build(groups: Groups, *, slots: int = SLOTS) -> bytes:
    """The slot table; `slots` is a power of two up to 65,536, smaller ones are for tests."""
    table = array("H", [NONE]) * (slots * PLACES)
    settled = bytearray(slots)  # places of each slot that are filled; PLACES closes the slot
    for group in groups:
        if settled.count(PLACES) == slots:
            break
        before = bytes(settled)
        for darts in _windows(group, settled):
            for slot, index in darts:
                place = settled[slot]
                if place < PLACES:
                    table[slot * PLACES + place] = index
                    settled[slot] = place + 1
        for slot, (was, now) in enumerate(zip(before, settled, strict=True)):
            if now - was < len(group):  # some of the group are yet to come here: the next group queues behind them
                settled[slot] = PLACES
    return _little_endian(table).tobytes()


def view(table: bytes) -> memoryview[int]:
    """A table as numbers, PLACES to a slot, read-only."""
    if _HOST_IS_LITTLE_ENDIAN:
        return memoryview(table).cast("H")
    return memoryview(_little_endian(array("H", table)).tobytes()).cast("H")


def _windows(group: Sequence[Contender], settled: bytearray) -> Iterator[Iterable[tuple[int, int]]]:
    """(slot, index) of every first hit in the order of time, up to the horizon and until no slot is without anybody."""
    slots = len(settled)
    if len(group) == 1:
        yield zip(range(slots), repeat(group[0].destination))
        return
    total = sum(contender.weight for contender in group)
    new_slot = list(accumulate(1 / (slots - hits) for hits in range(slots)))

    def hits_until(end: float, contender: Contender) -> int:
        return bisect_right(new_slot, end * (contender.weight / total))

    # Equal moments go to the lower seed, never to the line that comes first in the list.
    throwers = sorted(group, key=attrgetter("seed", "destination"))
    orders = [_slot_order(thrower.seed, hits_until(_HORIZON, thrower), slots) for thrower in throwers]
    thrown = [0] * len(throwers)
    window = 0
    while window < _WINDOWS or 0 in settled:
        window += 1
        end = _HORIZON * window / _WINDOWS
        hit, by, moments = array("H"), array("H"), array("d")
        for number, thrower in enumerate(throwers):
            first, last = thrown[number], hits_until(end, thrower)
            if last > len(orders[number]):
                orders[number] = _slot_order(thrower.seed, last, slots)
            hit.extend(orders[number][first:last])
            by.extend(array("H", (thrower.destination,)) * (last - first))
            moments.extend(map(truediv, new_slot[first:last], repeat(thrower.weight)))
            thrown[number] = last
        in_time = sorted(range(len(moments)), key=moments.__getitem__)
        yield zip(map(hit.__getitem__, in_time), map(by.__getitem__, in_time), strict=True)


def _slot_order(seed: int, hits: int, slots: int) -> array[int]:
    """The first `hits` different slots that this seed hits, in order; a longer order begins with every shorter one."""
    source = hashlib.shake_128(seed.to_bytes(8, "little"))
    # How many darts it takes (a coupon collector's mean) only saves work: too few, and twice as many are read.
    darts = 64 + int(1.05 * slots * (math.log(slots) + 1 if hits >= slots else -math.log1p(-hits / slots)))
    while True:
        stream = _little_endian(array("H", source.digest(2 * darts)))
        if slots < SLOTS:
            stream = array("H", (word % slots for word in stream))
        order = array("H", dict.fromkeys(stream))
        if len(order) >= hits:
            return order[:hits]
        darts *= 2


def _little_endian(words: array[int]) -> array[int]:
    """Swap the bytes of each word on a big-endian host: its order of bytes must not show in the table."""
    if not _HOST_IS_LITTLE_ENDIAN:
        words.byteswap()
    return words
