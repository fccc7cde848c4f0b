"""How long does a reload keep the proxy from forwarding?  The longest gap between answers, with a reload and without.

Calls come at a steady rate while the list, with its first destination replaced, is read again on SIGHUP.  The run
without a reload shows what the machine itself puts into such a gap.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import layout
from bench.__main__ import two_cpus
from bench.load import BenchError, Load, command, destinations, run
from bench.proxies import OURS, Proxy, proxies, running
from bench.table import machine, markdown

RELOAD_AFTER_SECONDS = 1.0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pause", description=__doc__)
    add = parser.add_argument
    add("--destinations", type=int, default=2000, metavar="N", help="lines of the list (%(default)s)")
    add("--rate", type=float, default=2000.0, help="transactions a second (%(default)s)")
    add("--seconds", type=float, default=8.0, help="length of a run: the reload must be over by then (%(default)s)")
    add("--rounds", type=int, default=3, help="how often (%(default)s)")
    add("--proxy", type=Proxy.parse, metavar="NAME=COMMAND", help="another one than ours, with {list} {listen} {work}")
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.rounds, chosen.seconds, chosen.destinations = 1, 3.0, 200
    return chosen


def longest_gap_ms(proxy: Proxy, chosen: argparse.Namespace, work: Path, *, reload: bool) -> tuple[float, int]:
    """The longest gap in milliseconds and the transactions lost; BenchError when the reload had no effect."""
    own_cpu, load_cpu = two_cpus()
    count = chosen.destinations
    steady = command(work, seconds=chosen.seconds, window=10_000, rate=chosen.rate, cpu=load_cpu)
    with (
        # One more than the list has: the reloaded list ends there.
        destinations(work, count=count + 1, cpu=load_cpu) as answering,
        running(proxy, work=work, count=count, cpu=own_cpu) as process,
    ):
        with subprocess.Popen(steady, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
            if reload:
                time.sleep(RELOAD_AFTER_SECONDS)
                (work / "dispatcher.list").write_text(layout.dispatcher_list(count, first=2))
                process.send_signal(signal.SIGHUP)
            printed, complaint = load.communicate()
        if load.returncode:
            message = f"the load generator failed: {complaint.strip()}"
            raise BenchError(message)
        answering.shares()
        answered = run(command(work, seconds=1.0, window=256), 1.0).got
        if reload and (not answered or answering.shares().first):
            waited = chosen.seconds - RELOAD_AFTER_SECONDS
            message = f"{proxy.name} does not use the new list {waited:g} s after SIGHUP"
            raise BenchError(message)
    result = Load.parse(printed)
    return result.gap_us / 1000, result.lost


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    rows: list[list[str]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            work = Path(folder)
            proxy = chosen.proxy or proxies(work, [], [OURS])[0]
            for reload in (False, True):
                gaps = [longest_gap_ms(proxy, chosen, work, reload=reload) for _ in range(chosen.rounds)]
                longest = ", ".join(f"{gap:.1f}" for gap, _ in sorted(gaps))
                lost = max(lost for _, lost in gaps)
                rows.append([f"{proxy.name}, {'reload' if reload else 'no reload'}", longest, str(lost)])
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    print(f"{machine()}; {chosen.destinations:,} destinations, {chosen.rate:,.0f} transactions/s\n")
    print(markdown(("run", "longest gap of each round, ms", "lost"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
