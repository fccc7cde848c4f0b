"""A list that is saved is the old one or the new one, and as the old one was dressed."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatcher.watch import Reading
from sipdispatch.listedit import save, with_line, without_lines
from sipdispatch.unwritten import remedy_of

OLD = b"1 sip:192.0.2.1\n"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "dispatcher.list"
    path.write_bytes(OLD)
    return path


def test_it_is_replaced_with_its_mode_and_its_attributes_and_is_known_again(listed: Path) -> None:
    listed.chmod(0o2640)
    os.setxattr(listed, "user.who", b"noc")
    before = listed.stat()
    known = save(listed, b"1 sip:192.0.2.2\n")
    after = listed.stat()
    assert listed.read_bytes() == b"1 sip:192.0.2.2\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert os.getxattr(listed, "user.who") == b"noc"
    assert Reading.of(listed) == known
    assert [each.name for each in listed.parent.iterdir()] == [listed.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_it_stays_its_owners(listed: Path) -> None:
    os.chown(listed, 1234, 4321)
    save(listed, b"1 sip:192.0.2.2\n")
    assert (listed.stat().st_uid, listed.stat().st_gid) == (1234, 4321)


def test_a_link_stays_a_link(listed: Path) -> None:
    link = listed.with_name("link")
    link.symlink_to(listed.name)
    save(link, b"1 sip:192.0.2.2\n")
    assert link.is_symlink()
    assert listed.read_bytes() == b"1 sip:192.0.2.2\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_what_could_not_stay_its_owners_is_not_saved(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    os.chown(listed, 1234, 4321)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(PermissionError):
        save(listed, b"1 sip:192.0.2.2\n")
    assert listed.read_bytes() == OLD
    assert [each.name for each in listed.parent.iterdir()] == [listed.name]


def test_what_finds_no_room_leaves_the_old_file_and_nothing_beside_it(listed: Path) -> None:
    before = listed.stat()
    with _no_file_longer_than(1000), pytest.raises(OSError, match="File too large"):
        save(listed, OLD * 1000)
    assert listed.read_bytes() == OLD
    assert listed.stat() == before
    assert [each.name for each in listed.parent.iterdir()] == [listed.name]


@contextmanager
def _no_file_longer_than(size: int) -> Iterator[None]:
    """As on a full disk, but for the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_are_put_in_and_taken_out_as_the_others_end() -> None:
    assert with_line(b"1 sip:a\r\n", " 1 sip:b ") == b"1 sip:a\r\n1 sip:b\r\n"
    assert with_line(b"1 sip:a", "1 sip:b") == b"1 sip:a\n1 sip:b\n"
    assert with_line(b"", "1 sip:b") == b"1 sip:b\n"
    assert without_lines(b"# a\n1 sip:a\n# b\n1 sip:b\n", {2}) == b"# a\n# b\n1 sip:b\n"
    assert without_lines(b"1 sip:a\n1 sip:b", {2}) == b"1 sip:a\n"


def test_a_carriage_return_in_a_comment_ends_no_line() -> None:
    assert without_lines(b"# one\rtwo\n1 sip:a\n1 sip:b\n", {2}) == b"# one\rtwo\n1 sip:b\n"


@pytest.mark.parametrize(
    ("number", "begins"),
    [
        (errno.EACCES, f"let user {os.geteuid()} write in "),
        (errno.EPERM, f"let user {os.geteuid()} own and change it: ls -l "),
        (errno.ENOSPC, "free some space there: df -h "),
        (errno.EDQUOT, "free some space there: df -h "),
        (errno.EROFS, "mount it writable: findmnt -T "),
        (errno.ENOENT, "see where it is: ls -la "),
        (errno.EIO, "look at the disk of "),
    ],
)
def test_there_is_something_to_do_about_every_failure(tmp_path: Path, number: int, begins: str) -> None:
    assert remedy_of(OSError(number, ""), tmp_path / "file").startswith(begins)


def test_a_folder_that_is_missing_is_to_be_made(tmp_path: Path) -> None:
    told = remedy_of(OSError(errno.ENOENT, ""), tmp_path / "folder" / "file")
    assert told == f"make the folder: mkdir -p {tmp_path}/folder"
