"""What becomes of real calls while one source floods the proxy with garbage, or with a scanner's requests?

1,000 transactions a second from a well-known source, and beside them as many datagrams a second from another one as are
asked for.  The proxy runs on one CPU, all others on another.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import attrs

from bench import layout
from bench.load import GRACE_SECONDS, HERE, build, command, destinations, pin, run, two_cpus
from bench.processes import cpu_seconds
from bench.proxies import OURS, PURE, Proxy, configured, proxies, running
from bench.rounds import asked, in_turn, status
from bench.table import machine, markdown

FLOODER_HOST, FLOODER_PORT = "127.0.0.30", 6666
KINDS = {"none": "", "garbage": "g", "scanner": "s"}
LEAD_SECONDS = 0.3
"""The flood begins before the calls and ends after them."""
DESTINATIONS = 20
LIMITS = f"[proxy.limits]\nrate = 50\nallow = ['{layout.CLIENT_HOST}']\n"


@attrs.frozen(kw_only=True)
class Run:
    """The flood that was sent, what became of the real transactions meanwhile, and the part of a CPU the proxy used."""

    flood: float
    answered: int
    lost: int
    p99_us: float
    cpu: float


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-flood ARGS=...", description=__doc__)
    asked(parser, rounds=3)
    add = parser.add_argument
    add("--seconds", type=float, default=3.0, help="how long each time (%(default)s)")
    add("--flood", type=float, default=100_000, help="datagrams a second of the flood (%(default)s; 0: all that go)")
    add("--rate", type=float, default=1000, help="real transactions a second (%(default)s)")
    return parser.parse_args(argv)


def contenders(work: Path, only: Sequence[str]) -> list[Proxy]:
    """Those of `make bench` but the null forwarder, which would pass the flood on, and each of ours with limits too."""
    found = []
    for proxy in proxies(work, [], [])[1:]:
        found.append(proxy)
        if proxy.name in (OURS, PURE):
            found.append(configured(proxy, work, "limits", LIMITS))
    return [proxy for proxy in found if not only or proxy.name in only]


def measure(proxy: Proxy, kind: str, chosen: argparse.Namespace, work: Path) -> Run:
    """One run; BenchError when something fails."""
    own_cpu, load_cpu = two_cpus()
    flooder = [*pin(load_cpu), build(HERE / "sipflood.c", work), layout.PROXY_HOST, layout.PROXY_PORT]
    flooder += [FLOODER_HOST, FLOODER_PORT, chosen.seconds + 2 * LEAD_SECONDS, chosen.flood, KINDS[kind]]
    calls = command(work, seconds=chosen.seconds, window=100_000, rate=chosen.rate, cpu=load_cpu)
    with (
        destinations(work, count=DESTINATIONS, cpu=load_cpu),
        running(proxy, work=work, count=DESTINATIONS, cpu=own_cpu) as process,
    ):
        flood = _start(flooder) if kind != "none" else None
        time.sleep(LEAD_SECONDS)
        before, since = cpu_seconds(process.pid), time.monotonic()
        load = run(calls, chosen.seconds)
        used = (cpu_seconds(process.pid) - before) / (time.monotonic() - since)
        said = flood.communicate(timeout=GRACE_SECONDS)[0] if flood else "sent=0 seconds=1"
    sent, seconds = (float(field.partition("=")[2]) for field in said.split())
    return Run(flood=sent / seconds, answered=load.got + load.late, lost=load.lost, p99_us=load.p99_us, cpu=used)


def _start(argv: Sequence[object]) -> subprocess.Popen[str]:
    return subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, text=True)


def row(name: str, kind: str, runs: Sequence[Run]) -> list[str]:
    """Medians; the losses are those of all rounds together."""
    return [
        name,
        kind,
        f"{median(run.flood for run in runs):,.0f}",
        f"{sum(run.answered for run in runs):,}",
        f"{sum(run.lost for run in runs):,}",
        f"{median(run.p99_us for run in runs) / 1000:.1f}",
        f"{median(run.cpu for run in runs):.0%}",
    ]


HEADINGS = ("proxy", "flood", "datagrams/s", "answered", "lost", "99 % within, ms", "CPU")


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)

    def measured(work: Path) -> str:
        each = [(proxy, kind) for proxy in contenders(work, chosen.only) for kind in KINDS]
        results: dict[tuple[str, str], list[Run]] = {(proxy.name, kind): [] for proxy, kind in each}
        told = {f"{proxy.name}, flood: {kind}": (proxy, kind) for proxy, kind in each}
        for proxy, kind in in_turn(chosen.rounds, told):
            results[proxy.name, kind].append(measure(proxy, kind, chosen, work))
        rows = [row(name, kind, runs) for (name, kind), runs in results.items()]
        return f"{machine()}; {chosen.rate:,.0f} real transactions/s\n\n{markdown(HEADINGS, rows)}"

    return status(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
