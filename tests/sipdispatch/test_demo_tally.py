"""Does the demo count its calls right, and say so when a promise is broken?"""

from __future__ import annotations

import pytest

from sipdispatch.demo_caller import Ended
from sipdispatch.demo_tally import Act, Tally, Target, counted, find_failures, wanted_share

A = Target(("127.0.0.2", 5060), 70)
B = Target(("127.0.0.3", 5060), 30)
C = Target(("127.0.0.4", 5060), 10)


def play(*calls: tuple[Act, Target | None]) -> Tally:
    tally = Tally()
    for act, target in calls:
        tally.begin(act)
        if target is not None:
            tally.end(act, Ended(target.address, complete=True, retransmitted=False))
        else:
            tally.end(act, Ended(None, complete=False, retransmitted=True))
    return tally


GOOD = ((Act.BOTH, A), (Act.BOTH, B), (Act.ONE, B), (Act.BACK, A))


def test_shares() -> None:
    tally = play(*GOOD)
    assert tally.share(Act.BOTH, A) == 0.5
    assert tally.share(Act.ONE, A) == 0
    assert Tally().share(Act.ONE, A) is None
    assert (tally.complete, tally.lost, tally.rescued, tally.in_progress) == (4, 0, 0, 0)


def test_a_call_in_progress_is_neither_complete_nor_lost() -> None:
    tally = Tally()
    tally.begin(Act.BOTH)
    assert (tally.in_progress, tally.complete, tally.lost) == (1, 0, 0)


def test_a_rescued_call_is_complete_and_an_answered_one_may_be_lost() -> None:
    tally = Tally()
    for ended in (
        Ended(A.address, complete=True, retransmitted=True),
        Ended(A.address, complete=False, retransmitted=True),
    ):
        tally.begin(Act.ONE)
        tally.end(Act.ONE, ended)
    assert (tally.complete, tally.lost, tally.rescued) == (1, 1, 1)


@pytest.mark.parametrize(
    ("act", "target", "share"),
    [(Act.BOTH, A, 70 / 110), (Act.BACK, C, 10 / 110), (Act.ONE, A, 0), (Act.ONE, B, 0.75), (Act.ONE, C, 0.25)],
)
def test_the_dead_have_no_share_and_the_others_theirs_by_weight(act: Act, target: Target, share: float) -> None:
    assert wanted_share((A, B, C), target, act, A) == pytest.approx(share)


@pytest.mark.parametrize(
    ("calls", "failures"),
    [
        (GOOD, []),
        ((*GOOD, (Act.ONE, None)), ["1 call lost"]),
        ((*GOOD, (Act.ONE, None), (Act.BOTH, None)), ["2 calls lost"]),
        (((Act.BOTH, A), (Act.BACK, A)), ["the calls did not move when 127.0.0.2:5060 was killed"]),
        (((Act.ONE, B), (Act.BACK, B)), ["no call came back to 127.0.0.2:5060"]),
    ],
)
def test_what_went_wrong(calls: tuple[tuple[Act, Target | None], ...], failures: list[str]) -> None:
    assert find_failures(play(*calls), (A, B), A) == failures


def test_one_call_and_two_calls() -> None:
    assert (counted(1, "call"), counted(0, "call")) == ("1 call", "0 calls")
