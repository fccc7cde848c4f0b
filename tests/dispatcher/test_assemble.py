"""List, policy and what is known of the destinations become one snapshot."""

import attrs
import pytest

from dispatcher.algorithm import DEFAULT, Ranking, parse_algorithm
from dispatcher.assemble import assemble, by_set, rankings_of, sets_in_use, state_of, with_states
from dispatcher.destination import DISABLED, INACTIVE, Destination
from dispatcher.rules import Rule
from dispatcher.selection import sketch
from dispatcher.snapshot import Policy, Snapshot
from health.board import NEW_WORK, OLD_WORK, State, Verdict, Word
from tests.dispatcher.world import KEY, SERVER_A, SERVER_B, VIP, destination


def build(*members: Destination, policy: Policy | None = None) -> Snapshot:
    sets = by_set(members)
    return assemble(
        version=3,
        policy=policy or Policy(algorithm=DEFAULT),
        keys=(KEY,),
        listeners=(VIP,),
        pools={set_id: sketch(set_id, each, KEY) for set_id, each in sets.items()},
        numbers={
            set_id: tuple(10 * set_id + place for place in range(1, 1 + len(each))) for set_id, each in sets.items()
        },
    )


def test_sets_stand_in_ascending_order_and_keep_the_order_of_the_list() -> None:
    second = destination(SERVER_A, set_id=2)
    one, two = destination(SERVER_B, set_id=1), destination(SERVER_A, set_id=1)
    assert by_set([second, one, two]) == {1: (one, two), 2: (second,)}
    snapshot = build(second, one, two)
    assert snapshot.destinations == (one, two, second)
    assert snapshot.starts == {1: 0, 2: 2}
    assert snapshot.numbers == (11, 12, 21)
    assert snapshot.serving


def test_an_empty_list_serves_nobody() -> None:
    snapshot = build()
    assert not snapshot.serving
    assert snapshot.destinations == ()


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (0, State()),
        (INACTIVE, State(Word.ENABLED, Verdict.DOWN)),
        (DISABLED, State(Word.DISABLED, Verdict.UP)),
        (DISABLED | INACTIVE, State(Word.DISABLED, Verdict.DOWN)),
    ],
)
def test_flags_give_word_and_verdict(flags: int, state: State) -> None:
    assert state_of(destination(SERVER_A, flags=flags)) == state


DOWN = State(Word.ENABLED, Verdict.DOWN)


def test_states_are_those_of_the_board_and_else_those_of_the_list() -> None:
    whole = build(destination(SERVER_A), destination(SERVER_B))
    snapshot = with_states(whole, {12: DOWN})
    assert list(snapshot.liveness[1]) == [State().code, DOWN.code]
    assert snapshot.serving
    assert whole.liveness[1] == bytes([State().code] * 2)
    assert not with_states(whole, {11: DOWN, 12: DOWN}).serving
    assert with_states(whole, {99: DOWN}) is whole
    assert with_states(whole, {11: State()}) is whole


def test_the_operator_may_enable_what_the_list_disables() -> None:
    snapshot = with_states(build(destination(SERVER_A, flags=DISABLED)), {11: State()})
    assert list(snapshot.liveness[1]) == [State().code]


def test_who_asks_for_no_new_work_gets_none_while_others_take_it() -> None:
    whole = build(destination(SERVER_A), destination(SERVER_B), destination(SERVER_A, set_id=2))
    snapshot = with_states(whole, {}, avoided=(11, 21))
    assert [bool(code & NEW_WORK) for code in snapshot.liveness[1]] == [False, True]
    assert snapshot.liveness[1][0] & OLD_WORK
    assert snapshot.liveness[2] == whole.liveness[2], "nobody else is in that set"
    assert with_states(whole, {12: DOWN}, avoided=(11,)).liveness[1][0] & NEW_WORK, "nobody else lives"


def test_who_never_takes_new_work_is_nobody_to_leave_it_to() -> None:
    whole = build(destination(SERVER_A, weight=50), destination(SERVER_B, weight=0))
    assert with_states(whole, {}, avoided=(11,)) is whole
    assert with_states(whole, {}, avoided=(12,)).liveness[1][0] & NEW_WORK
    last_resort = build(destination(SERVER_A, weight=50), destination(SERVER_B))
    assert not with_states(last_resort, {}, avoided=(11,)).liveness[1][0] & NEW_WORK
    rules = (Rule(algorithm=parse_algorithm("relative-weight")),)
    members = destination(SERVER_A, weight=1, rweight=1), destination(SERVER_B, weight=1, rweight=0)
    both = build(*members, policy=Policy(algorithm=DEFAULT, rules=rules))
    assert with_states(both, {}, avoided=(11,)) is both, "by rweight the other one takes nothing"


def test_latencies_are_kept_for_sets_that_choose_by_them() -> None:
    policy = Policy(algorithm=DEFAULT, rules=(Rule(set_id=2, algorithm=parse_algorithm("latency")),))
    whole = build(destination(SERVER_A), *(destination(each, set_id=2) for each in (SERVER_A, SERVER_B)), policy=policy)
    snapshot = with_states(whole, {}, latency={11: 0.1, 22: 0.2})
    assert snapshot.latency == {2: (0.0, 0.2)}
    assert (snapshot.liveness, snapshot.ramp) == (whole.liveness, {})
    assert with_states(snapshot, {}).latency == {}
    assert with_states(whole, {}, latency={11: 0.1}) == attrs.evolve(whole, latency={2: (0.0, 0.0)})


def test_ramps_are_kept_where_somebody_has_one() -> None:
    whole = build(destination(SERVER_A), destination(SERVER_B), destination(SERVER_A, set_id=2))
    snapshot = with_states(whole, {}, ramp={12: 9, 21: 255})
    assert snapshot.ramp == {1: bytes((255, 9))}
    assert snapshot.serving
    assert snapshot.by_number is whole.by_number
    assert with_states(whole, {}, ramp={11: 255, 99: 3}) is whole


def test_it_serves_only_by_sets_that_are_in_use_and_destinations_with_a_weight() -> None:
    assert not build(destination(SERVER_A, set_id=2)).serving
    assert build(destination(SERVER_A, set_id=2), policy=Policy(algorithm=DEFAULT, rules=(Rule(set_id=2),))).serving
    assert not build(destination(SERVER_A, weight=0), destination(SERVER_B, weight=0)).serving
    assert sets_in_use(Policy(algorithm=DEFAULT, default_set=4, rules=(Rule(), Rule(set_id=2)))) == {2, 4}


def test_a_set_has_the_rankings_that_the_policy_and_its_rules_ask_of_it() -> None:
    tiers, relative = parse_algorithm("tiers"), parse_algorithm("relative-weight")
    policy = Policy(
        algorithm=DEFAULT,
        default_set=1,
        rules=(Rule(set_id=2), Rule(algorithm=tiers), Rule(set_id=3, algorithm=relative)),
    )
    assert rankings_of(policy, 1) == {Ranking.WEIGHT, Ranking.TIERS}
    assert rankings_of(policy, 2) == {Ranking.WEIGHT}
    assert rankings_of(policy, 3) == {Ranking.RELATIVE_WEIGHT}
    assert rankings_of(policy, 4) == frozenset()
