"""Does the failover bench sum up rightly what was seen?"""

from __future__ import annotations

import attrs
import pytest

from bench.failover import arguments, shortcomings, table, tries
from bench.failover_agents import KEEPALIVED, OURS, Pair
from bench.failover_faults import FAULTS
from bench.failover_story import Answer, Figures, Moments, Move, Record, Said, figures, ownership, story

FAULT = Moments(fault_at=1.0, until=2.0, heir="B")


def record(*answered: tuple[range, str], moves: tuple[Move, ...] = (), said: tuple[Said, ...] = ()) -> Record:
    """A datagram each 10 ms for two seconds and a tenth; those of the ranges are answered 1 ms later."""
    sent = [number / 100 for number in range(210)]
    answers = [Answer(sent[number] + 0.001, number, node) for numbers, node in answered for number in numbers]
    return Record(sent=sent, answers=answers, moves=moves, said=said)


MOVED = (Move(0.5, "A", there=True), Move(1.1, "A", there=False), Move(1.3, "B", there=True))


def test_the_outage_is_the_longest_run_of_lost_datagrams() -> None:
    found = figures(record((range(110), "A"), (range(112, 130), "A"), (range(150, 210), "B"), moves=MOVED), FAULT)
    assert found.outage == pytest.approx(0.2)
    assert found.switch == pytest.approx(0.501)
    assert found.nobody == pytest.approx(0.2)
    assert found.kept == pytest.approx(0.1)
    assert (found.both, found.owners, found.strayed, found.first) == (0, "B", False, "")


def test_losses_before_the_fault_do_not_count() -> None:
    assert figures(record((range(50), "A"), (range(100, 210), "A"), moves=MOVED), FAULT).outage == 0


def test_an_heir_that_never_answers_has_no_switch() -> None:
    found = figures(record((range(210), "A"), moves=MOVED[:1]), FAULT)
    assert (found.switch, found.kept) == (None, None)


def test_a_client_that_is_answered_by_no_owner_has_strayed() -> None:
    assert figures(record((range(210), "A"), moves=MOVED), FAULT).strayed
    assert figures(record((range(160), "B"), moves=MOVED), FAULT).strayed


def test_both_have_the_address_until_one_loses_it() -> None:
    moves = (Move(0.5, "A", there=True), Move(1.2, "B", there=True), Move(1.6, "A", there=False))
    found = figures(record((range(210), "B"), moves=moves), FAULT)
    assert found.both == pytest.approx(0.4)
    assert [who for _, who in ownership(record(moves=moves), FAULT)] == ["A", "AB", "B"]


def test_an_address_of_a_dead_host_is_nowhere() -> None:
    moves = (Move(0.5, "A", there=True), Move(1.2, "B", there=True))
    crash = Moments(fault_at=1.0, until=2.0, heir="B", host_died=True)
    assert [who for _, who in ownership(record(moves=moves), crash)] == ["", "B"]


def test_the_first_advert_after_the_end_of_a_fault_is_told() -> None:
    said = (Said(1.4, "A", 150), Said(1.51, "B"), Said(1.52, "B", 100), Said(1.53, "A", 150))
    moments = Moments(fault_at=1.0, until=2.0, heir="B", healed_at=1.5)
    assert figures(record((range(210), "A"), moves=MOVED, said=said), moments).first == "B"


def test_a_story_has_all_that_is_new_in_its_order() -> None:
    said = (Said(0.9, "A", 150), Said(1.05, "A", 0), Said(1.3, "B"), Said(1.31, "B"), Said(1.4, "B", 100))
    seen = record((range(110), "A"), (range(140, 210), "B"), moves=MOVED, said=said)
    assert story(seen, FAULT) == ["A releases", "A loses", "B has", "B announces", "B answers"]


def outcome(outage: float, *, switch: float | None = 0.3, strayed: bool = False, owners: str = "B") -> Figures:
    return Figures(
        outage=outage, switch=switch, both=0.0, nobody=0.0, kept=0.2, owners=owners, strayed=strayed, first=""
    )


def test_a_row_has_the_median_and_its_bounds() -> None:
    found = [outcome(0.3), outcome(0.31), outcome(0.4, strayed=True)]
    cells = [cell.strip() for cell in table({("crash", 0.1, OURS): found}).splitlines()[2].split("|")[1:-1]]
    assert cells == ["node crash", "0.1 s", OURS, "3", "310 [300..400]", "300 [300..300]", "0", "", "1 of 3"]


@pytest.mark.parametrize(("ours", "slower"), [(0.34, False), (0.36, True)])
def test_slower_is_more_than_a_tenth(ours: float, slower: bool) -> None:  # noqa: FBT001
    results = {("crash", 0.1, OURS): [outcome(ours)], ("crash", 0.1, KEEPALIVED): [outcome(0.32)]}
    assert bool(shortcomings(results)) is slower


@pytest.mark.parametrize(("ours", "slower"), [(0.017, False), (0.019, True)])
def test_and_more_than_ten_milliseconds(ours: float, slower: bool) -> None:  # noqa: FBT001
    results = {("stop", 0.01, OURS): [outcome(ours)], ("stop", 0.01, KEEPALIVED): [outcome(0.008)]}
    assert bool(shortcomings(results)) is slower


def test_a_lost_client_is_a_shortcoming() -> None:
    assert shortcomings({("cut-winner", 0.1, OURS): [outcome(0.0, strayed=True)]})


def test_an_address_that_outlives_its_lease_is_one() -> None:
    late = attrs.evolve(outcome(0.0), kept=2.01)
    assert not shortcomings({("kill", 0.1, OURS): [outcome(0.0)]})
    assert shortcomings({("kill", 0.1, OURS): [late]})
    assert shortcomings({("kill", 0.1, OURS): [attrs.evolve(late, kept=None)]})


@pytest.mark.parametrize(("interval", "late"), [(1.0, False), (0.1, False), (0.01, True)])
def test_the_death_of_the_proxy_has_a_limit_of_its_own(interval: float, late: bool) -> None:  # noqa: FBT001
    found = [outcome(0.0, switch=0.02), outcome(0.0, switch=0.09)]
    assert bool(shortcomings({("die", interval, OURS): found})) is late


def test_the_tries_of_a_row_are_spread_over_the_interval() -> None:
    chosen = arguments(["--adverts", "1", "--scenarios", "crash", "--tries", "2", "--agent", OURS])
    assert [one.share for one in tries(chosen)] == [0.25, 0.75]
    assert len(list(tries(arguments(["--smoke"])))) == len(FAULTS)


def test_the_lease_is_the_longer_one() -> None:
    assert Pair(interval=1.0, priorities=(254, 100)).lease == 5.0
    assert Pair(interval=0.1).lease == 2.0
