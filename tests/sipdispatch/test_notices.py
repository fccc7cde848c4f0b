"""What is made of the files of a notice, of a time that is over, and of mistakes of ours?"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from sipdispatch import notices
from sipdispatch.notice_settings import Notify
from sipdispatch.notice_try import Line, Outcome, failed_by
from sipdispatch.notices import Sender
from tests.sipdispatch.notice_servers import (
    listening,
    wait_for_the_end,
)
from tests.sipdispatch.sending import MESSAGE, SECRET, a_file, bad, hook_url, send

pytestmark = pytest.mark.usefixtures("quick")


# --------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 lines instead of one"),
        ("a\nb\n", "has 2 lines instead of one"),
        ("ftp://x", "what it says is not a URL of HTTP"),
        ("https://" + SECRET + "\u00e4", "what it says is not a URL: it has spaces or letters that are not ASCII"),
        ("x" * 70_000, "is longer than 65536 octets"),
    ],
)
async def test_a_url_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = a_file(tmp_path / "url", text)
    assert await send(Notify(url_file=path)) == bad(f"{path}: {said}")


async def test_a_header_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = a_file(tmp_path / "headers", f"X-Good: 1\nBearer {SECRET}\n")
    assert await send(Notify(url="http://127.0.0.1:9/", headers_file=path)) == bad(
        f"{path}: line 2 is not a header field, as Name: value"
    )
    path.write_text("host: x\n")
    assert await send(Notify(url="http://127.0.0.1:9/", headers_file=path)) == bad(
        f"{path}: line 1: host is set by sipdispatch"
    )


async def test_other_files_that_cannot_be_used(tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    assert await send(Notify(url_file=lost)) == bad(f"{lost}: cannot be read: No such file or directory")
    assert await send(Notify(url_file=tmp_path)) == bad(f"{tmp_path}: is not a regular file")
    path = a_file(tmp_path / "binary", "")
    path.write_bytes(b"\xff")
    assert await send(Notify(url_file=path)) == bad(f"{path}: is not UTF-8")
    path.chmod(0o644)
    assert await send(Notify(url_file=path)) == bad(f"{path}: can be read by every user: chmod o= {path}")


async def test_files_can_be_checked_before_they_are_needed(tmp_path: Path) -> None:
    path = a_file(tmp_path / "secret", "x")
    assert await Sender(Notify(url="https://x/", format="feishu", secret_file=path)).check() is None
    path.unlink()
    problem = await Sender(Notify(url="https://x/", format="feishu", secret_file=path)).check()
    assert problem == f"{path}: cannot be read: No such file or directory"
    assert await Sender(Notify(url="https://x/", timeout=0.0)).check() == "its files cannot be read in time"


@pytest.mark.parametrize("kind", ["post", "mail"])
async def test_a_ca_file_that_cannot_be_used(tmp_path: Path, web_port: int, kind: str) -> None:
    for path, said in ((tmp_path / "lost", "No such file or directory"), (a_file(tmp_path / "ca", "x"), "")):
        notify = Notify(url=hook_url(web_port, "https"), ca_file=path)
        if kind == "mail":
            notify = Notify(smtp=("127.0.0.1", 9), sender="a@b", recipients=("c@d",), ca_file=path)
        delivery = await send(notify)
        assert delivery.text.startswith(f"{path}: cannot be used as ca_file: {said}")
        assert delivery.tries == 1


# --------------------------------------------------------------------------------------------------------------------
# The end, and mistakes of ours


async def test_at_the_end_no_try_is_repeated() -> None:
    sender = Sender(Notify(url="http://x/"), deliver=lambda *_: Outcome(delivered=False, text="no", again=True))
    sender.hurry()
    assert await sender.send(MESSAGE) == bad("no")


async def test_at_the_end_a_pause_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BACKOFF_S", (1000.0,))
    tried = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def fail(*_: object) -> Outcome:
        token.run_sync_soon(tried.set)
        return Outcome(delivered=False, text="no", again=True)

    sender = Sender(Notify(url="http://x/"), deliver=fail)
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await tried.wait()
            sender.hurry()

        nursery.start_soon(end)
        with trio.fail_after(5):
            assert await sender.send(MESSAGE) == bad("no")


async def test_at_the_end_a_try_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "HURRY_S", 0.1)
    asked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hang(connection: socket.socket) -> None:
        connection.recv(65_536)
        token.run_sync_soon(asked.set)
        wait_for_the_end(connection)

    with listening(hang) as port:
        sender = Sender(Notify(url=hook_url(port), timeout=300))

        async def end() -> None:
            await asked.wait()
            sender.hurry()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            with trio.fail_after(5):
                assert await sender.send(MESSAGE) == bad("no answer in time")


async def test_a_mistake_of_ours_is_a_failure_like_any_other() -> None:
    def broken(*_: object) -> Outcome:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        delivery = await Sender(Notify(name="chat", url="http://x/"), deliver=broken).send(MESSAGE)
    assert delivery == bad("a mistake in this program (ZeroDivisionError)")
    assert logged[0]["notifier"] == "chat"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            socket.gaierror(-3, "Temporary failure in name resolution"),
            "its name cannot be looked up: Temporary failure in name resolution",
        ),
        (OSError(), "OSError"),
        (OSError("odd"), "odd"),
    ],
)
def test_other_errors_of_the_network(error: OSError, text: str) -> None:
    assert failed_by(error) == Outcome(delivered=False, text=text, again=True)


def test_a_line_that_is_cut_before_there_is_a_connection() -> None:
    line = Line()
    line.cut()
    with pytest.raises(TimeoutError):
        line.hold(lambda: None)
