"""How long is the address gone when a node, its agent or the network fails?  Our agent and keepalived in one run.

Two nodes and a client in network namespaces, the client sends a datagram each millisecond; every try has hosts and
agents of its own, and its fault comes at another moment of the advert interval.  Needs root, the programs that
`make peers` installs, and the test tools.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from statistics import median

import attrs
import pytest

from bench.failover_agents import AGENTS, KEEPALIVED, OURS, Pair
from bench.failover_faults import FAULTS
from bench.failover_scene import Scene
from bench.failover_story import Figures, figures, story
from bench.failover_watch import hurry
from bench.table import machine, markdown
from tests.peers.program import PeerError

MANY_AT_ONCE_S, SOME_AT_ONCE_S = 0.5, 0.05
"""Tries with adverts so far apart do not get in each other's way."""
SLOWER_SHARE, SLOWER_S = 0.1, 0.01
"""Ours is slower in a row when its median is above keepalived's by more than the larger of the two."""

MOST_AFTER_DEATH_S = {0.1: 0.1, 0.01: 0.03}
"""By interval: from the death of the proxy until the other node answers, in the worst try."""


@attrs.frozen(kw_only=True)
class Try:
    """One fault, for one agent; `share` of the advert interval after an advert."""

    fault: str
    interval: float
    agent: str
    share: float
    number: int

    @property
    def row(self) -> tuple[str, float, str]:
        return self.fault, self.interval, self.agent


def attempt(one: Try, folder: Path) -> tuple[Figures, list[str]]:
    """Make the hosts, strike them, and sum up; PeerError when it cannot be told what happened."""
    hurry()
    fault = FAULTS[one.fault]
    place = folder / f"{one.fault}-{one.interval:g}-{one.agent}-{one.number}"
    place.mkdir(parents=True)
    pair = Pair(interval=one.interval, priorities=fault.priorities)
    agents = dict.fromkeys("AB", AGENTS[one.agent])
    with Scene(pair, agents, place, tracking=fault.tracking) as scene:
        scene.begin()
        moments = fault.strike(scene, one.share)
        time.sleep(0.1)  # the last answers are under way
        record = scene.watch.record()
    return figures(record, moments), story(record, moments)


def tries(chosen: argparse.Namespace) -> Iterator[Try]:
    """The agents in turn, so that what the machine does meanwhile befalls both."""
    for interval, fault in itertools.product(chosen.adverts, chosen.scenarios):
        for number, agent in itertools.product(range(chosen.tries), chosen.agent):
            share = (number + 0.5) / chosen.tries
            yield Try(fault=fault, interval=interval, agent=agent, share=share, number=number + 1)


Results = Mapping[tuple[str, float, str], Sequence[Figures]]


def measure(chosen: argparse.Namespace, folder: Path) -> dict[tuple[str, float, str], list[Figures]]:
    """All tries; one that failed is told on standard error and counts for nothing."""
    results: dict[tuple[str, float, str], list[Figures]] = {}
    context = multiprocessing.get_context("spawn")
    for at_once, group in itertools.groupby(tries(chosen), lambda one: _at_once(one.interval, chosen.jobs)):
        with ProcessPoolExecutor(at_once, mp_context=context) as pool:
            under_way: list[tuple[Try, Future[tuple[Figures, list[str]]]]] = []
            under_way += ((one, pool.submit(attempt, one, folder)) for one in group)
            try:
                for one, future in under_way:
                    row, found = one.row, _outcome(one, future)
                    if found is not None:
                        results.setdefault((_as_it_was(one.fault, found), *row[1:]), []).append(found)
            finally:
                pool.shutdown(cancel_futures=True)
    order = {name: number for number, name in enumerate(FAULTS)}
    return dict(sorted(results.items(), key=lambda each: (order[each[0][0]], -each[0][1], each[0][2] != OURS)))


def _at_once(interval: float, jobs: int) -> int:
    if interval >= MANY_AT_ONCE_S:
        return jobs
    return max(1, jobs // 2) if interval >= SOME_AT_ONCE_S else 1


def _outcome(one: Try, future: Future[tuple[Figures, list[str]]]) -> Figures | None:
    load = os.getloadavg()[0]
    told = f"{one.fault}, {one.interval:g} s, {one.agent}, {one.number}"
    try:
        found, events = future.result()
    except PeerError as error:
        sys.stderr.write(f"{told}: {str(error).splitlines()[0]}\n")
        return None
    sys.stderr.write(f"{told}: load {load:.1f}, {found}\n    {', '.join(events)}\n")
    return found


def _as_it_was(fault: str, found: Figures) -> str:
    """Whose advert is the first after a partition is aimed at, but nobody can be sure."""
    if not fault.startswith("cut-"):
        return fault
    return fault.replace("winner", "loser") if found.first == "B" else fault.replace("loser", "winner")


def table(results: Results) -> str:
    """A row for each fault, interval and agent: median [least..most] in milliseconds."""
    headings = (
        "fault",
        "adverts",
        "agent",
        "tries",
        "outage",
        "fault to switch",
        "both own it",
        "old owner loses it",
        "client lost",
    )
    rows = [
        [
            FAULTS[fault].label,
            f"{interval:g} s",
            agent,
            str(len(found)),
            _spread([each.outage for each in found]),
            _spread([each.switch for each in found if each.switch is not None]) if fault != "reload" else "",
            _spread([each.both for each in found], "+" * all(len(each.owners) > 1 for each in found)),
            _spread([each.kept for each in found if each.kept is not None]) if FAULTS[fault].leaves else "",
            f"{sum(each.strayed for each in found)} of {len(found)}",
        ]
        for (fault, interval, agent), found in results.items()
    ]
    return markdown(headings, rows)


def _spread(seconds: Sequence[float], suffix: str = "") -> str:
    if not seconds:
        return "never"
    if max(seconds) == 0.0:
        return "0"
    least, middle, most = (1000 * pick(seconds) for pick in (min, median, max))
    digits = 0 if middle >= 100 else 1
    return f"{middle:,.{digits}f}{suffix} [{least:,.{digits}f}..{most:,.{digits}f}]"


def shortcomings(results: Results) -> list[str]:
    """Where ours is slower than keepalived, keeps the address for longer than its lease, or leaves a client behind."""
    found = []
    for (fault, interval, agent), ours in results.items():
        if agent != OURS:
            continue
        where = f"{FAULTS[fault].label}, {interval:g} s"
        if lost := sum(each.strayed for each in ours):
            found.append(f"{where}: the client was lost in {lost} of {len(ours)}")
        lease = Pair(interval=interval, priorities=FAULTS[fault].priorities).lease
        if FAULTS[fault].leased and any(each.kept is None or each.kept > lease for each in ours):
            found.append(f"{where}: the address outlives its lease of {lease:g} s")
        worst = max(each.switch or math.inf for each in ours)
        if fault == "die" and worst > MOST_AFTER_DEATH_S.get(interval, math.inf):
            found.append(f"{where}: {1000 * worst:.1f} ms in the worst try")
        theirs = results.get((fault, interval, KEEPALIVED))
        for name, pick in COMPARED.items():
            mine = [value for each in ours if (value := pick(each)) is not None]
            rival = [value for each in theirs or () if (value := pick(each)) is not None]
            if fault == "reload" or not mine or not rival:
                continue
            if median(mine) > median(rival) + max(SLOWER_S, SLOWER_SHARE * median(rival)):
                found.append(f"{where}: {name} {1000 * median(mine):.1f} ms, keepalived {1000 * median(rival):.1f} ms")
    return found


COMPARED: Mapping[str, Callable[[Figures], float | None]] = {
    "outage": lambda each: each.outage,
    "fault to switch": lambda each: each.switch,
}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-failover ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--adverts", type=float, nargs="+", default=[1.0, 0.1, 0.01], metavar="S", help="intervals, %(default)s")
    add("--scenarios", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    add("--tries", type=int, default=5, help="how often each (%(default)s)")
    add("--agent", action="append", choices=list(AGENTS), help="only this one")
    add(
        "--jobs",
        type=int,
        default=4,
        help="tries at once where adverts come once a second; half as many at 0.1 s, one at 0.01 s (%(default)s)",
    )
    add("--keep", type=Path, metavar="FOLDER", help="keep configurations and logs there")
    add("--smoke", action="store_true", help="one try of ours at 0.1 s: shows that everything works")
    chosen = parser.parse_args(argv)
    chosen.agent = chosen.agent or list(AGENTS)
    if chosen.smoke:
        chosen.adverts, chosen.tries, chosen.agent = [0.1], 1, [OURS]
    return chosen


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    before = _load()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = measure(chosen, chosen.keep or Path(folder))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # what a peer needs is not here
        sys.stderr.write(f"error: {missing}\n")
        return 1
    print(f"{machine()}; load average before {before}, after {_load()}; times in ms\n\n{table(results)}\n")
    print("\n".join(f"- {line}" for line in shortcomings(results)) or "In no row slower, and no client lost.")
    return 0


def _load() -> str:
    return " ".join(f"{each:.2f}" for each in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
