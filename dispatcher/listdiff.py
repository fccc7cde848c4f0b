"""What has changed between two readings of the dispatcher list?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from dispatcher.destination import Entry
from dispatcher.steps import Steps, stepwise

SHOWN_CHANGES = 5
"""Changed destinations that one line of log names; the rest are counted."""


@attrs.frozen
class Change:
    """One destination that stays, but no longer says the same."""

    before: Entry
    after: Entry

    def __str__(self) -> str:
        return f"{self.after.uri}: " + ", ".join(self._differences())

    def _differences(self) -> Iterator[str]:
        before, after = _facts(self.before), _facts(self.after)
        for name in before | after:
            old, new = before.get(name, "none"), after.get(name, "none")
            if old != new:
                yield f"{name} {old} -> {new}"


@attrs.frozen
class ListDiff:
    """Destinations that came, went and changed, each in file order.

    A destination is the same when set, host, port and transport are, however its URI is spelled.  `reordered` says
    that those which are in both lists stand in another order.
    """

    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[Change, ...]
    reordered: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.reordered)

    def __str__(self) -> str:
        """As in `2 added, 1 removed, 1 changed (sip:192.0.2.1: weight 50 -> 60)`, or `no change`."""
        words = []
        if self.added:
            words.append(f"{len(self.added)} added")
        if self.removed:
            words.append(f"{len(self.removed)} removed")
        if self.changed:
            names = [str(change) for change in self.changed[:SHOWN_CHANGES]]
            more = len(self.changed) - len(names)
            names += [f"and {more} more"] if more else []
            words.append(f"{len(self.changed)} changed ({'; '.join(names)})")
        if self.reordered:
            words.append("order changed")
        return ", ".join(words) or "no change"


@stepwise
def diff_lists(before: Sequence[Entry], after: Sequence[Entry]) -> Steps[ListDiff]:
    """Compare two lists that were accepted, so that no destination stands twice in a set of either."""
    old = yield from _by_key(before)
    new = yield from _by_key(after)
    added: list[Entry] = []
    removed: list[Entry] = []
    changed: list[Change] = []
    old_order: list[Entry] = []
    new_order: list[Entry] = []
    for key, entry in new.items():
        earlier = old.get(key)
        if earlier is None:
            added.append(entry)
        else:
            new_order.append(earlier)
            if earlier != entry:
                changed.append(Change(earlier, entry))
        yield
    for key, entry in old.items():
        (old_order if key in new else removed).append(entry)
        yield
    return ListDiff(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        reordered=any(one is not other for one, other in zip(old_order, new_order, strict=True)),
    )


def _by_key(entries: Sequence[Entry]) -> Steps[dict[tuple[int, str, int, str], Entry]]:
    found = {}
    for entry in entries:
        found[entry.key] = entry
        yield
    return found


def _facts(entry: Entry) -> dict[str, str]:
    """What a line says beside set and place, by the words that an operator knows."""
    return {"uri": entry.uri, "flags": str(entry.flags), "priority": str(entry.priority), **entry.attributes}
