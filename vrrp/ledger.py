"""What has the agent counted, heard and been alarmed by?  Everything in it is bounded."""

from __future__ import annotations

import math
from collections import Counter, deque

from vrrp.reception import Heard
from vrrp.refusal import Refusal
from vrrp.status import Alarm, Lateness, PeerStatus

MOST_PEERS = 16
MOST_ALARMS = 64
ALARM_LIFETIME_S = 60.0
"""An alarm that has not come again for so long is over."""
REFUSAL_LOG_S = 60.0
MOST_LINES = 20
"""New alarms a minute that are worth a line in the log: whoever forges adverts of many sources fills no disk."""


class Ledger:
    """Counters, peers, alarms.  `wall` is Unix time."""

    def __init__(self) -> None:
        self.sent = self.sent_zero = self.unsent = 0
        self.received = self.received_zero = 0
        self.announced = self.leases_lost = self.addresses_taken = self.step_downs = 0
        self.refused: Counter[Refusal] = Counter()
        self.transitions: Counter[str] = Counter()
        self._peers: dict[str, PeerStatus] = {}
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._told: dict[Refusal, float] = {}
        self._lines: deque[float] = deque(maxlen=MOST_LINES)
        self._late = 0.0
        self._worst = (0.0, math.nan)
        self._minutes: tuple[tuple[int, float], ...] = ()

    def note_heard(self, source: str, heard: Heard, wall: float) -> list[Alarm]:
        """An advert that counts; returns the alarms that are worth a line in the log."""
        advert = heard.advert
        self.received += 1
        self.received_zero += advert.priority == 0
        before = self._peers.pop(source, None)
        if before is None and len(self._peers) >= MOST_PEERS:
            self._peers.pop(next(iter(self._peers)))
        self._peers[source] = PeerStatus(
            address=source,
            priority=advert.priority,
            interval=advert.interval,
            version=advert.version,
            checksum=heard.checksum.value,
            heard=wall,
            adverts=1 if before is None else before.adverts + 1,
        )
        found = []
        for mismatch in heard.mismatches:
            text = f"{mismatch.field}: here {mismatch.ours}, at {source} {mismatch.theirs}"
            alarm = self.raise_alarm(mismatch.field, source, text, wall)
            if alarm is not None:
                found.append(alarm)
        return found

    def raise_alarm(self, field: str, peer: str, text: str, wall: float) -> Alarm | None:
        """Note an alarm; returns it if it is worth a line in the log: a new one, and not one of too many."""
        alarm = self._note_alarm((field, peer), field, peer, text, wall)
        return alarm if alarm.count == 1 and self._has_line(wall) else None

    def _note_alarm(self, key: tuple[str, str], field: str, peer: str, text: str, wall: float) -> Alarm:
        known = self._alarms.pop(key, None)
        if known is not None and (known.text != text or _is_over(known, wall)):
            known = None
        if known is None and len(self._alarms) >= MOST_ALARMS:
            self._alarms.pop(next(iter(self._alarms)))
        alarm = Alarm(
            field=field,
            peer=peer,
            text=text,
            since=wall if known is None else known.since,
            last=wall,
            count=1 if known is None else known.count + 1,
        )
        self._alarms[key] = alarm
        return alarm

    def _has_line(self, wall: float) -> bool:
        if len(self._lines) == MOST_LINES and _is_within(60.0, self._lines[0], wall):
            return False
        self._lines.append(wall)
        return True

    def note_refused(self, refusal: Refusal, source: str, wall: float) -> bool:
        """Count a refusal; whether it is worth a line in the log: once a minute for each reason.

        It is an alarm too: if it is the peer who is not listened to, there are two owners.  One for each reason, of the
        last source: forged ones push no other alarm out.
        """
        self.refused[refusal] += 1
        if refusal.expected:
            return False
        text = f"adverts are refused: {refusal.sentence}"
        self._note_alarm(("refused", refusal.label), "refused", source, text, wall)
        if _is_within(REFUSAL_LOG_S, self._told.get(refusal, -math.inf), wall):
            return False
        self._told[refusal] = wall
        return True

    def note_lateness(self, late: float, wall: float) -> None:
        """One more timer, and by how many seconds it was late."""
        self._late = late
        if late > self._worst[0]:
            self._worst = (late, wall)
        minute = int(wall // 60)
        kept = tuple((at, worst) for at, worst in self._minutes if at in (minute, minute - 1))
        if kept and kept[-1][0] == minute:
            kept = (*kept[:-1], (minute, max(late, kept[-1][1])))
        else:
            kept = (*kept, (minute, late))
        self._minutes = kept

    @property
    def peers(self) -> tuple[PeerStatus, ...]:
        """Those who were heard, the last one last."""
        return tuple(self._peers.values())

    def alarms(self, wall: float) -> tuple[Alarm, ...]:
        """Those that are not over."""
        return tuple(alarm for alarm in self._alarms.values() if not _is_over(alarm, wall))

    def lateness(self, wall: float, realtime: str) -> Lateness:
        """How late the timers were; the last minute is the current and the one before."""
        minute = int(wall // 60)
        worst, worst_at = self._worst
        return Lateness(
            last=self._late,
            worst=worst,
            worst_at=None if math.isnan(worst_at) else worst_at,
            worst_of_minute=max((late for at, late in self._minutes if at in (minute, minute - 1)), default=0.0),
            step_downs=self.step_downs,
            realtime=realtime,
        )


def _is_over(alarm: Alarm, wall: float) -> bool:
    return abs(wall - alarm.last) > ALARM_LIFETIME_S


def _is_within(seconds: float, since: float, wall: float) -> bool:
    """Unix time can be set back: what seems to lie ahead is over, or it would count until the clock is there again."""
    return 0.0 <= wall - since < seconds
