"""How long do new calls still reach a server that has frozen or died, and what becomes of the calls?

Two real Asterisks behind the balancer, each in a network namespace of its own, and calls from SIPp: INVITE, a second of
talk, BYE.  One Asterisk is frozen (SIGSTOP) or killed under that load, left alone until it gets no new calls any more,
and given back.  All that crosses the balancer's host is captured with the kernel's times, and the table is made from
that.  Needs root, the programs that `make peers` installs, and the test tools.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

import attrs
import pytest

from bench.outage_scene import HERE, LIST, PORT, VIP, Balancer, Strike, attempt
from bench.outage_story import Story
from bench.table import machine, markdown
from tests.e2e.proxy import Proxy
from tests.peers.kamailio import Kamailio
from tests.peers.namespace import Namespace
from tests.peers.program import PeerError

KAMAILIO_MODULES = ("tm", "sl", "pv", "rr", "textops", "siputils", "maxfwd", "dispatcher")


def ours(edge: Namespace, directory: Path) -> AbstractContextManager[object]:
    """The proxy as it is without any settings."""
    return Proxy([f"udp:{VIP}:{PORT}"], LIST, directory=directory / "proxy", probing=True, namespace=edge)


def kamailio(answer_ms: int) -> Balancer:
    """A Kamailio that waits so long for an answer, to a ping too."""

    def start(edge: Namespace, directory: Path) -> AbstractContextManager[object]:
        list_file = directory / "dispatcher.list"
        list_file.write_text(LIST)
        text = (HERE / "outage.cfg").read_text()
        for name, value in {"@LIST@": str(list_file), "@ANSWER_MS@": str(answer_ms), "@HOST@": VIP}.items():
            text = text.replace(name, value)
        return Kamailio(text, listen=[(VIP, PORT)], modules=KAMAILIO_MODULES, directory=directory, namespace=edge)

    return start


@attrs.frozen
class Contender:
    """What is measured; `probe_seconds` is how long it waits for the answer to a probe."""

    balancer: Balancer
    probe_seconds: float


CONTENDERS: Mapping[str, Contender] = {
    "sipdispatch": Contender(ours, 0.5),
    "Kamailio, fr_timer 30 s": Contender(kamailio(30_000), 30.0),
    "Kamailio, fr_timer 2 s": Contender(kamailio(2000), 2.0),
}

Figure = Callable[[Story], float | None]
TIMES: Mapping[str, tuple[Figure, str]] = {
    "last new call after the signal, s": (lambda story: story.last_new_call, ".2f"),
    "after the first refusal, ms": (
        lambda story: None if story.last_after_refusal is None else 1000 * story.last_after_refusal,
        ".1f",
    ),
    "back after its first answer, s": (lambda story: story.back_after, ".2f"),
    "good probes by then": (lambda story: story.good_probes, ".0f"),
    "longest wait of a call that was hit, s": (lambda story: story.longest_wait, ".1f"),
}
COUNTS: Mapping[str, tuple[Figure, str]] = {
    "hit": (lambda story: story.hit, ".0f"),
    "of them failed": (lambda story: story.hit_failed, ".0f"),
    "up or begun on the server": (lambda story: story.held, ".0f"),
    "of them lost": (lambda story: story.held_failed, ".0f"),
    "up on the other": (lambda story: story.others_in_progress, ".0f"),
    "all others": (lambda story: story.others, ".0f"),
    "of all others lost": (lambda story: story.others_failed, ".0f"),
}


def table(results: Mapping[tuple[str, Strike], Sequence[Story]], columns: Mapping[str, tuple[Figure, str]]) -> str:
    """A row for each balancer and way to go; each figure as its median and its highest."""
    rows = [
        [f"{name}: {how.value}", *(_median_and_worst(stories, *column) for column in columns.values())]
        for (name, how), stories in results.items()
    ]
    return markdown(("median / worst", *columns), rows)


def _median_and_worst(stories: Sequence[Story], figure: Figure, form: str) -> str:
    values = [value for value in map(figure, stories) if value is not None]
    return f"{median(values):{form}} / {max(values):{form}}" if values else ""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-outage ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--tries", type=int, default=5, help="how often each server goes (%(default)s)")
    add("--rate", type=float, default=100.0, help="calls a second (%(default)s)")
    add("--only", action="append", choices=list(CONTENDERS), metavar="NAME", help=f"of {', '.join(CONTENDERS)}")
    add("--strike", action="append", choices=[how.value for how in Strike], help="only in this way")
    add("--keep", type=Path, metavar="FOLDER", help="keep captures and logs there")
    add("--smoke", action="store_true", help="one try of the proxy: shows that everything works")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.tries, chosen.only = 1, ["sipdispatch"]
    return chosen


def measure(chosen: argparse.Namespace, folder: Path) -> dict[tuple[str, Strike], list[Story]]:
    """All tries, the balancers in turn."""
    ways = [how for how in Strike if how.value in (chosen.strike or [how.value])]
    results: dict[tuple[str, Strike], list[Story]] = {
        (name, how): [] for name in chosen.only or CONTENDERS for how in ways
    }
    for number in range(1, chosen.tries + 1):
        for (name, how), stories in results.items():
            place = folder / re.sub(r"[^\w]+", "-", f"{name} {how.value} {number}")
            place.mkdir(parents=True)
            contender = CONTENDERS[name]
            outage, scene = attempt(contender.balancer, how, place, rate=chosen.rate)
            stories.append(scene.story(attrs.evolve(outage, probe_seconds=contender.probe_seconds)))
            sys.stderr.write(f"try {number} of {chosen.tries}: {name}, {how.value}: {stories[-1]}\n")
    return results


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = measure(chosen, chosen.keep or Path(folder))
    except PeerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # what a peer needs is not here
        sys.stderr.write(f"error: {missing}\n")
        return 1
    print(f"{machine()}; load average before {load}; {chosen.rate:g} calls/s, {chosen.tries} tries\n")
    print(f"{table(results, TIMES)}\n\n{table(results, COUNTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
