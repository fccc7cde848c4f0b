"""How is a peer program started, watched and ended?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.peers.namespace import Namespace
from tests.peers.need import SEARCHED

LOG_TAIL_CHARACTERS = 3000
POLL_SECONDS = 0.01
STOP_SECONDS = 5.0


class PeerError(Exception):
    """A peer program did not start, did not answer or ended too early; the message ends with its own last words."""


class Program:
    """A child process with its output in a file, ended with everything it started when the block is left.

    `stopping` is the signal that asks it to end; after five seconds it is killed.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        namespace: Namespace | None = None,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stopping: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._stopping = stopping
        command = [str(argument) for argument in argv]
        if namespace is not None:
            command = namespace.command(command)
        if threading.current_thread() is threading.main_thread():
            # Ends the program even when the test run is killed; the kernel ties it to the thread that forked.
            command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, "PATH": SEARCHED, **(environment or {})},
                start_new_session=True,
            )
        if (urgency := os.getpriority(os.PRIO_PROCESS, 0)) < 0:
            # To the scheduler its own session is a group of its own, and what is nicer counts within a group only.
            with contextlib.suppress(OSError):
                Path(f"/proc/{self.pid}/autogroup").write_text(str(urgency))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The program's own process id, also inside a namespace: each wrapper becomes the program."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit status, once it ends by itself; PeerError when it does not."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.failure(f"still running after {seconds:g} s") from None

    def stop(self) -> int:
        """Ask it to end, kill what is left of its session; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(self._stopping)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float = 15.0) -> None:
        """Wait for `ready()`; PeerError when the program ends before or the time is over."""
        wait_until(lambda: self.returncode is not None or ready(), what, seconds=seconds, failure=self.failure)
        if self.returncode is not None:
            raise self.failure(f"ended with status {self.returncode} before: {what}")

    def failure(self, what: str) -> PeerError:
        """An error that carries the end of the program's output."""
        return PeerError(f"{what}\n--- the end of {self.log}\n{self.output()[-LOG_TAIL_CHARACTERS:]}")


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    seconds: float = 15.0,
    failure: Callable[[str], Exception] = PeerError,
) -> None:
    """Ask `ready()` a hundred times a second; a program from outside has nothing that could be awaited."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise failure(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
