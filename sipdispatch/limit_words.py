"""How are limits and bans told to a person?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sipdispatch.notice_text import duration
from sipdispatch.time_words import span


def rate_words(limits: Mapping[str, Any]) -> str:
    """`50 messages/s from each source, burst 100`."""
    if limits["rate"] is None:
        return "no limit"
    return f"{limits['rate']:,} messages/s from each source, burst {limits['burst']:,}"


def limits_text(limits: Mapping[str, Any]) -> str:
    """A line for each fact."""
    return "\n".join(f"{label:<12}{words}".rstrip() for label, words in _facts(limits))


def _facts(limits: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "limit", rate_words(limits)
    after = limits["ban_after"]
    yield (
        "bans",
        f"{'by hand' if after is None else f'after {after:g} s over the limit'}, for {duration(limits['ban_for'])}",
    )
    for place, network in enumerate(limits["allow"]):
        yield "" if place else "allowed", network
    yield "over it", _counted(limits["over"], "source")
    yield "banned", f"{limits['banned']:,}; {_counted(limits['bans'], 'ban')} since the start"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def bans_text(document: Mapping[str, Any]) -> str:
    """A table of bans; those that end first in front."""
    now = document["now"]
    rows = [
        (
            each["source"],
            span(round(now - each["since"])),
            span(round(each["until"] - now)),
            f"{each['dropped']:,}",
            each["cause"],
        )
        for each in document["bans"]
    ]
    return _table(("SOURCE", "FOR", "LEFT", "DROPPED", "WHY"), rows) if rows else "nobody is banned"


def top_text(document: Mapping[str, Any]) -> str:
    """A table of the sources that are over their limit; the worst in front."""
    now = document["now"]
    rows = [(each["source"], span(round(now - each["since"])), f"{each['dropped']:,}") for each in document["sources"]]
    return _table(("SOURCE", "FOR", "DROPPED"), rows) if rows else "nobody is over the limit"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if head == "DROPPED" else cell.ljust(width)
            for head, cell, width in zip(heads, row, widths, strict=True)
        )
        for row in (heads, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)
