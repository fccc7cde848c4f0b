"""What becomes of calls when the node that has the address fails, and when it is back?  The whole pair.

Two edges from deploy/pair, each with its proxy and its agent, in front of two real Asterisks, all in network
namespaces.  Callers are SIPp's: INVITE, talk, a re-INVITE, talk, BYE; two phones are registered and call each other.
The node that has the address is struck, left alone until the calls that it carried are over, and mended; then the
address comes back.  All that crosses the network is captured with the kernel's times.  Needs root, the programs that
`make peers` installs, and the test tools.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import pytest

from bench.pair_faults import FAULTS, Outcome, attempt
from bench.pair_story import Toll
from bench.table import machine, markdown
from tests.peers.program import PeerError

Results = Mapping[tuple[str, float], Sequence[Outcome]]


def faults(results: Results) -> str:
    """A row for each fault: how long it took, and who had the address."""
    headings = (
        "fault",
        "adverts",
        "tries",
        "to the peer's first answer, ms",
        "longest silence, ms",
        "both have it, ms",
    )
    rows = [
        [
            FAULTS[name].label,
            f"{interval:g} s",
            str(len(found)),
            _spread(each.fault.switch for each in found),
            _spread(each.fault.outage for each in found),
            _spread(each.both for each in found),
        ]
        for (name, interval), found in results.items()
    ]
    return markdown(
        (*headings, "of the thawed node"),
        [[*row, _sum(found, lambda one: one.stray)] for row, found in zip(rows, results.values(), strict=True)],
    )


def calls(results: Results, pick: Callable[[Outcome], Toll]) -> str:
    """A row for each fault, or the failback after it: what became of the calls, all tries together."""
    headings = (
        "",
        "adverts",
        "up",
        "lost",
        "being set up",
        "lost",
        "asked again",
        "longest wait, s",
        "% lost",
        "others",
        "lost",
    )
    rows = []
    for (name, interval), found in results.items():
        tolls = [pick(each) for each in found]
        hit = sum(toll.up + toll.begun for toll in tolls)
        lost = sum(toll.up_lost + toll.begun_lost for toll in tolls)
        rows.append(
            [
                FAULTS[name].label,
                f"{interval:g} s",
                *(
                    f"{sum(getattr(toll, key) for toll in tolls):,}"
                    for key in ("up", "up_lost", "begun", "begun_lost", "repeated")
                ),
                f"{max(toll.longest_wait for toll in tolls):.2f}",
                f"{100 * lost / max(1, hit):.2f}",
                *(f"{sum(getattr(toll, key) for toll in tolls):,}" for key in ("others", "others_lost")),
            ]
        )
    return markdown(headings, rows)


def failbacks(results: Results) -> str:
    """A row for the failback after each fault."""
    headings = ("after", "adverts", "to its first answer, ms", "longest silence, ms")
    rows = [
        [
            FAULTS[name].label,
            f"{interval:g} s",
            _spread(each.failback.switch for each in found),
            _spread(each.failback.outage for each in found),
        ]
        for (name, interval), found in results.items()
    ]
    return markdown(headings, rows)


def complaints(results: Results) -> list[str]:
    """What should not have been: phones that could not go on, calls left at a server, a wrong owner."""
    return [
        f"{FAULTS[name].label}, {interval:g} s: {complaint}"
        for (name, interval), found in results.items()
        for each in found
        for complaint in each.complaints
    ]


def _spread(seconds: Iterable[float | None]) -> str:
    values = [1000 * value for value in seconds if value is not None]
    if not values:
        return "never"
    return f"{median(values):,.0f} [{min(values):,.0f}..{max(values):,.0f}]"


def _sum(found: Sequence[Outcome], pick: Callable[[Outcome], int]) -> str:
    return f"{sum(map(pick, found)):,}"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-pair ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--adverts", type=float, nargs="+", default=[0.1, 0.01], metavar="S", help="intervals, %(default)s")
    add("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    add("--tries", type=int, default=3, help="how often each (%(default)s)")
    add("--rate", type=float, default=50.0, help="calls a second (%(default)g)")
    add("--talk", type=float, default=2.5, metavar="S", help="before the re-INVITE, and after it (%(default)g)")
    add("--keep", type=Path, metavar="FOLDER", help="keep captures, configurations and logs there")
    add("--smoke", action="store_true", help="one killed proxy: shows that everything works")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.adverts, chosen.faults, chosen.tries = [0.1], ["proxy"], 1
    return chosen


def measure(chosen: argparse.Namespace, folder: Path) -> dict[tuple[str, float], list[Outcome]]:
    """All tries; one of which nothing can be told is told on standard error and counts for nothing."""
    results: dict[tuple[str, float], list[Outcome]] = {
        (name, interval): [] for interval in chosen.adverts for name in chosen.faults
    }
    for number in range(1, chosen.tries + 1):
        for (name, interval), found in results.items():
            place = folder / f"{name}-{interval:g}-{number}"
            place.mkdir(parents=True)
            told = f"{name}, {interval:g} s, {number} of {chosen.tries}"
            try:
                outcome = attempt(FAULTS[name], place, interval=interval, rate=chosen.rate, talk=chosen.talk)
            except PeerError as error:
                sys.stderr.write(f"{told}: {error}\n")
                continue
            finally:
                if chosen.keep is None:
                    shutil.rmtree(place)  # a capture has a hundred megabytes
            found.append(outcome)
            sys.stderr.write(f"{told}: load {os.getloadavg()[0]:.1f}, {outcome}\n")
    return {key: found for key, found in results.items() if found}


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = measure(chosen, chosen.keep or Path(folder))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # what a peer needs is not here
        sys.stderr.write(f"error: {missing}\n")
        return 1
    print(f"{machine()}; load average before {load}; {chosen.rate:g} calls/s; median [least..most] of the tries\n")
    print(f"{faults(results)}\n\n{calls(results, lambda one: one.fault)}\n")
    print(f"{failbacks(results)}\n\n{calls(results, lambda one: one.failback)}\n")
    print("\n".join(f"- {line}" for line in complaints(results)) or "No complaint.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
