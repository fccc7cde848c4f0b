"""What is known about a target, and what may be sent to it?

Two facts, kept apart: the operator's word and the verdict of the probes.  Together they make one byte, the liveness
code, which is all that a choice reads.  The board shows both for each target, with what led to them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal, assert_never

import attrs


class Word(enum.Enum):
    """What the operator wants."""

    ENABLED = 0
    DRAINING = 1
    """No new work; what has begun goes on."""
    DISABLED = 2
    """Nothing but what belongs to a dialog or follows its own INVITE."""


class Verdict(enum.Enum):
    """What the probes say."""

    UP = 0
    SUSPECT = 1
    """One probe has failed and the next is on its way: still as good as up (Kamailio's TRYING)."""
    DOWN = 2


NEW_WORK: Final = 1
"""Bit of a liveness code: may be chosen for new work (enabled, up or suspect)."""
OLD_WORK: Final = 2
"""Bit of a liveness code: keeps the transactions that were given to it (enabled or draining, up or suspect)."""

_VERDICT_SHIFT = 2
_WORD_SHIFT = 4
_TWO_BITS = 3


@attrs.frozen
class State:
    """Word and verdict of one target."""

    word: Word = Word.ENABLED
    verdict: Verdict = Verdict.UP
    code: int = attrs.field(init=False, eq=False, repr=False)
    """The liveness code, one byte: bits 0 and 1 NEW_WORK and OLD_WORK, 2 and 3 the verdict, 4 and 5 the word."""

    @property
    def takes_new_work(self) -> bool:
        return self.word is Word.ENABLED and self.verdict is not Verdict.DOWN

    @property
    def keeps_old_work(self) -> bool:
        return self.word is not Word.DISABLED and self.verdict is not Verdict.DOWN

    @code.default
    def _make_code(self) -> int:
        bits = (self.takes_new_work and NEW_WORK) | (self.keeps_old_work and OLD_WORK)
        return bits | self.verdict.value << _VERDICT_SHIFT | self.word.value << _WORD_SHIFT

    def letters(self, *, probed: bool = True) -> str:
        """Kamailio's two letters, as `kamcmd dispatcher.list` prints them.

        A active, T trying, I inactive, D no new work by the operator's word; then P probed, X not.  A disabled target
        is never probed (DX), a draining one, which Kamailio does not know, may be (DP).
        """
        second = "P" if probed else "X"
        match self.word:
            case Word.DISABLED:
                return "DX"
            case Word.DRAINING:
                return "D" + second
            case Word.ENABLED:
                return {Verdict.UP: "A", Verdict.SUSPECT: "T", Verdict.DOWN: "I"}[self.verdict] + second
        assert_never(self.word)


def state(code: int) -> State:
    """The state that a liveness code stands for; raises ValueError when it stands for none."""
    return State(Word(code >> _WORD_SHIFT & _TWO_BITS), Verdict(code >> _VERDICT_SHIFT & _TWO_BITS))


@attrs.frozen
class Standing:
    """What is known of one target.  Moments and times are seconds, moments of the clock that the probes go by."""

    state: State
    since: float
    """When its word or its verdict last changed."""
    cause: str
    """Why it did, for people."""
    rtt: float | None
    """From a probe to its answer, lately; from the first sending if it was sent twice."""
    latency: float | None
    """The moving average of `rtt`."""
    probes: int
    """Probes that have had a result."""
    failures: int
    """Those of them that failed."""
    avoided_until: float
    """It has asked for no new work until then; whether others can take it is the asker's to see.  0.0: it has not."""
    back_since: float | None
    """When it last came up from down; None if it never was down, or is."""
    last_status: int
    """The status of the last answer to a probe, 0 before the first and after a failure without one."""


@attrs.frozen
class Board:
    """All targets by number, as they stood at one moment; a number that is missing is none of ours."""

    standings: Mapping[int, Standing]


@attrs.frozen
class Change:
    """A word or a verdict has changed: `before` and `after` are names of the enumeration in lower case."""

    number: int
    what: Literal["verdict", "word"]
    before: str
    after: str
    cause: str
    """For people."""
    at: float
    """Seconds of the clock that the probes go by."""


@attrs.frozen
class Remembered:
    """What of a target outlives the program."""

    word: Word | None = None
    """The operator's; None when it is the list's."""
    verdict: Verdict = Verdict.UP
