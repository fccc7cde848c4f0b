"""Word and verdict: what each pair of them allows, and how it is coded and printed."""

from __future__ import annotations

import itertools

import pytest

from health.board import NEW_WORK, OLD_WORK, State, Verdict, Word, state

EVERY_STATE = [State(word, verdict) for word, verdict in itertools.product(Word, Verdict)]

TABLE = [
    # word, verdict, new work, old work, letters when probed and when not
    (Word.ENABLED, Verdict.UP, NEW_WORK, OLD_WORK, "AP", "AX"),
    (Word.ENABLED, Verdict.SUSPECT, NEW_WORK, OLD_WORK, "TP", "TX"),
    (Word.ENABLED, Verdict.DOWN, 0, 0, "IP", "IX"),
    (Word.DRAINING, Verdict.UP, 0, OLD_WORK, "DP", "DX"),
    (Word.DRAINING, Verdict.SUSPECT, 0, OLD_WORK, "DP", "DX"),
    (Word.DRAINING, Verdict.DOWN, 0, 0, "DP", "DX"),
    (Word.DISABLED, Verdict.UP, 0, 0, "DX", "DX"),
    (Word.DISABLED, Verdict.SUSPECT, 0, 0, "DX", "DX"),
    (Word.DISABLED, Verdict.DOWN, 0, 0, "DX", "DX"),
]


@pytest.mark.parametrize(("word", "verdict", "new", "old", "probed", "unprobed"), TABLE)
def test_what_may_be_sent_and_what_kamailio_would_print(
    word: Word, verdict: Verdict, new: int, old: int, probed: str, unprobed: str
) -> None:
    found = State(word, verdict)
    assert (found.takes_new_work, found.keeps_old_work) == (bool(new), bool(old))
    assert (found.code & NEW_WORK, found.code & OLD_WORK) == (new, old)
    assert (found.letters(), found.letters(probed=False)) == (probed, unprobed)


def test_the_table_has_every_state() -> None:
    assert {(word, verdict) for word, verdict, *_ in TABLE} == set(itertools.product(Word, Verdict))


@pytest.mark.parametrize("found", EVERY_STATE)
def test_a_code_is_one_byte_and_says_the_state(found: State) -> None:
    assert 0 < found.code < 256
    assert state(found.code) == found


def test_every_state_has_a_code_of_its_own() -> None:
    assert len({found.code for found in EVERY_STATE}) == len(EVERY_STATE)


@pytest.mark.parametrize("code", [0b0000_1100, 0b0011_0000])
def test_a_byte_that_is_no_code_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        state(code)


def test_a_target_starts_enabled_and_up() -> None:
    assert State() == State(Word.ENABLED, Verdict.UP)
