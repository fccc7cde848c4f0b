"""Until when does an answer hold, and what stays in force when a look-up fails?"""

from __future__ import annotations

import attrs

from dispatcher.names import Answer, Failure

RETRY_FIRST_S = 5.0
RETRY_MOST_S = 60.0
"""Retries after 5, 10, 20, 40, 60, 60 ... seconds: quick enough for an operator who has just corrected a record."""
VANISHED_HOLD_S = 30.0
"""How long a name must be gone before its addresses go: a zone that is being reloaded is gone for a moment."""


@attrs.frozen(kw_only=True)
class Freshness:
    """What is known of one name.

    `current` is what to use, `due_at` when to ask again (seconds of the caller's clock).  `failure` is how the last
    look-up ended when it was not whole, `failures` how many of them in a row, `gone_at` since when the DNS says that
    there is nothing while an older answer is still held.
    """

    current: Answer | Failure
    due_at: float
    failure: Failure | None = None
    failures: int = 0
    gone_at: float | None = None


def learn(before: Freshness | None, outcome: Answer | Failure, *, now: float) -> Freshness:
    """Take in the outcome of a look-up.

    A resolver that fails keeps the last answer for ever; a DNS that says that the name is gone keeps it for
    VANISHED_HOLD_S.  An answer that lacks a family keeps the last one's addresses
    of that family.
    """
    last = before.current if before is not None and isinstance(before.current, Answer) else None
    failures = 0 if before is None else before.failures
    retry_at = now + min(RETRY_FIRST_S * 2 ** min(failures, 10), RETRY_MOST_S)
    if isinstance(outcome, Answer):
        if not outcome.missing:
            return Freshness(current=outcome, due_at=now + outcome.ttl_s)
        current = _completed(outcome, last)
        return Freshness(current=current, due_at=retry_at, failure=outcome.failure, failures=failures + 1)
    gone_at = None
    if outcome.kind.is_answer and last is not None and before is not None:
        gone_at = now if before.gone_at is None else before.gone_at
        if now - gone_at >= VANISHED_HOLD_S:
            last = gone_at = None
    return Freshness(
        current=outcome if last is None else last,
        due_at=retry_at,
        failure=outcome,
        failures=failures + 1,
        gone_at=gone_at,
    )


def _completed(answer: Answer, last: Answer | None) -> Answer:
    """The answer with the last one's addresses of the families that could not be asked for."""
    if last is None:
        return answer
    kept = [each for each in last.addresses if (6 if ":" in each[0] else 4) in answer.missing]
    addresses = tuple(dict.fromkeys([*answer.addresses, *kept]))
    # The same addresses stay in the same order, so that nothing looks changed.
    return attrs.evolve(answer, addresses=last.addresses if set(addresses) == set(last.addresses) else addresses)
