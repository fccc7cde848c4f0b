"""How are the figures laid out for people?"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import attrs

from bench.proxies import KAMAILIO, NULL


@attrs.frozen(kw_only=True)
class Figures:
    """One run of one proxy, or the medians of several; `evenness` is the busiest destination over the mean."""

    messages_per_second: float
    cpu_us: float
    lost: float
    bad: float
    evenness: float
    memory_mib: float
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0


def medians(rounds: Sequence[Figures]) -> Figures:
    """Column by column; the losses are those of the worst round."""
    return Figures(
        messages_per_second=median(each.messages_per_second for each in rounds),
        cpu_us=median(each.cpu_us for each in rounds),
        lost=max(each.lost for each in rounds),
        bad=max(each.bad for each in rounds),
        evenness=median(each.evenness for each in rounds),
        memory_mib=median(each.memory_mib for each in rounds),
        p50_us=median(each.p50_us for each in rounds),
        p99_us=median(each.p99_us for each in rounds),
        p999_us=median(each.p999_us for each in rounds),
    )


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    widths = [max(len(row[at]) for row in (headings, *rows)) for at in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "| " + " | ".join((first, *rest)) + " |"

    rule = "|".join(("-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])))
    return "\n".join((line(headings), f"|{rule}|", *map(line, rows)))


def comparison(results: Mapping[tuple[str, int], Sequence[Figures]], *, waits: bool = False) -> str:
    """A row for each proxy and number of destinations, with the ratios that outlast a change of machine.

    With `waits`, for a load at a rate, also how long the transactions took at most: half, 99 % and 99.9 % of them.
    """
    headings = [
        "proxy",
        "destinations",
        "messages/s",
        "CPU us/message",
        "lost",
        "bad",
        "busiest/mean",
        "MiB",
        "CPU/null",
        "rate/Kamailio",
    ]
    headings += ["p50 us", "p99 us", "p99.9 us"] if waits else []
    settled = {key: medians(rounds) for key, rounds in results.items()}
    rows = []
    for (name, count), figures in settled.items():
        floor, rival = settled.get((NULL, count)), settled.get((KAMAILIO, count))
        rows.append(
            [
                name,
                f"{count:,}",
                f"{figures.messages_per_second:,.0f}",
                f"{figures.cpu_us:.2f}",
                f"{figures.lost:.0f}",
                f"{figures.bad:.0f}",
                f"{figures.evenness:.2f}",
                f"{figures.memory_mib:.1f}",
                f"{figures.cpu_us / floor.cpu_us:.2f}" if floor else "",
                f"{figures.messages_per_second / rival.messages_per_second:.2f}" if rival else "",
                *([f"{us:,.0f}" for us in (figures.p50_us, figures.p99_us, figures.p999_us)] if waits else []),
            ]
        )
    return markdown(headings, rows)


def machine() -> str:
    """Where and with what the figures were made, in one line."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
