"""Does a running proxy forward and end well whatever becomes of the reader of its log?"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sipdispatch.loglines import MAX_LINES

LONG_S = 30.0
PIPE_BYTES = 4096
"""The smallest pipe that the kernel makes."""
STUCK_BYTES = PIPE_BYTES // 2
"""As much as is in a pipe to which the next line of the proxy no longer fits; a problem of a list is shorter."""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Proxy:
    """A proxy in a process of its own, with a list that may become wrong in many lines."""

    def __init__(self, folder: Path, stderr: int) -> None:
        self.port = free_port()
        self._list = folder / "dispatcher.list"
        self._list.write_text("1 sip:127.0.0.67 32 0\n")  # nobody is there, so nobody is probed
        options = f'listen = "127.0.0.1:{self.port}"\nstate_dir = "."\nlist = "dispatcher.list"\nset = 1\n'
        (folder / "sipdispatch.toml").write_text("[proxy]\n" + options)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sipdispatch", "proxy", "--config", str(folder / "sipdispatch.toml")],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )

    def answers(self) -> bool:
        """Whether it answers an OPTIONS, asked until it does or has ended."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.connect(("127.0.0.1", self.port))
            phone.settimeout(0.2)
            own = f"127.0.0.1:{phone.getsockname()[1]}"
            options = (
                f"OPTIONS sip:127.0.0.1:{self.port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKlog;rport\r\n"
                f"From: <sip:a@{own}>;tag=1\r\nTo: <sip:127.0.0.1:{self.port}>\r\nCall-ID: log\r\nCSeq: 1 OPTIONS\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            ends_at = time.monotonic() + LONG_S
            while self.process.poll() is None and time.monotonic() < ends_at:
                with suppress(OSError):  # nobody there yet, or nobody answers
                    phone.send(options)
                    return phone.recv(4096).startswith(b"SIP/2.0 200 ")
        return False

    def log_much(self) -> None:
        """Have the proxy log more problems than lines may wait."""
        self._list.write_text("not a line of the list\n" * 3 * MAX_LINES)
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONG_S)


@contextmanager
def proxy(folder: Path, stderr: int) -> Iterator[Proxy]:
    running = Proxy(folder, stderr)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):  # closed by the test
            os.close(end)


def waiting_bytes(reading: int) -> int:
    return int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def until(true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_a_reader_that_goes_away(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with proxy(tmp_path, writing) as running:
        assert running.answers()
        os.close(writing)
        os.close(reading)
        running.log_much()
        assert running.answers()
        assert running.end() == 0


def test_a_full_disk(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, proxy(tmp_path, full.fileno()) as running:
        assert running.answers()
        running.log_much()
        assert running.answers()
        assert running.end() == 0


def test_a_reader_that_never_reads(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with proxy(tmp_path, writing) as running:
        assert running.answers()
        running.log_much()
        until(lambda: waiting_bytes(reading) > STUCK_BYTES)
        for _ in range(3):
            assert running.answers()
        assert running.end() == 0


def test_a_reader_that_was_stuck_learns_what_it_missed_and_how_it_ended(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with proxy(tmp_path, writing) as running:
        assert running.answers()
        os.close(writing)
        running.log_much()
        until(lambda: waiting_bytes(reading) > STUCK_BYTES)
        assert running.answers()
        log = b""
        while b"were lost" not in log and (read := os.read(reading, PIPE_BYTES)):
            log += read
        running.process.send_signal(signal.SIGTERM)
        while read := os.read(reading, PIPE_BYTES):
            log += read
        assert running.process.wait(LONG_S) == 0
    events = [json.loads(line) for line in log.splitlines()]
    # A slow reader may lose more of it, but not the last line.
    assert events[-1]["event"] == "stopped"
    assert sum(event["lines"] for event in events if event["event"] == "log lines were lost") > 0
