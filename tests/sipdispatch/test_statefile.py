"""Words and verdicts outlive the process; what cannot be kept costs no call."""

import os
import threading
from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.destination import DISABLED, Destination
from dispatcher.listfile import parse_list
from health.board import Remembered, Verdict, Word
from sipdispatch import statefile
from sipdispatch.statefile import SETTLE_S, Kept, StateFile, from_text, known, read, to_text

DOWN = Remembered(None, Verdict.DOWN)
DRAINING = Remembered(Word.DRAINING, Verdict.UP)


def destination(uri: str = "sip:192.0.2.11", flags: int = 0, set_id: int = 1) -> Destination:
    entries, _ = parse_list(f"{set_id} {uri} {flags} 0".encode(), "list")
    return Destination(entry=entries[0], address=("192.0.2.11", 5060))


def test_what_is_written_is_read_again() -> None:
    kept = (Kept.of(destination(), DOWN), Kept.of(destination(set_id=2), DRAINING))
    assert from_text(to_text(kept)) == kept


def test_nothing_can_be_written_and_read_too() -> None:
    assert from_text(to_text([])) == ()


@given(st.text(max_size=60) | st.sampled_from(['{"version": 1}', "[]", "7", '{"version":1,"destinations":[{}]}']))
def test_anything_else_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text)


def test_a_file_of_another_version_says_so() -> None:
    with pytest.raises(ValueError, match="version 2"):
        from_text(to_text([]).replace('"version": 1', '"version": 2'))


def test_a_destination_is_known_by_set_uri_and_address() -> None:
    kept = [Kept.of(destination(), DRAINING)]
    assert known(kept, [destination(), destination(set_id=2)], [7, 8]) == {7: DRAINING}


def test_a_word_that_the_list_has_changed_meanwhile_is_forgotten_but_not_the_verdict() -> None:
    kept = [Kept.of(destination(), Remembered(Word.DRAINING, Verdict.DOWN))]
    assert known(kept, [destination(flags=DISABLED)], [7]) == {7: DOWN}


def test_a_file_that_is_not_there_is_no_news(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        assert read(tmp_path / "none") == ()
    assert logged == []


@pytest.mark.parametrize("text", [b"nonsense", b"\xff\xfe", b""])
def test_a_file_that_cannot_be_used_is_said_and_passed_over(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "file").write_bytes(text)
    with structlog.testing.capture_logs() as logged:
        assert read(tmp_path / "file") == ()
    assert [entry["log_level"] for entry in logged] == ["warning"]


async def test_changes_that_come_together_are_written_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    asked = 0

    def gather() -> list[Kept]:
        nonlocal asked
        asked += 1
        return [Kept.of(destination(), DOWN)]

    state = StateFile(tmp_path / "file", gather)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(state.keep)
        for _ in range(5):
            state.changed()
            await trio.sleep(SETTLE_S / 10)
        await trio.sleep(2 * SETTLE_S)
        nursery.cancel_scope.cancel()
    assert asked == 1


async def until_written(path: Path, kept: Kept) -> None:
    with trio.fail_after(5):
        while read(path) != (kept,):  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.01)


async def test_what_an_operator_has_said_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statefile, "SETTLE_S", 60.0)
    kept = Kept.of(destination(), DRAINING)
    state = StateFile(tmp_path / "file", lambda: [kept])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(state.keep)
        state.changed()
        state.changed(at_once=True)
        await until_written(tmp_path / "file", kept)
        nursery.cancel_scope.cancel()


async def test_what_could_not_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statefile, "SETTLE_S", 0.01)
    monkeypatch.setattr(statefile, "RETRY_S", 0.05)
    folder = tmp_path / "folder"
    kept = Kept.of(destination(), DOWN)
    state = StateFile(folder / "file", lambda: [kept])
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(state.keep)
            state.changed()
            with trio.fail_after(5):
                while not logged:  # noqa: ASYNC110 - it has no event
                    await trio.sleep(0.01)
            folder.mkdir()
            await until_written(folder / "file", kept)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
    assert [entry["event"].partition(":")[0] for entry in logged] == [
        "words and verdicts cannot be written",
        "words and verdicts are written again",
    ]
    assert logged[0]["hint"].startswith(f"make the folder: mkdir -p {folder}; it is tried again every ")


async def test_a_full_disk_is_said_once_and_its_end_too(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    kept = [Kept.of(destination(), DOWN)]
    state = StateFile(folder / "file", lambda: kept)
    with structlog.testing.capture_logs() as logged:
        await state.write_last()
        await state.write_last()
        folder.mkdir()
        await state.write_last()
        await state.write_last()
    assert [entry["log_level"] for entry in logged] == ["warning", "info"]
    assert read(folder / "file") == tuple(kept)


async def test_whatever_keeps_it_from_being_written_costs_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    kept = [Kept.of(destination(), DOWN)]
    state = StateFile(tmp_path / "file", lambda: kept)
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logged:
        broken.setattr("trio.to_thread.run_sync", no_thread)
        await state.write_last()
    assert [entry["reason"] for entry in logged] == ["can't start new thread"]
    await state.write_last()
    assert read(tmp_path / "file") == tuple(kept)


async def test_what_was_being_written_at_the_end_does_not_undo_what_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()
    real = os.fsync

    def slow(descriptor: int) -> None:
        if not begun.is_set():
            begun.set()
            released.wait(5)
        real(descriptor)

    monkeypatch.setattr("os.fsync", slow)
    kept = [Kept.of(destination(), DOWN)]

    def gather() -> list[Kept]:
        if begun.is_set():
            released.set()
        return kept.copy()

    state = StateFile(tmp_path / "file", gather)
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(state.keep)
            state.changed(at_once=True)
            while not begun.is_set():  # noqa: ASYNC110 - a thread says it
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        kept[0] = Kept.of(destination(), DRAINING)
        await state.write_last()
    assert logged == []
    assert read(tmp_path / "file") == tuple(kept)
