"""What does a scrape cost the proxy, and how long do packets wait for it?

The HTTP server runs in this process as it does in the proxy, beside a task that wants a turn each millisecond; a client
in another process, on another CPU, fetches one path after another.  The longest time between two turns, less the
millisecond, is what a packet would have waited; a virtual machine adds some by itself, as the first rows show.  The
longest CPU time between two turns, less the millisecond, is free of that: so long does the server itself keep packets
waiting.  The last rows show what gathering the facts adds.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from statistics import median

import attrs
import trio

from bench.load import two_cpus
from bench.table import machine, markdown
from sip.uri import Address
from sipdispatch.errors import CommandError
from sipdispatch.facts import ProxyFacts
from sipdispatch.garbage import THRESHOLD as GC_THRESHOLD
from sipdispatch.http import serve_http
from sipdispatch.proxy import SWITCH_INTERVAL_S
from tests.sipdispatch.fake_operations import FakeOperations, destination, with_destinations, with_these

TICK_S = 0.001
PAUSE_BETWEEN_S = 0.3
"""Longer than facts are kept, so that each request asks for them."""
STEP = 10
"""Destinations: about 0.1 ms."""
GZIP = "gzip"
OPENMETRICS = "application/openmetrics-text"
CLIENT = """
import http.client, os, sys, time
host, port, path, encoding, accept, cpu = sys.argv[1:]
if cpu != "None":
    os.sched_setaffinity(0, {int(cpu)})
client = http.client.HTTPConnection(host, int(port))
print("ready", flush=True)
input()
begun = time.perf_counter()
client.request("GET", path, headers={"Accept-Encoding": encoding, "Accept": accept})
answer = client.getresponse()
size = 0
while part := answer.read(65536):
    size += len(part)
print(answer.status, size, time.perf_counter() - begun)
"""


@attrs.frozen(kw_only=True)
class Cost:
    """Of one request: bytes on the wire, seconds until the client had all, CPU seconds, and the longest pause.

    `held` is the longest CPU time between two turns, less the tick, in seconds.
    """

    size: int
    seconds: float
    cpu: float
    pause: float
    held: float


class Ticks:
    """A task that wants a turn each millisecond and remembers the longest time that it waited beyond that.

    And the longest CPU time that this process used meanwhile, beyond that millisecond.
    """

    def __init__(self) -> None:
        self._longest = (0.0, 0.0)

    async def tick(self) -> None:
        before, used = time.perf_counter(), time.process_time()
        while True:
            await trio.sleep(TICK_S)
            now, using = time.perf_counter(), time.process_time()
            pause, held = self._longest
            self._longest = max(pause, now - before - TICK_S), max(held, using - used - TICK_S)
            before, used = now, using

    def longest(self) -> tuple[float, float]:
        """Both, in seconds, since the last time this was asked."""
        longest, self._longest = self._longest, (0.0, 0.0)
        return longest


@attrs.define
class Gathering(FakeOperations):
    """Facts of so many destinations, made when they are asked for, or once."""

    make: Callable[[], ProxyFacts] = attrs.field(kw_only=True)

    def facts(self) -> ProxyFacts:
        return self.make()


@attrs.define
class GatheringInSteps(FakeOperations):
    """The same, a few destinations at a time."""

    count: int = attrs.field(kw_only=True)

    def facts_in_steps(self) -> Generator[None, None, ProxyFacts]:
        made = []
        for number in range(1, self.count + 1):
            made.append(destination(number))
            if number % STEP == 0:
                yield
        return with_these(*made)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scrape", description=__doc__)
    add = parser.add_argument
    add("--destinations", type=int, default=2000, metavar="N", help="lines of the list (%(default)s)")
    add("--rounds", type=int, default=9, help="how often each path is fetched (%(default)s)")
    add("--smoke", action="store_true", help="a short run that shows that everything works; the figures mean nothing")
    chosen = parser.parse_args(argv)
    if chosen.smoke:
        chosen.rounds, chosen.destinations = 1, 50
    return chosen


@asynccontextmanager
async def serving(operations: FakeOperations) -> AsyncIterator[tuple[Address, Ticks]]:
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[Address]) -> None:
            await serve_http(("127.0.0.1", 0), operations, task_status=task_status)

        ticks = Ticks()
        address: Address = await nursery.start(serve)
        nursery.start_soon(ticks.tick)
        yield address, ticks
        nursery.cancel_scope.cancel()


async def fetch(address: Address, ticks: Ticks, what: Sequence[str]) -> Cost:
    """One request by a client of its own, when nothing else has gone on for a while."""
    _, load_cpu = two_cpus()
    await trio.sleep(PAUSE_BETWEEN_S)
    command = [sys.executable, "-c", CLIENT, address[0], str(address[1]), *what, str(load_cpu)]
    client = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert isinstance(client.stdin, trio.abc.SendStream)
    assert isinstance(client.stdout, trio.abc.ReceiveStream)
    async with client.stdin, client.stdout:
        await client.stdout.receive_some()
        await trio.sleep(2 * TICK_S)
        ticks.longest()  # starting a process is none of it
        cpu = time.process_time()
        await client.stdin.send_all(b"go\n")
        printed = b"".join([bytes(part) async for part in client.stdout])
    cpu = time.process_time() - cpu
    pause, held = ticks.longest()
    await client.wait()
    status, size, seconds = printed.decode().split()[-3:]
    if status != "200":
        message = f"{what[0]}: status {status}"
        raise ValueError(message)
    return Cost(size=int(size), seconds=float(seconds), cpu=cpu, pause=pause, held=held)


async def nothing(ticks: Ticks) -> Cost:
    """What the machine itself does to a task that wants a turn each millisecond."""
    ticks.longest()
    cpu = time.process_time()
    await trio.sleep(PAUSE_BETWEEN_S)
    pause, held = ticks.longest()
    return Cost(size=0, seconds=PAUSE_BETWEEN_S, cpu=time.process_time() - cpu, pause=pause, held=held)


async def measure(chosen: argparse.Namespace) -> list[list[str]]:
    ready = with_destinations(chosen.destinations)
    requests = {
        "/healthz": ("/healthz", "identity", "*/*"),
        "/metrics": ("/metrics", "identity", "*/*"),
        "/metrics, gzip": ("/metrics", GZIP, "*/*"),
        "/metrics, OpenMetrics, gzip": ("/metrics", GZIP, OPENMETRICS),
        "/api/v1/destinations, gzip": ("/api/v1/destinations", GZIP, "*/*"),
        "/, gzip": ("/", GZIP, "*/*"),
    }
    rows = []
    async with serving(FakeOperations(ready)) as (address, ticks):
        rows.append(_row(f"nothing for {PAUSE_BETWEEN_S:g} s", [await nothing(ticks) for _ in range(chosen.rounds)]))
        for name, what in requests.items():
            rows.append(_row(name, [await fetch(address, ticks, what) for _ in range(chosen.rounds)]))
    gathering = {
        "in steps": GatheringInSteps(count=chosen.destinations),
        "at once": Gathering(make=lambda: with_destinations(chosen.destinations)),
    }
    for how, operations in gathering.items():
        async with serving(operations) as (address, ticks):
            costs = [await fetch(address, ticks, requests["/metrics, gzip"]) for _ in range(chosen.rounds)]
            rows.append(_row(f"/metrics, gzip, facts gathered {how}", costs))
    return rows


def _row(name: str, costs: Sequence[Cost]) -> list[str]:
    pauses = sorted(cost.pause for cost in costs)
    return [
        name,
        f"{median(cost.size for cost in costs) / 1000:,.0f}",
        f"{median(cost.seconds for cost in costs) * 1000:.1f}",
        f"{median(cost.cpu for cost in costs) * 1000:.1f}",
        f"{median(pauses) * 1000:.2f}",
        f"{pauses[-1] * 1000:.2f}",
        f"{median(cost.held for cost in costs) * 1000:.2f}",
    ]


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    own_cpu, _ = two_cpus()
    if own_cpu is not None:
        os.sched_setaffinity(0, {own_cpu})
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_THRESHOLD)
    try:
        rows = trio.run(measure, chosen)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    print(f"{machine()}; {chosen.destinations:,} destinations, {chosen.rounds} rounds\n")
    headings = ("request", "kB sent", "ms in all", "ms of CPU", "longest pause, ms: median", "worst", "of CPU")
    print(markdown(headings, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
