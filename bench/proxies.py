"""Which proxies are measured, and how is each started and stopped?"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import attrs

from bench import layout
from bench.load import BenchError, build, is_ready
from bench.processes import cpu_seconds
from dispatcher.fastpath import WHY_NOT

HERE = Path(__file__).resolve().parent
READY_SECONDS = 30.0
IDLE_SECONDS, IDLE_CPU_SECONDS = 0.5, 0.025  # a proxy that uses less than 5 % of a CPU is waiting for work
STOP_SECONDS = 10.0
NULL, KAMAILIO, OURS, PURE = "null forwarder", "Kamailio", "sipdispatch", "sipdispatch, pure Python"
KAMAILIO_MEMORY = "-m 256 -M 16 -x tlsf -X tlsf"  # MiB, and the allocator: Debian's default one halves its rate


@attrs.frozen
class Proxy:
    """A program under test: `command` with {list}, {work} and {count} still to be filled in."""

    name: str
    command: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From NAME=COMMAND, as on the bench's own command line; ValueError for anything else."""
        name, _, command = text.partition("=")
        if not name or not command:
            raise ValueError(text)
        return cls(name, command)

    def argv(self, *, work: Path, list_file: Path, count: int) -> list[str]:
        """The command line for a list of `count` destinations."""
        return [
            part.format(list=list_file, work=work, count=count, listen=_listen()) for part in shlex.split(self.command)
        ]


def proxies(
    work: Path,
    extra: Sequence[Proxy],
    only: Sequence[str],
    *,
    probes: bool = False,
    workers: int = 1,
    nat: bool = False,
    calls: bool = False,
) -> list[Proxy]:
    """The floor, Kamailio where it is installed, ours by each of its paths, and the extra ones.

    `only` keeps those named; `nat` and `calls` make Kamailio do what we always do: for phones behind NAT, and with the
    Route of what follows in a dialog.
    """
    null = build(HERE / "nullforward.c", work)
    client = f"{layout.CLIENT_HOST} {layout.CLIENT_PORT}"
    there = f"{layout.DESTINATIONS} {layout.DESTINATION_PORT}"
    ours = Path(sys.executable).with_name("sipdispatch")
    found = [Proxy(NULL, f"{null} {layout.PROXY_HOST} {layout.PROXY_PORT} {client} {there} {{count}}")]
    kamailio = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if kamailio is None:
        sys.stderr.write("Kamailio is not measured: apt-get install kamailio\n")
    else:
        run = "-f {work}/kamailio.cfg -w {work} -Y {work} -P {work}/kamailio.pid"
        how = f"{KAMAILIO_MEMORY} -n {workers}{' -A NAT' if nat else ''}{' -A CALLS' if calls else ''}"
        found.append(Proxy(KAMAILIO, f"{kamailio} -DD -E {how} {run}"))
    if WHY_NOT:
        sys.stderr.write(f"only pure Python is measured: {WHY_NOT}\n")
    for name, path in [*([] if WHY_NOT else [(OURS, "on")]), (PURE, "off")]:
        configuration = work / f"{path}.toml"
        # The others do not probe either.
        configuration.write_text(
            f'[proxy]\nfastpath = "{path}"\nworkers = {workers}\n[health]\nenabled = {str(probes).lower()}\n'
        )
        options = f"--config {configuration} --listen udp:{{listen}} --list {{list}} --algorithm call-id"
        found.append(Proxy(name, f"{ours} proxy {options}"))
    found += extra
    kept = [proxy for proxy in found if not only or proxy.name in only]
    if not kept:
        message = f"no proxy is named {', '.join(only)}; there are {', '.join(proxy.name for proxy in found)}"
        raise BenchError(message)
    return kept


def configured(proxy: Proxy, work: Path, name: str, more: str) -> Proxy:
    """One of our own with `more` in its configuration."""
    path = "on" if proxy.name == OURS else "off"
    configuration = work / f"{path}-{name}.toml"
    configuration.write_text((work / f"{path}.toml").read_text() + more)
    command = proxy.command.replace(str(work / f"{path}.toml"), str(configuration))
    return Proxy(f"{proxy.name}, {name}", command)


@contextlib.contextmanager
def running(
    proxy: Proxy, *, work: Path, count: int, cpu: int | None, settles: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """The proxy, pinned to a CPU and seen to forward, while the block is open.  BenchError when it does not.

    One that `settles` has nothing to do without calls, and is waited for until then.
    """
    list_file = work / "dispatcher.list"
    list_file.write_text(layout.dispatcher_list(count))
    configuration = (HERE / "kamailio.cfg").read_text()
    (work / "kamailio.cfg").write_text(configuration.replace("@LISTEN@", _listen()).replace("@LIST@", str(list_file)))
    pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
    log = work / "proxy.log"
    with log.open("wb") as output:
        argv = [*pin, *proxy.argv(work=work, list_file=list_file, count=count)]
        # A secret and a state of its own, so that the bench leaves nothing behind.
        own = {**os.environ, "STATE_DIRECTORY": str(work / "state")}
        process = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True, cwd=work, env=own)
    try:
        _wait_until_it_forwards(proxy, process, work=work, log=log)
        if settles:
            _wait_until_idle(proxy, process)
        yield process
    finally:
        _stop(process)


def _listen() -> str:
    return f"{layout.PROXY_HOST}:{layout.PROXY_PORT}"


def _wait_until_it_forwards(proxy: Proxy, process: subprocess.Popen[bytes], *, work: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(work):
        if process.poll() is not None:
            message = f"{proxy.name} ended at once with status {process.returncode}:\n{log.read_text()[-2000:]}"
            raise BenchError(message)
        if time.monotonic() > deadline:
            message = f"{proxy.name} forwards nothing after {READY_SECONDS:g} s:\n{log.read_text()[-2000:]}"
            raise BenchError(message)


def _wait_until_idle(proxy: Proxy, process: subprocess.Popen[bytes]) -> None:
    """Wait until what it began at its start, as building tables aside, is done."""
    deadline = time.monotonic() + READY_SECONDS
    before = -1.0
    while abs((now := cpu_seconds(process.pid)) - before) > IDLE_CPU_SECONDS:
        if time.monotonic() > deadline:
            message = f"{proxy.name} is still busy with itself after {READY_SECONDS:g} s"
            raise BenchError(message)
        before = now
        time.sleep(IDLE_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
