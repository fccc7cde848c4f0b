"""Is everybody named, in the order in which a choice looks at them, with the true reason?"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dispatcher import slots
from dispatcher.algorithm import DEFAULT, Algorithm, Kind
from dispatcher.considered import Considered, Reason, _each_once, explain
from dispatcher.selection import (
    Pool,
    candidates,
    choose,
    everyone_up,
    make_pool,
    ramp_place,
    sketch,
)
from health.board import NEW_WORK
from tests.dispatcher.pools import (
    ALGORITHMS,
    CODES,
    DISABLED,
    DOWN,
    DRAINING,
    KEY,
    SUSPECT,
    UP,
    WEIGHTS,
    coarse,
    destination,
    pool_of,
    weighted,
)

AVOIDED = UP & ~NEW_WORK
LATENCY, CALL_LOAD = Algorithm(Kind.LATENCY), Algorithm(Kind.CALL_LOAD)


def told(
    pool: Pool,
    algorithm: Algorithm,
    key: int,
    live: bytes,
    *,
    ramp: bytes = b"",
    latency: Sequence[float] = (),
    calls: Sequence[int] = (),
) -> list[tuple[int, Reason]]:
    found = explain(pool, algorithm, key, 0, live, ramp, latency, lambda index: calls[index] if calls else 0)
    return [(each.index, each.reason) for each in found]


def key_of_order(pool: Pool, *order: int, place: int = 0) -> int:
    """A key whose order begins so, and that stands there in everybody's ramp."""
    up = everyone_up(len(pool.destinations))
    slot = next(slot for slot in range(slots.SLOTS) if tuple(candidates(pool, slot, up))[: len(order)] == order)
    key = slot | place << 48
    assert ramp_place(key) == place
    return key


def test_an_explanation_names_everybody_in_order() -> None:
    pool = pool_of(weighted(50, 50, 50, 50, 0, None))
    slot = key_of_order(pool, 2, 0, 3, 1)
    live = bytes([DRAINING, UP, DOWN, SUSPECT, UP, DISABLED])
    assert list(explain(pool, DEFAULT, slot, 0, live)) == [
        Considered(2, Reason.DOWN),
        Considered(0, Reason.DRAINING),
        Considered(3, Reason.CHOSEN),
        Considered(1, Reason.NEXT),
        Considered(5, Reason.DISABLED),
        Considered(4, Reason.NO_WEIGHT),
    ]


def test_an_explanation_of_a_turn_begins_with_its_owner() -> None:
    pool = sketch(1, weighted(None, None, None), KEY)
    found = list(explain(pool, Algorithm(Kind.ROUND_ROBIN), 0, 1, bytes([UP, DOWN, UP])))
    assert found[0] == Considered(1, Reason.DOWN)
    assert found[1].reason is Reason.CHOSEN
    assert found[1].index == choose(pool, Algorithm(Kind.ROUND_ROBIN), 0, 1, bytes([UP, DOWN, UP]))


def test_who_is_up_and_gets_no_new_work_has_asked_for_it() -> None:
    pool = pool_of(weighted(50, 50, 50))
    key = key_of_order(pool, 1, 0, 2)
    assert told(pool, DEFAULT, key, bytes([UP, AVOIDED, DOWN & ~NEW_WORK])) == [
        (1, Reason.AVOIDED),
        (0, Reason.CHOSEN),
        (2, Reason.DOWN),
    ]


def test_who_comes_back_stands_behind_those_who_take_everything() -> None:
    pool = pool_of(weighted(50, 50, 50))
    key = key_of_order(pool, 1, 0, 2, place=100)
    up = everyone_up(3)
    ramp = bytes((255, 100, 255))
    assert told(pool, DEFAULT, key, up, ramp=ramp) == [
        (0, Reason.CHOSEN),
        (2, Reason.NEXT),
        (1, Reason.WARMING_UP),
    ]
    assert told(pool, DEFAULT, key, up, ramp=bytes((255, 101, 255)))[0] == (1, Reason.CHOSEN)
    assert told(pool, DEFAULT, key, up, ramp=bytes((0, 9, 0))) == [
        (1, Reason.CHOSEN),
        (0, Reason.NEXT),
        (2, Reason.NEXT),
    ]


def test_of_the_first_two_the_slower_one_is_named_as_such() -> None:
    pool = pool_of(weighted(50, 50, 50))
    kept = key_of_order(pool, 1, 0, 2)
    key = kept | 0xFF << 56
    up = everyone_up(3)
    assert told(pool, LATENCY, kept, up, latency=(0.01, 0.2, 0.001))[0] == (1, Reason.CHOSEN), "of its own part"
    assert told(pool, LATENCY, key, up, latency=(0.01, 0.2, 0.001)) == [
        (1, Reason.SLOWER),
        (0, Reason.CHOSEN),
        (2, Reason.NEXT),
    ]
    assert told(pool, LATENCY, key, up, latency=(0.2, 0.01, 0.001)) == [
        (1, Reason.CHOSEN),
        (0, Reason.NEXT),
        (2, Reason.NEXT),
    ]
    assert told(pool, LATENCY, key, up, latency=(0.001, 0.2, 0.01), ramp=bytes((0, 255, 255))) == [
        (1, Reason.SLOWER),
        (2, Reason.CHOSEN),
        (0, Reason.WARMING_UP),
    ]


def test_the_fewest_calls_come_first_and_the_full_last() -> None:
    pool = make_pool(
        1,
        [destination(1, 50, maxload=3), destination(2, 50), destination(3, 100), destination(4, 50)],
        KEY,
        build=coarse,
    )
    up = everyone_up(4)
    assert told(pool, CALL_LOAD, 7, up, calls=(3, 9, 8, 5)) == [
        (2, Reason.CHOSEN),
        (3, Reason.NEXT),
        (1, Reason.NEXT),
        (0, Reason.AT_MAXLOAD),
    ]
    full = make_pool(1, [destination(1, maxload=3), destination(2, maxload=1)], KEY, build=coarse)
    assert {reason for _, reason in told(full, CALL_LOAD, 7, everyone_up(2), calls=(3, 1))} == {Reason.AT_MAXLOAD}


def test_reasons_are_different() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason)


SETS = st.lists(
    st.tuples(
        WEIGHTS, CODES, st.integers(0, 255), st.sampled_from((0.0, 0.001, 0.1)), st.integers(0, 3), st.integers(0, 3)
    ),
    max_size=7,
)


@given(
    members=SETS, algorithm=ALGORITHMS, key=st.integers(0, 2**64 - 1), counter=st.integers(0, 99), ramps=st.booleans()
)
def test_the_explanation_and_the_choice_agree(
    members: list[tuple[int | None, int, int, float, int, int]],
    algorithm: Algorithm,
    key: int,
    counter: int,
    *,
    ramps: bool,
) -> None:
    everyone = [destination(number, weight, maxload=most) for number, (weight, *_, most) in enumerate(members)]
    live = bytes(code for _, code, *_ in members)
    ramp = bytes(ramp for _, _, ramp, *_ in members) if ramps else b""
    latency = [latency for _, _, _, latency, *_ in members]
    calls = [active for *_, active, _ in members]
    pool = make_pool(1, everyone, KEY, rankings=(), build=coarse)
    chosen = choose(pool, algorithm, key, counter, live, ramp, latency, calls.__getitem__)
    found = list(explain(pool, algorithm, key, counter, live, ramp, latency, calls.__getitem__))
    assert sorted(each.index for each in found) == list(range(len(members)))
    assert [each.index for each in found if each.reason is Reason.CHOSEN] == ([] if chosen is None else [chosen])
    for each in found:
        code = live[each.index]
        if each.reason in (Reason.CHOSEN, Reason.NEXT, Reason.SLOWER, Reason.AT_MAXLOAD, Reason.WARMING_UP):
            assert code & NEW_WORK
        elif each.reason is not Reason.NO_WEIGHT:
            assert not code & NEW_WORK


def test_an_order_that_names_somebody_twice_tells_him_once() -> None:
    assert list(_each_once([2, 1, 2, 0, 1])) == [2, 1, 0]
