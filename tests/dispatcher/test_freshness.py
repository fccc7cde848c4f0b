"""What stays when a look-up fails, told with numbers for time."""

from __future__ import annotations

import pytest

from dispatcher.freshness import Freshness, learn
from dispatcher.names import Answer, Failure, FailureKind

ONE = Answer(addresses=(("192.0.2.1", 5060),), ttl_s=60)
TWO = Answer(addresses=(("192.0.2.2", 5060),), ttl_s=30)
BOTH = Answer(addresses=(("192.0.2.1", 5060), ("2001:db8::1", 5060)), ttl_s=60)
TIMEOUT = Failure(FailureKind.TIMEOUT)
GONE = Failure(FailureKind.NO_SUCH_NAME)


def test_an_answer_holds_for_its_ttl() -> None:
    known = learn(None, ONE, now=100)
    assert known == Freshness(current=ONE, due_at=160)
    assert learn(known, TWO, now=160) == Freshness(current=TWO, due_at=190)


def test_a_failing_resolver_keeps_the_last_answer_for_ever_and_is_asked_less_and_less() -> None:
    known = learn(None, ONE, now=0)
    waits = []
    for _ in range(2000):
        now = known.due_at
        known = learn(known, TIMEOUT, now=now)
        assert known.current is ONE
        assert known.failure is TIMEOUT
        waits.append(known.due_at - now)
    assert waits[:6] == [5, 10, 20, 40, 60, 60]
    assert set(waits[6:]) == {60}
    assert learn(known, TWO, now=known.due_at) == Freshness(current=TWO, due_at=known.due_at + 30)


def test_a_name_never_known_is_a_failure_until_it_answers() -> None:
    known = learn(None, GONE, now=0)
    assert (known.current, known.due_at, known.failures) == (GONE, 5, 1)
    known = learn(known, TIMEOUT, now=5)
    assert (known.current, known.due_at) == (TIMEOUT, 15)
    assert learn(known, ONE, now=15).failure is None


def test_a_name_that_vanishes_is_held_for_a_while() -> None:
    known = learn(None, ONE, now=0)
    history = []
    for _ in range(4):
        known = learn(known, GONE, now=known.due_at)
        history.append((known.due_at, known.current))
    assert history == [(65, ONE), (75, ONE), (95, ONE), (135, GONE)]
    assert known.gone_at is None


def test_a_failure_in_between_starts_the_hold_anew() -> None:
    known = learn(learn(None, ONE, now=0), GONE, now=60)
    assert known.gone_at == 60
    known = learn(known, TIMEOUT, now=100)
    assert (known.gone_at, known.current) == (None, ONE)
    known = learn(known, GONE, now=200)
    assert (known.gone_at, known.current) == (200, ONE)
    assert learn(known, ONE, now=205) == Freshness(current=ONE, due_at=265)


@pytest.mark.parametrize(
    ("partial", "last", "addresses"),
    [
        # The family that could not be asked stays, the other one follows the answer.
        (Answer(addresses=TWO.addresses, missing=frozenset({6})), BOTH, (TWO.addresses[0], BOTH.addresses[1])),
        (Answer(addresses=BOTH.addresses[1:], missing=frozenset({4})), BOTH, BOTH.addresses),
        (Answer(addresses=TWO.addresses, missing=frozenset({6})), ONE, TWO.addresses),
        (Answer(addresses=TWO.addresses, missing=frozenset({6})), None, TWO.addresses),
    ],
)
def test_a_partial_answer_takes_away_only_what_it_knows(
    partial: Answer, last: Answer | None, addresses: tuple[tuple[str, int], ...]
) -> None:
    before = None if last is None else learn(None, last, now=0)
    known = learn(before, partial, now=60)
    assert isinstance(known.current, Answer)
    assert known.current.addresses == addresses
    assert (known.due_at, known.failures) == (65, 1)
