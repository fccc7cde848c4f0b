"""Which destination did this Call-ID go to a moment ago?

What is remembered improves choices and nothing depends on it: it keeps a transaction where it is while the list or the
health of its destination changes.

The table is one flat array of 64-bit words in the host's byte order, two words an entry, four entries a bucket, so that
a bucket has the size of a cache line:

    word 0    the key, a 64-bit keyed hash
    word 1    the moment of the choice (upper 32 bits) and the number of the destination (lower 32 bits)

Moments are sixteenths of a second, counted from 1 at clock 0: enough for eight years.  An entry whose word 1 is 0 is
empty.  The bucket of a key is (key >> 32) modulo the number of buckets, a power of two; the slot table reads the low
bits.  A full bucket gives up the entry with the smallest word 1, which is the oldest.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from itertools import islice

from dispatcher.destination import Destination
from dispatcher.steps import Steps, stepwise

LIFETIME = 180.0
"""Seconds from first sight: about as long as an INVITE may ring (timer C, RFC 3261 16.6 step 11)."""
WAYS = 4
DEFAULT_ENTRIES = 262_144
"""4 MiB, and three minutes of 1,456 new calls a second."""

_TICKS = 16.0
"""In a second."""
_LIFETIME_TICKS = int(LIFETIME * _TICKS)
_NUMBER = 0xFFFF_FFFF
_MOMENT_SHIFT = 32
_BUCKET_WORDS = 2 * WAYS
_BUCKET_SHIFT = 32 - (_BUCKET_WORDS.bit_length() - 1)  # leaves the bucket's number times its words


class RecentChoices:
    """The table, with room for `entries` choices, rounded up to a power of two; 0 remembers nothing.

    `now` is in seconds of one clock that never goes back.  `words` is the flat array.
    """

    __slots__ = ("_mask", "entries", "words")

    def __init__(self, entries: int = DEFAULT_ENTRIES) -> None:
        buckets = 1 << max(0, -(-entries // WAYS) - 1).bit_length()
        self.entries = buckets * WAYS if entries > 0 else 0
        self.words = array("Q", (0,)) * (buckets * _BUCKET_WORDS)
        self._mask = (buckets - 1) * _BUCKET_WORDS

    def lookup(self, key: int, now: float) -> int | None:
        """The number of the destination that this key was given less than LIFETIME ago."""
        words = self.words
        at = key >> _BUCKET_SHIFT & self._mask
        if words[at] == key:
            entry = words[at + 1]
        elif words[at + 2] == key:
            entry = words[at + 3]
        elif words[at + 4] == key:
            entry = words[at + 5]
        elif words[at + 6] == key:
            entry = words[at + 7]
        else:
            return None
        if int(now * _TICKS) + 1 - (entry >> _MOMENT_SHIFT) >= _LIFETIME_TICKS:
            return None
        return entry & _NUMBER or None

    def remember(self, key: int, number: int, now: float) -> None:
        """Keep the choice of destination `number` (1 to 2**32 - 1) for this key.

        The choice that is remembered already grows no younger by being made again; another one takes its place.
        """
        if not self.entries:
            return
        words = self.words
        at = key >> _BUCKET_SHIFT & self._mask
        moment = int(now * _TICKS) + 1
        if words[at] == key:
            entry = words[at + 1]
        elif words[at + 2] == key:
            at += 2
            entry = words[at + 1]
        elif words[at + 4] == key:
            at += 4
            entry = words[at + 1]
        elif words[at + 6] == key:
            at += 6
            entry = words[at + 1]
        else:
            choices = words[at + 1 : at + _BUCKET_WORDS : 2]
            at += 2 * choices.index(min(choices))
            entry = 0
        if entry & _NUMBER == number and moment - (entry >> _MOMENT_SHIFT) < _LIFETIME_TICKS:
            return
        words[at] = key
        words[at + 1] = moment << _MOMENT_SHIFT | number


@stepwise
def target_ids(destinations: Sequence[Destination]) -> Steps[tuple[int, ...]]:
    """A number for each destination, 1 to 2**32 - 1, all different, which a reload of the list leaves alone.

    It is a hash of set, URI, address and transport.  Where two hashes are equal, once in 86 lists of ten thousand, the
    later in the order of those four takes another.
    """
    texts = []
    for destination in destinations:
        entry, (host, port) = destination.entry, destination.address
        texts.append(f"{entry.set_id}\0{host}\0{port}\0{destination.transport}\0{entry.uri}".encode())
        yield
    numbers = [0] * len(texts)
    taken = {0}
    for index in sorted(range(len(texts)), key=texts.__getitem__):
        attempt = 0
        while (number := _hash32(texts[index], attempt)) in taken:
            attempt += 1
        taken.add(number)
        numbers[index] = number
        yield
    return tuple(numbers)


def ids_by_set(sets: Mapping[int, Sequence[Destination]]) -> Steps[dict[int, tuple[int, ...]]]:
    """The numbers of each set's destinations: no two of the whole list have the same."""
    everyone = [destination for members in sets.values() for destination in members]
    numbers = iter((yield from target_ids.steps(everyone)))
    return {set_id: tuple(islice(numbers, len(members))) for set_id, members in sets.items()}


def _hash32(text: bytes, attempt: int) -> int:
    salt = attempt.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4, salt=salt, person=b"sipdispatch id").digest(), "little")
