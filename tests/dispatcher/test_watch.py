"""Saves as editors make them, on a clock that jumps."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from dispatcher.watch import Signature, signature, watch

Start = Callable[..., Awaitable[list[tuple[str, ...]]]]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    async def begin(*paths: Path, known: dict[Path, Signature | None] | None = None) -> list[tuple[str, ...]]:
        told: list[tuple[str, ...]] = []

        async def on_change(changed: tuple[Path, ...]) -> None:
            told.append(tuple(path.name for path in changed))

        async def run() -> None:
            await watch(paths, on_change, known=known)

        nursery.start_soon(run)
        await trio.sleep(0.5)  # out of step with the looks, so that each of them is clearly before or after
        return told

    yield begin
    nursery.cancel_scope.cancel()


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "dispatcher.list"
    path.write_text("1 sip:192.0.2.1\n")
    os.utime(path, ns=(10**18, 10**18))
    return path


def save_in_place(path: Path, text: str = "1 sip:192.0.2.2\n") -> None:
    path.write_text(text)


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path, to: Path) -> None:
    path.rename(to)


def save_by_rename(path: Path) -> None:
    aside = path.with_name(".dispatcher.list.swp")
    aside.write_text("1 sip:192.0.2.2\n")
    os.utime(aside, ns=(10**18, 10**18))  # the same length and time: only the inode is another
    aside.rename(path)


def save_with_a_backup(path: Path) -> None:
    path.rename(path.with_name(path.name + "~"))
    path.write_text("1 sip:192.0.2.2\n")


def touch(path: Path) -> None:
    os.utime(path, ns=(10**18, 10**18 + 1))


def grow_within_the_clock_tick(path: Path) -> None:
    path.write_text("1 sip:192.0.2.22\n")
    os.utime(path, ns=(10**18, 10**18))


def let_others_read(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o004)


@pytest.mark.parametrize(
    "save",
    [save_in_place, save_by_rename, save_with_a_backup, touch, grow_within_the_clock_tick, let_others_read],
)
async def test_a_save_is_told_once_it_has_settled(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path, save: Callable[[Path], None]
) -> None:
    told = await start(listed)
    await trio.sleep(10)
    assert told == []
    save(listed)
    await trio.sleep(1)
    assert told == [], "seen changed, not yet settled"
    await trio.sleep(1)
    assert told == [("dispatcher.list",)]
    await trio.sleep(10)
    assert told == [("dispatcher.list",)]


async def test_other_files_of_the_folder_are_nothing(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    told = await start(listed)
    for name in (".dispatcher.list.swp", "4913", "dispatcher.list~", "#dispatcher.list#"):
        listed.with_name(name).write_text("x")
        await trio.sleep(3)
    assert told == []


async def test_a_file_that_is_still_written_waits(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    told = await start(listed)
    for size in range(1, 6):
        save_in_place(listed, "x" * 100 * size)
        await trio.sleep(1)
    assert told == []
    await trio.sleep(1)
    assert told == [("dispatcher.list",)]


async def test_a_file_away_for_a_moment_is_not_told_until_it_is_back(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    told = await start(listed)
    remove(listed)
    with capture_logs() as logs:
        await trio.sleep(4)
    assert (told, logs) == ([], [])
    save_in_place(listed, "1 sip:192.0.2.3\n")
    await trio.sleep(2)
    assert told == [("dispatcher.list",)]


async def test_moved_away_and_back_is_no_change(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    told = await start(listed)
    aside = listed.with_name("aside")
    move(listed, aside)
    await trio.sleep(3)
    move(aside, listed)
    await trio.sleep(5)
    assert told == []


async def test_undone_before_it_settled_is_no_change(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    told = await start(listed)
    touch(listed)
    await trio.sleep(1)
    os.utime(listed, ns=(10**18, 10**18))
    await trio.sleep(5)
    assert told == []


async def test_a_missing_file_is_said_once(autojump_clock: trio.testing.MockClock, start: Start, listed: Path) -> None:
    told = await start(listed)
    remove(listed)
    with capture_logs() as logs:
        await trio.sleep(60)
    assert told == []
    assert [entry["path"] for entry in logs] == [str(listed)]
    assert "stays in force" in logs[0]["event"]


async def test_a_swapped_link_is_a_change(autojump_clock: trio.testing.MockClock, start: Start, tmp_path: Path) -> None:
    """As configuration maps are mounted: the name is a link into a folder that is swapped whole."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "dispatcher.list").write_text(version)
    (tmp_path / "current").symlink_to("one")
    (tmp_path / "dispatcher.list").symlink_to("current/dispatcher.list")
    told = await start(tmp_path / "dispatcher.list")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    await trio.sleep(2)
    assert told == [("dispatcher.list",)]


async def test_files_that_settle_together_are_told_together(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path, tmp_path: Path
) -> None:
    other = tmp_path / "sipdispatch.toml"
    other.write_text("a")
    told = await start(listed, other)
    save_in_place(listed)
    save_in_place(other)
    await trio.sleep(2)
    assert told == [("dispatcher.list", "sipdispatch.toml")]


async def test_a_change_between_reading_and_watching_is_not_missed(
    autojump_clock: trio.testing.MockClock, start: Start, listed: Path
) -> None:
    read = {listed: signature(listed)}
    save_in_place(listed)
    told = await start(listed, known=read)
    await trio.sleep(1)
    assert told == [("dispatcher.list",)]


async def test_a_file_that_was_not_there_when_read_is_told_when_it_comes(
    autojump_clock: trio.testing.MockClock, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "late.list"
    assert signature(path) is None
    told = await start(path, known={path: None})
    path.write_text("x")
    await trio.sleep(2)
    assert told == [("late.list",)]
