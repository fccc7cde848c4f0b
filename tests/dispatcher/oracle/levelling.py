"""What did both proxies make of a message, and what of it is left when their differences are taken out?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import attrs

from sip.uri import Address
from tests.dispatcher.oracle.calls import Case
from tests.dispatcher.oracle.meaning import Output, Raw, Via

Outputs = tuple[Output, ...]
CORE = ("10.0.0.31", "10.0.0.32")


@attrs.frozen
class Asked:
    """A message as our proxy got it, what is wrong with it, and what both made of it."""

    case: Case
    data: bytes
    raw: Raw
    source: Address
    faults: tuple[str, ...]
    ours: Outputs
    theirs: Outputs
    is_genuine: bool
    """A reply that belongs to a request which went through our proxy, in all that our branch covers."""

    @property
    def from_core(self) -> bool:
        return self.source[0] in CORE

    @property
    def vias(self) -> list[Via]:
        return [Via.read(value) for value in self.raw.values("via")]

    @property
    def via(self) -> Via:
        """The top one."""
        return next(iter(self.vias), Via())

    @property
    def routes(self) -> str:
        return ", ".join(self.raw.values("route"))

    @property
    def calls(self) -> set[str]:
        """The calls whose Route is in the message, `path` for the registration."""
        found = re.findall(rb"\{(?:URI:)?(?:CALLER|CALLEE):(\w+)\}", self.case.text)
        return {call.decode() for call in found} | ({"path"} if b"{PATH}" in self.case.text else set())


Level = Callable[[Asked], tuple[Outputs, Outputs] | None]


@attrs.frozen
class Difference:
    """`level` gives what both have done with this difference taken out, None where it does not hold."""

    name: str
    reason: str
    level: Level


def levelled(asked: Asked, differences: Sequence[Difference]) -> tuple[Asked, tuple[str, ...]]:
    """What is left after each of these differences is taken out, and which of them there were."""
    found: list[str] = []
    changed = True
    while changed and asked.ours != asked.theirs:
        changed = False
        for difference in differences:
            level = difference.level(asked)
            if level is not None and level != (asked.ours, asked.theirs):
                asked = attrs.evolve(asked, ours=level[0], theirs=level[1])
                found.append(difference.name)
                changed = True
            if asked.ours == asked.theirs:
                break
    return asked, tuple(dict.fromkeys(found))
