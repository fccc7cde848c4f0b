"""Small files are read without waiting for anybody, and replaced so that nobody meets half of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipdispatch.whole_file import read_regular, replace


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    text, status = read_regular(tmp_path / "file", 4)
    assert (text, status.st_size) == (b"0123", 10)


def test_a_pipe_that_nobody_writes_to_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "pipe", 4)[0] is None


def test_a_file_is_replaced_as_a_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"one")
    replace(path, b"two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match=r"."):
        replace(tmp_path / "file", b"one")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
