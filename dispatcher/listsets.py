"""Do the lines of one set agree with each other, and would Kamailio share calls among them in another way?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import attrs

from dispatcher.destination import Entry
from dispatcher.listattrs import KAMAILIO_WEIGHTS
from dispatcher.listword import Findings, Word, shown
from dispatcher.steps import Steps, stepwise

SHOWN_DESTINATIONS = 8
"""Shares of more destinations than this are cut in a message."""


@attrs.frozen(kw_only=True)
class Placed:
    """One line of the list as a value, with the words that a message about it points to.

    `priority` falls back to the destination where the line leaves that column out; `attributes` holds the names.
    """

    entry: Entry
    destination: Word
    priority: Word
    attributes: Mapping[str, Word]


@stepwise
def check_identities(lines: Sequence[Placed], found: Findings) -> Steps[None]:
    """No destination and no duid may stand twice in one set: both are what calls are keyed on."""
    destinations: dict[tuple[int, str, int, str], Entry] = {}
    duids: dict[tuple[int, str], Entry] = {}
    for placed in lines:
        yield
        entry = placed.entry
        first = destinations.setdefault(entry.key, entry)
        if first is not entry:
            found.error(
                placed.destination,
                f"destination stands twice in set {entry.set_id}: line {first.line} has {shown(first.uri)}",
                "delete one of the two; weight=N gives a destination more calls",
            )
        if entry.duid is None:
            continue
        first = duids.setdefault((entry.set_id, entry.duid), entry)
        if first is not entry:
            found.error(
                placed.attributes["duid"],
                f"duid {shown(entry.duid)} stands twice in set {entry.set_id}: line {first.line} has it",
                "write a duid of its own for each destination",
            )


@stepwise
def check_shares(lines: Sequence[Placed], found: Findings) -> Steps[None]:
    """Warn, once a set, where Kamailio would choose otherwise by the same numbers."""
    by_set = sorted(lines, key=lambda placed: placed.entry.set_id)
    for _, group in groupby(by_set, key=lambda placed: placed.entry.set_id):
        members = list(group)
        for check in (_check_weights, _check_priorities, _check_maxloads):
            yield
            check(members, found)


def kamailio_order(entries: Sequence[Entry]) -> list[int]:
    """Positions in Kamailio's own order: descending priority, and equal priorities in reverse file order."""
    return sorted(range(len(entries)), key=lambda i: (-entries[i].priority, -i))


def kamailio_shares(entries: Sequence[Entry]) -> list[int]:
    """How many calls of 100 each entry of a set gets by Kamailio's algorithm 9.

    Its table of 100 slots is filled in its own order; what is left goes to the last of that order, and when the first
    has no weight there is no table at all and the first gets everything.
    """
    shares = [0] * len(entries)
    order = kamailio_order(entries)
    weights = [entry.weight if entry.weight in KAMAILIO_WEIGHTS else None for entry in entries]
    if weights[order[0]] is None:
        shares[order[0]] = 100
        return shares
    left = 100
    for i in order:
        shares[i] = min(weights[i] or 0, left)
        left -= shares[i]
    shares[order[-1]] += left
    return shares


def _check_weights(members: Sequence[Placed], found: Findings) -> None:
    weighted = [placed for placed in members if placed.entry.weight is not None]
    if not weighted:
        return
    entries = [placed.entry for placed in members]
    set_id, at = entries[0].set_id, weighted[0].attributes["weight"]
    theirs = kamailio_shares(entries)
    if len(weighted) < len(entries):
        missing = next(placed for placed in members if placed.entry.weight is None)
        found.warning(
            missing.destination,
            f"set {set_id}: no weight here while other lines have one:"
            f" here it takes calls only when those are all down, Kamailio shares {_percent(theirs)} %",
            "write weight=N on each line of the set",
        )
        return
    total = sum(entry.weight or 0 for entry in entries)
    if total == 0:
        found.warning(at, f"set {set_id}: every weight is 0, no destination takes new calls", "write weight=N on one")
        return
    ours = [(entry.weight or 0) * 100 / total for entry in entries]
    if ours == theirs:
        return
    if total != 100:
        why = f"because they add up to {total}, not 100"
    else:
        first = entries[kamailio_order(entries)[0]]
        why = f"because line {first.line}, which it takes first, has no weight"
    found.warning(
        at,
        f"set {set_id}: weights share calls {_percent(ours)} % here, but {_percent(theirs)} % in Kamailio, {why}",
        "write weights from 1 to 100 that add up to 100 if both read this list",
    )


def _percent(shares: Sequence[float]) -> str:
    words = [f"{share:.1f}".removesuffix(".0") for share in shares[:SHOWN_DESTINATIONS]]
    return "/".join([*words, "..."] if len(shares) > SHOWN_DESTINATIONS else words)


def _check_priorities(members: Sequence[Placed], found: Findings) -> None:
    """Equal priorities matter only where priorities differ at all and no weights decide between equals."""
    if len({placed.entry.priority for placed in members}) == 1:
        return
    first: dict[int, Placed] = {}
    for placed in members:
        entry = placed.entry
        other = first.setdefault(entry.priority, placed)
        if other is placed or (entry.weight is not None and other.entry.weight is not None):
            continue
        found.warning(
            placed.priority,
            f"set {entry.set_id}: lines {other.entry.line} and {entry.line} have the same priority {entry.priority}:"
            " algorithm priority (8) takes the first of the file first here, in Kamailio the last",
            "write different priorities",
        )
        return


def _check_maxloads(members: Sequence[Placed], found: Findings) -> None:
    """Kamailio knows the calls of a destination by its duid."""
    for placed in members:
        entry = placed.entry
        if entry.maxload and entry.duid is None:
            found.warning(
                placed.attributes["maxload"],
                f"set {entry.set_id}: maxload without duid: Kamailio's call-load (10) counts no calls of a destination"
                " that has none",
                "write duid=NAME as well if both read this list",
            )
            return
