"""Who got how many of the demo's calls, and is that what was promised?"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence

import attrs

from sip.uri import Address, host_port
from sipdispatch.demo_caller import Ended


class Act(enum.Enum):
    """The parts of the show; the value is the table's word for it."""

    BOTH = "both answer"
    ONE = "one killed"
    BACK = "back again"


@attrs.frozen
class Target:
    """One answerer as the dispatcher list has it."""

    address: Address
    weight: int

    def __str__(self) -> str:
        return host_port(self.address)


@attrs.define
class Tally:
    """The calls so far, by the act in which they were placed."""

    answered: Counter[tuple[Act, Address]] = attrs.field(factory=Counter)
    placed: Counter[Act] = attrs.field(factory=Counter)
    complete: int = 0
    lost: int = 0
    rescued: int = 0
    """Complete, although the INVITE had to be sent again."""

    @property
    def in_progress(self) -> int:
        return self.placed.total() - self.complete - self.lost

    def begin(self, act: Act) -> None:
        self.placed[act] += 1

    def end(self, act: Act, ended: Ended) -> None:
        """Note what became of a call that was placed in this act."""
        if ended.answered_by is not None:
            self.answered[act, ended.answered_by] += 1
        if not ended.complete:
            self.lost += 1
            return
        self.complete += 1
        self.rescued += ended.retransmitted

    def share(self, act: Act, target: Target) -> float | None:
        """The part of the act's answered calls that this one has got, None while there are none."""
        everyone = sum(count for (own, _), count in self.answered.items() if own is act)
        return self.answered[act, target.address] / everyone if everyone else None


def wanted_share(targets: Sequence[Target], target: Target, act: Act, killed: Target) -> float:
    """The part of the calls that the weights give it, when those who are dead get none."""
    if act is not Act.ONE:
        return target.weight / sum(each.weight for each in targets)
    if target == killed:
        return 0.0
    return target.weight / sum(each.weight for each in targets if each != killed)


def find_failures(tally: Tally, targets: Sequence[Target], killed: Target) -> list[str]:
    """What did not go as the show promises, in sentences; nothing when all went well."""
    failures = []
    if tally.lost:
        failures.append(f"{counted(tally.lost, 'call')} lost")
    if not any(tally.answered[Act.ONE, each.address] for each in targets if each != killed):
        failures.append(f"the calls did not move when {killed} was killed")
    if not tally.answered[Act.BACK, killed.address]:
        failures.append(f"no call came back to {killed}")
    return failures


def counted(number: int, word: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
