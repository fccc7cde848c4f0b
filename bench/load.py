"""What does the load generator see of a proxy that forwards?"""

from __future__ import annotations

import shutil
import subprocess
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
class Load:
    """One run of sipload: counts of transactions (an INVITE and its 200: two messages forwarded), see sipload.c."""

    sent: int
    got: int
    late: int
    bad: int
    lost: int
    seconds: float
    gap_us: float
    first: int
    busiest: int
    reached: int

    @classmethod
    def parse(cls, line: str) -> Self:
        """From the line that sipload prints."""
        fields = dict(field.split("=") for field in line.split())
        counts = ("sent", "got", "late", "bad", "lost", "first", "busiest", "reached")
        whole = {name: int(fields[name]) for name in counts}
        return cls(**whole, seconds=float(fields["seconds"]), gap_us=float(fields["gap_us"]))

    @property
    def messages_per_second(self) -> float:
        return 2 * self.got / self.seconds

    @property
    def messages(self) -> int:
        """All that the proxy forwarded, also after the clock had stopped."""
        return 2 * (self.got + self.late)


def build(source: Path, work: Path) -> Path:
    """Compile a C file into `work`, once."""
    program = work / source.stem
    if not program.exists():
        if shutil.which("gcc") is None:
            message = "the bench needs a C compiler: apt-get install gcc libc6-dev"
            raise BenchError(message)
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source, "-lpthread"], check=True)
    return program


def command(
    work: Path, *, count: int, seconds: float, window: int, rate: float = 0, cpu: int | None = None
) -> list[str]:
    """The command line of one run with `count` destinations; `rate` 0 is as fast as answers come."""
    proxy, client = (layout.PROXY_HOST, layout.PROXY_PORT), (layout.CLIENT_HOST, layout.CLIENT_PORT)
    there = (layout.DESTINATIONS, layout.DESTINATION_PORT)
    pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
    arguments = (*proxy, *client, *there, count, seconds, window, rate)
    return [*pin, str(build(HERE / "sipload.c", work)), *map(str, arguments)]


def run(argv: list[str], seconds: float) -> Load:
    """Run a command of `command` to its end."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS, check=False)
    if done.returncode:
        message = f"the load generator failed: {done.stderr.strip()}"
        raise BenchError(message)
    return Load.parse(done.stdout)


def is_ready(work: Path, count: int) -> bool:
    """Whether the proxy forwards: also what warms it up."""
    return run(command(work, count=count, seconds=READY_TRY_SECONDS, window=16), READY_TRY_SECONDS).got > 0
