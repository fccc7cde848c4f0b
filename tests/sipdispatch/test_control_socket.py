"""Does the control socket come to be for the right people only, and go when it should?"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from sipdispatch.control_path import (
    control_path_to_ask,
    default_agent_path,
    default_control_path,
    path_beside_agent,
)
from sipdispatch.control_socket import ControlSocket, open_control_socket
from sipdispatch.errors import CommandError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # the folders of tests have long names, and a socket's has at most 107 bytes
    return Path("control.sock")


def refused(path: Path, **options: str) -> tuple[str, str, str]:
    with pytest.raises(CommandError) as caught:
        open_control_socket(path, **options).close()
    (fault,) = caught.value.faults
    return fault.what, fault.where, fault.remedy


def connects(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


def left_over(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))


def test_it_has_its_mode_whatever_the_umask_is(path: Path) -> None:
    for mask in (0o000, 0o022, 0o077, 0o777):
        before = os.umask(mask)
        try:
            with closing(open_control_socket(path)):
                assert stat.S_IMODE(path.stat().st_mode) == 0o660
                assert connects(path)
        finally:
            os.umask(before)
        assert not path.exists()


def test_nobody_can_connect_before_it_has_its_owner_and_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []

    def look(target: Path, mode: int) -> None:
        seen.append((stat.S_IMODE(target.stat().st_mode), connects(target)))
        chmod(target, mode)

    chmod = Path.chmod
    before = os.umask(0)
    monkeypatch.setattr(Path, "chmod", look)
    try:
        with closing(open_control_socket(path)):
            assert seen == [(0o600, False)]
    finally:
        os.umask(before)


def test_its_folder_is_made(path: Path) -> None:
    with closing(open_control_socket(Path("a/b/c.sock"))):
        assert connects(Path("a/b/c.sock"))


def test_one_that_is_left_over_is_replaced(path: Path) -> None:
    left_over(path)
    with closing(open_control_socket(path)):
        assert connects(path)


def test_one_that_lives_stays(path: Path) -> None:
    with closing(open_control_socket(path)):
        what, where, remedy = refused(path)
        assert what == "another process listens on the control socket: does this proxy run already?"
        assert where == "control.sock"
        assert remedy.startswith("stop the other one, or ")
        assert connects(path)


def test_one_that_lives_and_has_no_time_stays(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as busy, closing(socket.socket(socket.AF_UNIX)) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert refused(path)[0].startswith("another process listens on the control socket")


def test_what_is_no_socket_stays(path: Path) -> None:
    path.write_text("mine")
    assert refused(path)[0] == "there is a file in the place of the control socket, and it is no socket"
    assert path.read_text() == "mine"


def test_a_socket_that_cannot_be_connected_to_stays(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.bind(str(path))
        assert refused(path)[0].startswith("the control socket cannot be made: ")
        assert path.is_socket()


@pytest.mark.parametrize(("letters", "fits"), [(107, True), (108, False)])
def test_a_path_has_107_bytes(path: Path, letters: int, *, fits: bool) -> None:
    long = Path("x" * letters)
    if fits:
        open_control_socket(long).close()
    else:
        assert refused(long)[0] == "the path of the control socket has 108 bytes, and 107 are possible"


def test_users_and_groups_that_do_not_exist(path: Path) -> None:
    assert refused(path, owner="nobody-here")[:2] == (
        "there is no user nobody-here, who shall own the control socket",
        "control.sock: owner in [control]",
    )
    what, _, remedy = refused(path, group="no-such-group")
    assert what == "there is no group no-such-group, which shall use the control socket"
    assert remedy == "make it: groupadd --system no-such-group; or write another one"
    assert not path.exists()


def test_it_is_given_to_those_who_are_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda *arguments: given.append(arguments))
    group = grp.getgrgid(os.getegid()).gr_name
    for owner, named in ((None, group), ("12", "34"), (None, None)):
        open_control_socket(path, owner=owner, group=named).close()
    assert given == [(path, -1, os.getegid()), (path, 12, 34)]


def test_it_is_not_left_where_it_cannot_be_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    what, _, remedy = refused(path, group="34")
    assert what == "the control socket cannot be given to group 34: Operation not permitted"
    assert remedy.startswith("name a group that the user of the proxy is in")
    assert refused(path, owner="12", group="34")[0].startswith(
        "the control socket cannot be given to owner 12 and group"
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "let user "),
        (errno.ENOSPC, "free some space there"),
        (errno.EIO, "write another path with socket in [control], or enabled = false"),
    ],
)
def test_it_is_not_left_half_made(path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "chmod", fail)
    what, _, said = refused(path)
    assert what == f"the control socket cannot be made: {os.strerror(number)}"
    assert said.startswith(remedy)
    assert not path.exists()


def test_a_file_in_the_place_of_its_folder(path: Path) -> None:
    Path("a").write_text("")
    for below in ("a/control.sock", "a/b/control.sock"):
        assert refused(Path(below))[2].startswith("a file stands where a folder should be")


def test_what_is_in_the_way_and_may_not_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_over(path)

    def fail(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", fail)
    assert refused(path)[0] == "the control socket cannot be made: Permission denied"


def test_only_our_own_is_taken_away(path: Path) -> None:
    first = open_control_socket(path)
    path.unlink()
    second = open_control_socket(path)
    first.close()
    assert connects(path)
    second.close()
    second.close()
    assert not path.exists()


def test_of_many_that_start_at_once_one_has_it(path: Path) -> None:
    left_over(path)
    opened: list[ControlSocket] = []
    faults: list[CommandError] = []

    def start() -> None:
        try:
            opened.append(open_control_socket(path))
        except CommandError as error:
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), len(faults)) == (1, 7)
    assert connects(path)
    opened[0].close()


def test_a_lock_that_somebody_keeps_stops_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise BlockingIOError

    waits: list[float] = []
    monkeypatch.setattr(fcntl, "flock", locked)
    monkeypatch.setattr(time, "sleep", waits.append)
    open_control_socket(path).close()
    assert sum(waits) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/x"}, 0, "/run/a/control.sock"),
        ({"XDG_RUNTIME_DIR": "/x"}, 0, "/run/sipdispatch/control.sock"),
        ({"XDG_RUNTIME_DIR": "/x", "RUNTIME_DIRECTORY": ""}, 5, "/x/sipdispatch/control.sock"),
        ({}, 5, "/run/user/5/sipdispatch/control.sock"),
    ],
)
def test_the_default_path(environ: dict[str, str], uid: int, expected: str) -> None:
    assert default_control_path(environ, uid) == Path(expected)


@pytest.mark.parametrize(
    ("environ", "uid", "agent", "proxy"),
    [
        ({"RUNTIME_DIRECTORY": "/run/mine"}, 5, "/run/mine/vrrp.sock", "/run/sipdispatch/control.sock"),
        ({"XDG_RUNTIME_DIR": "/x"}, 0, "/run/sipdispatch-vrrp/vrrp.sock", "/run/sipdispatch/control.sock"),
        ({"XDG_RUNTIME_DIR": "/x"}, 5, "/x/sipdispatch/vrrp.sock", "/x/sipdispatch/control.sock"),
    ],
)
def test_the_agent_has_a_folder_of_its_own(environ: dict[str, str], uid: int, agent: str, proxy: str) -> None:
    assert default_agent_path(environ, uid) == Path(agent)
    assert path_beside_agent(environ, uid) == Path(proxy)


def test_who_has_no_proxy_of_his_own_asks_that_of_the_system(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert control_path_to_ask(environ, 5) == Path("/run/sipdispatch/control.sock")
    assert control_path_to_ask({"RUNTIME_DIRECTORY": "/x"}, 5) == Path("/x/control.sock")
    with open_control_socket(default_control_path(environ, 5)).listening:
        assert control_path_to_ask(environ, 5) == tmp_path / "sipdispatch" / "control.sock"
