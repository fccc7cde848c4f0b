"""Does a node come by its secret, whole, private and the same for all who start?"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipdispatch import secret
from sipdispatch.secret import SecretError, fingerprint, read, read_or_create

ONE = bytes(range(32))
TWO = bytes(range(100, 132))


def drawn(seed: int) -> Callable[[int], bytes]:
    """A source of chance that is known beforehand."""
    return lambda count: bytes((seed + i) % 256 for i in range(count))


def written(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def told(call: Callable[[], object]) -> tuple[str, str, str]:
    with pytest.raises(SecretError) as caught:
        call()
    (fault,) = caught.value.faults
    return fault.what, fault.where, fault.remedy


# --------------------------------------------------------------------------------------------------------------------
# Made at the first start


def test_the_first_start_makes_a_private_file_with_32_random_bytes_in_hexadecimal(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert read_or_create(path, draw=drawn(7)) == (drawn(7)(32),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines == [drawn(7)(32).hex()]
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208 - nothing temporary stays


def test_the_next_start_finds_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = read_or_create(path)
    assert read_or_create(path, draw=drawn(1)) == first


def test_chance_is_the_systems_own_by_default(tmp_path: Path) -> None:
    assert read_or_create(tmp_path / "a") != read_or_create(tmp_path / "b")


def test_missing_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sipdispatch" / "secret"
    read_or_create(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_the_mode_is_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        read_or_create(tmp_path / "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_whoever_was_first_while_we_were_drawing_wins(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def draw(count: int) -> bytes:
        if count == 32:
            written(path, ONE.hex())
        return drawn(9)(count)

    assert read_or_create(path, draw=draw) == (ONE,)
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_start_together_end_with_one_secret(tmp_path: Path, *, links: bool) -> None:
    """Eight processes wait for one line and then start at once; without hard links the folder's lock decides."""
    path = tmp_path / "state" / "secret"
    program = (
        "import errno, os, pathlib, sys\n"
        "from sipdispatch import secret\n"
        "def no_link(a, b):\n"
        "    raise OSError(errno.EOPNOTSUPP, 'Operation not supported')\n"
        f"if not {links}:\n"
        "    os.link = no_link\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        f"print(secret.read_or_create(pathlib.Path({str(path)!r}))[0].hex())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert secrets == {read(path)[0].hex()}
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_without_hard_links_whoever_had_the_lock_before_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"

    def no_link(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def waited(*_: Any) -> None:
        written(path, ONE.hex())

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(fcntl, "flock", waited)
    assert read_or_create(path, draw=drawn(9)) == (ONE,)


def test_a_write_in_pieces_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:7]))
    assert read_or_create(tmp_path / "secret", draw=drawn(3)) == (drawn(3)(32),)


def test_a_folder_that_cannot_be_synced_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert read_or_create(tmp_path / "secret", draw=drawn(4)) == (drawn(4)(32),)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space there, or name another folder with state_dir or secret_file"),
        (errno.EDQUOT, "free some space there, or name another folder with state_dir or secret_file"),
        (errno.EROFS, "name a folder that can be written to with state_dir or secret_file"),
        (errno.EIO, "name another folder with state_dir, or a file with secret_file"),
    ],
)
def test_a_disk_that_does_not_take_it_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def full(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    path = tmp_path / "secret"
    assert told(lambda: read_or_create(path)) == (
        f"no secret can be made: {os.strerror(number)}",
        str(path),
        remedy,
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "state" / "secret"
    monkeypatch.setattr(Path, "mkdir", refused)
    assert told(lambda: read_or_create(path)) == (
        "no secret can be made: Permission denied",
        str(path),
        (
            f"make the folder writable: mkdir -p {path.parent} && chown {os.geteuid()} {path.parent};"
            " or name another with state_dir or secret_file"
        ),
    )


def test_a_link_that_fails_for_another_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    assert told(lambda: read_or_create(tmp_path / "secret"))[0] == "no secret can be made: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    file = written(tmp_path / "file", "")
    path = file / "secret"
    what, where, remedy = told(lambda: secret._create(path, drawn(1)))
    assert (what, where) == ("no secret can be made: Not a directory", str(path))
    assert remedy == "name an existing folder with state_dir, or a file in one with secret_file"
    assert told(lambda: read_or_create(path))[0] == "the secret cannot be read: Not a directory"


# --------------------------------------------------------------------------------------------------------------------
# Read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE.hex(), (ONE,)),
        (ONE.hex().upper() + "\r\n", (ONE,)),
        (f"\ufeff# made in May\n\n  {ONE.hex()}  # in use\n", (ONE,)),
        (f"{TWO.hex()}\n{ONE.hex()}\n", (TWO, ONE)),
        (f"{ONE.hex()}\n{ONE.hex()}\n", (ONE,)),
    ],
    ids=["bare", "windows", "comments", "rotation", "twice"],
)
def test_what_a_good_file_holds(tmp_path: Path, text: str, expected: tuple[bytes, ...]) -> None:
    assert read(written(tmp_path / "secret", text)) == expected


HEX_REMEDY = "write 64 of 0-9 and a-f, for example the output of: openssl rand -hex 32"


@pytest.mark.parametrize(
    ("text", "what", "where", "remedy"),
    [
        (
            "",
            "the secret file holds no secret",
            "",
            "copy the other node's file; or remove this one, and the next start makes a new secret",
        ),
        (
            "# nothing\n",
            "the secret file holds no secret",
            "",
            "copy the other node's file; or remove this one, and the next start makes a new secret",
        ),
        (ONE.hex()[:62], "the secret has 62 hexadecimal digits instead of 64", ", line 1", HEX_REMEDY),
        ("\n" + ONE.hex() + "00", "the secret has 66 hexadecimal digits instead of 64", ", line 2", HEX_REMEDY),
        ("correct horse", "the secret is not written in hexadecimal digits", ", line 1", HEX_REMEDY),
        (ONE.hex()[:63], "the secret is not written in hexadecimal digits", ", line 1", HEX_REMEDY),
        (
            ONE.hex()[:32] + " " + ONE.hex()[32:],
            "the secret is not written in hexadecimal digits",
            ", line 1",
            HEX_REMEDY,
        ),
        (b"\xff" * 64, "the secret is not written in hexadecimal digits", ", line 1", HEX_REMEDY),
        (
            "0123" * 16,
            "the secret is not random: anybody can guess it",
            ", line 1",
            "write the output of: openssl rand -hex 32",
        ),
        (
            f"{ONE.hex()}\n{TWO.hex()}\n{bytes(range(50, 82)).hex()}\n",
            "there are 3 secrets, and at most 2 are used: the new one and an older one",
            "",
            "remove the oldest, the last line",
        ),
        (
            "#" * 5000,
            "this is no secret file: it is longer than 4096 bytes",
            "",
            "name the right file with secret_file; a secret is one line of 64 hexadecimal digits",
        ),
    ],
)
def test_what_is_said_of_a_bad_file(tmp_path: Path, text: str | bytes, what: str, where: str, remedy: str) -> None:
    path = written(tmp_path / "secret", text)
    assert told(lambda: read(path)) == (what, f"{path}{where}", remedy)
    assert told(lambda: read_or_create(path)) == (what, f"{path}{where}", remedy)  # and it is never replaced


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602, 0o620, 0o601])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "secret", ONE.hex(), mode)
    assert told(lambda: read(path)) == (
        f"the secret can be read or changed by other users: its mode is {mode:04o}",
        str(path),
        f"chmod 600 {path} (and make a new one if somebody may have read it)",
    )


@pytest.mark.parametrize(
    ("mode", "owner", "fine"),
    [(0o600, 0, True), (0o400, 1000, True), (0o640, 0, True), (0o640, 1000, False), (0o660, 0, False)],
)
def test_a_group_may_read_only_what_root_owns(tmp_path: Path, mode: int, owner: int, *, fine: bool) -> None:
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 0, 64, 0, 0, 0))
    if fine:
        secret._check_mode(tmp_path, status)
    else:
        assert told(lambda: secret._check_mode(tmp_path, status))[0].endswith(f"its mode is {mode:04o}")


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert told(lambda: read(path)) == (
        "the secret cannot be read: No such file or directory",
        str(path),
        "start the proxy once, which makes it, or copy the other node's file",
    )
    assert not path.exists()


@pytest.mark.parametrize("sort", ["folder", "pipe"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, sort: str) -> None:
    path = tmp_path / "secret"
    if sort == "folder":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)
    assert told(lambda: read_or_create(path)) == (
        "the secret is not a regular file",
        str(path),
        "name a file with secret_file",
    )


def test_a_link_to_a_secret_is_followed(tmp_path: Path) -> None:
    written(tmp_path / "real", ONE.hex())
    (tmp_path / "secret").symlink_to("real")
    assert read(tmp_path / "secret") == (ONE,)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "let the user that runs this read it and enter its folder: chown {uid} {path}"),
        (errno.EIO, "name a readable file with secret_file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str) -> None:
    def refused(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    path = written(tmp_path / "secret", ONE.hex())
    monkeypatch.setattr(os, "open", refused)
    assert told(lambda: read_or_create(path)) == (
        f"the secret cannot be read: {os.strerror(number)}",
        str(path),
        remedy.format(uid=os.geteuid(), path=path),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_told_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path / "secret", ONE.hex())
    program = (
        "import os, pathlib, sys\n"
        "from sipdispatch import secret\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    secret.read_or_create(pathlib.Path(sys.argv[1]))\n"
        "except secret.SecretError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sipdispatch: error: the secret cannot be read: Permission denied\n  where: ")


def test_a_fingerprint_tells_secrets_apart_and_nothing_else() -> None:
    assert fingerprint(ONE) == fingerprint(ONE) != fingerprint(TWO)
    assert len(fingerprint(ONE)) == 8
    assert fingerprint(ONE) not in ONE.hex()
