"""Do the tables that the threads share say what Python's say, whatever they are told?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.callfact import CallFact, CallStep
from dispatcher.callload import CallTable
from dispatcher.sent import SentBranches
from health.unanswered import Unanswered
from sip.uri import Address

fastpath = pytest.importorskip("dispatcher._fastpath", reason="the compiled fast path is not built")

PAUSES_S = st.sampled_from((0.0, 0.0, 0.03, 1.0, 5.0, 100.0, 4000.0))
NUMBERS = (1000, 1001, 1002)
ADDRESSES: tuple[Address, ...] = (("10.0.0.11", 5060), ("10.0.0.11", 5070), ("2001:db8::1", 5060))


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(CallStep), st.integers(0, 9), st.sampled_from((*NUMBERS, None)), PAUSES_S)),
)
def test_calls(entries: int, told: list[tuple[CallStep, int, int | None, float]]) -> None:
    ours, theirs = CallTable(entries), fastpath.CallTable(entries)
    now = 0.0
    for turn, (step, key, number, pause) in enumerate(told):
        now += pause
        fact = CallFact(key << 60 | key % 3, step)  # so that chains are longer than one
        if turn % 7 == 6:
            ours.forget(NUMBERS[0])
            theirs.forget(NUMBERS[0])
        if turn % 5 == 4:
            assert ours.expire(now) == theirs.expire(now)
        ours.note(fact, number, now)
        theirs.note(fact, number, now)
        assert len(ours) == len(theirs)
        for each in NUMBERS:
            assert ours.active(each) == theirs.active(each)
            assert ours.begun(each) == theirs.begun(each)
            assert ours.idle_since(each) == theirs.idle_since(each)
        assert ours.begun_by_number() == theirs.begun_by_number()


def sent(branch: int) -> bytes:
    return b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%016x;rport\r\n\r\n" % branch


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 12), st.sampled_from(ADDRESSES))))
def test_sent_branches(kept: int, told: list[tuple[int, Address]]) -> None:
    ours, theirs = SentBranches(kept), fastpath.SentBranches(kept)
    for branch, address in told:
        ours.remember(address, sent(branch))
        theirs.remember(address, sent(branch))
        for asked in range(13):
            for where in ADDRESSES:
                assert ours.went(where, b"%016x" % asked) == theirs.went(where, b"%016x" % asked)
                assert ours.was_sent(where, sent(asked)) == theirs.was_sent(where, sent(asked))


@given(st.lists(st.tuples(st.sampled_from(("sent", "answered", "overdue")), st.sampled_from(NUMBERS), PAUSES_S)))
def test_who_owes_an_answer(told: list[tuple[str, int, float]]) -> None:
    ours, theirs = Unanswered(), fastpath.Unanswered()
    now = 0.0
    for what, number, pause in told:
        now += pause
        if what == "sent":
            ours.sent(number, now)
            theirs.sent(number, now)
        elif what == "answered":
            ours.answered(number)
            theirs.answered(number)
        else:
            assert ours.overdue(now) == theirs.overdue(now)
