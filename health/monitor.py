"""What is to be believed of each target: by its probes, by real traffic and by the operator?

Around the prober, whose calls it passes on, in the same order: handle_timer, datagrams_to_send, receive_datagram,
network_error, not_sent.  After any call `next_change` has the changes in order, until None; `version` has grown when a
board would show another word, verdict or avoidance than before.

What real traffic tells is quick but proves little, so it never brings a target up, and every word of it is checked by
probes at once and fast.  Only what quotes our own datagram (ICMP) takes a target down by itself.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import product
from typing import assert_never

import attrs

from health.board import Board, Change, Remembered, Standing, State, Verdict, Word
from health.latency import Histogram, smoothed
from health.prober import MOST_AT_ONCE, Prober, ProbeResult, Sources, written_source
from health.schedule import Timetable
from health.target import Target
from health.verdict import DOWN, UP, Trend, step
from sip.uri import Address

HOLD_S = 5.0
"""How long a target that is never probed stays down after a refusal, until real traffic tries it again: ten times
RFC 3261's T1, so that the retransmissions of the first seconds all go elsewhere."""
FAST_FOR_S = 5.0
"""How long a target that refused real traffic is probed fast; then at its interval."""
FAST_S = 0.05
"""The shortest distance between two such probes; a tenth of the timeout if that is longer."""
WARY_S = 1.0
"""A target that refuses real traffic so soon after its probes have brought it back is not well whatever they say: the
firewall of a server may let this node's own address pass and refuse the virtual one.  Twice RFC 3261's T1: a request
that is sent again must find another server sooner or later."""
MOST_WARY_S = 60.0
"""Good probes of such a target do not count for HOLD_S, then for twice as long each time, and so long at most."""
QUIET_S = 5.0
"""A target that real traffic has made suspect, and its probes have cleared, is not suspected again for so long."""
MOST_AVOIDED_S = 3600.0
"""The longest Retry-After that is believed."""
LEAST_PROLONGED_S = 1.0
"""Retry-After is whole seconds: of a flood of 503, one a second prolongs it."""

_UNANSWERED = "probes unanswered"
_STATES = {(word, verdict): State(word, verdict) for word, verdict in product(Word, Verdict)}
_MEMORIES = {
    (word, down): Remembered(word, Verdict.DOWN if down else Verdict.UP)
    for word, down in product((None, *Word), (False, True))
}
_NOTHING_KNOWN: Mapping[int, Remembered] = {}


@attrs.define
class _Watched:
    """What the monitor knows of one target.  Moments are 0.0 when they do not matter."""

    target: Target
    standing: Standing
    trend: Trend
    word: Word | None
    """The operator's, None when it is the list's."""
    failing: str | None = None
    """The reason that the failures in a row have in common, "" when they differ, None when there are none."""
    fast_until: float = 0.0
    quiet_until: float = 0.0
    wary_s: float = 0.0
    """How long good probes did not count after the last refusal."""
    wary_until: float = 0.0
    held_until: float = 0.0
    """Down by a refusal, and without probes to say otherwise, until then."""
    histogram: Histogram = attrs.field(factory=Histogram)

    @property
    def probed(self) -> bool:
        return self.target.probed and self.standing.state.word is not Word.DISABLED


class Monitor:
    """Watches any number of targets; `rng` and `sources` are the prober's."""

    def __init__(self, rng: random.Random, *, sources: Sources = written_source) -> None:
        self.version = 0
        self._prober = Prober(rng, sources=sources)
        self._watched: dict[int, _Watched] = {}
        self._standings: dict[int, Standing] = {}
        self._lapses = Timetable()
        """When a hold or an avoidance ends."""
        self._changes: deque[Change] = deque()

    # What is watched

    def replace_targets(
        self,
        targets: Iterable[Target],
        *,
        now: float,
        known: Mapping[int, Remembered] = _NOTHING_KNOWN,
        start: Verdict = Verdict.UP,
    ) -> None:
        """Watch these and no others; see `set_target`."""
        wanted = {target.number: target for target in targets}
        for number in self.others(wanted):
            self.remove(number)
        for target in wanted.values():
            self.set_target(target, now=now, known=known.get(target.number), start=start)

    def others(self, wanted: Mapping[int, Target]) -> tuple[int, ...]:
        """The targets that are watched and not wanted."""
        return tuple(number for number in self._watched if number not in wanted)

    def set_target(
        self, target: Target, *, now: float, known: Remembered | None = None, start: Verdict = Verdict.UP
    ) -> None:
        """Watch one more target, or go on with it as it is in the list now.

        One that stays keeps its schedule, verdict, word and statistics; but a word that has changed in the list is the
        operator's latest, and holds.  A new one is what is `known` of it, else what the list says, else `start`: DOWN
        lets it wait for proof, if it is probed.
        """
        watched = self._watched.get(target.number)
        if watched is None:
            self._add(target, known, start, now)
        elif watched.target != target:
            self._revise(watched, target, now)

    def remove(self, number: int) -> None:
        """Watch it no more, and forget it."""
        if self._watched.pop(number, None) is not None:
            self._prober.remove(number)
            self._lapses.discard(number)
            del self._standings[number]
            self.version += 1

    def _add(self, target: Target, known: Remembered | None, start: Verdict, now: float) -> None:
        number = target.number
        word = None if known is None or known.word is target.listed.word else known.word
        if known is not None:
            verdict, cause = known.verdict, "as remembered"
        elif target.listed.verdict is Verdict.DOWN:
            verdict, cause = Verdict.DOWN, "starts inactive (list)"
        elif start is Verdict.DOWN and target.probed:
            verdict, cause = Verdict.DOWN, "waits for proof"
        else:
            verdict, cause = Verdict.UP, "new in the list"
        standing = Standing(
            state=_STATES[word or target.listed.word, verdict],
            since=now,
            cause=cause,
            rtt=None,
            latency=None,
            probes=0,
            failures=0,
            avoided_until=0.0,
            back_since=None,
            last_status=0,
        )
        watched = self._watched[number] = _Watched(target, standing, Trend(verdict), word)
        self._show(watched, standing)
        self._prober.set_target(_asked(watched), now)
        self._release_later(watched, now)

    def _revise(self, watched: _Watched, target: Target, now: float) -> None:
        before, watched.target = watched.target.listed, target
        listed = target.listed
        if listed.word is not before.word:
            watched.word = None
            self._say_word(watched, listed.word, "list", now)
        if listed.verdict is not before.verdict and not target.probed:
            # Only the list can speak of what nobody probes.
            self._say_verdict(watched, Trend(listed.verdict), "list", now)
        self._prober.set_target(_asked(watched), now)
        self._release_later(watched, now)

    # What the operator says

    def set_word(self, number: int, word: Word, cause: str, now: float) -> bool:
        """The operator's word; `cause` is for people.  False when there is no such target.

        A disabled target is not probed; one that is enabled again is, at once, and is no longer avoided either.
        """
        watched = self._watched.get(number)
        if watched is None:
            return False
        watched.word = None if word is watched.target.listed.word else word
        if word is Word.ENABLED and watched.standing.avoided_until:
            self._show(watched, attrs.evolve(watched.standing, avoided_until=0.0))
        if word is not watched.standing.state.word:
            self._say_word(watched, word, cause, now)
            self._prober.set_target(_asked(watched), now)
            self._release_later(watched, now)
        return True

    def reset(self, numbers: Iterable[int], now: float, cause: str = "operator: reset") -> None:
        """Back to what the list says, word and verdict; statistics stay, and the next probe follows at once."""
        for number in numbers:
            watched = self._watched.get(number)
            if watched is None:
                continue
            listed = watched.target.listed
            watched.fast_until = watched.quiet_until = watched.held_until = watched.wary_until = 0.0
            if watched.standing.avoided_until:
                self._show(watched, attrs.evolve(watched.standing, avoided_until=0.0))
            self.set_word(number, listed.word, cause, now)
            self._say_verdict(watched, Trend(listed.verdict), cause, now)
            self._prober.probe_now(number, now)

    # What real traffic says

    def refused(self, number: int, now: float) -> None:
        """The network says of a request (ICMP) that it cannot reach this target, and quotes what we sent.

        It is down at once.  The probes bring it back, those of a disabled one when it is enabled again; if it refuses
        again within WARY_S of that, they are not believed for a while.  What is never probed is held down for HOLD_S
        after the last refusal.
        """
        watched = self._watched.get(number)
        if watched is None:
            return
        down = watched.trend.verdict is Verdict.DOWN
        if watched.target.probed:
            if not down:
                self._be_wary(watched, now)
                watched.fast_until = now + FAST_FOR_S
            self._say_verdict(watched, DOWN, "refused a request (ICMP)", now)
            if not down:
                self._prober.probe_now(number, now)
        elif not down or watched.held_until:
            watched.held_until = now + HOLD_S
            self._say_verdict(watched, DOWN, "refused a request (ICMP)", now)
            self._wait_for_lapse(watched)

    def _be_wary(self, watched: _Watched, now: float) -> None:
        """Say from when on good probes count of a target that has just refused real traffic."""
        back_since = watched.standing.back_since
        if back_since is not None and now - back_since < WARY_S:
            watched.wary_s = min(max(HOLD_S, 2 * watched.wary_s), MOST_WARY_S)
            watched.wary_until = now + watched.wary_s
        else:
            watched.wary_s = watched.wary_until = 0.0

    def unanswered(self, number: int, now: float) -> None:
        """Requests have gone to this target for a while and nothing has come back: suspect, and probed at once."""
        self._suspect(number, "requests unanswered", now)

    def unavailable(self, number: int, seconds: float, now: float) -> None:
        """It has answered 503 with this Retry-After: no new work for so long, if others live; probed at once."""
        watched = self._watched.get(number)
        if watched is None or not seconds > 0:
            return
        until = now + min(seconds, MOST_AVOIDED_S)
        if until >= watched.standing.avoided_until + LEAST_PROLONGED_S:
            self._show(watched, attrs.evolve(watched.standing, avoided_until=until))
            self._wait_for_lapse(watched)
        self._suspect(number, f"answered 503, Retry-After: {seconds:g}", now)

    def _suspect(self, number: int, cause: str, now: float) -> None:
        watched = self._watched.get(number)
        if watched is None or not watched.probed or now < watched.quiet_until:
            return
        if watched.trend.verdict is Verdict.UP:
            watched.quiet_until = now + QUIET_S
            self._say_verdict(watched, Trend(Verdict.SUSPECT), cause, now)
            self._prober.probe_now(number, now)

    # The prober's verbs

    def get_timer(self) -> float:
        """When handle_timer is to be called next; infinity when there is nothing to wait for."""
        return min(self._prober.get_timer(), self._lapses.next())

    def handle_timer(self, now: float) -> None:
        """Let pass what has come, a bounded part of it: get_timer says if there is more."""
        self._prober.handle_timer(now)
        self._take_results(now)
        for _ in range(MOST_AT_ONCE):
            lapse = self._lapses.pop(now)
            if lapse is None:
                break
            self._lapse(self._watched[lapse[0]], now)

    def datagrams_to_send(self, now: float, limit: int = MOST_AT_ONCE) -> list[tuple[Target, bytes]]:
        """What is to be sent now, at most `limit`: call it until it returns nothing."""
        return self._prober.datagrams_to_send(now, limit)

    def not_sent(self, number: int, now: float) -> None:
        """The kernel did not take a probe of this target: that says nothing about the target."""
        self._prober.not_sent(number, now)

    def receive_datagram(self, data: bytes, address: Address, now: float) -> bool:
        """Take what has come; False when it answers no probe under way."""
        taken = self._prober.receive_datagram(data, address, now)
        self._take_results(now)
        return taken

    def network_error(self, address: Address | None, quoted: bytes, errno: int, now: float) -> bool:
        """Take what another node says of a datagram (ICMP); False when it says nothing of a probe under way."""
        taken = self._prober.network_error(address, quoted, errno, now)
        self._take_results(now)
        return taken

    # What comes of it

    def next_change(self) -> Change | None:
        """The next change, in the order in which they happened; None when there is none."""
        return self._changes.popleft() if self._changes else None

    def board(self) -> Board:
        """All targets as they stand now."""
        return Board(dict(self._standings))

    def histogram(self, number: int) -> Histogram | None:
        """How long its good probes took; None when there is no such target."""
        watched = self._watched.get(number)
        return None if watched is None else watched.histogram

    def remembered(self, numbers: Iterable[int] | None = None) -> dict[int, Remembered]:
        """What `set_target` wants to know of all, or of these, after a restart.

        Neither a suspicion nor a hold is worth it.
        """
        asked = self._watched if numbers is None else self._watched.keys() & set(numbers)
        return {
            number: _MEMORIES[watched.word, watched.trend.verdict is Verdict.DOWN and not watched.held_until]
            for number in asked
            for watched in (self._watched[number],)
        }

    def _take_results(self, now: float) -> None:
        while (result := self._prober.next_event()) is not None:
            watched = self._watched[result.number]
            self._count(watched, result)
            self._judge(watched, result, now)

    def _count(self, watched: _Watched, result: ProbeResult) -> None:
        """Put a result into the statistics.  That is no reason for a new board: each probe has one."""
        before, rtt = watched.standing, result.rtt
        watched.standing = self._standings[result.number] = Standing(
            before.state,
            before.since,
            before.cause,
            before.rtt if rtt is None else rtt,
            before.latency if rtt is None else smoothed(before.latency, rtt),
            before.probes + 1,
            before.failures + (not result.ok),
            before.avoided_until,
            before.back_since,
            result.status,
        )
        if rtt is not None:
            watched.histogram.observe(rtt)

    def _judge(self, watched: _Watched, result: ProbeResult, now: float) -> None:
        """Let a result speak for or against the verdict, and say how soon the next probe is wanted."""
        before, target = watched.trend, watched.target
        trend = step(before, ok=result.ok, target=target)
        if before.verdict is Verdict.DOWN and trend.verdict is Verdict.UP and now < watched.wary_until:
            trend = before
            self._prober.probe_by(target.number, watched.wary_until)
        if result.ok:
            watched.failing = None
        else:
            reason = _UNANSWERED if result.silent else result.reason
            watched.failing = reason if watched.failing in (None, reason) else ""
        if trend.verdict is before.verdict:
            watched.trend = trend
        else:
            self._say_verdict(watched, trend, _cause(watched, before.run + 1, trend.verdict, result), now)
        if trend.verdict is Verdict.SUSPECT and trend.run == 1:
            self._prober.probe_now(target.number, now)
        elif trend.verdict is Verdict.SUSPECT or (trend.verdict is Verdict.DOWN and now < watched.fast_until):
            spaced = result.sent_at + max(FAST_S, target.timeout / 10)
            self._prober.probe_by(target.number, max(now, spaced))

    def _say_verdict(self, watched: _Watched, trend: Trend, cause: str, now: float) -> None:
        """Take over a trend; a change of its verdict is told."""
        before, watched.trend = watched.trend.verdict, trend
        verdict, standing = trend.verdict, watched.standing
        if verdict is not Verdict.DOWN:
            watched.held_until = 0.0
        if verdict is before:
            return
        back_since = now if before is Verdict.DOWN else standing.back_since
        if verdict is Verdict.DOWN:
            back_since = None
        state = _STATES[standing.state.word, verdict]
        self._show(watched, attrs.evolve(standing, state=state, since=now, cause=cause, back_since=back_since))
        name = before.name.lower(), verdict.name.lower()
        self._changes.append(Change(watched.target.number, "verdict", *name, cause, now))

    def _say_word(self, watched: _Watched, word: Word, cause: str, now: float) -> None:
        """Take over a word; a change is told."""
        standing = watched.standing
        before = standing.state.word
        if word is before:
            return
        state = _STATES[word, standing.state.verdict]
        self._show(watched, attrs.evolve(standing, state=state, since=now, cause=cause))
        self._changes.append(Change(watched.target.number, "word", before.name.lower(), word.name.lower(), cause, now))

    def _show(self, watched: _Watched, standing: Standing) -> None:
        watched.standing = self._standings[watched.target.number] = standing
        self.version += 1

    def _release_later(self, watched: _Watched, now: float) -> None:
        """See to it that a verdict which no probe can disprove ends, except the list's own."""
        if watched.probed:
            watched.held_until = 0.0
        elif watched.standing.state.word is not Word.DISABLED and not watched.held_until:
            verdict = watched.trend.verdict
            if verdict is not Verdict.UP and verdict is not watched.target.listed.verdict:
                watched.held_until = now + HOLD_S
                self._wait_for_lapse(watched)

    def _wait_for_lapse(self, watched: _Watched) -> None:
        moments = [moment for moment in (watched.held_until, watched.standing.avoided_until) if moment]
        if moments:
            self._lapses.set(watched.target.number, min(moments))

    def _lapse(self, watched: _Watched, now: float) -> None:
        """End the hold or the avoidance whose time is over."""
        if watched.held_until and watched.held_until <= now:
            self._say_verdict(watched, UP, f"no refusal for {HOLD_S:g} s", now)
        if 0.0 < watched.standing.avoided_until <= now:
            self._show(watched, attrs.evolve(watched.standing, avoided_until=0.0))
        self._wait_for_lapse(watched)


def _asked(watched: _Watched) -> Target:
    """The target as the prober is to see it."""
    return watched.target if watched.probed else attrs.evolve(watched.target, probed=False)


def _cause(watched: _Watched, count: int, verdict: Verdict, result: ProbeResult) -> str:
    """Why the result, the `count`th of its kind in a row, makes this verdict of another one, for people."""
    match verdict:
        case Verdict.UP if watched.trend.verdict is Verdict.SUSPECT:
            return f"answered {result.reason}"
        case Verdict.UP:
            return f"{count} good probes" if count > 1 else "1 good probe"
        case Verdict.SUSPECT:
            return result.reason
        case Verdict.DOWN if count == 1:
            return result.reason
        case Verdict.DOWN if watched.failing == _UNANSWERED:
            return f"{count} {_UNANSWERED}"
        case Verdict.DOWN:
            return watched.failing or f"{count} failed probes, the last: {result.reason}"
    assert_never(verdict)
