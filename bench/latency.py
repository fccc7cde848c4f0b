"""How much longer does a transaction take through a proxy, at a part of what that proxy can do?

Each proxy is first measured as fast as answers come, then at parts of that rate; beside each the same rate without any
proxy, straight to a destination.  The difference is what the proxy adds, there and back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import attrs

from bench.load import Load, command, destinations, run, two_cpus
from bench.proxies import PURE, Proxy, proxies, running
from bench.rounds import asked, in_turn, status
from bench.table import machine, markdown

DESTINATIONS = 20
WINDOW = 4096
"""Transactions in flight at most: at a rate none waits for another's answer."""
FULL_WINDOW = 256


@attrs.frozen(kw_only=True)
class Waits:
    """What half, 99 % and 99.9 % of the transactions took at most, in microseconds; how many were lost."""

    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    lost: float

    @classmethod
    def of(cls, load: Load) -> Waits:
        """Of one run."""
        rate = load.got / load.seconds
        return cls(rate=rate, p50_us=load.p50_us, p99_us=load.p99_us, p999_us=load.p999_us, lost=load.lost)

    @classmethod
    def median(cls, rounds: Sequence[Waits]) -> Waits:
        """Of several runs; the loss is that of the worst."""
        return cls(
            rate=median(each.rate for each in rounds),
            p50_us=median(each.p50_us for each in rounds),
            p99_us=median(each.p99_us for each in rounds),
            p999_us=median(each.p999_us for each in rounds),
            lost=max(each.lost for each in rounds),
        )


@attrs.frozen
class Pair:
    """The same rate through a proxy and straight."""

    through: Sequence[Waits]
    straight: Sequence[Waits]


Results = Mapping[tuple[str, float], Pair]
"""By the proxy's name and the part of its maximum."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-latency ARGS=...", description=__doc__)
    asked(parser, rounds=5)
    add = parser.add_argument
    add("--seconds", type=float, default=2.0, help="how long each time (%(default)s)")
    add("--parts", type=float, nargs="+", default=[0.2, 0.5, 0.8], metavar="PART", help="of the maximum (%(default)s)")
    return parser.parse_args(argv)


def measure(proxy: Proxy, chosen: argparse.Namespace, work: Path, results: dict[tuple[str, float], Pair]) -> None:
    """One round of one proxy: its maximum, then each part of that through it and straight."""
    own_cpu, load_cpu = two_cpus()

    def load(*, rate: float, straight: bool = False) -> Load:
        window = WINDOW if rate else FULL_WINDOW
        argv = command(work, seconds=chosen.seconds, window=window, rate=rate, cpu=load_cpu, straight=straight)
        return run(argv, chosen.seconds)

    with (
        destinations(work, count=DESTINATIONS, cpu=load_cpu),
        running(proxy, work=work, count=DESTINATIONS, cpu=own_cpu),
    ):
        full = load(rate=0)
        for part in chosen.parts:
            rate = part * full.got / full.seconds
            pair = results.setdefault((proxy.name, part), Pair([], []))
            results[proxy.name, part] = Pair(
                [*pair.through, Waits.of(load(rate=rate))],
                [*pair.straight, Waits.of(load(rate=rate, straight=True))],
            )


def table(results: Results) -> str:
    """A row for each proxy and part: the whole waits and, in brackets, what of them the proxy adds."""
    rows = []
    for (name, part), pair in results.items():
        through, straight = Waits.median(pair.through), Waits.median(pair.straight)
        waits = (
            (through.p50_us, straight.p50_us),
            (through.p99_us, straight.p99_us),
            (through.p999_us, straight.p999_us),
        )
        cells = [f"{whole:,.0f} ({whole - without:+,.0f})" for whole, without in waits]
        rows.append([name, f"{part:.0%}", f"{through.rate:,.0f}", *cells, f"{through.lost:.0f}"])
    headings = ("proxy", "of its maximum", "transactions/s", "median, us (added)", "99 %", "99.9 %", "lost")
    return markdown(headings, rows)


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)

    def measured(work: Path) -> str:
        results: dict[tuple[str, float], Pair] = {}
        contenders = {
            proxy.name: proxy for proxy in proxies(work, [], chosen.only) if chosen.only or proxy.name != PURE
        }
        for proxy in in_turn(chosen.rounds, contenders):
            measure(proxy, chosen, work, results)
        return f"{machine()}; {DESTINATIONS} destinations\n\n{table(results)}"

    return status(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
