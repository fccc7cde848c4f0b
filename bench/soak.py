"""Does a long run at half load lose a call, a count or memory, while list and states change each second?

Probes are on.  The load comes in stretches of a minute with a moment of silence after each, in which client, proxy and
servers are asked what they have counted: they must agree to the last datagram.  The proxy runs on one CPU, all others
on another.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression

import attrs

from bench import layout
from bench.churn import Churn
from bench.load import GRACE_SECONDS, BenchError, Destinations, Load, beside, command, destinations, run, two_cpus
from bench.processes import Footprint, cpu_seconds, footprint, overrun
from bench.proxies import OURS, PURE, configured, proxies, running
from bench.rounds import status
from bench.table import machine, markdown
from bench.tally import Client, Proxy, Tally
from sipdispatch.control_client import ControlClient
from sipdispatch.errors import CommandError

DESTINATIONS = 20
WINDOW = 65536
"""Transactions in flight at most: none waits for another's answer."""
FULL_WINDOW = 256
MAXIMUM_SECONDS = 3.0
LOAD = 0.5
SETTLE_SECONDS, LOOK_SECONDS = 5.0, 0.2
WHOSE = {"the client": layout.CLIENT_PORT, "the proxy": layout.PROXY_PORT, "the servers": layout.DESTINATION_PORT}


@attrs.frozen(kw_only=True)
class Stretch:
    """A minute of the run, and the proxy at its end; `cpu` is a part of one CPU, what has ended of its children too."""

    tally: Tally
    footprint: Footprint
    cpu: float
    seconds: float


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-soak ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=_more_than_nothing, default=1800.0, help="how long all in all (%(default)s)")
    add("--stretch", type=_more_than_nothing, default=60.0, help="how long between two counts (%(default)s)")
    add("--rate", type=float, default=0.0, help="transactions a second (0: half of the maximum, which is found first)")
    add("--destinations", type=int, default=DESTINATIONS, metavar="N", help="lines of the list (%(default)s)")
    add("--only", choices=(OURS, PURE), metavar="NAME", help=f"{OURS} or {PURE} (by default the first that there is)")
    add(
        "--swallow",
        type=int,
        default=0,
        metavar="N",
        help="the Nth request of a stretch stays unanswered",
    )
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.destinations < 2:
        parser.error("--destinations: at least 2, for one of them takes no new work at times")
    if chosen.smoke:
        chosen.seconds, chosen.stretch, chosen.rate = 6.0, 3.0, chosen.rate or 300.0
    return chosen


def _more_than_nothing(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: write a number of seconds above 0")
    return seconds


class Watched:
    """The running proxy with all around it: what is counted, stretch by stretch."""

    def __init__(self, process: subprocess.Popen[bytes], answering: Destinations, *, work: Path, count: int) -> None:
        self.process = process
        self._answering = answering
        self._control = work / "control"
        self._log = work / "proxy.log"
        self._count = count
        self._counted = self._count_in_silence()

    @property
    def pid(self) -> int:
        return self.process.pid

    def stretch(self, argv: list[str], seconds: float) -> Stretch:
        """One run of the load, and everybody's counts of it; BenchError when something has ended."""
        before, began = cpu_seconds(self.pid), time.monotonic()
        with beside(argv) as load:
            try:
                printed, complaint = load.communicate(timeout=seconds + GRACE_SECONDS)
            except subprocess.TimeoutExpired as error:
                message = f"the load generator has not ended {GRACE_SECONDS:g} s after its time"
                raise BenchError(message) from error
        took = time.monotonic() - began
        cpu = (cpu_seconds(self.pid) - before) / took
        if load.returncode:
            message = f"the load generator failed: {complaint.strip()}"
            raise BenchError(message)
        (proxy_before, kernel_before), (proxy, kernel) = self._counted, self._count_in_silence()
        self._counted = proxy, kernel
        tally = Tally(
            client=Client.of(Load.parse(printed)),
            proxy=proxy.since(proxy_before),
            servers=self._answering.shares(),
            overrun={whose: kernel[whose] - kernel_before[whose] for whose in WHOSE},
            under_way=self._count,
        )
        return Stretch(tally=tally, footprint=footprint(self.pid), cpu=cpu, seconds=took)

    def _count_in_silence(self) -> tuple[Proxy, dict[str, int]]:
        """The proxy's and the kernel's counts, once they have stopped changing."""
        now, until = self._read(), time.monotonic() + SETTLE_SECONDS
        while True:
            time.sleep(LOOK_SECONDS)
            before, now = now, self._read()
            if (now.received, now.forwarded) == (before.received, before.forwarded) or time.monotonic() > until:
                return now, {whose: overrun(port) for whose, port in WHOSE.items()}

    def _read(self) -> Proxy:
        try:
            with ControlClient(self._control) as client:
                shown = client.call("dispatcher.show")
                counters = client.call("status")["counters"]
        except CommandError as error:
            message = f"the proxy does not say what it has counted: {error}\n{self._log.read_text()[-2000:]}"
            raise BenchError(message) from error
        return Proxy.of(counters, [one for each in shown["sets"] for one in each["destinations"]])


def measure(chosen: argparse.Namespace, work: Path) -> str:
    """The whole run; when something was lost, refused or counted differently, it is told and BenchError says what."""
    plain = proxies(work, [], [chosen.only] if chosen.only else [OURS, PURE], probes=True)[0]
    proxy = configured(plain, work, "soak", f"[control]\nsocket = '{work / 'control'}'\n")
    own_cpu, load_cpu = two_cpus()
    if load_cpu is not None:
        os.sched_setaffinity(0, {load_cpu})  # who asks and changes is no part of the proxy
    count = chosen.destinations
    with (
        destinations(work, count=count, cpu=load_cpu, swallow=chosen.swallow) as answering,
        running(proxy, work=work, count=count, cpu=own_cpu, settles=False) as process,
    ):
        if not chosen.rate:
            full = run(command(work, seconds=MAXIMUM_SECONDS, window=FULL_WINDOW, cpu=load_cpu), MAXIMUM_SECONDS)
            chosen.rate = round(LOAD * full.got / full.seconds)
            sys.stderr.write(f"{full.got / full.seconds:,.0f} transactions/s at most; the run is at {chosen.rate:,}\n")
        churn = Churn(process, work=work, control=work / "control", count=count)
        watched = Watched(process, answering, work=work, count=count)
        answering.shares()
        stretches: list[Stretch] = []
        with churn.ongoing():
            for number in range(max(1, round(chosen.seconds / chosen.stretch))):
                argv = command(work, seconds=chosen.stretch, window=WINDOW, rate=chosen.rate, cpu=load_cpu)
                stretches.append(watched.stretch(argv, chosen.stretch))
                sys.stderr.write(told(number + 1, stretches[-1], churn))
    made = markdown(HEADINGS, [row(plain.name, stretches, churn)])
    table = f"{machine()}; {count} destinations, probes on, {chosen.rate:,.0f} transactions/s\n\n{made}"
    if problems := whole(stretches).problems() + churn.problems():
        print(table)
        raise BenchError("\nerror: ".join(problems))
    return table


def whole(stretches: Sequence[Stretch]) -> Tally:
    total = stretches[0].tally
    for each in stretches[1:]:
        total = total.plus(each.tally)
    return total


def told(number: int, stretch: Stretch, churn: Churn) -> str:
    """A line on a stretch, and one on everything that does not agree."""
    tally, at_the_end = stretch.tally, stretch.footprint
    said = (
        f"{number}: sent {tally.client.sent:,}, answered {tally.client.answered:,}; "
        f"proxy: received {tally.proxy.received:,}, forwarded {tally.proxy.forwarded:,}, "
        f"handed to Python {tally.handed_over:,}; servers: received {tally.servers.requests:,}; "
        f"probes {tally.proxy.probes:,} (servers {tally.probes_seen:,}); "
        f"{at_the_end.resident_mib:.1f} MiB, {at_the_end.descriptors} descriptors, {at_the_end.threads} threads, "
        f"CPU {stretch.cpu:.0%}; so far {churn}\n"
    )
    return said + "".join(f"  {problem}\n" for problem in tally.problems())


HEADINGS = (
    "proxy",
    "minutes",
    "sent",
    "lost",
    "proxy received",
    "forwarded",
    "to Python",
    "servers received",
    "probes: proxy, servers",
    "reloads (refused)",
    "state changes (refused)",
    "CPU",
    "MiB first, last, most",
    "KiB/minute",
    "descriptors",
    "threads",
)


def row(name: str, stretches: Sequence[Stretch], churn: Churn) -> list[str]:
    """The whole run.  The slope of memory is that of the stretches after the first, in which it warms up."""
    total = whole(stretches)
    seconds = sum(each.seconds for each in stretches)
    memory = [each.footprint.resident_mib for each in stretches]
    return [
        name,
        f"{seconds / 60:.1f}",
        f"{total.client.sent:,}",
        f"{total.client.sent - total.client.answered:,}",
        f"{total.proxy.received:,}",
        f"{total.proxy.forwarded:,}",
        f"{total.handed_over:,}",
        f"{total.servers.requests:,}",
        f"{total.proxy.probes:,}, {total.probes_seen:,}",
        f"{churn.reloads:,} ({churn.reloads_refused:,})",
        f"{churn.changes:,} ({churn.changes_refused:,})",
        f"{sum(each.cpu * each.seconds for each in stretches) / seconds:.0%}",
        f"{memory[0]:.1f}, {memory[-1]:.1f}, {max(memory):.1f}",
        slope(memory, [each.seconds for each in stretches]),
        _from_to([each.footprint.descriptors for each in stretches]),
        _from_to([each.footprint.threads for each in stretches]),
    ]


def slope(memory: Sequence[float], seconds: Sequence[float]) -> str:
    """KiB a minute, by least squares; empty for less than three stretches, of which the first does not count."""
    if len(memory) < 3:
        return ""
    moments = [sum(seconds[: place + 1]) / 60 for place in range(len(seconds))]
    return f"{1024 * linear_regression(moments[1:], memory[1:]).slope:+.1f}"


def _from_to(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    return status(lambda work: measure(chosen, work))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
