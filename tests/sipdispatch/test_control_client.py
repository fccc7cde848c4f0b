"""Does a command get its answer from the proxy, and the person a clear word when not?"""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sipdispatch import control_client
from sipdispatch.control_client import ControlClient, RefusedError
from sipdispatch.control_connection import Limits
from sipdispatch.errors import CommandError, Fault
from tests.sipdispatch.control_world import Steered, running
from tests.sipdispatch.fake_operations import happening, with_destinations


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("control.sock")


@contextmanager
def somebody(path: Path, *answers: bytes) -> Iterator[None]:
    """Something that listens there, and answers each line with the next of these; then it goes."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connected, _ = listening.accept()
            with connected, connected.makefile("rb") as lines:
                for answer in answers:
                    lines.readline()
                    connected.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def fault(path: Path, method: str = "status", timeout: float = 10.0) -> Fault:
    with pytest.raises(CommandError) as caught, ControlClient(path) as proxy:
        proxy.call(method, timeout=timeout)
    (one,) = caught.value.faults
    return one


def test_questions_and_answers(path: Path) -> None:
    with running(path, Steered(with_destinations(2000))), ControlClient(path) as proxy:
        assert proxy.call("core.version") == "sipdispatch 1.2.3 (pure Python)"
        assert proxy.call("core.echo", {"a": 1, "b": None}) == {"a": 1}
        assert len(proxy.call("dispatcher.show")["sets"][0]["destinations"]) == 2000


def test_a_refusal_says_what_where_and_what_to_do(path: Path) -> None:
    with running(path, Steered(with_destinations(1))), ControlClient(path) as proxy:
        with pytest.raises(RefusedError) as caught:
            proxy.call("dispatcher.drain", {"destination": "sip:x"})
        assert caught.value.faults == (Fault("no destination is called sip:x", "set 1", "see sipdispatch ds list"),)
        assert proxy.call("core.echo") == {}


def test_what_happens_comes_between_and_after_answers(path: Path) -> None:
    with running(path, Steered()) as there, ControlClient(path) as proxy:
        proxy.call("events")
        there.do(there.operations.happen, happening(1))
        proxy.call("core.echo")
        there.do(there.operations.happen, happening(2))
        events = proxy.events()
        assert [next(events)["sequence"], next(events)["sequence"]] == [1, 2]
        there.stop()
        with pytest.raises(CommandError, match="the proxy has ended, or has closed the connection"):
            next(events)


def test_nobody_there(path: Path) -> None:
    assert fault(path) == Fault(
        "no proxy has its control socket there",
        "control.sock",
        "start it, or name its socket with --socket or its configuration with --config",
    )


def test_somebody_who_has_ended(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    assert fault(path).what == "no proxy listens on its control socket any more: it has ended"


def test_a_file_in_its_place(path: Path) -> None:
    path.write_text("")
    assert fault(path).what.startswith("no proxy listens on its control socket")


def test_a_path_that_is_too_long() -> None:
    assert fault(Path("x" * 108)).what == "the path has 108 bytes, and a socket's has at most 107"


def test_who_may_is_said_to_who_may_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, __: str) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with closing(socket.socket(socket.AF_UNIX)) as there:
        there.bind(str(path))
        path.chmod(0o660)
        if not os.getegid():
            os.chown(path, -1, 1)
        number = path.stat().st_gid
        group = grp.getgrgid(number).gr_name
        assert fault(path) == Fault(
            "you may not use the control socket of the proxy",
            "control.sock",
            f"run this as root or as a member of the group {group}; after usermod -aG {group} USER log in anew",
        )
        monkeypatch.setattr(grp, "getgrgid", lambda number: {}[number])
        assert f"a member of the group {number};" in fault(path).remedy
        path.chmod(0o600)
        assert fault(path).remedy == "run this as root, or as the user that the proxy runs as"
    path.unlink()
    roots = os.stat_result((stat.S_IFSOCK | 0o660, *[0] * 9))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda _: roots)
        assert "group root" not in fault(path).remedy
        assert "[control]" in fault(path).remedy
    assert fault(path).remedy == "run this as root, or as a user who may enter ."


def test_another_failure_of_the_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, __: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert fault(path).what == "the control socket cannot be used: Input/output error"


def test_a_proxy_that_accepts_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "TIMEOUT_S", 0.1)
    with closing(socket.socket(socket.AF_UNIX)) as busy, closing(socket.socket(socket.AF_UNIX)) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert fault(path).what == "the proxy has accepted no connection within 0.1 s"


def test_a_proxy_that_does_not_answer(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as hung:
        hung.bind(str(path))
        hung.listen()
        assert fault(path, timeout=0.05).what == "the proxy has not answered within 0.05 s"
        with pytest.raises(CommandError, match="has not answered"), ControlClient(path) as proxy:
            proxy.call("core.echo", {"a": "x" * 10_000_000}, timeout=0.05)


def test_a_proxy_that_goes(path: Path) -> None:
    with somebody(path, b""):
        assert fault(path).what == "the proxy has closed the connection before it answered"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b'{"a": 1}\n', b"\xff\n", b"[" * 5000 + b"\n"]
)
def test_something_else_that_answers(path: Path, answer: bytes) -> None:
    with somebody(path, answer):
        assert fault(path).what == "what answers there is no sipdispatch proxy"


@pytest.mark.parametrize("error", [{"code": 1, "message": "no"}, {"data": []}, 7])
def test_an_error_that_says_little(path: Path, error: object) -> None:
    with somebody(path, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode() + b"\n"):
        told = fault(path)
    assert told.what in ("no", "the proxy says no and not why")
    assert (told.where, told.remedy) == ("control.sock", "look at the proxy's log")


def test_an_answer_to_something_else_is_passed_over(path: Path) -> None:
    late = b'{"jsonrpc": "2.0", "id": 99, "result": 1}\n{"jsonrpc": "2.0", "id": 1, "result": 2}\n'
    with somebody(path, late), ControlClient(path) as proxy:
        assert proxy.call("status") == 2


def test_no_room(path: Path) -> None:
    with running(path, Steered(), Limits(clients=0, reserved=1)), ControlClient(path) as first:
        first.call("core.echo")
        assert fault(path).what == "there is no room for another client; connected: 1"
