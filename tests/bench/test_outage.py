"""Is what an outage did to the calls read out of a capture right, and laid out right?"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from bench.outage import COUNTS, TIMES, table
from bench.outage_scene import Strike
from bench.outage_story import Outage, Story, story_of
from tests.e2e.ladder import Crossing, Refusal

BALANCER, CLIENT, VICTIM, OTHER = "203.0.113.1", "203.0.113.6", "10.10.1.2", "10.10.2.2"
OUTAGE = Outage(balancer=BALANCER, client=CLIENT, victim=VICTIM, struck_at=100.0, returned_at=110.0)


def message(start: str, call_id: str, method: str, source: str, target: str, at: float) -> Crossing:
    raw = f"{start}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\r\n"
    return Crossing((source, 5060), (target, 5060), raw.encode(), at)


def ask(method: str, call_id: str, server: str, at: float) -> Crossing:
    return message(f"{method} sip:700@{BALANCER} SIP/2.0", call_id, method, BALANCER, server, at)


def answer(code: int, method: str, call_id: str, server: str, at: float) -> Iterator[Crossing]:
    """The server's answer, and what the caller gets of it."""
    yield message(f"SIP/2.0 {code} Word", call_id, method, server, BALANCER, at)
    yield message(f"SIP/2.0 {code} Word", call_id, method, BALANCER, CLIENT, at)


def call(call_id: str, server: str, at: float, *, over_at: float) -> Iterator[Crossing]:
    """A whole one."""
    yield ask("INVITE", call_id, server, at)
    yield from answer(100, "INVITE", call_id, server, at)
    yield from answer(200, "INVITE", call_id, server, at + 0.1)
    yield ask("BYE", call_id, server, over_at - 0.1)
    yield from answer(200, "BYE", call_id, server, over_at)


def probe(call_id: str, at: float, answered_at: float, code: int = 200) -> Iterator[Crossing]:
    yield ask("OPTIONS", call_id, VICTIM, at)
    yield message(f"SIP/2.0 {code} Word", call_id, "OPTIONS", VICTIM, BALANCER, answered_at)


def read(*parts: Iterator[Crossing], refusals: tuple[Refusal, ...] = ()) -> Story:
    crossings = sorted((one for part in parts for one in part), key=lambda one: one.at)
    return story_of(crossings, refusals, OUTAGE)


def test_a_call_that_was_hit_succeeds_elsewhere_and_its_wait_is_told() -> None:
    story = read(
        iter([ask("INVITE", "a", VICTIM, 101.0)]),
        call("a", OTHER, 101.5, over_at=103.0),
        iter([ask("INVITE", "b", VICTIM, 102.0)]),
        answer(408, "INVITE", "b", BALANCER, 104.0),
        answer(200, "INVITE", "b", VICTIM, 110.5),
    )
    assert (story.hit, story.hit_failed, story.others) == (2, 1, 0)
    assert story.longest_wait is not None
    assert round(story.longest_wait, 3) == 0.6
    assert story.last_new_call == 2.0


def test_a_call_that_the_server_has_begun_to_answer_was_not_hit() -> None:
    """Its caller has heard 100 and does not ask again (RFC 3261 17.1.1.2)."""
    story = read(iter([ask("INVITE", "a", VICTIM, 99.0)]), answer(100, "INVITE", "a", VICTIM, 99.9))
    assert (story.hit, story.held, story.held_failed) == (0, 1, 1)


def test_calls_that_were_up_there_and_elsewhere_are_told_apart() -> None:
    story = read(
        call("before", VICTIM, 90.0, over_at=91.0),
        call("held", VICTIM, 99.5, over_at=111.0),
        call("elsewhere", OTHER, 99.5, over_at=100.5),
        iter([ask("INVITE", "lost", OTHER, 105.0)]),
        call("after", VICTIM, 112.0, over_at=113.0),
    )
    assert (story.held, story.held_failed) == (1, 0)
    assert (story.others, story.others_in_progress, story.others_failed) == (4, 1, 1)
    assert (story.hit, story.last_new_call, story.longest_wait) == (0, 0.0, None)


def test_the_last_new_call_is_told_from_the_first_refusal_too() -> None:
    refusals = (Refusal(VICTIM, 50.0), Refusal(OTHER, 100.1), Refusal(VICTIM, 100.5), Refusal(VICTIM, 100.6))
    story = read(iter([ask("INVITE", "a", VICTIM, 100.75)]), refusals=refusals)
    assert story.last_after_refusal == 0.25
    assert read(refusals=refusals).last_after_refusal == 0.0
    assert read().last_after_refusal is None


def test_probes_count_that_were_answered_well_and_in_time_before_the_first_new_call() -> None:
    story = read(
        probe("queued", 104.0, 110.1),
        probe("refused", 110.2, 110.3, code=503),
        probe("one", 111.0, 111.1),
        probe("two", 112.0, 112.1),
        call("new", VICTIM, 112.5, over_at=114.0),
        probe("late", 113.0, 113.1),
    )
    assert story.good_probes == 2
    assert story.back_after is not None
    assert round(story.back_after, 3) == 2.4
    assert read().back_after is None


def test_a_row_has_median_and_worst_of_what_happened() -> None:
    one = read(iter([ask("INVITE", "a", VICTIM, 101.0)]))
    other = attrs.evolve(one, last_new_call=2.5, hit=7)
    results = {("ours", Strike.FREEZE): [one, other, other]}
    cells: dict[str, str] = {}
    for columns in (TIMES, COUNTS):
        *_, row = table(results, columns).splitlines()
        found = (cell.strip() for cell in row.strip("|").split("|"))
        cells |= dict(zip(("", *columns), found, strict=True))
    assert cells[""] == "ours: SIGSTOP"
    assert cells["last new call after the signal, s"] == "2.50 / 2.50"
    assert cells["hit"] == "7 / 7"
    assert cells["after the first refusal, ms"] == ""
