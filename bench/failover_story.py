"""What did a fault do to the address and to its client, by what was seen?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

NODES = ("A", "B")
LAST_LOOK_S = 0.25
"""Who has the client at the end is told by so much of its traffic."""


@attrs.frozen
class Answer:
    """The answer to a datagram of the client; times are of one clock, in seconds."""

    at: float
    number: int
    node: str


@attrs.frozen
class Move:
    """A node has got the address, or has lost it."""

    at: float
    node: str
    there: bool


@attrs.frozen
class Said:
    """An advert, or an announcement of the address (`priority` is None)."""

    at: float
    node: str
    priority: int | None = None


@attrs.frozen(kw_only=True)
class Record:
    """All that was seen; `sent` has the moment of each datagram by its number."""

    sent: Sequence[float]
    answers: Sequence[Answer]
    moves: Sequence[Move]
    said: Sequence[Said]


@attrs.frozen(kw_only=True)
class Moments:
    """When what was done; `heir` is the node that has to answer then, `healed_at` the end of the fault."""

    fault_at: float
    until: float
    heir: str
    healed_at: float | None = None
    host_died: bool = False
    """The node that is struck is not on the network any more, whatever addresses it has."""


@attrs.frozen(kw_only=True)
class Figures:
    """What a try gave; times in seconds."""

    outage: float
    """The longest time in which what the client sent was lost."""
    switch: float | None
    """From the fault to the heir's first answer; None: it never answered."""
    both: float
    """How long both nodes had the address,"""
    nobody: float
    """and how long none."""
    kept: float | None
    """From the fault until the node that is not the heir lost the address; None: it did not."""
    owners: str
    """Who had it at the end."""
    strayed: bool
    """Whether what the client sends at the end reaches no owner."""
    first: str
    """Whose advert was the first after the fault had ended; empty if it does not end."""


def figures(record: Record, moments: Moments) -> Figures:
    """Sum a try up."""
    first = (each.at for each in record.answers if each.node == moments.heir and each.at > moments.fault_at)
    switched_at = min(first, default=None)
    spans = list(ownership(record, moments))
    owners = spans[-1][1]
    return Figures(
        outage=_outage(record, moments),
        switch=None if switched_at is None else switched_at - moments.fault_at,
        both=sum(lasted for lasted, who in spans if len(who) > 1),
        nobody=sum(lasted for lasted, who in spans if not who),
        kept=_kept(record, moments),
        owners=owners,
        strayed=_strayed(record, moments, owners),
        first=_first(record, moments.healed_at),
    )


def ownership(record: Record, moments: Moments) -> Iterator[tuple[float, str]]:
    """How long who had the address, in order from the fault to the end: `A`, `AB`, empty for none."""
    owners: set[str] = set()
    since = moments.fault_at
    struck = "AB".replace(moments.heir, "") if moments.host_died else ""
    moves = sorted(record.moves, key=lambda move: move.at)
    for move in (*moves, Move(moments.until, "", there=False)):
        if moments.fault_at < move.at <= moments.until:
            yield move.at - since, "".join(sorted(owners - set(struck)))
            since = move.at
        if move.at <= moments.until:
            (owners.add if move.there else owners.discard)(move.node)


def story(record: Record, moments: Moments) -> list[str]:
    """What happened from the fault on, in order: `A releases`, `A loses`, `B has`, `B announces`, `B answers`.

    What follows upon itself is told once, and an answer only if it is another node's than the last one.
    """
    events = [(move.at, 1, f"{move.node} {'has' if move.there else 'loses'}") for move in record.moves]
    events += [(each.at, 0, f"{each.node} releases") for each in record.said if each.priority == 0]
    events += [(each.at, 2, f"{each.node} announces") for each in record.said if each.priority is None]
    events += [(each.at, 3, f"{each.node} answers") for each in record.answers]
    told: list[str] = []
    answering = ""
    for at, _, text in sorted(events):
        is_news = text != answering if text.endswith("answers") else text not in told[-1:]
        if is_news and moments.fault_at <= at <= moments.until:
            told.append(text)
        if text.endswith("answers"):
            answering = text
    return told


def _outage(record: Record, moments: Moments) -> float:
    answered = {each.number for each in record.answers}
    worst = 0.0
    begun: float | None = None
    for number, at in enumerate(record.sent):
        if not moments.fault_at <= at <= moments.until:
            continue
        if number in answered:
            begun = None
        else:
            begun = at if begun is None else begun
            following = record.sent[number + 1] if number + 1 < len(record.sent) else at
            worst = max(worst, following - begun)
    return worst


def _kept(record: Record, moments: Moments) -> float | None:
    lost = (move.at for move in record.moves if not move.there and move.node != moments.heir)
    after = [at - moments.fault_at for at in lost if moments.fault_at < at <= moments.until]
    return min(after, default=None)


def _first(record: Record, since: float | None) -> str:
    if since is None:
        return ""
    adverts = (each for each in record.said if each.priority is not None and each.at > since)
    return min(adverts, key=lambda each: each.at, default=Said(since, "")).node


def _strayed(record: Record, moments: Moments, owners: str) -> bool:
    by = {each.number: each.node for each in record.answers}
    asked = [n for n, at in enumerate(record.sent) if moments.until - LAST_LOOK_S <= at <= moments.until]
    good = sum(1 for number in asked if by.get(number, "nobody") in owners)
    return good < len(asked) / 2
