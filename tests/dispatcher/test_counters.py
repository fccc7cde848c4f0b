"""Does a destination that was forgotten begin anew, and nobody else?"""

from __future__ import annotations

from dispatcher.counters import Counters


def test_nothing_is_left_of_who_is_forgotten() -> None:
    counters = Counters()
    for number in (7, 8):
        counters.requests[number] += 1
        counters.last_seen[number] = 1.0
        counters.answer_times[number].observe(0.1)
        for digit in range(1, 7):
            counters.replies[number, digit] += 1
    counters.forget(7)
    counters.forget(9)
    assert [*counters.requests, *counters.last_seen, *counters.answer_times] == [8, 8, 8]
    assert {number for number, _ in counters.replies} == {8}
