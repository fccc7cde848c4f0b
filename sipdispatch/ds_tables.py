"""What does a person see of the destinations?

One line for each where there is room for it, as in a file; on a narrow terminal two tables, whose numbers belong
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sipdispatch.printable import printable
from sipdispatch.screen import Screen
from sipdispatch.time_words import span

STYLES: Final = {"up": "green", "suspect": "yellow", "down": "red", "draining": "cyan", "disabled": "dim"}
"""By state."""
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")
_SCALES: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_EXACT_UP_TO: Final = 10_000

Destination = Mapping[str, Any]


@attrs.frozen
class Column:
    """A heading and what stands below it; numbers stand to the right, and whole."""

    heading: str
    cell: Callable[[Destination, float], str]
    number: bool = False


def list_text(shown: Mapping[str, Any], screen: Screen) -> str:
    """The result of `dispatcher.show` for a person."""
    sets = [one["destinations"] for one in shown["sets"]]
    laid_out = [_one_table(destinations, shown["now"]) for destinations in sets]
    if not all(map(screen.fits, laid_out)):
        laid_out = [_tables(destinations, shown["now"], screen) for destinations in sets]
    parts: list[RenderableType] = []
    for one, table in zip(shown["sets"], laid_out, strict=True):
        parts += [Text()] if parts else []
        parts += [Text(heading(one), style="bold"), table]
    return screen.text(*parts) if parts else "the list is empty"


def heading(one: Mapping[str, Any]) -> str:
    """What a set is, in one line."""
    members = one["destinations"]
    able = sum(each["state"] in ("up", "suspect") for each in members)
    return f"set {one['set']}: {one['algorithm']}, {able} of {len(members)} take new work"


def _one_table(destinations: Sequence[Destination], now: float) -> RenderableType:
    return _table((*_WHO, *_LOAD, *_replies(destinations), *_WHY), destinations, now)


def _tables(destinations: Sequence[Destination], now: float, screen: Screen) -> RenderableType:
    numbered = Column("#", lambda _, __: "", number=True)
    replies = _replies(destinations)
    work = [_table((numbered, *_LOAD, *replies), destinations, now)]
    if not screen.fits(work[0]):
        work = [_table((numbered, *columns), destinations, now) for columns in (_LOAD, replies) if columns]
    parts: list[RenderableType] = [_table((numbered, *_WHO, *_WHY), destinations, now)]
    for table in work:
        parts += [Text(), table]
    return Group(*parts)


def _replies(destinations: Sequence[Destination]) -> list[Column]:
    """The classes of replies that somebody has given."""

    def column(name: str) -> Column:
        return Column(name, lambda each, _: compact(each["replies"].get(name, 0)), number=True)

    return [column(name) for name in CLASSES if any(each["replies"].get(name) for each in destinations)]


def _table(columns: Sequence[Column], destinations: Sequence[Destination], now: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.number else "left",
            no_wrap=column.number,
            overflow="fold",
        )
    for place, each in enumerate(destinations, 1):
        cells = [str(place) if column.heading == "#" else column.cell(each, now) for column in columns]
        styles = [STYLES.get(each["state"], "") if column.heading == "state" else "" for column in columns]
        table.add_row(*(Text(printable(cell), style=style) for cell, style in zip(cells, styles, strict=True)))
    return table


def _name(each: Destination, _: float) -> str:
    """The URI as in the list, and the address where that says more."""
    uri, address = str(each["uri"]), str(each["address"])
    return uri if address.removesuffix(":5060") in uri else f"{uri} {address}"


def _why(each: Destination, now: float) -> str:
    """What led to its state, and for how long it still wants no new work."""
    until = each.get("avoided_until")  # an older proxy does not say it
    reasons = [str(each["cause"]), "" if until is None or until <= now else f"avoided for {span(until - now)}"]
    return "; ".join(filter(None, reasons)) or "-"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"


def compact(count: int) -> str:
    """A count with at most five letters: `9999`, `12.3k`, `4.5M`."""
    if count < _EXACT_UP_TO:
        return str(count)
    size, letter = next((size, letter) for size, letter in _SCALES if count >= size)
    return f"{count / size:.1f}{letter}"


_WHO: Final = (
    Column("state", lambda each, _: f"{each['letters']} {each['state']}"),
    Column("destination", _name),
    Column("since", lambda each, now: span(now - each["since"]), number=True),
)
_WHY: Final = (Column("why", _why),)
_LOAD: Final = (
    Column("weight", lambda each, _: "-" if each["weight"] is None else str(each["weight"]), number=True),
    Column("share", lambda each, _: f"{100 * each['share']:.1f} %", number=True),
    Column("calls", lambda each, _: compact(each["calls_active"]), number=True),
    Column("calls/s", lambda each, _: f"{each['calls_per_second']:.1f}", number=True),
    Column("msgs/s", lambda each, _: f"{each['messages_per_second']:.1f}", number=True),
    Column("RTT", lambda each, _: _milliseconds(each["rtt"]), number=True),
)
