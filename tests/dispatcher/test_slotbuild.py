"""The slot table built in a process of its own, and in a thread where that cannot be."""

from __future__ import annotations

import io
import os
import sys
import threading
from types import SimpleNamespace

import pytest
import trio
from structlog.testing import capture_logs

from dispatcher import slotbuild, slotprogram, slots
from dispatcher.algorithm import Ranking
from dispatcher.destination import Destination, Entry
from dispatcher.selection import Groups, make_pool
from dispatcher.slotbuild import build_apart, make_pool_apart
from dispatcher.slots import Contender
from sip.uri import parse_uri

KEY = bytes(range(16))
GROUPS: Groups = ((Contender(0, 1, 50), Contender(1, 2**64 - 1, 2**63 - 1)), (Contender(2, 3, 1),))
STUB = bytes(slots.TABLE_SIZE)


def destinations(*weights: int) -> list[Destination]:
    return [
        Destination(
            entry=Entry(set_id=1, uri=f"sip:10.0.0.{n}", target=parse_uri(b"sip:10.0.0.%d" % n), weight=weight),
            address=(f"10.0.0.{n}", 5060),
        )
        for n, weight in enumerate(weights)
    ]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building in this process takes no time."""
    monkeypatch.setattr(slots, "build", lambda groups: STUB)


async def test_a_process_builds_the_table_that_this_one_would() -> None:
    with capture_logs() as logs:
        table = await build_apart(GROUPS)
    assert table == slots.build(GROUPS)
    assert logs == []


@pytest.mark.parametrize(
    ("executable", "said"),
    [
        ("/nonexistent/python", "No such file or directory"),
        ("", "the interpreter does not know its own path"),
        ("/bin/false", "exit code 1: no message"),
        ("/bin/true", "0 bytes instead of 524288"),
    ],
)
@pytest.mark.usefixtures("stub")
async def test_a_thread_builds_it_where_no_process_does(
    monkeypatch: pytest.MonkeyPatch, executable: str, said: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with capture_logs() as logs:
        assert await build_apart(GROUPS) is STUB
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert said in entry["reason"]


@pytest.mark.usefixtures("stub")
async def test_what_the_process_said_last_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slotbuild, "_START", "import sys; sys.exit('first\\nlast')")
    with capture_logs() as logs:
        assert await build_apart(GROUPS) is STUB
    assert logs[0]["reason"] == "exit code 1: last"


@pytest.mark.usefixtures("stub")
async def test_the_process_can_give_way_to_this_one_and_hears_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a session of its own it would be in a scheduling group of its own, and give way to nobody outside."""
    told = "import os, sys; sys.exit(f'{os.getsid(0)} {os.getpgid(0) == os.getpid()}')"
    monkeypatch.setattr(slotbuild, "_START", told)
    with capture_logs() as logs:
        await build_apart(GROUPS)
    assert logs[0]["reason"] == f"exit code 1: {os.getsid(0)} True"


@pytest.mark.usefixtures("stub")
async def test_a_process_that_is_stuck_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slotbuild, "LONGEST_S", 0.3)
    monkeypatch.setattr(slotbuild, "_START", "import time; time.sleep(600)")
    with capture_logs() as logs, trio.fail_after(5):
        assert await build_apart(GROUPS) is STUB
    assert logs[0]["reason"] == "no table within 0.3 seconds"


async def test_the_end_does_not_wait_for_a_thread_that_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    started, done, ended = threading.Event(), threading.Event(), threading.Event()

    def build(_groups: Groups) -> bytes:
        started.set()
        done.wait(5)
        ended.set()
        return STUB

    monkeypatch.setattr(slots, "build", build)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(build_apart, GROUPS)
            await trio.to_thread.run_sync(started.wait)
            nursery.cancel_scope.cancel()
    assert not ended.is_set()
    done.set()


@pytest.mark.usefixtures("stub")
async def test_no_process_is_started_where_nobody_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with capture_logs() as logs:
        assert await build_apart(((Contender(0, 1, 50),), (Contender(1, 2, 50),))) is STUB
    assert logs == []


async def test_a_pool_made_apart_is_the_pool() -> None:
    everyone = destinations(50, 50, 1)
    apart = await make_pool_apart(1, everyone, KEY, rankings=(Ranking.WEIGHT, Ranking.PRIORITY))
    here = make_pool(1, everyone, KEY, rankings=(Ranking.WEIGHT, Ranking.PRIORITY))
    assert [table.packed for table in apart.tables] == [table.packed for table in here.tables]
    assert apart.salt == here.salt


@pytest.mark.usefixtures("stub")
async def test_a_known_table_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Groups] = []

    async def build(groups: Groups) -> bytes:
        asked.append(groups)
        return STUB

    monkeypatch.setattr(slotbuild, "build_apart", build)
    old = await make_pool_apart(1, destinations(50, 50), KEY)
    assert len(asked) == 1
    same = await make_pool_apart(1, destinations(50, 50), KEY, known=[old])
    assert len(asked) == 1
    assert same.tables[0].packed is old.tables[0].packed
    await make_pool_apart(1, destinations(50, 60), KEY, known=[old, same])
    assert len(asked) == 2


def test_the_program_reads_groups_and_writes_the_table() -> None:
    sink = io.BytesIO()
    slotprogram.run(io.BytesIO(slotprogram.encode(GROUPS)), sink)
    assert sink.getvalue() == slots.build(GROUPS)


def test_the_program_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[int] = []
    sink = io.BytesIO()
    monkeypatch.setattr(os, "nice", lowered.append)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[]")))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sink))
    slotprogram.main()
    assert lowered == [10]
    assert sink.getvalue() == slots.build([])


def test_the_program_builds_also_where_it_may_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_by: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    sink = io.BytesIO()
    monkeypatch.setattr(os, "nice", forbidden)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[]")))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sink))
    slotprogram.main()
    assert len(sink.getvalue()) == slots.TABLE_SIZE
