"""Does systemd learn what it is told, and nobody else, and does it never cost anything?"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from sipdispatch.servicemanager import keep_alive, tell, watchdog_interval


@pytest.fixture
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[socket.socket, Path]]:
    path = tmp_path_factory.mktemp("n") / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(5)
        yield listening, path


def test_lines_arrive_in_one_datagram(manager: tuple[socket.socket, Path]) -> None:
    listening, path = manager
    tell("READY=1", "STATUS=two\nlines", environ={"NOTIFY_SOCKET": str(path)})
    assert listening.recv(100) == b"READY=1\nSTATUS=two lines"


def test_an_abstract_name_is_understood() -> None:
    name = f"sipdispatch-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        tell("STOPPING=1", environ={"NOTIFY_SOCKET": f"@{name}"})
        assert listening.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "relative", "/" + 200 * "x"])
def test_where_nobody_listens_nothing_happens(name: str) -> None:
    tell("READY=1", environ={"NOTIFY_SOCKET": name})


def test_a_manager_that_does_not_read_is_not_waited_for(manager: tuple[socket.socket, Path]) -> None:
    _, path = manager
    for _ in range(1000):
        tell("WATCHDOG=1", environ={"NOTIFY_SOCKET": str(path)})


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "77"}, 1.0),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_keep_alives_are_sent_if_they_are_wanted_of_this_process(
    environ: dict[str, str], interval: float | None
) -> None:
    assert watchdog_interval(environ, pid=77) == interval


async def test_keep_alives_go_on(manager: tuple[socket.socket, Path], autojump_clock: trio.testing.MockClock) -> None:
    listening, path = manager
    with trio.move_on_after(2.5):
        await keep_alive({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000"})
    listening.settimeout(0)
    assert [listening.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    with pytest.raises(BlockingIOError):
        listening.recv(100)


async def test_without_a_watchdog_nothing_is_kept_up() -> None:
    await keep_alive({})
