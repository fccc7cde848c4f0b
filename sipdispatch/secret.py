"""Which secret do this node's keyed hashes use, and how does a node come by one?

The file is text: the secret as 64 hexadecimal digits, on the next line, if there is one, an older secret that still
verifies.  `#` begins a comment.  The two nodes of a pair hold the same file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from sipdispatch.errors import CommandError
from sipdispatch.whole_file import read_regular

SECRET_BYTES = 32
SECRETS_LIMIT = 2
"""The one in use and one older: each more would cost every forged reply one more hash."""

_FILE_LIMIT_BYTES = 4096
_FEWEST_DIFFERENT_BYTES = 8
"""32 random bytes have fewer different ones once in 10**29 files: what has fewer was typed, not drawn."""

_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))

_FIRST_LINES = """\
# sipdispatch: the secret behind branches, tokens and choices.  Copy this file to the other node of the pair.
# To change it: put the new secret above the old line, on both nodes, and restart; remove the old line a day later.
"""


class SecretError(CommandError):
    """There is no usable secret; the text says why and what to do."""


def read_or_create(path: Path, *, draw: Callable[[int], bytes] = os.urandom) -> tuple[bytes, ...]:
    """The secrets of a node, each 32 bytes, the one in use first; the file is made if there is none.

    Processes that start at the same time end with the same secret: the file appears whole or not at all, and the first
    one stays.  Raises SecretError.
    """
    try:
        return read(path)
    except SecretError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    _create(path, draw)
    return read(path)


def read(path: Path) -> tuple[bytes, ...]:
    """The secrets in the file, the one in use first; raises SecretError (its cause says if there is no such file)."""
    try:
        text, status = read_regular(path, _FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if text is None:
        raise SecretError("the secret is not a regular file", str(path), "name a file with secret_file")
    _check_mode(path, status)
    return _parse(text, path)


def fingerprint(secret: bytes) -> str:
    """Eight hexadecimal digits by which two nodes can tell that they hold the same secret, without telling it."""
    return hashlib.sha256(b"sipdispatch fingerprint\0" + secret).hexdigest()[:8]


# --------------------------------------------------------------------------------------------------------------------
# Reading


def _check_mode(path: Path, status: os.stat_result) -> None:
    """0600, or 0640 when root owns it (as PostgreSQL has it for its keys: a service reads it through its group)."""
    mode = stat.S_IMODE(status.st_mode)
    forbidden = 0o037 if status.st_uid == 0 else 0o077
    if mode & forbidden:
        raise SecretError(
            f"the secret can be read or changed by other users: its mode is {mode:04o}",
            str(path),
            f"chmod 600 {path} (and make a new one if somebody may have read it)",
        )


def _parse(text: bytes, path: Path) -> tuple[bytes, ...]:
    if len(text) > _FILE_LIMIT_BYTES:
        raise SecretError(
            f"this is no secret file: it is longer than {_FILE_LIMIT_BYTES} bytes",
            str(path),
            "name the right file with secret_file; a secret is one line of 64 hexadecimal digits",
        )
    secrets: list[bytes] = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        word = line.partition(b"#")[0].strip()
        if word:
            secrets.append(_parse_line(word, f"{path}, line {number}"))
    if not secrets:
        raise SecretError(
            "the secret file holds no secret",
            str(path),
            "copy the other node's file; or remove this one, and the next start makes a new secret",
        )
    if len(secrets) > SECRETS_LIMIT:
        raise SecretError(
            f"there are {len(secrets)} secrets, and at most {SECRETS_LIMIT} are used: the new one and an older one",
            str(path),
            "remove the oldest, the last line",
        )
    return tuple(dict.fromkeys(secrets))


def _parse_line(word: bytes, where: str) -> bytes:
    try:
        secret = bytes.fromhex(word.decode("ascii")) if len(word.split()) == 1 else None
    except ValueError:
        secret = None
    if secret is None:
        raise SecretError(
            "the secret is not written in hexadecimal digits",
            where,
            "write 64 of 0-9 and a-f, for example the output of: openssl rand -hex 32",
        )
    if len(secret) != SECRET_BYTES:
        raise SecretError(
            f"the secret has {len(word)} hexadecimal digits instead of {2 * SECRET_BYTES}",
            where,
            "write 64 of 0-9 and a-f, for example the output of: openssl rand -hex 32",
        )
    if len(set(secret)) < _FEWEST_DIFFERENT_BYTES:
        raise SecretError(
            "the secret is not random: anybody can guess it",
            where,
            "write the output of: openssl rand -hex 32",
        )
    return secret


def _unreadable(path: Path, error: OSError) -> SecretError:
    match error.errno:
        case errno.ENOENT:
            remedy = "start the proxy once, which makes it, or copy the other node's file"
        case errno.EACCES | errno.EPERM:
            remedy = f"let the user that runs this read it and enter its folder: chown {_user()} {path}"
        case _:
            remedy = "name a readable file with secret_file"
    return SecretError(f"the secret cannot be read: {error.strerror}", str(path), remedy)


# --------------------------------------------------------------------------------------------------------------------
# Making


def _create(path: Path, draw: Callable[[int], bytes]) -> None:
    text = f"{_FIRST_LINES}{draw(SECRET_BYTES).hex()}\n".encode("ascii")
    try:
        _make_folder(path.parent)
        with _temporary(path, text, draw) as temporary:
            _publish(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it that are missing, each for its owner only."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


@contextlib.contextmanager
def _temporary(path: Path, text: bytes, draw: Callable[[int], bytes]) -> Iterator[Path]:
    """A file beside `path` with the text safe on the disk; it is gone afterwards."""
    temporary = path.with_name(f".{path.name}.{draw(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask says
            written = 0
            while written < len(text):
                written += os.write(descriptor, text[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _publish(temporary: Path, path: Path) -> None:
    """Give the file its name unless somebody was first, whose file then stays."""
    try:
        os.link(temporary, path)  # unlike a rename, never replaces
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _publish_without_links(temporary, path)


def _publish_without_links(temporary: Path, path: Path) -> None:
    """The same where the file system has no hard links: one at a time, under a lock on the folder."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not path.exists():
            temporary.rename(path)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """So that a power cut does not take the name away; some network file systems refuse it, and then it is as it is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> SecretError:
    folder = path.parent
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = (
                f"make the folder writable: mkdir -p {folder} && chown {_user()} {folder}; "
                "or name another with state_dir or secret_file"
            )
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            remedy = "free some space there, or name another folder with state_dir or secret_file"
        case errno.EROFS:
            remedy = "name a folder that can be written to with state_dir or secret_file"
        case errno.ENOTDIR | errno.ELOOP | errno.ENOENT:
            remedy = "name an existing folder with state_dir, or a file in one with secret_file"
        case _:
            remedy = "name another folder with state_dir, or a file with secret_file"
    return SecretError(f"no secret can be made: {error.strerror}", str(path), remedy)


def _user() -> str:
    """The user as chown wants it: a number works where the name is unknown, as in a container."""
    return str(os.geteuid())
