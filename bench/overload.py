"""What comes through a proxy that is offered more than it can forward, as part of what comes through at best?

Each proxy is held to a part of its CPU, so that the load generator can offer several times what it forwards.  First
the most that comes through is looked for at growing loads; then come multiples of that, and all that the generator can
send.
What counts is what arrived: requests at the servers and answers at the client.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import attrs

from bench.held import held
from bench.load import Destinations, Load, Shares, command, destinations, run, two_cpus
from bench.processes import memory_mib
from bench.proxies import PURE, Proxy, proxies, running
from bench.rounds import asked, in_turn, status
from bench.table import machine, markdown

DESTINATIONS = 20
FULL_WINDOW = 256
NO_WINDOW = 1_000_000_000
"""Transactions in flight: what is lost remains there, and is no reason to send less."""
GROWING = (0.6, 0.8, 1.0, 1.2, 1.5)
"""Parts of what is forwarded when a transaction begins as another ends: loads among which the best is looked for."""
MULTIPLES = (1.5, 2.0, 4.0)
ALL = "all"


@attrs.frozen(kw_only=True)
class Offered:
    """One run: transactions a second that were offered, and what became of them; rates are messages a second."""

    offered: float
    through: float
    sent: int
    answered: int
    before_mib: float
    after_mib: float

    @classmethod
    def of(cls, load: Load, shares: Shares, *, before_mib: float, after_mib: float) -> Offered:
        """The servers' count has what was on its way when the time was over too: a socket's fill."""
        return cls(
            offered=load.sent / load.seconds,
            through=(shares.requests + load.got) / load.seconds,
            sent=load.sent,
            answered=load.got + load.late,
            before_mib=before_mib,
            after_mib=after_mib,
        )


@attrs.frozen
class Round:
    """One round of one proxy: the most that came through, and each multiple of that load."""

    most: float
    runs: Mapping[str, Offered]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-overload ARGS=...", description=__doc__)
    add = parser.add_argument
    asked(parser, rounds=3)
    add("--seconds", type=float, default=3.0, help="how long at each load (%(default)s)")
    add("--part", type=_part, default=0.2, help="of its CPU that the proxy is held to (%(default)s)")
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.rounds, chosen.seconds = 1, 0.3
    return chosen


def _part(text: str) -> float:
    part = float(text)
    if not 0 < part < 1:
        raise argparse.ArgumentTypeError(f"{text}: write a part between 0 and 1, as 0.2")
    return part


@attrs.frozen
class Scene:
    """The proxy that is held, and the destinations behind it."""

    process: subprocess.Popen[bytes]
    answering: Destinations
    work: Path
    seconds: float

    def offer(self, *, rate: float, window: int = NO_WINDOW) -> Offered:
        """So many transactions a second; 0: all that go."""
        _, load_cpu = two_cpus()
        argv = command(self.work, seconds=self.seconds, window=window, rate=rate, cpu=load_cpu)
        self.answering.shares()
        before = memory_mib(self.process.pid)
        load = run(argv, self.seconds)
        after = memory_mib(self.process.pid)
        return Offered.of(load, self.answering.shares(), before_mib=before, after_mib=after)


def measure(proxy: Proxy, chosen: argparse.Namespace, work: Path) -> tuple[Round, str]:
    """One round, and how the proxy was held."""
    own_cpu, load_cpu = two_cpus()
    with (
        destinations(work, count=DESTINATIONS, cpu=load_cpu) as answering,
        running(proxy, work=work, count=DESTINATIONS, cpu=own_cpu) as process,
        held(process.pid, chosen.part) as how,
    ):
        scene = Scene(process, answering, work, chosen.seconds)
        begun = scene.offer(rate=0, window=FULL_WINDOW)
        growing = [begun, *(scene.offer(rate=part * begun.answered / chosen.seconds) for part in GROWING)]
        most = max(each.through for each in growing)
        runs = {f"{multiple:g}": scene.offer(rate=multiple * most / 2) for multiple in MULTIPLES}
        return Round(most, {**runs, ALL: scene.offer(rate=0)}), how


HEADINGS = (
    "proxy",
    "times its maximum",
    "offered, transactions/s",
    "messages/s through",
    "of its maximum",
    "answered",
    "MiB before, after",
)


def rows(name: str, rounds: Sequence[Round]) -> list[list[str]]:
    """Medians; the memory is that of the round in which it grew most."""
    found = [[name, "maximum", "", f"{median(each.most for each in rounds):,.0f}", "100%", "", ""]]
    for times in rounds[0].runs:
        runs = [each.runs[times] for each in rounds]
        grown = max(runs, key=lambda run: run.after_mib - run.before_mib)
        found.append(
            [
                name,
                times,
                f"{median(run.offered for run in runs):,.0f}",
                f"{median(run.through for run in runs):,.0f}",
                f"{median(each.runs[times].through / each.most for each in rounds):.0%}",
                f"{median(run.answered / run.sent for run in runs):.1%}",
                f"{grown.before_mib:.1f}, {grown.after_mib:.1f}",
            ]
        )
    return found


def overload(chosen: argparse.Namespace, work: Path) -> str:
    """All rounds of all proxies, as a table."""
    results: dict[str, list[Round]] = {}
    how = ""
    contenders = [proxy for proxy in proxies(work, [], chosen.only) if chosen.only or proxy.name != PURE]
    for proxy in in_turn(chosen.rounds, {proxy.name: proxy for proxy in contenders}):
        made, how = measure(proxy, chosen, work)
        results.setdefault(proxy.name, []).append(made)
    table = markdown(HEADINGS, [row for name, rounds in results.items() for row in rows(name, rounds)])
    return f"{machine()}; {DESTINATIONS} destinations; the proxy is held by {how}\n\n{table}"


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    return status(lambda work: overload(chosen, work))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
