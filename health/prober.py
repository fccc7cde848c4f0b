"""When does which target get a probe, and what became of it?

The order of calls, each with the same clock:

    handle_timer(now)                     whenever get_timer() has come
    datagrams_to_send(now)                after it, until nothing is left; what cannot be sent goes to not_sent()
    receive_datagram, network_error       as things arrive
    next_event()                          after any of these, until None

A probe is sent once more after half its timeout, because a lost datagram is not a failure.  It ends with the first of:
a final answer, an ICMP error that quotes it, its timeout.  What is this node's own fault (no route, no buffer, a source
address that is not here, a program that was stopped for a while) ends it without a result.
"""

from __future__ import annotations

import errno as codes
import math
import random
import re
from collections import deque
from collections.abc import Callable

import attrs

from health.options import RANDOM_BYTES, Answer, Identity, compose_options, identity_of, match
from health.schedule import Timetable, slot_after
from health.target import Target
from sip.uri import Address

MOST_AT_ONCE = 256
"""Timers handled by one call: 2 ms of work."""
LATE_S = 0.1
"""A timer that is handled later than this after its moment says something about us, not about the target."""
NEW_SPACING_S = 0.001
"""New targets are probed one after the other at this distance, if their first slot is not sooner."""
URGENT_SPACING_S = 0.0001
"""Probes that are asked for now: a whole farm that refuses at once makes no burst."""

_BRANCH = re.compile(rb"z9hG4bK[0-9a-f]++")
_BRANCHES_READ = 4
_PHRASE_CHARACTERS = 40
_ERRORS = {
    codes.ECONNREFUSED: "connection refused (ICMP)",
    codes.EHOSTUNREACH: "host unreachable (ICMP)",
    codes.ENETUNREACH: "network unreachable (ICMP)",
    codes.EHOSTDOWN: "host down (ICMP)",
    codes.ENOPROTOOPT: "no UDP there (ICMP)",
    codes.EACCES: "prohibited (ICMP)",
}
"""What says that a target cannot be reached; a packet that is too long for the way there does not."""

_BLANK = identity_of(b"\x9d\x3e\xc1\x58\x07\xf2\x6b\xa4\xe8\x15\xd9\x70\x2c\xb6\x4f\x83")
"""Stands in the text that the probes of one target have in common."""

Sources = Callable[[Target], Address | None]
"""The local address that a probe of this target leaves from; None when there is none at the moment."""


@attrs.frozen(kw_only=True)
class ProbeResult:
    """How one probe ended."""

    number: int
    ok: bool
    status: int
    """Of the final answer, 0 without one."""
    reason: str
    """For people: "200 OK", "answered 503", "no answer in 500 ms", "connection refused (ICMP)"."""
    silent: bool
    """Nothing final came in time."""
    rtt: float | None
    """Seconds from the first sending to the final answer: a slow server must show, even if a lost datagram does too."""
    retransmitted: bool
    sent_at: float


@attrs.define
class _Flight:
    """A probe under way."""

    identity: Identity
    payload: bytes
    sent_at: float
    deadline: float
    retransmitted: bool = False
    provisional: bool = False


@attrs.define
class _Course:
    """What the prober knows of one target.

    Its moment in the timetable is the next probe's, or while one is under way that one's next timer; it has none while
    it waits in the outbox for a probe, and none when it is not probed.
    """

    target: Target
    flight: _Flight | None = None
    again_at: float | None = None
    """The next probe is to follow the one under way by then."""
    excused: bool = False
    """We have been late once; being late is no excuse twice in a row."""
    text: bytes = b""
    """A probe with the blank identity: composing one anew takes ten times as long as filling this in."""
    text_source: Address | None = None


def written_source(target: Target) -> Address | None:
    """The source as the target has it; what is left open is the unspecified address."""
    return target.source or ("::" if ":" in target.address[0] else "0.0.0.0", 0)  # noqa: S104 - nothing is bound


class Prober:
    """Probes any number of targets, each on its own schedule.

    `rng` makes the identities: where forged answers are possible it must be unpredictable (random.SystemRandom).
    """

    def __init__(self, rng: random.Random, *, sources: Sources = written_source) -> None:
        self._rng = rng
        self._sources = sources
        self._courses: dict[int, _Course] = {}
        self._flights: dict[bytes, int] = {}
        """The number of the target by the branch of the probe under way."""
        self._timetable = Timetable()
        self._outbox: deque[tuple[int, bool]] = deque()
        """Number, and whether it is the second sending of the probe under way."""
        self._events: deque[ProbeResult] = deque()
        self._new_at = self._urgent_at = -math.inf  # when the latest of them is due

    def set_target(self, target: Target, now: float) -> None:
        """Probe this one too, or go on with it as it is now."""
        number = target.number
        course = self._courses.get(number)
        if course is None:
            course = self._courses[number] = _Course(target)
            known = False
        else:
            known, before, course.target = course.target.probed, course.target, target
            if target == before:
                return
            course.text = b""
        if not target.probed:
            self._silence(course)
        elif not known:
            self._new_at = due = max(now, self._new_at + NEW_SPACING_S)
            self._timetable.set(number, min(due, slot_after(number, target.interval, now)))
        elif course.flight is None and target.interval != before.interval:
            self.probe_by(number, slot_after(number, target.interval, now))

    def remove(self, number: int) -> None:
        """Forget a target."""
        course = self._courses.pop(number, None)
        if course is not None:
            self._silence(course)

    def probe_now(self, number: int, now: float) -> None:
        """Probe it at once, or as soon as the probe under way has ended; many at once are spaced a little."""
        at = max(now, self._urgent_at + URGENT_SPACING_S)
        if self.probe_by(number, at):
            self._urgent_at = at

    def probe_by(self, number: int, at: float) -> bool:
        """Let its next probe be no later than this; False when that changes nothing or it is never probed."""
        course = self._courses.get(number)
        if course is None:
            return False
        if course.flight is not None:
            if course.again_at is not None and course.again_at <= at:
                return False
            course.again_at = at
            return True
        if number not in self._timetable or self._timetable.get(number) <= at:
            return False
        self._timetable.set(number, at)
        return True

    def get_timer(self) -> float:
        """When handle_timer is to be called next; infinity when there is nothing to wait for."""
        return self._timetable.next()

    def handle_timer(self, now: float) -> None:
        """Let pass what has come, at most MOST_AT_ONCE moments: get_timer says if more of them have."""
        for _ in range(MOST_AT_ONCE):
            popped = self._timetable.pop(now)
            if popped is None:
                return
            number, due = popped
            course = self._courses[number]
            late = now - due > LATE_S and not course.excused
            flight = course.flight
            if flight is not None and not flight.retransmitted:
                # The second sending has half the timeout for itself, however late it is.
                flight.retransmitted = True
                flight.deadline = max(flight.deadline, now + course.target.timeout / 2)
                self._timetable.set(number, flight.deadline)
                self._outbox.append((number, True))
            elif late:
                # After a stop of ours everything would fail together, and then be probed together.
                course.excused = True
                self._drop(course)
                self._timetable.set(number, slot_after(number, course.target.interval, now))
            elif flight is None:
                self._outbox.append((number, False))
            else:
                answer = "no final answer" if flight.provisional else "no answer"
                waited = f"{answer} in {round(course.target.timeout * 1000)} ms"
                self._end(course, flight, now, ok=False, reason=waited, silent=True)

    def datagrams_to_send(self, now: float, limit: int = MOST_AT_ONCE) -> list[tuple[Target, bytes]]:
        """What is to be sent now, at most `limit`: call it until it returns nothing."""
        found: list[tuple[Target, bytes]] = []
        outbox = self._outbox
        while outbox and len(found) < limit:
            number, again = outbox.popleft()
            course = self._courses.get(number)
            if course is None:
                continue
            flight = course.flight
            if again:
                if flight is not None:
                    found.append((course.target, flight.payload))
            elif flight is None and course.target.probed:
                payload = self._start(course, now)
                if payload is not None:
                    found.append((course.target, payload))
        return found

    def not_sent(self, number: int, now: float) -> None:
        """The kernel did not take a probe of this target: that says nothing about the target."""
        course = self._courses.get(number)
        if course is not None and course.flight is not None:
            self._drop(course)
            self._timetable.set(number, slot_after(number, course.target.interval, now))

    def receive_datagram(self, data: bytes, _address: Address, now: float) -> bool:
        """Take what has come; False when it answers no probe under way.

        It may come from another address than the target's, as from a server with several: that the answer shows the
        identity again, which is made of 128 random bits, proves that who sent it has read the probe.
        """
        course = self._course_of(data)
        flight = None if course is None else course.flight
        if course is None or flight is None:
            return False
        answer = match(data, flight.identity)
        if not isinstance(answer, Answer):
            return False
        if answer.provisional:
            flight.provisional = True
            return True
        ok = course.target.is_good(answer.status)
        reason = f"{answer.status} {_readable(answer.reason)}".rstrip() if ok else f"answered {answer.status}"
        # After the deadline it is we who are late to read it: it counts, but the time does not.
        rtt = max(now - flight.sent_at, 0.0) if now <= flight.deadline else None
        self._end(course, flight, now, ok=ok, status=answer.status, reason=reason, rtt=rtt)
        return True

    def network_error(self, address: Address | None, quoted: bytes, errno: int, now: float) -> bool:
        """Take what another node says (ICMP) of a datagram that went to `address`, None when that is not known.

        False when it does not quote a probe under way, or does not say that its target cannot be reached: everybody
        can send an ICMP message, but only who has seen the probe knows its branch.
        """
        course = self._course_of(quoted)
        flight = None if course is None else course.flight
        if course is None or flight is None or errno not in _ERRORS or address not in (None, course.target.address):
            return False
        self._end(course, flight, now, ok=False, reason=_ERRORS[errno])
        return True

    def next_event(self) -> ProbeResult | None:
        """The next result, in the order in which they came; None when there is none."""
        return self._events.popleft() if self._events else None

    def _course_of(self, data: bytes) -> _Course | None:
        """The target whose probe's branch stands in these bytes, among the first few that look like ours."""
        for count, found in enumerate(_BRANCH.finditer(data)):
            number = self._flights.get(found[0])
            if number is not None:
                return self._courses[number]
            if count + 1 == _BRANCHES_READ:
                break
        return None

    def _start(self, course: _Course, now: float) -> bytes | None:
        """Send a new probe: its bytes, None when there is no address here to send it from."""
        target = course.target
        source = self._sources(target)
        if source is None:
            self._timetable.set(target.number, slot_after(target.number, target.interval, now))
            return None
        if not course.text or course.text_source != source:
            course.text = compose_options(uri=target.uri, source=source, from_uri=target.from_uri, identity=_BLANK)
            course.text_source = source
        identity = identity_of(self._rng.randbytes(RANDOM_BYTES))
        payload = course.text.replace(_BLANK.branch, identity.branch)
        payload = payload.replace(_BLANK.call_id, identity.call_id).replace(_BLANK.from_tag, identity.from_tag)
        course.flight = _Flight(identity, payload, now, now + target.timeout)
        self._flights[identity.branch] = target.number
        self._timetable.set(target.number, now + target.timeout / 2)
        return payload

    def _end(
        self,
        course: _Course,
        flight: _Flight,
        now: float,
        *,
        ok: bool,
        reason: str,
        status: int = 0,
        silent: bool = False,
        rtt: float | None = None,
    ) -> None:
        """The probe under way has ended: say so, and plan the next one."""
        target = course.target
        self._events.append(
            ProbeResult(
                number=target.number,
                ok=ok,
                status=status,
                reason=reason,
                silent=silent,
                rtt=rtt,
                retransmitted=flight.retransmitted,
                sent_at=flight.sent_at,
            )
        )
        slot = slot_after(target.number, target.interval, now)
        self._timetable.set(target.number, slot if course.again_at is None else max(now, min(slot, course.again_at)))
        course.excused = False
        self._drop(course)

    def _drop(self, course: _Course) -> None:
        """Wait for no answer any more."""
        if course.flight is not None:
            del self._flights[course.flight.identity.branch]
            course.flight = course.again_at = None

    def _silence(self, course: _Course) -> None:
        self._drop(course)
        self._timetable.discard(course.target.number)


def _readable(phrase: str) -> str:
    """A phrase of a peer as it may be shown to people: one short line without control characters."""
    phrase = phrase[:_PHRASE_CHARACTERS]
    return phrase if phrase.isprintable() else "".join(char if char.isprintable() else "?" for char in phrase)
