"""What did a fault of one node do to the calls through the pair's address, by the messages that crossed the network?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from tests.e2e.ladder import Crossing

INVITE, AGAIN, BYE = STEPS = (1, 2, 3)
"""The requests of a call by their CSeq numbers: INVITE, re-INVITE, BYE."""
BEAT: Final = "beat-"
"""How the Call-ID of a beat begins: an OPTIONS for the proxy itself."""


@attrs.frozen(kw_only=True)
class Cast:
    """Who is who: the address that moves, the callers', the beat's, and the nodes by their hardware addresses."""

    vip: str
    caller: str
    beat: str
    nodes: Mapping[bytes, str]


@attrs.frozen(kw_only=True)
class Blow:
    """What happened to the pair at a moment (seconds since 1970), who has to serve then, and until when it counts."""

    at: float
    heir: str
    until: float


@attrs.define
class Call:
    """One Call-ID: by step, when it was asked, and when the first final answer came, and which."""

    asked: dict[int, list[float]] = attrs.field(factory=lambda: {step: [] for step in STEPS})
    heard: dict[int, tuple[float, str]] = attrs.field(factory=dict)

    @property
    def begun_at(self) -> float:
        return self.asked[INVITE][0]

    def done_at(self, step: int) -> float:
        """When the step had its final answer; infinite without one."""
        return self.heard.get(step, (math.inf, ""))[0]

    @property
    def succeeded(self) -> bool:
        """Whether each of its requests had a 200 before anything else."""
        return all(self.heard.get(step, (0.0, ""))[1] == "200" for step in STEPS)

    def was_up(self, at: float) -> bool:
        """Whether it was answered then and not yet over."""
        return self.done_at(INVITE) <= at < self.done_at(BYE)

    @property
    def waits(self) -> Iterator[float]:
        """How long each request waited for its answer."""
        return (self.done_at(step) - self.asked[step][0] for step in self.heard if self.asked[step])


@attrs.frozen(kw_only=True)
class Toll:
    """What a blow did.  Times in seconds; None for what did not happen."""

    switch: float | None
    """Until the heir's first answer to the beat."""
    outage: float
    """The longest time in which no beat was answered."""
    up: int
    """Calls that were up,"""
    up_lost: int
    begun: int
    """and those that were begun before the heir answered and had no answer before the blow."""
    begun_lost: int
    repeated: int
    """How many of both had to send a request again."""
    longest_wait: float
    """The longest that a request of either waited for its answer."""
    others: int
    """All that were begun before or after and were not up."""
    others_lost: int

    @property
    def lost_percent(self) -> float:
        """Of the calls that were up or being set up."""
        return 100.0 * (self.up_lost + self.begun_lost) / max(1, self.up + self.begun)


def calls_of(crossings: Iterable[Crossing], cast: Cast) -> list[Call]:
    """All calls as the callers saw them, in the order in which they were begun."""
    calls: dict[str, Call] = {}
    for one in crossings:
        asks = one.source[0] == cast.caller
        if not asks and one.target[0] != cast.caller:
            continue
        number, _, method = one.header("CSeq").partition(" ")
        step = int(number)
        if step not in STEPS or method == "ACK":
            continue
        call = calls.setdefault(one.header("Call-ID"), Call())
        if asks:
            call.asked[step].append(one.at)
        elif (code := one.what[:3]) >= "200":
            call.heard.setdefault(step, (one.at, code))
    return [call for call in calls.values() if call.asked[INVITE]]


@attrs.frozen
class Beat:
    """One beat; infinite for no answer, and whose that was."""

    sent_at: float
    answered_at: float = math.inf
    node: str = ""


def beats_of(crossings: Iterable[Crossing], cast: Cast) -> list[Beat]:
    """All beats in their order, each with its first answer."""
    beats: dict[str, Beat] = {}
    for one in crossings:
        name = one.header("Call-ID") if cast.beat in (one.source[0], one.target[0]) else ""
        if not name.startswith(BEAT):
            continue
        if one.source[0] == cast.beat:
            beats.setdefault(name, Beat(one.at))
        elif name in beats and not beats[name].node:
            beats[name] = attrs.evolve(beats[name], answered_at=one.at, node=cast.nodes.get(one.hardware, "?"))
    return list(beats.values())


def toll_of(calls: Sequence[Call], beats: Sequence[Beat], blow: Blow) -> Toll:
    """Sum a blow up, of a capture that ended after the last call did."""
    answered = (beat.answered_at for beat in beats if beat.node == blow.heir and beat.answered_at > blow.at)
    served_at = min(answered, default=math.inf)
    up = [call for call in calls if call.was_up(blow.at)]
    begun = [call for call in calls if call.begun_at < min(served_at, blow.until) and blow.at < call.done_at(INVITE)]
    hit = up + begun
    others = [call for call in calls if id(call) not in set(map(id, hit)) and call.begun_at < blow.until]
    return Toll(
        switch=None if math.isinf(served_at) else served_at - blow.at,
        outage=_longest_silence(beats, blow),
        up=len(up),
        up_lost=_lost(up),
        begun=len(begun),
        begun_lost=_lost(begun),
        repeated=sum(any(len(times) > 1 for times in call.asked.values()) for call in hit),
        longest_wait=max((wait for call in hit for wait in call.waits), default=0.0),
        others=len(others),
        others_lost=_lost(others),
    )


def sent_by(crossings: Iterable[Crossing], cast: Cast, node: str, since: float, until: float) -> list[Crossing]:
    """What a node has sent in the name of the address in that time."""
    return [
        one
        for one in crossings
        if since < one.at < until and one.source[0] == cast.vip and cast.nodes.get(one.hardware) == node
    ]


def _lost(calls: Iterable[Call]) -> int:
    return sum(not call.succeeded for call in calls)


def _longest_silence(beats: Sequence[Beat], blow: Blow) -> float:
    watched = [beat for beat in beats if blow.at - 0.1 < beat.sent_at < blow.until]
    silences = (
        [beat.sent_at for beat in group]
        for answered, group in itertools.groupby(watched, lambda beat: bool(beat.node))
        if not answered
    )
    return max((_lasted(silence, watched) for silence in silences), default=0.0)


def _lasted(silence: Sequence[float], watched: Sequence[Beat]) -> float:
    after = min((beat.sent_at for beat in watched if beat.sent_at > silence[-1]), default=silence[-1])
    return after - silence[0]
