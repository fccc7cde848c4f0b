"""How do the probes end: which exit status, which of Nagios' words, which limits were exceeded?"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

import attrs

from health.options import Answer
from health.report import Result
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome, Plan, reached
from sipdispatch.probe_tally import EXIT_STATUS, Tally, gravest

NOT_OK = 1
NO_ANSWER = 3
"""Also of a target that the deadline has left no time for."""


class Nagios(enum.IntEnum):
    """The exit statuses of a plugin; the gravest is not the largest."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_GRAVITY = (Nagios.OK, Nagios.WARNING, Nagios.UNKNOWN, Nagios.CRITICAL)


@attrs.frozen(kw_only=True)
class Expectation:
    """What a good answer is; None for `codes` is any final answer."""

    codes: frozenset[int] | None
    fields: tuple[tuple[str, re.Pattern[str]], ...] = ()
    """Names in lower case, and what is to be found in one of the field's values."""
    texts: tuple[re.Pattern[str], ...] = ()
    """What is to be found in the whole answer."""

    def judge(self, answer: Answer) -> Result:
        """A code that is not wanted comes first: sipsak too looks into a good answer only."""
        if self.codes is not None and answer.status not in self.codes:
            return Result.STATUS
        message = answer.message
        for name, pattern in self.fields:
            values = (raw.strip().decode("utf-8", "replace") for _, raw in message.values(name.encode()))
            if not any(pattern.search(value) for value in values):
                return Result.NO_MATCH
        text = message.to_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        if all(pattern.search(text) for pattern in self.texts):
            return Result.OK
        return Result.NO_MATCH


def exceeded(tally: Tally, limits: Thresholds) -> tuple[str, ...]:
    """What is above its limit, in words."""
    found = []
    trips = tally.round_trips()
    if limits.rtt_s is not None and trips is not None and trips.avg > limits.rtt_s * 1000:
        found.append(f"rtt {trips.avg:.1f} ms > {limits.rtt_s * 1000:g} ms")
    if limits.loss_percent is not None and tally.loss_percent > limits.loss_percent:
        found.append(f"loss {tally.loss_percent:.1f}% > {limits.loss_percent:g}%")
    if limits.retrans is not None and tally.retransmits > limits.retrans:
        found.append(f"retrans {tally.retransmits} > {limits.retrans}")
    return tuple(found)


def exit_status(plan: Plan, outcome: Outcome, limits: Sequence[Thresholds]) -> int:
    """The gravest of all targets' statuses; 128 and the signal when one has ended it."""
    if outcome.signal:
        return 128 + outcome.signal
    return gravest([_status_of(plan, tally, limits) for tally in outcome.tallies])


def _status_of(plan: Plan, tally: Tally, limits: Sequence[Thresholds]) -> int:
    if plan.until is not None:
        if reached(plan, tally):
            return 0
        last = 0 if tally.last is None else EXIT_STATUS[tally.last.result]
        return last if plan.until == "up" and last else NOT_OK
    status = NO_ANSWER if tally.worst is None else EXIT_STATUS[tally.worst]
    if status == 0 and any(exceeded(tally, each) for each in limits):
        return NOT_OK
    return status


def nagios_status(tally: Tally, warn: Thresholds, crit: Thresholds) -> Nagios:
    """Of one target.

    Nothing good at all is critical, a fault on this side is unknown.  Where only some probes were good, a limit for
    the loss decides, and without one it is a warning.
    """
    last = tally.last
    if last is None or tally.worst in (Result.DNS, Result.LOCAL):
        return Nagios.UNKNOWN
    if not tally.ok or exceeded(tally, crit):
        return Nagios.CRITICAL
    if exceeded(tally, warn):
        return Nagios.WARNING
    only_lost = tally.ok == tally.answered
    limited = warn.loss_percent is not None or crit.loss_percent is not None
    return Nagios.OK if tally.ok == tally.sent or (only_lost and limited) else Nagios.WARNING


def gravest_nagios(statuses: Sequence[Nagios]) -> Nagios:
    """Of several targets; UNKNOWN when there is none."""
    return max(statuses, key=_GRAVITY.index, default=Nagios.UNKNOWN)
