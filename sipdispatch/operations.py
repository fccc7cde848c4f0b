"""What may be asked of a running proxy?  The seam between the control socket, HTTP and the proxy itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import attrs
import trio

from dispatcher.limits import Ban, Over
from dispatcher.problem import Problem
from health.board import Word
from sipdispatch.facts import LimitFacts, ProxyFacts
from sipdispatch.happening import Happening


class OperationError(Exception):
    """Something that was asked cannot be done: what, where and what to do instead, for people."""

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy


@attrs.frozen(kw_only=True)
class ReloadReport:
    """What reading the list again makes, or would make, different.

    `done` is False when the list was refused (`problems` has errors) and after a dry run.  The sequences are lines for
    people, one for each destination, without what stays as it is.
    """

    done: bool
    dry_run: bool = False
    destinations: int = 0
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()
    problems: Sequence[Problem] = ()


class Telling(Protocol):
    """The running proxy, for those who only want to know."""

    def facts(self) -> ProxyFacts:
        """Everything that can be told, as of now."""

    def history(self, set_id: int | None = None, name: str | None = None) -> Sequence[Happening]:
        """The last happenings, oldest first, of a destination or of all."""

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on; a follower that is too slow loses some and sees a gap in `sequence`."""


class LimitOperations(Protocol):
    """The limits and bans of the running proxy, for those who steer it.  Moments are Unix time.

    A source is an address or a network.  Whatever cannot be done raises OperationError and changes nothing.
    """

    def now(self) -> float:
        """The moment that the others are told against."""

    def facts(self) -> LimitFacts:
        """What is in force, and whom it hits."""

    def bans(self) -> tuple[Ban, ...]:
        """All bans, those that end first in front."""

    def top(self, count: int) -> tuple[Over, ...]:
        """The sources that are over their limit, those of whom most is dropped in front."""

    def change(self, asked: Mapping[str, float | None], *, by: str) -> LimitFacts:
        """Set those of rate, burst, ban_after and ban_for that are not None, until the next start; 0 is none."""

    def ban(self, source: str, seconds: float | None, *, by: str) -> Ban:
        """Hear nobody of a source for so long; None: for as long as the bans of the limits' own last."""

    def unban(self, source: str, *, by: str) -> Ban:
        """Hear them again."""


class Operations(Protocol):
    """The running proxy, for those who steer it.

    A destination is named by its set and its URI as in the list (any equal spelling), its `host:port`, or its duid;
    `all` names every one of the set.  Whatever cannot be done raises OperationError and changes nothing.
    `by` says who asked, for the log and the history.
    """

    @property
    def limiting(self) -> LimitOperations:
        """The limits and the bans."""

    def facts(self) -> ProxyFacts:
        """Everything that can be told, as of now."""

    async def set_word(self, set_id: int, name: str, word: Word, *, by: str) -> int:
        """Give destinations the operator's word; how many have it now."""

    async def wait_drained(self, set_id: int, name: str) -> None:
        """Return when these destinations have no call, and what belonged to the last one has been said."""

    async def reload(self, *, dry_run: bool = False, reset_state: bool = False, by: str) -> ReloadReport:
        """Read the list again, with `reset_state` its words and verdicts too.  Two at once take turns."""

    async def add(self, line: str, *, save: bool = False, by: str) -> ReloadReport:
        """Add the destination of one line in the list's own grammar; with `save` the file gets the line too."""

    async def remove(self, set_id: int, name: str, *, save: bool = False, by: str) -> ReloadReport:
        """Take a destination out of the list in force; with `save` out of the file too."""

    async def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Where a message would go and why: the JSON of `sipdispatch explain --json` for the same question."""

    def slot(self, key: str) -> int:
        """The slot of a key among 65,536."""

    def history(self, set_id: int | None = None, name: str | None = None) -> Sequence[Happening]:
        """The last happenings, oldest first, of a destination or of all."""

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on; a follower that is too slow loses some and sees a gap in `sequence`."""
