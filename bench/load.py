"""What do the load generator and the destinations see of a proxy that forwards?"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import attrs

from bench import layout

HERE = Path(__file__).resolve().parent
READY_TRY_SECONDS = 0.3
GRACE_SECONDS = 20.0


class BenchError(Exception):
    """The bench cannot be run; the message says why and what to do."""


@attrs.frozen(kw_only=True)
class Shape:
    """What the INVITEs are like: so many bytes (0: 0.9 kB with SDP), compact names, a phone behind NAT."""

    size: int = 0
    compact: bool = False
    nat: bool = False

    @property
    def letters(self) -> str:
        """As sipload wants to be told."""
        return ("c" if self.compact else "") + ("n" if self.nat else "") or "-"

    def __str__(self) -> str:
        words = [f"{self.size:,} bytes" if self.size else "with SDP"]
        words += ["compact names"] if self.compact else []
        words += ["from behind NAT"] if self.nat else []
        return f"INVITE {', '.join(words)}"


PLAIN = Shape()


@attrs.frozen(kw_only=True)
class Load:
    """One run of sipload: counts of transactions (an INVITE and its 200: two messages forwarded), see sipload.c."""

    sent: int
    got: int
    late: int
    bad: int
    lost: int
    seconds: float
    gap_us: float
    delay_us: float
    p50_us: float
    p99_us: float
    p999_us: float

    @classmethod
    def parse(cls, line: str) -> Self:
        """From the line that sipload prints."""
        fields = dict(field.split("=") for field in line.split())
        counts = {name: int(fields[name]) for name in ("sent", "got", "late", "bad", "lost")}
        return cls(
            **counts,
            seconds=float(fields["seconds"]),
            gap_us=float(fields["gap_us"]),
            delay_us=float(fields["delay_us"]),
            p50_us=float(fields["p50_us"]),
            p99_us=float(fields["p99_us"]),
            p999_us=float(fields["p999_us"]),
        )

    @property
    def messages_per_second(self) -> float:
        return 2 * self.got / self.seconds

    @property
    def messages(self) -> int:
        """All that the proxy forwarded, also after the clock had stopped."""
        return 2 * (self.got + self.late)


@attrs.frozen(kw_only=True)
class Shares:
    """Requests of the first and of the busiest destination, and the number of destinations that got any.

    And of all together, in datagrams: requests, probes (some of them `again`), and what was answered of both.
    """

    first: int
    busiest: int
    reached: int
    requests: int
    probes: int
    again: int
    answered: int

    @classmethod
    def parse(cls, line: str) -> Self:
        """From the line that sipanswer prints."""
        return cls(**{name: int(count) for name, count in (field.split("=") for field in line.split())})


class Destinations:
    """The running sipanswer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def shares(self) -> Shares:
        """What they got since they were last asked."""
        if self._process.stdin is None or self._process.stdout is None:
            message = "sipanswer was started without pipes"
            raise BenchError(message)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            message = f"the destinations cannot be answered for on port {layout.DESTINATION_PORT}, see above"
            raise BenchError(message)
        return Shares.parse(line)


@contextlib.contextmanager
def destinations(work: Path, *, count: int, cpu: int | None, swallow: int = 0) -> Iterator[Destinations]:
    """All destinations answer while the block is open, which is longer than the proxy runs.

    A proxy that finds one closed avoids it for a while, and rightly.
    With `swallow` the request of that number after each question is not answered: a loss that a bench must tell of.
    """
    argv = [*pin(cpu), build(HERE / "sipanswer.c", work), layout.DESTINATIONS, layout.DESTINATION_PORT, count]
    argv += [swallow] if swallow else []
    process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        answering = Destinations(process)
        answering.shares()
        yield answering
    finally:
        process.communicate()  # the end of its input ends it


def build(source: Path, work: Path) -> Path:
    """Compile a C file into `work`, once."""
    program = work / source.stem
    if not program.exists():
        if shutil.which("gcc") is None:
            message = "the bench needs a C compiler: apt-get install gcc libc6-dev"
            raise BenchError(message)
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source], check=True)
    return program


def command(
    work: Path,
    *,
    seconds: float,
    window: int,
    rate: float = 0,
    cpu: int | None = None,
    shape: Shape = PLAIN,
    straight: bool = False,
) -> list[str]:
    """The command line of one run of sipload; `rate` 0 is as fast as answers come, `straight` without the proxy."""
    proxy, client = (layout.PROXY_HOST, layout.PROXY_PORT), (layout.CLIENT_HOST, layout.CLIENT_PORT)
    proxy = (str(layout.DESTINATIONS + 1), layout.DESTINATION_PORT) if straight else proxy
    how = (seconds, window, rate, shape.size, shape.letters)
    argv = [*pin(cpu), build(HERE / "sipload.c", work), *proxy, *client, *how]
    return list(map(str, argv))


def run(argv: list[str], seconds: float) -> Load:
    """Run a command of `command` to its end."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS, check=False)
    if done.returncode:
        message = f"the load generator failed: {done.stderr.strip()}"
        raise BenchError(message)
    return Load.parse(done.stdout)


@contextlib.contextmanager
def beside(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command of `command` that runs while the block is open; killed where it is left before the end of that."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_ready(work: Path) -> bool:
    """Whether the proxy forwards: also what warms it up."""
    return run(command(work, seconds=READY_TRY_SECONDS, window=16), READY_TRY_SECONDS).got > 0


def two_cpus() -> tuple[int | None, int | None]:
    """The proxy's CPU and the load's; no pinning where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)


def pin(cpu: int | None) -> list[str]:
    """What stands before a command so that it runs on one CPU."""
    return [] if cpu is None else ["taskset", "-c", str(cpu)]
