"""Who owes an answer, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from health.unanswered import SILENCE_S, Unanswered
from tests.dispatcher.both import both as both_of

both = both_of(Unanswered)


@both
def test_nobody_owes_an_answer_at_first(table: type[Unanswered]) -> None:
    watch = table()
    assert watch.overdue(1e9) == ()


@both
def test_a_request_without_any_answer_is_overdue_once(table: type[Unanswered]) -> None:
    watch = table()
    watch.sent(7, 10.0)
    watch.sent(7, 10.9)  # a retransmission, or another: the first counts
    assert watch.overdue(10.99) == ()
    assert watch.overdue(11.0) == (7,)
    assert watch.overdue(12.0) == ()
    watch.sent(7, 12.0)
    assert watch.overdue(12.5) == ()
    assert watch.overdue(13.0) == (7,)


@both
def test_any_answer_is_enough(table: type[Unanswered]) -> None:
    watch = table()
    watch.sent(7, 10.0)
    watch.sent(8, 10.0)
    watch.answered(7)
    watch.answered(9)
    assert watch.overdue(20.0) == (8,)


@both
@given(st.lists(st.tuples(st.sampled_from(["sent", "answered", "overdue"]), st.integers(1, 4), st.floats(0, 0.6))))
def test_it_says_what_a_log_of_all_messages_would_say(
    table: type[Unanswered], happenings: list[tuple[str, int, float]]
) -> None:
    watch = table()
    log: dict[int, list[float]] = {}
    now = 0.0
    for what, number, passed in happenings:
        now += passed
        if what == "sent":
            watch.sent(number, now)
            log.setdefault(number, []).append(now)
        elif what == "answered":
            watch.answered(number)
            log.pop(number, None)
        else:
            late = {number for number, sent in log.items() if now - sent[0] >= SILENCE_S}
            assert set(watch.overdue(now)) == late
            for number_ in late:
                del log[number_]
