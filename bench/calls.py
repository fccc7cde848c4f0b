"""What does a message of a whole call cost?  Calls by SIPp: INVITE, 180, 200, ACK, a second of talk, BYE, 200.

The proxy runs on one CPU, SIPp with the server on another, at a rate that SIPp keeps up with: what counts is CPU time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import attrs

from bench import layout
from bench.load import HERE, destinations, two_cpus
from bench.processes import cpu_seconds, memory_mib
from bench.proxies import KAMAILIO, Proxy, proxies, running
from bench.rounds import asked, in_turn, status
from bench.table import machine, markdown
from tests.peers.need import find
from tests.peers.sipp import answer, call

MESSAGES = 6
"""That a proxy forwards of each call."""


@attrs.frozen(kw_only=True)
class Run:
    """How the calls of a run ended, what a forwarded message cost, and the proxy's memory at its end."""

    successful: int
    failed: int
    retransmissions: int
    cpu_us: float
    memory_mib: float


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-calls ARGS=...", description=__doc__)
    asked(parser, rounds=3)
    add = parser.add_argument
    add("--calls", type=int, default=3000, help="how many calls each time (%(default)s)")
    add("--rate", type=float, default=300, help="calls a second (%(default)s)")
    return parser.parse_args(argv)


def measure(proxy: Proxy, chosen: argparse.Namespace, work: Path, cpu: int | None) -> Run:
    """One run of one proxy, on this CPU."""
    server = str(layout.DESTINATIONS + 1)
    with ExitStack() as stack:
        with destinations(work, count=1, cpu=None):  # until the proxy forwards; then SIPp has their port
            process = stack.enter_context(running(proxy, work=work, count=1, cpu=cpu))
        listening = answer(server, directory=work, name="server", port=layout.DESTINATION_PORT)
        stack.enter_context(listening).until_listening()
        before = cpu_seconds(process.pid)
        placed = call(
            (layout.PROXY_HOST, layout.PROXY_PORT),
            calls=chosen.calls,
            rate=chosen.rate,
            address=layout.CLIENT_HOST,
            directory=work,
            scenario=HERE / "outage_call.xml",
            seconds=chosen.calls / chosen.rate + 60,
        )
        used = cpu_seconds(process.pid) - before
        return Run(
            successful=placed.successful,
            failed=placed.failed,
            retransmissions=placed.retransmissions,
            cpu_us=1e6 * used / max(1, MESSAGES * placed.successful),
            memory_mib=memory_mib(process.pid),
        )


def row(name: str, runs: Sequence[Run], rival: Sequence[Run]) -> list[str]:
    """Medians; calls and repeated messages are those of all rounds."""
    cost = median(run.cpu_us for run in runs)
    return [
        name,
        f"{sum(run.successful for run in runs):,}",
        f"{sum(run.failed for run in runs):,}",
        f"{sum(run.retransmissions for run in runs):,}",
        f"{cost:.2f}",
        f"{median(run.memory_mib for run in runs):.1f}",
        f"{median(run.cpu_us for run in rival) / cost:.2f}" if rival else "",
    ]


HEADINGS = ("proxy", "calls", "failed", "sent again", "CPU us/message", "MiB", "Kamailio's CPU/its")


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    if find("sipp") is None:
        sys.stderr.write("error: the bench needs SIPp: apt-get install sip-tester\n")
        return 1
    own_cpu, load_cpu = two_cpus()
    if load_cpu is not None:
        os.sched_setaffinity(0, {load_cpu})  # what is started from here inherits it; the proxy is pinned elsewhere

    def measured(work: Path) -> str:
        contenders = proxies(work, [], chosen.only, calls=True)[0 if chosen.only else 1 :]
        results: dict[str, list[Run]] = {proxy.name: [] for proxy in contenders}
        for proxy in in_turn(chosen.rounds, {proxy.name: proxy for proxy in contenders}):
            results[proxy.name].append(measure(proxy, chosen, work, own_cpu))
        rows = [row(name, runs, results.get(KAMAILIO, [])) for name, runs in results.items()]
        return f"{machine()}; {chosen.calls:,} calls at {chosen.rate:,.0f} a second\n\n{markdown(HEADINGS, rows)}"

    return status(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
