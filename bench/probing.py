"""What does it cost to probe many targets, and are the probes spread evenly over time?

The pure core under simulated time: every server answers after a millisecond, and nothing is sent.  The time of the core
is what is measured, not that of the servers; a real loop adds two system calls a probe.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence

import attrs

from bench.table import machine, markdown
from health.monitor import Monitor
from health.target import Target

STEP_S = 0.001
BIN_S = 0.01
START_S = 1000.0


@attrs.define
class Run:
    """What was measured; times in seconds of the machine, `bins` in 10 ms of simulated time."""

    taking_over: float = 0.0
    probing: float = 0.0
    board: float = 0.0
    sent: int = 0
    answered: int = 0
    bins: Counter[int] = attrs.field(factory=Counter)
    per_target: Counter[int] = attrs.field(factory=Counter)


def targets(count: int, interval: float) -> list[Target]:
    numbers = random.Random(1).sample(range(1, 2**32), count)
    hosts = [f"198.{18 + (place >> 16)}.{place >> 8 & 255}.{place & 255}" for place in range(count)]
    return [
        Target(number=number, uri=f"sip:{host}", address=(host, 5060), source=("192.0.2.1", 40000), interval=interval)
        for number, host in zip(numbers, hosts, strict=True)
    ]


def answer(request: bytes) -> bytes:
    lines = request.split(b"\r\n")
    shown = [line for line in lines if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"))]
    return b"\r\n".join([b"SIP/2.0 200 OK", *shown, b"Server: bench", b"Content-Length: 0", b"", b""])


def run(count: int, seconds: float, interval: float) -> Run:
    """Probe so many targets for so long."""
    found = Run()
    clock = time.perf_counter
    monitor = Monitor(random.SystemRandom())
    wanted = targets(count, interval)
    began = clock()
    monitor.replace_targets(wanted, now=START_S)
    found.taking_over = clock() - began
    wire: deque[list[bytes]] = deque([[]])
    for step in range(round(seconds / STEP_S)):
        now = START_S + step * STEP_S
        arrived = wire.popleft()
        began = clock()
        for reply in arrived:
            found.answered += monitor.receive_datagram(reply, ("198.18.0.1", 5060), now)
        monitor.handle_timer(now)
        requests = []
        while batch := monitor.datagrams_to_send(now):
            requests += batch
        found.probing += clock() - began
        found.sent += len(requests)
        found.bins[int(step * STEP_S / BIN_S)] += len(requests)
        found.per_target.update(target.number for target, _ in requests)
        wire.append([answer(request) for _, request in requests])
    began = clock()
    monitor.board()
    found.board = clock() - began
    return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.probing", description=__doc__)
    add = parser.add_argument
    add("--targets", type=int, nargs="+", default=[100, 1000, 10_000], metavar="N", help="how many (%(default)s)")
    add("--seconds", type=float, default=5.0, help="simulated time of a run (%(default)s)")
    add("--interval", type=float, default=1.0, help="seconds from one probe of a target to the next (%(default)s)")
    chosen = parser.parse_args(argv)
    headings = ("targets", "CPU us/probe", "max/mean per 10 ms", "probes of a target", "taken over ms", "board ms")
    rows = []
    for count in chosen.targets:
        found = run(count, chosen.seconds, chosen.interval)
        mean = found.sent / (chosen.seconds / BIN_S)
        probes = sorted(found.per_target.values())
        rows.append(
            (
                f"{count:,}",
                f"{found.probing / found.sent * 1e6:.1f}",
                f"{max(found.bins.values()) / mean:.2f}",
                f"{probes[0]} to {probes[-1]}" if len(probes) == count else "some starved",
                f"{found.taking_over * 1e3:.1f}",
                f"{found.board * 1e3:.2f}",
            )
        )
    print(markdown(headings, rows))
    print(f"\n{machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
