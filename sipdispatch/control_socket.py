"""How does the control socket come into the file system, for the right people only, and go again?

Nobody can connect before it has its owner and its mode: it is made with mode 0600 and listens last.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from sipdispatch.errors import CommandError

MODE: Final = 0o660
MAX_PATH_BYTES: Final = 107
"""Of the 108 in sockaddr_un one is the final zero (unix(7))."""
BACKLOG: Final = 1024
"""Connections that wait to be accepted.  A client of a full one is told EAGAIN, which few expect of a connect."""
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.05
"""For another proxy that opens a socket in the same folder: it needs a millisecond."""


class SocketInUseError(CommandError):
    """Somebody listens there."""


@attrs.define(kw_only=True)
class ControlSocket:
    """A unix socket that listens at `path`; `close` takes it away again, unless it is somebody else's by now."""

    path: Path
    listening: socket.socket
    _inode: tuple[int, int] | None

    def close(self) -> None:
        """No client comes any more, and the file is gone; may be called again."""
        with contextlib.suppress(OSError):
            if self._inode is not None and _inode(os.lstat(self.path)) == self._inode:
                self.path.unlink()
        self._inode = None
        self.listening.close()


def open_control_socket(path: Path, *, owner: str | None = None, group: str | None = None) -> ControlSocket:
    """Make the socket, and its folder if that is missing; one that a dead process has left is replaced.

    `owner` and `group` are names or numbers, None for those of the process.  Raises CommandError.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise CommandError(
            f"the path of the control socket has {len(os.fsencode(path))} bytes, and {MAX_PATH_BYTES} are possible",
            str(path),
            "write a shorter one with socket in [control]",
        )
    uid, gid = _user_id(owner, path), _group_id(group, path)
    _make_folder(path.parent)
    with _alone_in(path.parent):
        _clear(path)
        return _make(path, uid, gid)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise _unmakeable(folder, error) from error


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other proxies that start now from taking our new socket for one that is left over.

    Whoever holds the lock for long is no proxy: then it goes without.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unmakeable(folder, error) from error
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(_LOCK_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    """Take away a socket that nobody listens on; raises CommandError where there is anything else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unmakeable(path, error) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise CommandError(
            "there is a file in the place of the control socket, and it is no socket",
            str(path),
            "move it away, or write another path with socket in [control]",
        )
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        asking.settimeout(0)
        asking.connect(os.fspath(path))
    except ConnectionRefusedError:
        try:
            path.unlink()
        except OSError as error:
            raise _unmakeable(path, error) from error
        return
    except BlockingIOError:  # many wait to be accepted: it lives
        pass
    except OSError as error:
        raise _unmakeable(path, error) from error
    finally:
        asking.close()
    raise SocketInUseError(
        "another process listens on the control socket: does this proxy run already?",
        str(path),
        "stop the other one, or write another path with socket in [control]",
    )


def _make(path: Path, uid: int, gid: int) -> ControlSocket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    inode = None
    try:
        os.fchmod(made.fileno(), 0o600)  # Linux gives the file this mode, and never more than that
        made.bind(os.fspath(path))
        inode = _inode(os.lstat(path))
        if (uid, gid) != (-1, -1):
            _give(path, uid, gid)
        path.chmod(MODE)
        made.settimeout(0)
        made.listen(BACKLOG)
    except BaseException as error:
        made.close()
        if inode is not None:
            path.unlink()
        if isinstance(error, OSError):
            raise _unmakeable(path, error) from error
        raise
    return ControlSocket(path=path, listening=made, inode=inode)


def _give(path: Path, uid: int, gid: int) -> None:
    try:
        os.chown(path, uid, gid)
    except PermissionError as error:
        asked = " and ".join(f"{word} {number}" for word, number in (("owner", uid), ("group", gid)) if number != -1)
        raise CommandError(
            f"the control socket cannot be given to {asked}: {error.strerror}",
            f"{path}: user {os.geteuid()}",
            "name a group that the user of the proxy is in, and no owner; or start it as root",
        ) from error


def _user_id(name: str | None, path: Path) -> int:
    if name is None or name.isdigit():
        return -1 if name is None else int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise CommandError(
            f"there is no user {name}, who shall own the control socket",
            f"{path}: owner in [control]",
            "write the name or the number of a user of this node",
        ) from error


def _group_id(name: str | None, path: Path) -> int:
    if name is None or name.isdigit():
        return -1 if name is None else int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise CommandError(
            f"there is no group {name}, which shall use the control socket",
            f"{path}: group in [control]",
            f"make it: groupadd --system {name}; or write another one",
        ) from error


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _unmakeable(path: Path, error: OSError) -> CommandError:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = f"let user {os.geteuid()} write in {path.parent}, or write another path with socket in [control]"
        case errno.ENOSPC | errno.EDQUOT:
            remedy = "free some space there"
        case errno.ENOTDIR | errno.EEXIST:
            remedy = "a file stands where a folder should be: write another path with socket in [control]"
        case _:
            remedy = "write another path with socket in [control], or enabled = false"
    return CommandError(f"the control socket cannot be made: {error.strerror}", str(path), remedy)
