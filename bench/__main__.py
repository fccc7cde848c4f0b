"""Which proxy forwards how much, at which cost?  One proxy after another in one run, rounds interleaved, medians.

A transaction is an INVITE and its 200, so a proxy forwards two messages for each.  The proxy runs on one CPU and the
load, with all destinations, on another: the figures are per core.  With more than one worker nobody is pinned: then the
CPU time of a message says something, and the rate does not.  Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.load import BenchError, Shape, command, destinations, run, two_cpus
from bench.processes import cpu_seconds, memory_mib
from bench.proxies import KAMAILIO, NULL, OURS, PURE, Proxy, proxies, running
from bench.table import Figures, comparison, machine

BUSY_LOAD = 0.5
"""A load average above which somebody else is at work on this machine."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often each proxy is measured (%(default)s)")
    add("--seconds", type=float, default=3.0, help="how long each time (%(default)s)")
    add("--window", type=int, default=256, help="transactions in flight at most (%(default)s)")
    add("--rate", type=float, default=0.0, help="transactions a second at most (0: as fast as answers come)")
    add("--destinations", type=int, nargs="+", default=[2, 20, 200, 2000], metavar="N", help="lists of so many lines")
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only this one of: {NULL}, {KAMAILIO}, {OURS}, {PURE}",
    )
    add("--size", type=int, default=0, metavar="BYTES", help="of the INVITE: 400 (without SDP) to 4000 (0: 0.9 kB)")
    add("--compact", action="store_true", help="compact header names")
    add("--nat", action="store_true", help="the phone is behind NAT: the token says so, and Kamailio marks it")
    add("--workers", type=int, default=1, help="threads of ours and children of Kamailio (%(default)s)")
    add(
        "--proxy",
        action="append",
        default=[],
        type=Proxy.parse,
        metavar="NAME=COMMAND",
        help="another: {list}, {listen}, {count}, {work}",
    )
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.rounds, chosen.seconds, chosen.destinations = 1, 0.5, [2, 20]
    return chosen


def measure(proxy: Proxy, count: int, chosen: argparse.Namespace, work: Path) -> Figures:
    """One round of one proxy with a list of `count` destinations."""
    own_cpu, load_cpu = two_cpus() if chosen.workers == 1 else (None, None)
    how = shape(chosen)
    argv = command(work, seconds=chosen.seconds, window=chosen.window, rate=chosen.rate, cpu=load_cpu, shape=how)
    with (
        destinations(work, count=count, cpu=load_cpu) as answering,
        running(proxy, work=work, count=count, cpu=own_cpu) as process,
    ):
        answering.shares()
        before = cpu_seconds(process.pid)
        load = run(argv, chosen.seconds)
        used = cpu_seconds(process.pid) - before
        memory = memory_mib(process.pid)
        shares = answering.shares()
    return Figures(
        messages_per_second=load.messages_per_second,
        cpu_us=1e6 * used / max(load.messages, 1),
        lost=load.lost,
        bad=load.bad,
        evenness=shares.busiest * count / max(load.sent, 1),
        memory_mib=memory,
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        p999_us=load.p999_us,
    )


def shape(chosen: argparse.Namespace) -> Shape:
    return Shape(size=chosen.size, compact=chosen.compact, nat=chosen.nat)


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    if two_cpus() == (None, None):
        sys.stderr.write("only one CPU: the load takes from the proxy what it needs itself\n")
    if os.getloadavg()[0] > BUSY_LOAD:
        sys.stderr.write(f"load average {os.getloadavg()[0]:.2f}: something else is running, the figures will be low\n")
    results: dict[tuple[str, int], list[Figures]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            work = Path(folder)
            contenders = proxies(work, chosen.proxy, chosen.only, workers=chosen.workers, nat=chosen.nat)
            for number in range(chosen.rounds):
                for count in chosen.destinations:
                    for proxy in contenders:
                        sys.stderr.write(f"round {number + 1} of {chosen.rounds}: {proxy.name}, {count} destinations\n")
                        figures = measure(proxy, count, chosen, work)
                        results.setdefault((proxy.name, count), []).append(figures)
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    pace = f"{chosen.rate:,.0f} transactions/s" if chosen.rate else f"at most {chosen.window} in flight"
    print(f"{machine()}\n{shape(chosen)}; {pace}; workers: {chosen.workers}\n")
    print(comparison(results, waits=bool(chosen.rate)))
    wrong = sorted({name for (name, _), rounds in results.items() if any(figures.bad for figures in rounds)})
    if wrong:
        sys.stderr.write(f"error: answers other than 200 through {', '.join(wrong)}: these figures compare nothing\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
