"""May this source send another message, or has it used up its share, or is it banned?

A source is an IPv4 address, or the /64 of an IPv6 address: that is what one customer has (RFC 6177).  Each has a bucket
of `burst` messages that fills with `rate` a second.  The bucket is one number, the moment at which it will be full
again: a message puts that off by 1/rate, and is dropped when it lies `burst` messages ahead (the generic cell rate
algorithm of ITU-T I.371).

The table is one flat array of 64-bit words, four words an entry, four entries a set:

    word 0    the source, 0 where there is none: the upper 64 bits of an IPv6 address, or an IPv4 address below 0xffff
    word 1    when its bucket is full again
    word 2    when it began to be over its limit, 0 while it is not
    word 3    how many of its messages have been dropped since

Moments are nanoseconds, counted from 1 at clock 0.  The set of a source is a keyed hash (SipHash-2-4) of its number
modulo the number of sets, under a key that is drawn at each start: nobody can aim at another's bucket.  A full set
gives up the entry whose bucket is full soonest.  That is full already but in the worst of floods, and then nothing is
forgotten: a source that nobody knows has a full bucket.  Two sources never share one, so nobody pays for another.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

import attrs
from siphashc import siphash

from dispatcher.outcome import DropReason

Network = IPv4Network | IPv6Network

SOURCES: Final = 16_384
"""That the table has room for: 512 KiB.  Only those count who have sent within the last moments."""
MOST_BANS: Final = 4_096
"""Of single sources; one more pushes out one of the limits' own, that which ends soonest."""
MOST_BY_HAND: Final = 2_048
"""Of these bans; no more are taken.  The rest is for the limits' own, so that they need push out none by hand."""
MOST_NETWORKS: Final = 64
"""Banned at once: each costs every message a comparison."""

_WAYS: Final = 4
_WORDS: Final = 4
_SET_WORDS: Final = _WAYS * _WORDS
_CACHED: Final = 8_192
"""Addresses whose place in the table is remembered: to find it takes longer than all the rest."""
_TICKS: Final = 1_000_000_000
"""In a second."""
# No message comes from a multicast address (ff00::/8), so these begin no IPv6 source.
_IPV4: Final = 0xFFFF << 48
_ZERO: Final = 0xFFFE << 48
"""In place of the prefix ::/64, whose number would be that of no source."""


@attrs.frozen(kw_only=True)
class LimitPolicy:
    """What the operator allows a source: `rate` None is no limit, `ban_after` None no ban but by hand.

    Times are seconds.  The networks of `allow`, no longer than /64, may send what they like and are never banned.
    """

    rate: int | None = None
    """Messages a second."""
    burst: int | None = None
    """Messages at once; None: as many as in two seconds."""
    ban_after: float | None = None
    """How long a source may be over its limit without a break."""
    ban_for: float = 300.0
    allow: tuple[Network, ...] = ()

    @property
    def room(self) -> int:
        """How many messages a source may send at once; 0 without a limit."""
        return 0 if self.rate is None else 2 * self.rate if self.burst is None else self.burst

    @property
    def cause(self) -> str:
        """Why a source is banned that was over its limit for too long."""
        return f"over {self.rate} messages/s for {self.ban_after or 0:g} s"


@attrs.frozen(kw_only=True)
class Ban:
    """Nobody of `source`, an address or a network, is heard until then; seconds of the loop's clock."""

    source: str
    since: float
    until: float
    cause: str
    dropped: int = 0
    """Messages, so far."""


@attrs.frozen(kw_only=True)
class Over:
    """A source that is over its limit: since when, and how many of its messages have been dropped since."""

    source: str
    since: float
    dropped: int


class SourceLimits(Protocol):
    """The limits and the bans, in Python or compiled.  `now` is in seconds of one clock that never goes back."""

    @property
    def active(self) -> bool:
        """Whether anybody may be dropped at all; while not, nobody need be asked about."""

    @property
    def policy(self) -> LimitPolicy:
        """What is in force."""

    @property
    def begun(self) -> int:
        """How many bans there have been."""

    def change(self, policy: LimitPolicy) -> None:
        """Go by this policy from now on: every bucket is full again, bans stay."""

    def admit(self, host: str, now: float) -> DropReason | None:
        """Why a message from this numeric address is dropped, None when it is not; counts it."""

    def ban(self, network: Network, seconds: float, cause: str, now: float) -> Ban:
        """Hear nobody of a network, no longer than /64, for so long; raises ValueError when too many are by hand."""

    def unban(self, network: Network, now: float) -> Ban | None:
        """End the ban of exactly this network; None when there is none."""

    def bans(self, now: float) -> tuple[Ban, ...]:
        """All that are in force, those that end first in front."""

    def take_begun(self) -> tuple[Ban, ...]:
        """The bans of the limits' own that have begun since the last call, the last MOST_BANS at most."""

    def expire(self, now: float) -> tuple[Ban, ...]:
        """Forget the bans whose time is over: those, and those that were pushed out since the last call."""

    def banned(self, now: float) -> int:
        """How many bans are in force."""

    def over(self, now: float) -> int:
        """How many sources are over their limit."""

    def top(self, count: int, now: float) -> tuple[Over, ...]:
        """Those of whom most was dropped since they are over their limit, the worst in front."""


@attrs.define
class _Held:
    """A ban of the sources from `first` to `last`."""

    first: int
    last: int
    since: float
    until: float
    cause: str
    by_hand: bool
    dropped: int = 0

    @property
    def told(self) -> Ban:
        source = text_of(self.first) if self.first == self.last else _network_text(self.first, self.last)
        return Ban(source=source, since=self.since, until=self.until, cause=self.cause, dropped=self.dropped)


def _order(held: _Held) -> tuple[float, int, int]:
    """Those that end first in front."""
    return held.until, held.first, held.last


class Limits:
    """The table and the bans in plain Python: `SourceLimits` says what each method does.

    `seed` are the 16 bytes of chance for the hash; `sources` is rounded up to a power of two.
    """

    def __init__(self, policy: LimitPolicy | None = None, *, seed: bytes, sources: int = SOURCES) -> None:
        self._sets = 1 << max(0, -(-sources // _WAYS) - 1).bit_length()
        self._seed = seed
        self._single: dict[int, _Held] = {}
        self._wide: tuple[_Held, ...] = ()
        self._pushed_out: dict[int, _Held] = {}
        self._news: deque[Ban] = deque(maxlen=MOST_BANS)
        self.begun = 0
        self.change(policy or LimitPolicy())

    @property
    def policy(self) -> LimitPolicy:
        return self._policy

    def change(self, policy: LimitPolicy) -> None:
        self._policy = policy
        self._interval = 0 if policy.rate is None else max(1, _TICKS // policy.rate)
        self._tolerance = self._interval * (policy.room - 1)
        self._ban_after = None if policy.ban_after is None else int(policy.ban_after * _TICKS)
        self._words = array("Q", (0,)) * (self._sets * _SET_WORDS)
        self._find: Callable[[str], tuple[int, int]] = lru_cache(_CACHED)(
            _finder(self._seed, self._sets, tuple(span_of(network) for network in policy.allow))
        )
        self._settle()

    def _settle(self) -> None:
        self.active = bool(self._interval or self._single or self._wide)

    def admit(self, host: str, now: float) -> DropReason | None:
        source, at = self._find(host)
        if not source:
            return None
        if self._single or self._wide:
            held = self._single.get(source) or self._holding(source)
            if held is not None and now < held.until:
                held.dropped += 1
                return DropReason.BANNED
        interval = self._interval
        if not interval:
            return None
        moment = int(now * _TICKS) + 1
        words = self._words
        at = self._entry(source, at, moment)
        full = words[at + 1]
        if full <= moment:
            words[at + 1] = moment + interval
            if words[at + 2]:
                words[at + 2] = words[at + 3] = 0
            return None
        if full - moment <= self._tolerance:
            words[at + 1] = full + interval
            return None
        words[at + 3] += 1
        since = words[at + 2]
        if not since:
            words[at + 2] = since = moment
        if self._ban_after is not None and moment - since >= self._ban_after:
            words[at + 2] = words[at + 3] = 0
            self._ban_by_itself(source, now)
        return DropReason.LIMITED

    def _entry(self, source: int, at: int, moment: int) -> int:
        """Where the entry of a source begins, in the set that begins at `at`; a new one has a full bucket."""
        words = self._words
        for place in range(at, at + _SET_WORDS, _WORDS):
            if words[place] == source:
                return place
        moments = words[at + 1 : at + _SET_WORDS : _WORDS]
        place = at + _WORDS * moments.index(min(moments))
        words[place] = source
        words[place + 1] = moment
        words[place + 2] = words[place + 3] = 0
        return place

    # Bans

    def _holding(self, source: int) -> _Held | None:
        return next((held for held in self._wide if held.first <= source <= held.last), None)

    def _ban_by_itself(self, source: int, now: float) -> None:
        policy = self._policy
        self._news.append(self._hold(_Held(source, source, now, now + policy.ban_for, policy.cause, by_hand=False)))

    def ban(self, network: Network, seconds: float, cause: str, now: float) -> Ban:
        return self._hold(_Held(*span_of(network), now, now + seconds, cause, by_hand=True))

    def _hold(self, held: _Held) -> Ban:
        if held.first == held.last:
            self._make_room(held)
            self._single[held.first] = held
            self._pushed_out.pop(held.first, None)
        else:
            others = self._others(held.first, held.last)
            if len(others) >= MOST_NETWORKS:
                raise ValueError(f"{MOST_NETWORKS} networks are banned already")
            self._wide = (*others, held)
        self.begun += 1
        self._settle()
        return held.told

    def _make_room(self, held: _Held) -> None:
        """Let a ban of a single source be taken; raises ValueError when it is one by hand too many."""
        there = self._single
        if held.by_hand and sum(each.by_hand and each.first != held.first for each in there.values()) >= MOST_BY_HAND:
            raise ValueError(f"{MOST_BY_HAND} sources are banned by hand already")
        if len(there) >= MOST_BANS and held.first not in there:
            out = min((each for each in there.values() if not each.by_hand), key=_order)
            del there[out.first]
            if len(self._pushed_out) < MOST_BANS:
                self._pushed_out[out.first] = out

    def _others(self, first: int, last: int) -> tuple[_Held, ...]:
        return tuple(held for held in self._wide if (held.first, held.last) != (first, last))

    def unban(self, network: Network, now: float) -> Ban | None:
        first, last = span_of(network)
        for held in self._all():
            if (held.first, held.last) == (first, last):
                if first == last:
                    del self._single[first]
                else:
                    self._wide = self._others(first, last)
                self._settle()
                return held.told if now < held.until else None
        return None

    def bans(self, now: float) -> tuple[Ban, ...]:
        there = sorted(self._all(), key=_order)
        return tuple(held.told for held in there if now < held.until)

    def banned(self, now: float) -> int:
        return sum(now < held.until for held in self._all())

    def _all(self) -> tuple[_Held, ...]:
        return (*self._single.values(), *self._wide)

    def take_begun(self) -> tuple[Ban, ...]:
        news = tuple(self._news)
        self._news.clear()
        return news

    def expire(self, now: float) -> tuple[Ban, ...]:
        ended = [held for held in self._all() if held.until <= now]
        if ended:
            self._single = {source: held for source, held in self._single.items() if now < held.until}
            self._wide = tuple(held for held in self._wide if now < held.until)
            self._settle()
        ended += self._pushed_out.values()
        self._pushed_out.clear()
        return tuple(held.told for held in sorted(ended, key=_order))

    # Who is over the limit

    def over(self, now: float) -> int:
        return len(self._over(now))

    def top(self, count: int, now: float) -> tuple[Over, ...]:
        worst = sorted(self._over(now), key=lambda at: (-self._words[at + 3], self._words[at]))[:count]
        return tuple(self._told(at) for at in worst)

    def _over(self, now: float) -> list[int]:
        """Where their entries begin; one whose bucket has filled since is no longer over it."""
        moment = int(now * _TICKS) + 1
        words = self._words
        fills, begins = words[1::_WORDS], words[2::_WORDS]
        return [
            _WORDS * place
            for place, (full, since) in enumerate(zip(fills, begins, strict=True))
            if since and full > moment
        ]

    def _told(self, at: int) -> Over:
        source, _, since, dropped = self._words[at : at + _WORDS]
        return Over(source=text_of(source), since=(since - 1) / _TICKS, dropped=dropped)


def _finder(seed: bytes, sets: int, allowed: tuple[tuple[int, int], ...]) -> Callable[[str], tuple[int, int]]:
    """What gives the number of an address's source and where its set begins; (0, 0) for one that may send all."""

    def find(host: str) -> tuple[int, int]:
        source = source_of(host)
        if any(first <= source <= last for first, last in allowed):
            return 0, 0
        return source, siphash(seed, source.to_bytes(8, "little")) % sets * _SET_WORDS

    return find


def source_of(host: str) -> int:
    """The number of the source that a numeric address belongs to, never 0."""
    return _number(ip_address(host))


def _number(address: IPv4Address | IPv6Address) -> int:
    if isinstance(address, IPv4Address):
        return _IPV4 | int(address)
    return int(address) >> 64 or _ZERO


def text_of(source: int) -> str:
    """A source for people: `203.0.113.9`, `2001:db8::/64`."""
    if source >> 48 == _IPV4 >> 48:
        return str(IPv4Address(source & 0xFFFF_FFFF))
    return f"{_prefix(source)}/64"


def _prefix(source: int) -> IPv6Address:
    return IPv6Address(0 if source == _ZERO else source << 64)


def _network_text(first: int, last: int) -> str:
    """The network of the sources from `first` to `last`."""
    free = (first ^ last).bit_length()
    if first >> 48 == _IPV4 >> 48:
        return f"{text_of(first)}/{32 - free}"
    return f"{_prefix(first)}/{64 - free}"


def span_of(network: Network) -> tuple[int, int]:
    """The first and the last source in a network, alike for one that is no wider than a source."""
    first, last = _number(network.network_address), _number(network.broadcast_address)
    return (0 if first == _ZERO != last else first), last
