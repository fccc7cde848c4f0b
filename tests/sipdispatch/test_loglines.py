"""Lines for a reader that is slow, stuck or gone."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import attrs
import pytest

from sipdispatch.loglines import Descriptor, LogLines

LONG_S = 30.0


@attrs.define
class Reader:
    """Takes lines, waits while it is not open, and fails as often as there are errors."""

    lines: list[str] = attrs.field(factory=list)
    errors: list[Exception] = attrs.field(factory=list)
    open: threading.Event = attrs.field(factory=threading.Event)
    asked: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))

    def __call__(self, line: str) -> None:
        self.asked.release()
        assert self.open.wait(LONG_S)
        if self.errors:
            raise self.errors.pop()
        self.lines.append(line)

    def await_line(self) -> None:
        assert self.asked.acquire(timeout=LONG_S)


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    reader.open.set()
    yield reader
    reader.open.set()


def lines_to(reader: Reader, max_lines: int = 1000) -> LogLines:
    return LogLines(reader, lambda count: f"{count} lost", max_lines=max_lines)


def test_lines_are_written_in_order_before_the_end(reader: Reader) -> None:
    lines = lines_to(reader)
    for number in range(100):
        lines.put(str(number))
    lines.finish(LONG_S)
    assert reader.lines == [str(number) for number in range(100)]


def test_what_a_stuck_reader_has_no_room_for_is_counted_where_it_is_missing(reader: Reader) -> None:
    reader.open.clear()
    lines = lines_to(reader, max_lines=2)
    lines.put("in the writer's hands")
    reader.await_line()
    for line in ("first", "second", "too many", "too many"):
        lines.put(line)
    reader.open.set()
    for _ in range(3):
        reader.await_line()  # the notice does not wait for another line
    lines.put("later")
    lines.finish(LONG_S)
    assert reader.lines == ["in the writer's hands", "first", "second", "2 lost", "later"]


def test_the_gap_is_told_before_the_line_that_follows_it(reader: Reader) -> None:
    reader.open.clear()
    lines = lines_to(reader, max_lines=1)
    lines.put("in the writer's hands")
    reader.await_line()
    lines.put("first")
    lines.put("too many")
    with lines._changed:
        assert lines._waiting.popleft() == (0, "first")
    lines.put("behind the gap")
    reader.open.set()
    lines.finish(LONG_S)
    assert reader.lines == ["in the writer's hands", "1 lost", "behind the gap"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BrokenPipeError(), ValueError("closed file")])
def test_lines_that_cannot_be_written_are_counted(reader: Reader, error: Exception) -> None:
    reader.errors = [error] * 3
    lines = lines_to(reader)
    for line in ("lost", "lost", "lost", "there is room again"):
        lines.put(line)
    lines.finish(LONG_S)
    assert reader.lines == ["3 lost", "there is room again"]


def test_what_is_lost_last_is_told_at_the_end(reader: Reader) -> None:
    reader.errors = [BrokenPipeError(), BrokenPipeError()]
    lines = lines_to(reader)
    lines.put("lost")
    lines.put("lost")
    lines.finish(LONG_S)
    assert reader.lines == ["2 lost"]


def test_the_end_does_not_wait_for_a_stuck_reader(reader: Reader) -> None:
    reader.open.clear()
    lines = lines_to(reader)
    lines.put("unread")
    reader.await_line()
    lines.finish(0)
    lines.put("after the end")
    reader.open.set()
    lines.finish(LONG_S)
    assert reader.lines == ["unread", "1 lost"]


@attrs.frozen
class Pipe:
    """Both ends of a pipe, which the test may close."""

    reading: int
    writing: int

    def read(self) -> bytes:
        return os.read(self.reading, 1 << 20)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    for end in (pipe.reading, pipe.writing):
        os.close(end)


def test_a_descriptor_takes_whole_lines_in_the_streams_encoding(pipe: Pipe) -> None:
    Descriptor(pipe.writing, "latin-1")("Fl\xfcsse \u20ac")
    assert pipe.read() == b"Fl\xfcsse \\u20ac\n"


def test_after_a_line_that_was_torn_the_next_begins_anew(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, [3, 0, 0]

    def filling_up(number: int, octets: bytes) -> int:
        if not room:
            return write(number, octets)
        count = room.pop(0)
        if not count:
            raise OSError(errno.ENOSPC, "full")
        return write(number, octets[:count])

    descriptor = Descriptor(pipe.writing, "ascii")
    with monkeypatch.context() as full:
        full.setattr(os, "write", filling_up)
        for line in ("torn", "lost"):
            with pytest.raises(OSError, match="full"):
                descriptor(line)
        descriptor("whole")
        descriptor("whole too")
    assert pipe.read() == b"tor\nwhole\nwhole too\n"


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    line = "x" * (1 << 20)
    writer = threading.Thread(target=Descriptor(pipe.writing, "ascii"), args=(line,))
    writer.start()
    got = b""
    while len(got) <= len(line):
        got += pipe.read()
    writer.join(LONG_S)
    assert got == line.encode() + b"\n"
