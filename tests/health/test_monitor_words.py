"""What becomes of a target by the operator's word, and over reloads and restarts."""

from __future__ import annotations

import math

import pytest

from health.board import Change, Remembered, State, Verdict, Word
from health.monitor import HOLD_S
from tests.health.farm import INACTIVE, target, world

# What the operator says


def test_a_word_is_a_change_with_its_cause() -> None:
    made, _ = world(target())
    made.run(2.0)
    assert made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    assert made.changes() == [Change(1, "word", "enabled", "draining", "operator: drain", 1002.0)]
    standing = made.standing()
    assert (standing.state, standing.since, standing.cause) == (
        State(Word.DRAINING, Verdict.UP),
        1002.0,
        "operator: drain",
    )
    assert made.monitor.set_word(1, Word.DRAINING, "again", made.now)
    assert made.changes() == []
    assert not made.monitor.set_word(99, Word.DRAINING, "nobody", made.now)


def test_what_drains_is_probed_and_what_is_disabled_is_not() -> None:
    made, servers = world(target())
    made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    made.run(5.0)
    assert len(made.sent) >= 4
    made.monitor.set_word(1, Word.DISABLED, "operator: disable", made.now)
    count = len(made.sent)
    servers.status[1] = 0
    made.monitor.unanswered(1, made.now)
    made.run(5.0)
    assert len(made.sent) == count
    made.monitor.set_word(1, Word.ENABLED, "operator: enable", made.now)
    made.run(0.001)
    assert len(made.sent) == count + 1
    made.run(2.0)
    assert made.verdict() is Verdict.DOWN
    assert made.standing().state.word is Word.ENABLED


def test_a_word_leaves_the_verdict_alone() -> None:
    made, servers = world(target())
    servers.status[1] = 0
    made.run(3.0)
    made.monitor.set_word(1, Word.DISABLED, "operator: disable", made.now)
    made.run(100.0)
    assert made.standing().state == State(Word.DISABLED, Verdict.DOWN)
    made.monitor.refused(1, made.now)
    made.run(100.0)
    assert made.standing().state == State(Word.DISABLED, Verdict.DOWN)


def test_what_is_disabled_and_refuses_the_end_of_its_calls_is_down_once_until_probes_say_otherwise() -> None:
    made, _ = world(target(listed=State(Word.DISABLED)))
    for _ in range(10):
        made.monitor.refused(1, made.now)
        made.run(HOLD_S + 0.1)
    assert made.told() == [(1, "up", "down", "refused a request (ICMP)")]
    made.monitor.set_word(1, Word.ENABLED, "operator: enable", made.now)
    made.run(2.0)
    assert made.standing().state == State(Word.ENABLED, Verdict.UP)


def test_a_refusal_of_what_is_disabled_and_never_probed_is_held() -> None:
    made, _ = world(target(listed=State(Word.DISABLED), probed=False))
    made.monitor.refused(1, made.now)
    assert made.standing().state == State(Word.DISABLED, Verdict.DOWN)
    made.run(HOLD_S + 0.1)
    assert made.standing().state == State(Word.DISABLED, Verdict.UP)


def test_who_is_enabled_by_the_operator_is_avoided_no_longer() -> None:
    made, _ = world(target())
    made.monitor.unavailable(1, 3600.0, made.now)
    version = made.monitor.version
    made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    assert made.standing().avoided_until
    made.monitor.set_word(1, Word.ENABLED, "operator: enable", made.now)
    made.monitor.unavailable(1, 3600.0, made.now)
    made.monitor.set_word(1, Word.ENABLED, "again", made.now)
    assert made.standing().avoided_until == 0.0
    assert made.monitor.version > version
    made.run(4000.0)


def test_reset_is_what_the_list_says() -> None:
    made, servers = world(target(1), target(2, listed=State(Word.DISABLED, Verdict.DOWN)), target(3))
    servers.status[1] = 0
    made.run(3.0)
    made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    made.monitor.set_word(2, Word.ENABLED, "operator: enable", made.now)
    made.run(3.0)
    made.monitor.unavailable(1, 100.0, made.now)
    assert made.verdict(2) is Verdict.UP
    made.changes()
    made.monitor.reset([1, 2, 3, 99], made.now)
    assert made.told() == [
        (1, "draining", "enabled", "operator: reset"),
        (1, "down", "up", "operator: reset"),
        (2, "enabled", "disabled", "operator: reset"),
        (2, "up", "down", "operator: reset"),
    ]
    assert made.standing(1).avoided_until == 0.0
    assert made.standing(1).probes > 0
    servers.status[1] = 200
    made.run(1.5)  # the probe that was under way fails
    assert made.standing(1).last_status == 200
    made.run(200.0)
    assert {change.number for change in made.changes()} == {1}
    assert made.standing(2).state == State(Word.DISABLED, Verdict.DOWN)


# Reload and restart


def test_a_reload_keeps_everything_of_what_stays() -> None:
    made, servers = world(target(1), target(2))
    servers.status[2] = 0
    made.run(10.0)
    made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    made.changes()
    before = made.monitor.board().standings
    version = made.monitor.version
    made.monitor.replace_targets([target(2, interval=2.0), target(1)], now=made.now)
    assert made.monitor.board().standings == before
    assert made.monitor.version == version
    made.monitor.replace_targets([target(2, interval=2.0), target(3)], now=made.now)
    assert set(made.monitor.board().standings) == {2, 3}
    assert made.standing(2) == before[2]
    assert made.monitor.version > version
    made.run(5.0)
    assert made.changes() == []
    assert made.standing(3).probes > 3


def test_a_list_that_says_inactive_now_takes_down_nobody_who_is_probed() -> None:
    made, _ = world(target())
    made.run(3.0)
    made.monitor.replace_targets([target(listed=INACTIVE)], now=made.now)
    made.run(3.0)
    assert made.changes() == []


def test_a_removed_target_is_forgotten() -> None:
    made, _ = world(target())
    made.monitor.unavailable(1, 10.0, made.now)
    made.run(0.0001)
    made.monitor.replace_targets([], now=made.now)
    made.monitor.remove(1)
    made.run(20.0)
    assert made.monitor.board().standings == {}
    assert made.monitor.get_timer() == math.inf
    assert len(made.sent) == 1


@pytest.mark.parametrize(
    ("before", "said", "after", "word"),
    [
        # The list's word, the operator's, the list's after a reload: which one holds.
        (Word.ENABLED, None, Word.DISABLED, Word.DISABLED),
        (Word.ENABLED, Word.DRAINING, Word.ENABLED, Word.DRAINING),
        (Word.ENABLED, Word.DRAINING, Word.DISABLED, Word.DISABLED),
        (Word.DISABLED, Word.ENABLED, Word.DISABLED, Word.ENABLED),
        (Word.DISABLED, Word.ENABLED, Word.ENABLED, Word.ENABLED),
        (Word.DISABLED, None, Word.ENABLED, Word.ENABLED),
    ],
)
def test_the_latest_word_holds(before: Word, said: Word | None, after: Word, word: Word) -> None:
    made, _ = world(target(listed=State(before)))
    if said is not None:
        made.monitor.set_word(1, said, "operator", made.now)
    made.monitor.replace_targets([target(listed=State(after), rise=5)], now=made.now)
    assert made.standing().state.word is word
    assert made.monitor.remembered()[1].word is (None if word is after else word)
    made.run(3.0)
    assert bool(made.sent) is (word is not Word.DISABLED)


def test_new_targets_may_have_to_prove_themselves() -> None:
    made, servers = world(target(1), target(2), target(3, probed=False), start=Verdict.DOWN)
    servers.status[2] = 0
    assert made.verdict(1) is Verdict.DOWN
    assert made.standing(1).cause == "waits for proof"
    assert made.verdict(3) is Verdict.UP, "nothing could ever prove it"
    made.run(3.0)
    assert made.verdict(1) is Verdict.UP
    assert made.verdict(2) is Verdict.DOWN
    assert made.told() == [(1, "down", "up", "2 good probes")]


def test_what_the_list_starts_inactive_waits_for_proof() -> None:
    made, _ = world(target(listed=INACTIVE))
    assert made.verdict() is Verdict.DOWN
    made.run(3.0)
    assert made.verdict() is Verdict.UP


def test_what_was_remembered_is_restored() -> None:
    made, servers = world(target(1), target(2), target(3), target(4, listed=State(Word.DISABLED)))
    servers.status[2] = 0
    made.run(4.0)
    made.monitor.set_word(1, Word.DRAINING, "operator: drain", made.now)
    made.monitor.set_word(4, Word.ENABLED, "operator: enable", made.now)
    servers.status[3] = 503
    made.monitor.unanswered(3, made.now)
    known = made.monitor.remembered()
    assert known == {
        1: Remembered(Word.DRAINING, Verdict.UP),
        2: Remembered(None, Verdict.DOWN),
        3: Remembered(None, Verdict.UP),
        4: Remembered(Word.ENABLED, Verdict.UP),
    }
    again, _ = world(
        target(1), target(2), target(4, listed=State(Word.DISABLED)), target(5), known=known, start=Verdict.DOWN
    )
    assert again.standing(1).state == State(Word.DRAINING, Verdict.UP)
    assert again.standing(1).cause == "as remembered"
    assert again.standing(2).state == State(Word.ENABLED, Verdict.DOWN)
    assert again.standing(4).state == State(Word.ENABLED, Verdict.UP)
    assert again.standing(5).state == State(Word.ENABLED, Verdict.DOWN)
    assert again.changes() == []
    assert again.monitor.remembered()[1] == known[1]


def test_what_was_remembered_as_down_and_is_not_probed_any_more_is_tried_again() -> None:
    made, _ = world(target(probed=False), known={1: Remembered(verdict=Verdict.DOWN)})
    assert made.verdict() is Verdict.DOWN
    made.run(HOLD_S + 0.1)
    assert made.verdict() is Verdict.UP


def test_a_hold_is_not_worth_remembering() -> None:
    made, _ = world(target(probed=False))
    made.monitor.refused(1, made.now)
    assert made.monitor.remembered() == {1: Remembered(None, Verdict.UP)}


def test_a_board_does_not_change() -> None:
    made, _ = world(target())
    board = made.monitor.board()
    before = dict(board.standings)
    made.run(5.0)
    made.monitor.refused(1, made.now)
    assert board.standings == before
