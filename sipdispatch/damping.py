"""What is worth a notice to people, and when: the first news at once, the rest summed up, no outage without its end?

The rules, for one notifier:

- A destination is told of at most once in `every` seconds.  What happens to it meanwhile is summed up at the end of
  that window, and told only if it is then in another state than the one last told.
- What happens to several destinations within `gather` seconds goes into one notice, and so does what happens within
  `spacing` seconds of the notice before: a rack that dies makes two notices, not forty.
- Suspect is no news: a destination that is not down is up.
- A notice that could not be delivered leaves it open what its reader believes: whatever is true then is told later.

Verbs: `happened` takes in what comes; when `get_timer` says so, `notice_to_send` gives a notice, and `delivered` or
`failed` tells what came of it, with nothing sent in between.  `last_notice` ends it all.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from sipdispatch.happening import Happening, Kind

EVERY_S: Final = 60.0
GATHER_S: Final = 0.5
SPACING_S: Final = 5.0
"""12 notices a minute at most: DingTalk and WeCom shut out who sends more than 20."""
FIRST_HOLD_S: Final = 30.0
"""Until the next notice after one that could not be delivered; doubled with each further one."""
LONGEST_HOLD_S: Final = 300.0
LISTED: Final = 10
"""Items that a notice lists; the others are counted."""

_TOLD_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    "verdict": ("up", "down"),
    "word": ("enabled", "draining", "disabled"),
    "list": ("reloaded", "refused"),
    "proxy": ("stopped", "started"),
    "ban": ("free", "banned"),
    "vrrp": ("backup", "active", "fault"),
}
"""The states that notices tell of, by kind; the first is what a reader believes who has heard nothing."""
_BAD: Final = frozenset({"down", "refused", "fault"})
_GONE: Final = "removed"
_ORDER: Final = (
    # The worst is listed first.
    "down fault refused stopped active backup banned disabled draining enabled started removed reloaded free up".split()
)


@attrs.frozen(kw_only=True)
class Item:
    """One thing that a notice tells: the state that something is in, since when (Unix time) and why.

    `state` is one of up, down and removed (kind verdict; the last has left the list while it was down), enabled,
    draining and disabled (word), reloaded and refused (list), started and stopped (proxy), banned and free (ban),
    backup, active and fault (vrrp).  `changes` counts those of the state since it was told last.  `lasted` is how long
    the trouble was that is over, in seconds, if that is known.
    """

    kind: Kind
    state: str
    since: float
    cause: str
    changes: int = 1
    lasted: float | None = None
    set_id: int | None = None
    uri: str = ""
    address: str = ""
    number: int = 0

    def to_json(self) -> dict[str, object]:
        """The same facts as plain values, under the same names; `set` for the set's number."""
        values = attrs.asdict(self)
        values["set"] = values.pop("set_id")
        return values


@attrs.frozen(kw_only=True)
class Notice:
    """What is told at once: the first of its items, the worst in front; `counts` has all of them by state.

    `sets` are those whose destinations have gone down or come back.  A notice without items is a test.
    """

    items: tuple[Item, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict)
    sets: tuple[int, ...] = ()

    @property
    def more(self) -> int:
        """How many are counted and not listed."""
        return sum(self.counts.values()) - len(self.items)


@attrs.define
class _Fact:
    """One thing that can change about a subject: what is true, and what the reader believes (None: nobody knows)."""

    told: str | None
    state: str
    since: float = 0.0
    cause: str = ""
    changes: int = 0
    bad_since: float | None = None
    """When the trouble began that the reader knows of."""

    @property
    def differs(self) -> bool:
        return self.state != self.told


@attrs.define
class _Subject:
    """A destination, the list or the proxy.  `open_at`: not told of before; `due`: to be looked at then, or None."""

    of: Happening
    facts: dict[Kind, _Fact] = attrs.Factory(dict)
    open_at: float = 0.0
    due: float | None = None

    @property
    def differs(self) -> bool:
        return any(fact.differs for fact in self.facts.values())


@attrs.frozen
class _Sent:
    """A fact in a notice that is on its way, and what was noted of it before."""

    fact: _Fact
    changes: int
    bad_since: float | None


_Key = int | str
"""A destination by its number, a source by its address; list, proxy and the address that moves by their kinds."""


class Damping:
    """What one notifier has told and has still to tell.  Times are seconds of one monotonic clock."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        *,
        every: float = EVERY_S,
        gather: float = GATHER_S,
        spacing: float = SPACING_S,
    ) -> None:
        self._kinds = frozenset(kinds)
        self._every = every
        self._gather = gather
        self._spacing = spacing
        self._subjects: dict[_Key, _Subject] = {}
        self._waiting: dict[_Key, _Subject] = {}
        self._due: list[tuple[float, int, _Key]] = []
        self._pushed = 0
        self._not_before = 0.0
        self._on_its_way: tuple[dict[_Key, _Subject], tuple[_Sent, ...]] | None = None
        self._failures = 0

    def happened(self, happening: Happening, now: float) -> None:
        """Take in what has happened; what is no news changes nothing."""
        kind, after = happening.kind, happening.after
        if kind == "list" and after == _GONE:
            self._removed(happening, now)
            return
        if kind not in self._kinds or after not in _TOLD_OF[kind]:
            return
        key = _key_of(happening)
        subject = self._subjects.get(key) or _Subject(happening)
        believed = _believed(happening)
        fact = subject.facts.get(kind) or _Fact(believed, believed)
        if after != fact.state:
            self._change(fact, happening)
            subject.of = happening
            subject.facts[kind] = fact
            self._subjects[key] = subject
            self._wait(key, subject, max(now + self._gather, subject.open_at))

    def _removed(self, happening: Happening, now: float) -> None:
        """A destination has left the list: that is the end of an outage that was told, and of everything else."""
        subject = self._subjects.get(happening.number)
        if subject is None:
            return
        fact = subject.facts.get("verdict")
        if fact is None or fact.told == "up":
            if fact is not None and self._is_on_its_way(happening.number, subject):  # and may not arrive
                if fact.state != fact.told:
                    self._change(fact, happening)
                    fact.state = "up"
                subject.facts = {"verdict": fact}
                return
            subject.facts = {}
            if now < subject.open_at:  # should it come back, it is the same one: its window goes on
                self._wait(happening.number, subject, subject.open_at)
                return
            del self._subjects[happening.number]
            self._waiting.pop(happening.number, None)
            return
        subject.facts = {"verdict": fact}
        self._change(fact, happening)
        self._wait(happening.number, subject, max(now + self._gather, subject.open_at))

    def _is_on_its_way(self, key: _Key, subject: _Subject) -> bool:
        return self._on_its_way is not None and self._on_its_way[0].get(key) is subject

    @staticmethod
    def _change(fact: _Fact, happening: Happening) -> None:
        fact.state = happening.after
        fact.since = happening.at
        fact.cause = happening.cause
        fact.changes += 1

    def _wait(self, key: _Key, subject: _Subject, due: float) -> None:
        if subject.due is None:
            self._look_at(key, subject, due)

    def _look_at(self, key: _Key, subject: _Subject, due: float) -> None:
        subject.due = due
        self._waiting[key] = subject
        self._pushed += 1
        heapq.heappush(self._due, (due, self._pushed, key))

    def _stop_waiting(self, key: _Key, subject: _Subject) -> None:
        subject.due = None
        self._waiting.pop(key, None)

    def get_timer(self) -> float | None:
        """When `notice_to_send` is to be called; None: not before something happens."""
        if self._on_its_way is not None:
            return None
        while self._due:
            due, _, key = self._due[0]
            subject = self._waiting.get(key)
            if subject is not None and subject.due == due:
                return max(due, self._not_before)
            heapq.heappop(self._due)  # left behind by a subject that was put off, told of or removed
        return None

    def notice_to_send(self, now: float) -> Notice | None:
        """What is to be told now, if anything; `delivered` or `failed` must follow before the next one."""
        timer = self.get_timer()
        if timer is None or now < timer:
            return None
        is_time = False
        while (timer := self.get_timer()) is not None and timer <= now:
            key = heapq.heappop(self._due)[2]
            subject = self._waiting[key]
            is_time = is_time or subject.differs
            if not subject.differs:
                self._settle(key, subject)
            else:
                subject.due = now  # is told of below: there is no other that its entry could be taken for
        if not is_time:
            return None
        return self._compose({key: each for key, each in self._waiting.items() if each.differs and each.open_at <= now})

    def last_notice(self) -> Notice | None:
        """Everything that is true and not told, whatever the window; for the end.  One on its way counts as told."""
        return self._compose({key: subject for key, subject in self._subjects.items() if subject.differs})

    def delivered(self, now: float) -> None:
        """The notice has reached its reader: the windows of all that it told begin."""
        self._failures = 0
        self._not_before = now + self._spacing
        self._land(open_at=now + self._every, due=now + self._every)

    def failed(self, now: float) -> None:
        """The notice may not have reached its reader, who is told again after a while, longer with each failure."""
        hold = min(FIRST_HOLD_S * 2**self._failures, LONGEST_HOLD_S)
        self._failures = min(self._failures + 1, 10)
        self._not_before = now + hold
        for sent in () if self._on_its_way is None else self._on_its_way[1]:
            sent.fact.told = None
            sent.fact.changes += sent.changes
            if sent.fact.bad_since is None:
                sent.fact.bad_since = sent.bad_since
        self._land(open_at=now, due=now + hold)

    def _land(self, *, open_at: float, due: float) -> None:
        subjects = {} if self._on_its_way is None else self._on_its_way[0]
        self._on_its_way = None
        for key, subject in subjects.items():
            if self._subjects.get(key) is subject:
                subject.open_at = open_at
                self._look_at(key, subject, due)

    def _settle(self, key: _Key, subject: _Subject) -> None:
        """A window ended with nothing to tell: forget the subject, unless its trouble goes on."""
        self._stop_waiting(key, subject)
        if not any(fact.state in _BAD for fact in subject.facts.values()):
            del self._subjects[key]

    def _compose(self, subjects: dict[_Key, _Subject]) -> Notice | None:
        items: list[Item] = []
        sent: list[_Sent] = []
        for key, subject in subjects.items():
            self._stop_waiting(key, subject)
            for kind, fact in subject.facts.items():
                if fact.differs:
                    item = _item(kind, fact, subject.of)
                    items.append(item)
                    sent.append(_Sent(fact, fact.changes, fact.bad_since))
                    fact.told, fact.changes = fact.state, 0
                    fact.bad_since = fact.since if fact.state in _BAD else None
        if not items:
            return None
        self._on_its_way = (subjects, tuple(sent))
        return _notice(items)


def _key_of(happening: Happening) -> _Key:
    if happening.kind in ("verdict", "word"):
        return happening.number
    return happening.address if happening.kind == "ban" else happening.kind


def _believed(happening: Happening) -> str:
    """What a reader who has not been told of this subject yet takes for its state.

    A destination that was down before the first news of it may have been told of by the process before this one.
    That the proxy starts or stops is always news.
    """
    states = _TOLD_OF[happening.kind]
    if happening.kind == "proxy":
        return states[happening.after == states[0]]
    return happening.before if happening.before in states else states[0]


def _item(kind: Kind, fact: _Fact, of: Happening) -> Item:
    is_over = fact.state not in _BAD and fact.bad_since is not None
    return Item(
        kind=kind,
        state=fact.state,
        since=fact.since,
        cause=fact.cause,
        changes=fact.changes,
        lasted=max(0.0, fact.since - fact.bad_since) if is_over and fact.bad_since is not None else None,
        set_id=of.set_id,
        uri=of.uri,
        address=of.address,
        number=of.number,
    )


def _notice(items: list[Item]) -> Notice:
    items.sort(key=lambda item: (_ORDER.index(item.state), item.since, item.number))
    counts: dict[str, int] = {}
    for item in items:
        counts[item.state] = counts.get(item.state, 0) + 1
    sets = {item.set_id for item in items if item.kind == "verdict" and item.set_id is not None}
    return Notice(items=tuple(items[:LISTED]), counts=counts, sets=tuple(sorted(sets)))
