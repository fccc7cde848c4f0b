"""Does a verdict turn after so many results and no sooner, and does the full priority come back late enough?"""

from __future__ import annotations

import itertools
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrrp.event import Fitness
from vrrp.parameters import unfit, useless
from vrrp.tracking import HELD, RECOVERY_S, RELEASED, Track, Tracking

MINE = 250
WELL = Fitness(priority=MINE)
UNWELL = unfit(MINE)
NOT_LONG_ENOUGH = "all tracks are well again, but not for long enough"
SIP = Track(name="sip", rise=3, fall=2)
CONTROL = Track(name="control")
VITAL = Track(name="control", vital=True)
LINK = Track(name="interface eth1", fault=True)


def tell(of: Tracking, track: Track, results: str, *, at: float = 0.0) -> None:
    """Results, `+` or `-`, a hundredth of a second apart."""
    for index, result in enumerate(results):
        of.report(track.name, ok=result == "+", detail=f"said {result}", now=at + index / 100)


def verdicts(track: Track, results: str) -> str:
    """The verdict after each result; `?` before the first."""
    of, found = Tracking(MINE, [track]), ""
    for index, result in enumerate(results):
        tell(of, track, result, at=float(index))
        found += {None: "?", True: "+", False: "-"}[of.standings[0].ok]
    return found


def all_well(*tracks: Track) -> Tracking:
    """Tracks that have had a good first verdict at 0."""
    of = Tracking(MINE, tracks)
    for track in tracks:
        tell(of, track, "+" * track.rise)
    return of


# --------------------------------------------------------------------------------------------------------------------
# Verdicts


def test_a_verdict_turns_after_rise_or_fall_results_in_a_row() -> None:
    assert verdicts(SIP, "++-+++-+--+-++-+++") == "?????++++--------+"
    assert verdicts(SIP, "--+++-") == "?---++"
    assert verdicts(CONTROL, "-+-+") == "-+-+"


def test_a_standing_says_what_came_and_when() -> None:
    of = Tracking(MINE, [SIP])
    (fresh,) = of.standings
    assert (fresh.ok, fresh.detail, fresh.results, fresh.failures) == (None, "no result yet", 0, 0)
    assert math.isnan(fresh.since)
    assert math.isnan(fresh.at)
    for now, ok in ((1.0, True), (2.0, True), (3.0, True), (4.0, False)):
        of.report("sip", ok=ok, detail=f"the result of {now:g}", now=now)
    (standing,) = of.standings
    assert (standing.ok, standing.since) == (True, 3.0)
    assert (standing.last, standing.run) == (False, 1)
    assert (standing.detail, standing.at) == ("the result of 4", 4.0)
    assert (standing.results, standing.failures) == (4, 1)


def test_a_result_of_an_unknown_track_is_nothing() -> None:
    of = all_well(CONTROL)
    of.report("who", ok=False, detail="", now=1.0)
    assert [each.track for each in of.standings] == [CONTROL]
    assert of.fitness(1.0) == WELL


@given(st.integers(1, 5), st.integers(1, 5), st.text("+-", max_size=60))
def test_a_flapping_track_flips_its_verdict_at_most_once_in_a_run(rise: int, fall: int, results: str) -> None:
    track = Track(name="t", rise=rise, fall=fall)
    found = verdicts(track, results)
    for index, verdict in enumerate(found):
        before = found[index - 1] if index else "?"
        needed = rise if results[index] == "+" else fall
        alike = index + 1 >= needed and set(results[index + 1 - needed : index + 1]) == {results[index]}
        assert verdict == (results[index] if alike else before)
    turned = sum(a != b for a, b in itertools.pairwise("?" + found))
    runs = [len(list(run)) for _, run in itertools.groupby(results)]
    assert turned <= sum(length >= min(rise, fall) for length in runs)


# --------------------------------------------------------------------------------------------------------------------
# Fitness


def test_without_tracks_a_node_is_fit() -> None:
    assert Tracking(MINE, []).fitness(0.0) == WELL


def test_it_is_ready_when_each_track_has_had_a_verdict() -> None:
    of = Tracking(MINE, [CONTROL, SIP])
    assert of.fitness(0.0) == Fitness(priority=UNWELL, ready=False, cause="control: no result yet")
    tell(of, CONTROL, "+")
    tell(of, SIP, "++")
    assert of.fitness(0.1) == Fitness(priority=UNWELL, ready=False, cause="sip: said +")
    tell(of, SIP, "+")
    assert of.fitness(0.1) == WELL


def test_a_first_good_verdict_is_no_recovery() -> None:
    assert all_well(SIP).fitness(0.1) == WELL
    assert all_well(SIP).get_timer(0.1) is None


def test_a_track_that_fails_lowers_the_priority_and_says_why() -> None:
    of = all_well(CONTROL, SIP)
    tell(of, SIP, "-", at=1.0)
    assert of.fitness(1.0) == WELL
    tell(of, SIP, "-", at=1.2)
    assert of.fitness(1.2) == Fitness(priority=UNWELL, cause="sip: said -")
    tell(of, CONTROL, "-", at=1.3)
    assert of.fitness(1.3).cause == "control: said -"


def test_what_fails_says_more_than_what_is_not_known() -> None:
    of = Tracking(MINE, [SIP, CONTROL])
    tell(of, CONTROL, "-")
    assert of.fitness(0.0).cause == "control: said -"


def test_a_fault_leaves_no_choice() -> None:
    of = all_well(CONTROL, LINK)
    tell(of, CONTROL, "-", at=1.0)
    tell(of, LINK, "-", at=2.0)
    fitness = of.fitness(2.0)
    assert (fitness.fault, fitness.cause) == ("interface eth1: said -", "interface eth1: said -")
    tell(of, LINK, "+", at=3.0)
    assert of.fitness(3.0) == Fitness(priority=UNWELL, cause="control: said -")


@pytest.mark.parametrize("track", [SIP, LINK])
def test_the_full_priority_comes_back_after_rise_results_and_ten_seconds(track: Track) -> None:
    of = all_well(track)
    tell(of, track, "-" * track.fall, at=1.0)
    assert of.get_timer(1.5) is None
    tell(of, track, "+" * (track.rise - 1), at=2.0)
    assert of.fitness(2.5).priority == UNWELL
    of.report(track.name, ok=True, detail="well", now=3.0)
    back = 3.0 + RECOVERY_S
    assert of.fitness(3.0) == Fitness(priority=UNWELL, cause=NOT_LONG_ENOUGH)
    assert of.get_timer(3.0) == back
    assert of.fitness(math.nextafter(back, 0)).priority == UNWELL
    assert of.fitness(back) == WELL
    assert of.get_timer(back) is None


def test_a_failure_meanwhile_begins_the_ten_seconds_anew() -> None:
    of = all_well(CONTROL, LINK)
    tell(of, CONTROL, "-+", at=1.0)
    tell(of, LINK, "-", at=5.0)
    assert of.fitness(5.0).fault
    tell(of, LINK, "+", at=8.0)
    assert of.fitness(1.01 + RECOVERY_S).cause == NOT_LONG_ENOUGH
    assert of.get_timer(12.0) == 8.0 + RECOVERY_S


# --------------------------------------------------------------------------------------------------------------------
# What an operator asks for


def test_a_release_ends_by_itself() -> None:
    of = all_well(CONTROL)
    of.release(5.0, 60.0)
    assert of.released(5.0) == 65.0
    assert of.get_timer(5.0) == 65.0
    assert of.fitness(64.9) == Fitness(priority=UNWELL, cause=RELEASED)
    assert of.fitness(65.0) == WELL
    assert of.released(65.0) is None


def test_a_release_until_told_otherwise() -> None:
    of = all_well(CONTROL)
    of.release(5.0)
    assert of.released(1e9) == math.inf
    assert of.get_timer(5.0) is None
    assert of.fitness(1e9).cause == RELEASED
    of.resume()
    assert of.released(1e9) is None
    assert of.fitness(1e9) == WELL


def test_a_release_is_told_before_a_track_that_fails() -> None:
    of = all_well(CONTROL)
    tell(of, CONTROL, "-", at=1.0)
    of.release(1.0, 5.0)
    assert of.fitness(2.0).cause == RELEASED
    assert of.fitness(6.0).cause == "control: said -"


def test_the_next_moment_is_the_sooner_one() -> None:
    of = all_well(CONTROL)
    tell(of, CONTROL, "-+", at=1.0)
    of.release(2.0, 3.0)
    assert of.get_timer(2.0) == 5.0
    assert of.get_timer(5.0) == 1.01 + RECOVERY_S


def test_a_hold_is_a_fault_until_it_is_resumed() -> None:
    of = all_well(CONTROL, LINK)
    of.hold()
    while_held = of.held
    assert of.fitness(1.0) == Fitness(priority=MINE, fault=HELD, cause=HELD)
    tell(of, LINK, "-", at=2.0)
    assert of.fitness(2.0).fault == HELD
    of.resume()
    assert (while_held, of.held) == (True, False)
    assert of.fitness(2.0).fault == "interface eth1: said -"
    tell(of, LINK, "+", at=3.0)
    assert of.fitness(3.0 + RECOVERY_S) == WELL


@pytest.mark.parametrize("also", [[], [SIP], [LINK]])
def test_a_node_whose_proxy_has_ended_is_worse_than_any_other_ill_one(also: list[Track]) -> None:
    of = all_well(VITAL, *also)
    tell(of, VITAL, "-", at=1.0)
    for track in also:
        tell(of, track, "-" * track.fall, at=1.0)
    assert of.fitness(1.0).priority == useless(MINE) < unfit(100)
    of.release(1.0)
    assert of.fitness(1.0).priority == useless(MINE)


def test_a_proxy_that_has_come_back_may_take_calls_before_the_full_priority_is_back() -> None:
    of = all_well(VITAL)
    tell(of, VITAL, "-+", at=1.0)
    assert of.fitness(1.01) == Fitness(priority=UNWELL, cause=NOT_LONG_ENOUGH)
    assert of.fitness(1.01 + RECOVERY_S) == WELL


def test_without_a_first_verdict_it_is_not_yet_known_that_the_proxy_has_ended() -> None:
    assert Tracking(MINE, [VITAL]).fitness(0.0).priority == UNWELL


def test_to_resume_says_nothing_about_tracks() -> None:
    of = all_well(CONTROL)
    tell(of, CONTROL, "-", at=1.0)
    of.resume()
    assert of.fitness(1.0).cause == "control: said -"


# --------------------------------------------------------------------------------------------------------------------
# Another configuration


def test_a_track_that_stays_keeps_its_standing() -> None:
    of = all_well(CONTROL, SIP)
    tell(of, SIP, "--", at=1.0)
    quicker = attrs.evolve(SIP, rise=1)
    of.change(200, [quicker, LINK])
    assert [(each.track, each.ok) for each in of.standings] == [(quicker, False), (LINK, True)]
    assert of.fitness(2.0) == Fitness(priority=unfit(200), cause="sip: said -")
    tell(of, SIP, "+", at=3.0)
    assert of.fitness(3.0 + RECOVERY_S) == Fitness(priority=200)


def test_a_new_track_is_taken_for_well_until_it_has_failed_often_enough() -> None:
    of = all_well(CONTROL)
    of.change(MINE, [CONTROL, SIP])
    assert of.fitness(1.0) == WELL
    tell(of, SIP, "-", at=2.0)
    assert of.fitness(2.0) == WELL
    tell(of, SIP, "-", at=2.5)
    assert of.fitness(2.5).cause == "sip: said -"


def test_a_new_track_of_a_node_that_starts_is_waited_for() -> None:
    of = Tracking(MINE, [CONTROL])
    of.change(MINE, [CONTROL, LINK])
    tell(of, CONTROL, "+")
    assert of.fitness(0.0) == Fitness(
        priority=UNWELL, fault="interface eth1: no result yet", ready=False, cause="interface eth1: no result yet"
    )


def test_a_track_that_goes_fails_no_more() -> None:
    of = all_well(CONTROL, SIP)
    tell(of, CONTROL, "-", at=1.0)
    of.change(MINE, [SIP])
    assert of.fitness(1.0) == WELL
    tell(of, CONTROL, "-", at=2.0)
    assert of.fitness(2.0) == WELL


# --------------------------------------------------------------------------------------------------------------------
# Whatever happens

_STEP = st.tuples(
    st.floats(0, 20, allow_nan=False),
    st.one_of(
        st.tuples(st.sampled_from(["sip", "control", "interface eth1", "who"]), st.booleans()),
        st.tuples(st.just("release"), st.sampled_from([1.0, 15.0, math.inf])),
        st.tuples(st.sampled_from(["hold", "resume"]), st.none()),
    ),
)


@given(st.lists(_STEP, max_size=60), st.integers(100, 254))
def test_the_fitness_follows_from_what_was_said_and_from_time_alone(
    steps: list[tuple[float, tuple[str, bool | float | None]]], priority: int
) -> None:
    of, now = Tracking(priority, [SIP, CONTROL, LINK]), 0.0
    last_failing = -math.inf
    for pause, (what, value) in steps:
        due, before = of.get_timer(now), of.fitness(now)
        # Between two moments that it has named nothing changes by itself.
        assert of.fitness(now + pause / 2) == before or (due is not None and due <= now + pause / 2)
        now += pause
        failing = any(each.ok is False for each in of.standings)
        match what:
            case "release":
                of.release(now, float(value or 0))
            case "hold":
                of.hold()
            case "resume":
                of.resume()
            case name:
                of.report(name, ok=bool(value), detail="it", now=now)
        if failing:
            last_failing = now
        fitness = of.fitness(now)
        unknown = [each for each in of.standings if each.ok is None]
        bad = [each for each in of.standings if each.ok is False]
        assert fitness.ready is not bool(unknown)
        recovering = now - last_failing < RECOVERY_S
        full = not bad and not unknown and of.released(now) is None and not recovering
        assert fitness.priority == (priority if full else unfit(priority))
        assert bool(fitness.fault) is (of.held or any(each.track.fault for each in bad + unknown))
        assert bool(fitness.cause) is (not full or of.held)
