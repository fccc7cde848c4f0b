"""How long does a reload keep the proxy from forwarding?  The longest gap and delay of answers, with and without.

Calls come at a steady rate while the list, with its first destination replaced, is read again on SIGHUP.  A gap is a
time without any answer; a delay is how long one request waited for its own, which also shows a proxy that goes on but
falls behind.  The run without a reload shows what the machine itself puts into both.
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from bench import layout
from bench.load import BenchError, Load, command, destinations, run, two_cpus
from bench.processes import memory_mib
from bench.proxies import OURS, PURE, Proxy, proxies, running
from bench.rounds import status
from bench.table import machine, markdown

RELOAD_AFTER_SECONDS = 1.0
LOOK_SECONDS = 0.01
REPLACED = "1 added, 1 removed"
"""What our log says of a reload that is in force."""


@attrs.frozen(kw_only=True)
class Run:
    """One run: the worst of its answers, what it lost, how long its reloads took and what memory it had."""

    gap_ms: float
    delay_ms: float
    lost: int
    in_force: tuple[float, ...]
    """Seconds from each SIGHUP until the log said that the list is in force, for our own proxy."""
    before_mib: float
    after_mib: float


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pause", description=__doc__)
    add = parser.add_argument
    add("--destinations", type=int, default=2000, metavar="N", help="lines of the list (%(default)s)")
    add("--rate", type=float, default=1000.0, help="transactions a second, two messages each (%(default)s)")
    add("--seconds", type=float, default=8.0, help="length of a run: the reloads must be over by then (%(default)s)")
    add("--rounds", type=int, default=3, help="how often (%(default)s)")
    add("--reloads", type=int, default=1, metavar="N", help="in one run, one after another (%(default)s)")
    add("--probes", action="store_true", help="probe every destination once a second")
    add("--proxy", type=Proxy.parse, metavar="NAME=COMMAND", help="another one than ours, with {list} {listen} {work}")
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.rounds, chosen.seconds, chosen.destinations = 1, 4.0, 200
    return chosen


def measure(proxy: Proxy, chosen: argparse.Namespace, work: Path, *, reloads: int) -> Run:
    """One run with so many reloads; BenchError when one had no effect."""
    own_cpu, load_cpu = two_cpus()
    count = chosen.destinations
    steady = command(work, seconds=chosen.seconds, window=10_000, rate=chosen.rate, cpu=load_cpu)
    with (
        # One more than the list has: the reloaded list ends there.
        destinations(work, count=count + 1, cpu=load_cpu) as answering,
        running(proxy, work=work, count=count, cpu=own_cpu, settles=not chosen.probes) as process,
    ):
        before_mib = memory_mib(process.pid)
        with subprocess.Popen(steady, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
            until = time.monotonic() + chosen.seconds
            time.sleep(RELOAD_AFTER_SECONDS)
            in_force = [_reload(proxy, process, work, count, number, until) for number in range(1, reloads + 1)]
            printed, complaint = load.communicate()
        if load.returncode:
            message = f"the load generator failed: {complaint.strip()}"
            raise BenchError(message)
        after_mib = memory_mib(process.pid)
        answering.shares()
        answered = run(command(work, seconds=1.0, window=256), 1.0).got
        if reloads % 2 and (not answered or answering.shares().first):
            message = f"{proxy.name} does not use the new list at the end of the run"
            raise BenchError(message)
    result = Load.parse(printed)
    return Run(
        gap_ms=result.gap_us / 1000,
        delay_ms=result.delay_us / 1000,
        lost=result.lost,
        in_force=tuple(in_force),
        before_mib=before_mib,
        after_mib=after_mib,
    )


def _reload(proxy: Proxy, process: subprocess.Popen[bytes], work: Path, count: int, number: int, until: float) -> float:
    """Replace the first destination, or put it back: the seconds until our log says so, NaN for another proxy."""
    (work / "dispatcher.list").write_text(layout.dispatcher_list(count, first=1 + number % 2))
    asked = time.monotonic()
    process.send_signal(signal.SIGHUP)
    if proxy.name not in (OURS, PURE):
        return math.nan
    while (work / "proxy.log").read_text().count(REPLACED) < number:
        if time.monotonic() > until:
            said = (work / "proxy.log").read_text()[-2000:]
            message = f"{proxy.name} has not taken over list {number} by the end of the run:\n{said}"
            raise BenchError(message)
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - asked


def row(name: str, runs: Sequence[Run]) -> list[str]:
    """What is told of the rounds of one kind."""

    def each(values: Sequence[float], digits: int = 1) -> str:
        return ", ".join(f"{value:.{digits}f}" for value in sorted(values)) or "-"

    grown = max(runs, key=lambda run: run.after_mib - run.before_mib)
    return [
        name,
        each([run.gap_ms for run in runs]),
        each([run.delay_ms for run in runs]),
        str(max(run.lost for run in runs)),
        each([max(run.in_force) for run in runs if run.in_force], 2),
        f"{grown.before_mib:.0f} -> {grown.after_mib:.0f}",
    ]


HEADINGS = ("run", "longest gap, ms", "longest delay, ms", "lost", "in force after, s", "MiB")


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)

    def measured(work: Path) -> str:
        proxy = chosen.proxy or proxies(work, [], [OURS, PURE], probes=chosen.probes)[0]
        rows = []
        for reloads in (0, chosen.reloads):
            runs = [measure(proxy, chosen, work, reloads=reloads) for _ in range(chosen.rounds)]
            rows.append(row(f"{proxy.name}, {f'{reloads} reload' if reloads else 'no reload'}", runs))
        probes = "every destination probed once a second" if chosen.probes else "no probes"
        told = f"{machine()}; {chosen.destinations:,} destinations, {chosen.rate:,.0f} transactions/s, {probes}"
        return f"{told}\n\n{markdown(HEADINGS, rows)}"

    return status(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
