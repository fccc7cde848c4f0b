"""How fit is this node to own the address?

A track is one question about the node that somebody else asks again and again: does the proxy answer, is the link up?
Its verdict turns after `rise` good or `fall` bad results in a row.  While one fails, the node advertises less than 100
(`vrrp.parameters.unfit`): it hands the address over to whoever is better, and keeps it if there is nobody.  The full
priority comes back ten seconds after the last track has.

Where both nodes are ill it matters how ill.  A track that is *vital* (the proxy has ended) says that this node can take
no call; a probe that waits too long for its answer, that it may take some.  So the first advertises less than the
second: else the burst of repeated calls that meets the heir of a dead proxy could send the address back to where nobody
listens.

A track that is a *fault* (a link, an operator's hold) leaves no choice: the node cannot own the address.  When a link
is back the ten seconds count too, so that one that comes and goes moves the address once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from vrrp.event import Fitness
from vrrp.parameters import unfit, useless

RECOVERY_S = 10.0
"""All must be well for so long before the full priority is back: who dies of the first calls moves nothing twice."""
HELD = "held by the operator"
RELEASED = "released by the operator"


@attrs.frozen(kw_only=True)
class Track:
    """One question.  `fault`: without a yes the node cannot own the address at all; `vital`: it can take no call."""

    name: str
    rise: int = 1
    fall: int = 1
    fault: bool = False
    vital: bool = False


@attrs.frozen(kw_only=True)
class TrackStanding:
    """What is known of a track; moments are of the agent's clock."""

    track: Track
    ok: bool | None = None
    """The verdict, None before the first."""
    since: float = math.nan
    """When the verdict turned."""
    last: bool | None = None
    """The last result."""
    run: int = 0
    """How many like it came in a row."""
    detail: str = "no result yet"
    at: float = math.nan
    """When the last result came."""
    failures: int = 0
    results: int = 0


class Tracking:
    """The tracks of one node and what its operator has asked for."""

    def __init__(self, priority: int, tracks: Iterable[Track]) -> None:
        self._priority = priority
        self._standings = {track.name: TrackStanding(track=track) for track in tracks}
        self._well_from = -math.inf
        self._released_until = -math.inf
        self._held = False

    @property
    def standings(self) -> tuple[TrackStanding, ...]:
        """Every track, in the configured order."""
        return tuple(self._standings.values())

    @property
    def held(self) -> bool:
        """The operator keeps the address away from this node."""
        return self._held

    def released(self, now: float) -> float | None:
        """Until when the operator wants the address elsewhere; infinity is until told otherwise, None not at all."""
        return self._released_until if now < self._released_until else None

    def change(self, priority: int, tracks: Iterable[Track]) -> None:
        """The configuration has changed: a track that stays keeps its standing.

        A new one is taken for well where all others have spoken: a question more is no reason to move the address.
        """
        before, assumed = self._standings, True if self._is_ready else None
        self._priority = priority
        self._standings = {}
        for track in tracks:
            known = before.get(track.name, TrackStanding(track=track, ok=assumed))
            self._standings[track.name] = attrs.evolve(known, track=track)

    def report(self, name: str, *, ok: bool, detail: str, now: float) -> None:
        """One more result of a track; of one that is not there (any more), nothing."""
        standing = self._standings.get(name)
        if standing is None:
            return
        after = _after(standing, ok=ok, detail=detail, now=now)
        self._standings[name] = after
        if standing.ok is False and after.ok:
            self._well_from = now + RECOVERY_S

    def release(self, now: float, seconds: float = math.inf) -> None:
        """The address is to be elsewhere for so long, if somebody takes it."""
        self._released_until = now + seconds

    def hold(self) -> None:
        """The address is not to be here, whether somebody takes it or not."""
        self._held = True

    def resume(self) -> None:
        """Neither release nor hold any longer; tracks that fail still count."""
        self._held = False
        self._released_until = -math.inf

    def get_timer(self, now: float) -> float | None:
        """When the fitness may change without a result."""
        moments = [at for at in (self._well_from, self._released_until) if now < at < math.inf]
        return min(moments, default=None)

    def fitness(self, now: float) -> Fitness:
        """What the machine is to know."""
        standings = self._standings.values()
        # What is known to fail says more than what is not known yet.
        failing = [*(each for each in standings if each.ok is False), *(each for each in standings if each.ok is None)]
        fault = HELD if self._held else next((_tell(each) for each in failing if each.track.fault), "")
        cause = self._cause(failing, now)
        return Fitness(
            priority=self._advertised(cause),
            fault=fault,
            ready=self._is_ready,
            cause=fault or cause,
        )

    @property
    def _is_ready(self) -> bool:
        return all(each.ok is not None for each in self._standings.values())

    def _advertised(self, cause: str) -> int:
        if any(each.ok is False and each.track.vital for each in self._standings.values()):
            return useless(self._priority)
        return unfit(self._priority) if cause else self._priority

    def _cause(self, failing: list[TrackStanding], now: float) -> str:
        """Why the priority is not the full one; empty when it is."""
        if now < self._released_until:
            return RELEASED
        if failing:
            return _tell(failing[0])
        if now < self._well_from:
            return "all tracks are well again, but not for long enough"
        return ""


def _after(standing: TrackStanding, *, ok: bool, detail: str, now: float) -> TrackStanding:
    run = standing.run + 1 if standing.last is ok else 1
    turned = standing.ok is not ok and run >= (standing.track.rise if ok else standing.track.fall)
    return attrs.evolve(
        standing,
        ok=ok if turned else standing.ok,
        since=now if turned else standing.since,
        last=ok,
        run=run,
        detail=detail,
        at=now,
        results=standing.results + 1,
        failures=standing.failures + (not ok),
    )


def _tell(standing: TrackStanding) -> str:
    return f"{standing.track.name}: {standing.detail}"
