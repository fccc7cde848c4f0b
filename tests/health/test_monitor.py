"""What becomes of a target: by its probes, and by real traffic."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.board import Remembered, State, Verdict, Word
from health.monitor import FAST_FOR_S, HOLD_S, MOST_AVOIDED_S, MOST_WARY_S, QUIET_S, WARY_S, Monitor
from health.prober import MOST_AT_ONCE
from health.target import Target
from tests.health.farm import INACTIVE, REFUSED, WIRE_S, Reply, World, answer, target, world

# What the probes say


def test_a_target_that_answers_stays_up() -> None:
    made, _ = world(target())
    made.run(10.0)
    assert made.changes() == []
    standing = made.standing()
    assert standing.state == State(Word.ENABLED, Verdict.UP)
    assert (standing.since, standing.cause) == (1000.0, "new in the list")
    assert standing.rtt == pytest.approx(2 * WIRE_S)
    assert standing.latency == pytest.approx(2 * WIRE_S)
    assert standing.probes == len(made.sent)
    assert (standing.failures, standing.avoided_until, standing.back_since, standing.last_status) == (0, 0.0, None, 200)
    histogram = made.monitor.histogram(1)
    assert histogram is not None
    assert histogram.count == standing.probes
    assert made.monitor.histogram(99) is None


@pytest.mark.parametrize("number", range(1, 20))
def test_a_frozen_server_is_down_after_an_interval_and_two_timeouts_at_the_most(number: int) -> None:
    made, servers = world(target(number))
    made.run(10.0 + number / 19)
    frozen = made.now
    servers.status[number] = 0
    made.run(3.0)
    suspect, down = made.changes()
    assert (suspect.before, suspect.after, suspect.cause) == ("up", "suspect", "no answer in 500 ms")
    assert (down.before, down.after, down.cause) == ("suspect", "down", "2 probes unanswered")
    assert down.at - suspect.at == pytest.approx(0.5)
    assert down.at - frozen < 1.1 + 2 * 0.5
    assert made.standing(number).since == down.at


def test_a_server_that_comes_back_is_up_after_good_probes_at_its_interval() -> None:
    made, servers = world(target(rise=3))
    servers.status[1] = 0
    made.run(5.0)
    back = made.now
    servers.status[1] = 404
    made.changes()
    made.run(5.0)
    (up,) = made.changes()
    assert (up.before, up.after, up.cause) == ("down", "up", "3 good probes")
    assert 1.8 < up.at - back < 4.0
    assert made.standing().back_since == up.at
    servers.status[1] = 503
    made.run(1.1)
    assert made.standing().back_since is None


def test_one_good_probe_clears_a_suspect() -> None:
    made, servers = world(target())
    servers.status[1] = 503
    made.run(0.0005)
    servers.status[1] = 200
    made.run(1.0)
    assert made.told() == [
        (1, "up", "suspect", "answered 503"),
        (1, "suspect", "up", "answered 200 OK"),
    ]
    assert made.standing().failures == 1


@pytest.mark.parametrize(
    ("statuses", "fall", "cause"),
    [
        ([503, 503], 2, "answered 503"),
        ([-REFUSED, -REFUSED], 2, "connection refused (ICMP)"),
        ([0, 0, 0], 3, "3 probes unanswered"),
        ([503, 0], 2, "2 failed probes, the last: no answer in 500 ms"),
        ([0, 503], 2, "2 failed probes, the last: answered 503"),
        ([503, 500, 503], 3, "3 failed probes, the last: answered 503"),
        ([0], 1, "no answer in 500 ms"),
        ([503], 1, "answered 503"),
    ],
)
def test_why_a_target_is_down(statuses: list[int], fall: int, cause: str) -> None:
    made, servers = world(target(fall=fall))
    script = iter(statuses)

    def serve(goal: Target, request: bytes, now: float) -> Reply:
        if request not in asked:
            asked.add(request)
            servers.status[1] = next(script, 0)
        return servers(goal, request, now)

    asked: set[bytes] = set()
    made.serve = serve
    made.run(0.6 * fall)
    assert made.told()[-1][2:] == ("down", cause)


def test_one_is_said_as_one() -> None:
    made, servers = world(target(rise=1, fall=1))
    servers.status[1] = 503
    made.run(0.1)
    servers.status[1] = 200
    made.run(1.2)
    assert made.told()[-1] == (1, "down", "up", "1 good probe")


def test_an_error_is_faster_than_a_timeout() -> None:
    made, servers = world(target(fall=3))
    servers.status[1] = -REFUSED
    made.run(0.1)
    assert made.verdict() is Verdict.DOWN
    times = [at - 1000.0 for at in made.times(1)]
    assert times[:3] == pytest.approx([0.0, 2 * WIRE_S, 0.05 + 2 * WIRE_S]), "the second at once, the third soon"
    made.run(10.0)
    assert len(made.times(1)) < 16, "then at its interval"


def test_what_this_node_cannot_send_takes_nobody_down() -> None:
    made, _ = world(target())
    made.run(2.0)
    for _ in range(50):
        made.now = made.monitor.get_timer()
        made.monitor.handle_timer(made.now)
        for goal, _request in made.monitor.datagrams_to_send(made.now):
            made.monitor.not_sent(goal.number, made.now)
    assert made.now > 1040.0
    assert made.changes() == []


def test_the_average_follows_and_keeps_what_it_knew_in_silence() -> None:
    made, servers = world(target())
    made.run(5.0)
    before = made.standing()
    made.one_way_s = 0.1
    made.run(3.0)
    after = made.standing()
    assert before.latency is not None
    assert after.latency is not None
    assert before.latency < after.latency < 0.2
    assert after.rtt == pytest.approx(0.2)
    servers.status[1] = 0
    made.run(3.0)
    assert made.standing().latency == pytest.approx(after.latency, rel=0.5)
    assert made.standing().last_status == 0


class Recorded(Monitor):
    """Keeps each result as it comes."""

    def __init__(self) -> None:
        super().__init__(random.Random(1))
        self.results: list[tuple[float, bool]] = []

    def _take_results(self, now: float) -> None:
        before = self._standings[1]
        super()._take_results(now)
        after = self._standings[1]
        if after.probes > before.probes:
            self.results.append((now, after.failures == before.failures))


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.sampled_from([200, 404, 503, 0, -REFUSED]), min_size=1, max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_a_flapping_target_flips_at_most_once_per_rise_or_fall_run(rise: int, fall: int, script: list[int]) -> None:
    asked: dict[bytes, int] = {}
    answers = iter(script)

    def serve(_goal: Target, request: bytes, _now: float) -> Reply:
        if request not in asked:
            asked[request] = next(answers, 200)
        status = asked[request]
        return answer(request, status) if status > 0 else -status or None

    monitor = Recorded()
    made = World(monitor, serve)
    monitor.replace_targets([target(rise=rise, fall=fall)], now=made.now)
    made.run(80.0)
    changes = made.changes()
    flips = [change for change in changes if "down" in (change.before, change.after)]
    since = 0.0
    for change in flips:
        needed = [True] * rise if change.before == "down" else [False] * fall
        run = [ok for at, ok in monitor.results if since < at <= change.at]
        assert run[-len(needed) :] == needed, "the whole run came after the last flip"
        since = change.at
    assert all(earlier.after == later.before for earlier, later in itertools.pairwise(changes))
    assert made.verdict() is Verdict.UP


# What real traffic says


def test_a_refused_request_takes_a_target_down_at_once_and_probes_it_at_once_and_fast() -> None:
    made, servers = world(target(interval=60.0))
    made.run(10.0)
    servers.status[1] = -REFUSED
    count, version = len(made.sent), made.monitor.version
    made.monitor.refused(1, made.now)
    assert made.monitor.version > version
    assert made.told() == [(1, "up", "down", "refused a request (ICMP)")]
    assert not made.standing().state.takes_new_work
    made.run(0.001)
    assert len(made.sent) == count + 1
    made.run(1.0)
    assert len(made.sent) - count == pytest.approx(20, abs=2)
    servers.status[1] = 200
    back = made.now
    made.run(1.0)
    assert made.told() == [(1, "down", "up", "2 good probes")]
    assert made.standing().since - back < 0.16


def refuse_while_up(made: World, seconds: float) -> list[float]:
    """When requests were refused, each sent 100 ms after the last to a target that is up."""
    refused, end = [], made.now + seconds
    while made.now < end:
        if made.verdict() is not Verdict.DOWN:
            refused.append(made.now)
            made.monitor.refused(1, made.now)
        made.run(0.1)
    return refused


def test_what_refuses_requests_and_answers_probes_is_tried_less_and_less_often() -> None:
    made, _ = world(target(interval=20.0))
    made.run(1.0)
    refused = refuse_while_up(made, 400.0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(refused)]
    assert gaps == pytest.approx([0.1, *(HOLD_S * 2**power for power in range(4)), *[MOST_WARY_S] * 5], abs=0.2)
    made.run(MOST_WARY_S + WARY_S)
    assert made.verdict() is Verdict.UP
    made.monitor.refused(1, made.now)
    made.run(0.2)
    assert made.verdict() is Verdict.UP, "it had been well for a while"


def test_a_request_that_is_sent_again_finds_another_server_in_the_end() -> None:
    made, _ = world(target())
    made.run(1.0)
    for after in (0.5, 1.0):  # RFC 3261 17.1.1.2: T1, then twice as long
        made.monitor.refused(1, made.now)
        made.run(after)
    assert made.verdict() is Verdict.DOWN


def test_reset_believes_the_probes_again() -> None:
    made, _ = world(target())
    made.run(1.0)
    refuse_while_up(made, 1.0)
    made.monitor.reset([1], made.now)
    made.run(WARY_S)
    assert made.verdict() is Verdict.UP
    made.monitor.refused(1, made.now)
    made.run(0.2)
    assert made.verdict() is Verdict.UP


def test_fast_probing_ends() -> None:
    made, servers = world(target(interval=60.0))
    servers.status[1] = -REFUSED
    made.run(10.0)  # down by its probes
    servers.status[1] = 200
    made.run(130.0)
    servers.status[1] = -REFUSED
    made.changes()
    made.monitor.refused(1, made.now)
    for _ in range(100):  # calls in progress go on being sent there
        made.run(0.1)
        made.monitor.refused(1, made.now)
    fast = [at for at in made.times(1) if at >= 1140.0]
    assert fast[-1] - 1140.0 < FAST_FOR_S + 0.1
    assert len(fast) == pytest.approx(FAST_FOR_S / 0.05, rel=0.1)
    assert [change.after for change in made.changes()] == ["down"]


def test_a_refusal_speaks_against_the_good_probes_before_it() -> None:
    made, _ = world(target(rise=2), known={1: Remembered(verdict=Verdict.DOWN)})
    made.run(0.01)
    made.monitor.refused(1, made.now)
    verdicts = {}
    while made.standing().probes < 3:
        made.run(0.01)
        verdicts[made.standing().probes] = made.verdict()
    assert verdicts == {1: Verdict.DOWN, 2: Verdict.DOWN, 3: Verdict.UP}


def test_a_frozen_server_with_traffic_is_probed_before_its_turn() -> None:
    made, servers = world(target(interval=60.0))
    made.run(10.0)
    servers.status[1] = 0
    made.monitor.unanswered(1, made.now)
    assert made.told() == [(1, "up", "suspect", "requests unanswered")]
    assert made.standing().state.takes_new_work
    made.run(1.02)
    assert made.told() == [(1, "suspect", "down", "2 probes unanswered")]


def test_a_server_that_ignores_some_requests_is_not_suspected_all_the_time() -> None:
    made, _ = world(target())
    made.run(10.0)
    for _ in range(100):
        made.monitor.unanswered(1, made.now)
        made.run(0.1)
    changes = made.changes()
    assert len(changes) <= 2 * (10.0 / QUIET_S + 1)
    assert {change.cause for change in changes} == {"requests unanswered", "answered 200 OK"}
    assert made.verdict() is Verdict.UP


def test_retry_after_is_kept_and_the_server_probed() -> None:
    made, _ = world(target(interval=60.0))
    made.run(10.0)
    count, version = len(made.sent), made.monitor.version
    made.monitor.unavailable(1, 30.0, made.now)
    assert made.monitor.version > version
    assert made.standing().avoided_until == 1040.0
    made.run(1.0)
    assert made.told() == [
        (1, "up", "suspect", "answered 503, Retry-After: 30"),
        (1, "suspect", "up", "answered 200 OK"),
    ]
    assert len(made.sent) == count + 1
    assert made.standing().avoided_until == 1040.0
    version = made.monitor.version
    made.run(28.9)
    assert made.monitor.version == version
    made.run(0.2)
    assert made.monitor.version > version
    assert made.standing().avoided_until == 0.0


def test_a_longer_retry_after_prolongs_and_a_shorter_does_not() -> None:
    made, _ = world(target())
    made.monitor.unavailable(1, 30.0, made.now)
    version = made.monitor.version
    made.monitor.unavailable(1, 10.0, made.now)
    made.monitor.unavailable(1, 30.5, made.now)
    made.monitor.unavailable(1, 0, made.now)
    made.monitor.unavailable(1, math.nan, made.now)
    made.monitor.unavailable(99, 30.0, made.now)
    assert made.standing().avoided_until == 1030.0
    assert made.monitor.version == version
    made.monitor.unavailable(1, 40.0, made.now)
    assert made.standing().avoided_until == 1040.0
    made.monitor.unavailable(1, 1e12, made.now)
    assert made.standing().avoided_until == 1000.0 + MOST_AVOIDED_S


def test_signals_change_nothing_for_what_is_down_or_unknown() -> None:
    made, servers = world(target())
    servers.status[1] = 0
    made.run(5.0)
    made.changes()
    timer = made.monitor.get_timer()
    made.monitor.unanswered(1, made.now)
    made.monitor.unanswered(99, made.now)
    made.monitor.refused(99, made.now)
    made.monitor.unavailable(1, 30.0, made.now)
    assert made.changes() == []
    assert made.monitor.get_timer() == timer


# Without probes


def test_a_target_without_probes_is_held_down_for_a_while_after_a_refusal() -> None:
    made, _ = world(target(probed=False))
    made.monitor.refused(1, made.now)
    assert made.told() == [(1, "up", "down", "refused a request (ICMP)")]
    made.run(3.0)
    made.monitor.refused(1, made.now)
    made.run(HOLD_S - 0.1)
    assert made.changes() == []
    made.run(0.2)
    assert made.told() == [(1, "down", "up", "no refusal for 5 s")]
    assert made.standing().back_since == pytest.approx(1003.0 + HOLD_S)
    assert made.sent == []


def test_a_hold_and_an_avoidance_each_end_in_their_time() -> None:
    made, _ = world(target(probed=False))
    made.monitor.unavailable(1, 2.0, made.now)
    made.monitor.refused(1, made.now)
    made.monitor.unanswered(1, made.now)
    made.run(2.1)
    assert made.standing().avoided_until == 0.0
    assert made.verdict() is Verdict.DOWN
    made.run(3.0)
    assert made.verdict() is Verdict.UP
    assert made.monitor.get_timer() == math.inf


def test_many_holds_that_end_at_once_are_dealt_with_in_turns() -> None:
    made, _ = world(*(target(number, probed=False) for number in range(1, 401)))
    for number in range(1, 401):
        made.monitor.refused(number, made.now)
    made.changes()
    made.now += HOLD_S
    made.monitor.handle_timer(made.now)
    assert len(made.changes()) == MOST_AT_ONCE
    assert made.monitor.get_timer() <= made.now
    made.turn()
    assert len(made.changes()) == 400 - MOST_AT_ONCE


def test_what_the_list_starts_inactive_and_nobody_probes_stays_so() -> None:
    made, _ = world(target(probed=False, listed=INACTIVE))
    made.monitor.refused(1, made.now)
    made.run(100.0)
    assert made.verdict() is Verdict.DOWN
    assert made.changes() == []
    assert made.standing().cause == "starts inactive (list)"
    made.monitor.replace_targets([target(probed=False)], now=made.now)
    assert made.told() == [(1, "down", "up", "list")]
    made.monitor.replace_targets([target(probed=False, listed=INACTIVE)], now=made.now)
    assert made.told() == [(1, "up", "down", "list")]
    made.run(100.0)
    assert made.verdict() is Verdict.DOWN


@pytest.mark.parametrize("status", [0, -REFUSED])
def test_a_target_whose_probes_are_taken_away_does_not_stay_down_for_ever(status: int) -> None:
    made, servers = world(target())
    servers.status[1] = status
    made.run(10.0)
    made.changes()
    made.monitor.replace_targets([target(probed=False)], now=made.now)
    made.run(HOLD_S + 0.1)
    assert [change.after for change in made.changes()] == ["up"]


def test_probes_take_over_from_a_hold() -> None:
    made, servers = world(target(probed=False))
    servers.status[1] = 0
    made.monitor.refused(1, made.now)
    made.monitor.replace_targets([target()], now=made.now)
    made.run(20.0)
    assert made.verdict() is Verdict.DOWN
    servers.status[1] = 200
    made.run(4.0)
    assert made.verdict() is Verdict.UP
