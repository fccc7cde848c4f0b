"""Does everybody hear of what is recorded, whatever goes wrong, and does all of it end in time?"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import structlog
import trio
import trio.testing

from sipdispatch import hooks, notifiers
from sipdispatch.chronicle import About, Chronicle
from sipdispatch.damping import GATHER_S, Damping
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.notice_text import Message
from sipdispatch.notices import Delivery
from sipdispatch.notifiers import run_notifiers
from tests.sipdispatch.notice_servers import HttpServer, listening

CHAT = Notify(name="chat", url="https://chat.example/T0PSECRET")


def record(chronicle: Chronicle, after: str, number: int = 1, before: str = "") -> None:
    before = before or ("up" if after == "down" else "down")
    about = About(set_id=1, uri=f"sip:10.0.0.{number}", address=f"10.0.0.{number}:5060", number=number)
    chronicle.record("verdict", before, after, "no answer", 1_700_000_000.0, about=about)


@attrs.define
class FakeSender:
    """Notes what it is asked to send, at which time of the clock; `fate` says what comes of it."""

    notify: Notify = CHAT
    sent: list[tuple[float, str]] = attrs.field(factory=list)
    fate: Callable[[Message], bool] = lambda _message: True
    takes: float = 0.0
    problem: str | None = None
    hurried: trio.Event = attrs.field(factory=trio.Event)

    def hurry(self) -> None:
        self.hurried.set()

    async def check(self) -> str | None:
        return self.problem

    async def send(self, message: Message) -> Delivery:
        self.sent.append((trio.current_time(), message.subject.removeprefix("edge1: ")))
        delivered = self.fate(message)
        with trio.move_on_after(self.takes):
            await self.hurried.wait()
            delivered = False
        return Delivery(delivered=delivered, text="so it is", tries=1)

    @property
    def subjects(self) -> list[str]:
        return [subject for _, subject in self.sent]


@pytest.fixture
def chronicle() -> Chronicle:
    return Chronicle()


async def start(nursery: trio.Nursery, chronicle: Chronicle, sender: FakeSender, **more: object) -> None:
    run = partial(run_notifiers, chronicle, [], [CHAT], "edge1", sender_of=lambda _notify: sender, **more)  # type: ignore[arg-type]
    await nursery.start(run)


DOWN = "sip:10.0.0.1 (set 1) is down"
UP = "resolved: sip:10.0.0.1 (set 1) is up again"


async def test_what_is_recorded_is_told(
    chronicle: Chronicle, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender()
    await start(nursery, chronicle, sender)
    began = trio.current_time()
    with structlog.testing.capture_logs() as logged:
        record(chronicle, "down")
        await trio.sleep(10)
        record(chronicle, "up")
        await trio.sleep(100)
    assert sender.subjects == [DOWN, UP]
    assert [at - began for at, _ in sender.sent] == pytest.approx([GATHER_S, GATHER_S + 60])
    assert logged[0] == {
        "event": "a notice was delivered",
        "log_level": "info",
        "notifier": "chat",
        "to": "chat.example",
        "answer": "so it is",
    }


async def test_what_is_left_of_a_set_is_asked_when_it_is_told(
    chronicle: Chronicle, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    texts: list[str] = []

    def note(message: Message) -> bool:
        texts.append(message.text)
        return True

    left = {1: (1, 4)}
    await start(nursery, chronicle, FakeSender(fate=note), left_of=left.get)
    record(chronicle, "down")
    await trio.sleep(10)
    left.clear()
    record(chronicle, "down", number=2)
    await trio.sleep(10)
    assert texts[0].endswith("1 of 4 destinations of set 1 left.")
    assert texts[1].endswith("no answer.")


async def test_a_notice_that_fails_is_logged_and_told_later(
    chronicle: Chronicle, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender(fate=lambda _message: False)
    await start(nursery, chronicle, sender)
    with structlog.testing.capture_logs() as logged:
        record(chronicle, "down")
        await trio.sleep(10)
        sender.fate = lambda _message: True
        await trio.sleep(100)
    assert sender.subjects == [DOWN, DOWN]
    assert [(line["event"], line.get("tries")) for line in logged] == [
        ("a notice was not delivered", 1),
        ("a notice was delivered", None),
    ]
    assert "T0PSECRET" not in str(logged)


async def test_files_that_cannot_be_used_are_told_at_the_start(
    chronicle: Chronicle, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    with structlog.testing.capture_logs() as logged:
        await start(nursery, chronicle, FakeSender(problem="/x: is not there"))
        await trio.sleep(1)
    assert logged == [
        {
            "event": "a notifier cannot be used",
            "log_level": "warning",
            "notifier": "chat",
            "reason": "/x: is not there",
        }
    ]


async def test_mistakes_of_ours_are_survived(
    chronicle: Chronicle, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    broken = [True]

    def left_of(_set_id: int) -> None:
        if broken:
            broken.pop()
            raise ZeroDivisionError

    sender = FakeSender()
    await start(nursery, chronicle, sender, left_of=left_of)
    with structlog.testing.capture_logs() as logged:
        record(chronicle, "down")
        await trio.sleep(100)
    assert sender.subjects == [DOWN]
    assert [line["log_level"] for line in logged] == ["error", "info"]


async def test_a_gap_is_filled(
    chronicle: Chronicle,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifiers, "FOLLOWED", 2)
    sender = FakeSender()
    await start(nursery, chronicle, sender)
    for number in range(1, 30):
        record(chronicle, "down", number=number)
    await trio.sleep(10)
    assert sender.subjects == ["29 destinations are down"]


# --------------------------------------------------------------------------------------------------------------------
# The end


async def run_until_stopped(
    chronicle: Chronicle, sender: FakeSender, then: Callable[[], object], *, after: float = 10.0
) -> float:
    """Run, do something after a while and stop in the same moment; how long the end took."""
    async with trio.open_nursery() as nursery:
        await start(nursery, chronicle, sender)
        record(chronicle, "down")
        await trio.sleep(after)
        then()
        nursery.cancel_scope.cancel()
        stopped = trio.current_time()
    return trio.current_time() - stopped


async def test_what_is_not_told_yet_is_told_at_the_end(
    chronicle: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender()
    assert await run_until_stopped(chronicle, sender, lambda: record(chronicle, "up")) == 0.0
    assert sender.subjects == [DOWN, UP]
    assert sender.hurried.is_set()


async def test_whatever_was_recorded_before_the_end_is_told(
    chronicle: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    def a_rack_dies() -> None:
        for number in range(2, 102):
            record(chronicle, "down", number=number)

    sender = FakeSender()
    await run_until_stopped(chronicle, sender, a_rack_dies)
    assert sender.subjects == [DOWN, "100 destinations are down"]


async def test_with_nothing_to_tell_the_end_is_quick(
    chronicle: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender()
    assert await run_until_stopped(chronicle, sender, lambda: None) == 0.0
    assert sender.subjects == [DOWN]


async def test_what_is_on_its_way_at_the_end_is_tried_once_more(
    chronicle: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender(takes=1000.0)
    assert await run_until_stopped(chronicle, sender, lambda: record(chronicle, "up"), after=1.0) == 0.0
    assert sender.subjects == [DOWN, UP]


async def test_the_end_waits_for_nobody_for_long(chronicle: Chronicle, autojump_clock: trio.testing.MockClock) -> None:
    @attrs.define
    class Stuck(FakeSender):
        async def send(self, message: Message) -> Delivery:
            await trio.sleep(1000)
            raise AssertionError

    with structlog.testing.capture_logs() as logged:
        assert await run_until_stopped(chronicle, Stuck(), lambda: None) == pytest.approx(5.0)
    assert [line["event"] for line in logged] == ["not everybody was told of everything: there was no time left"]


async def test_with_nobody_to_tell(chronicle: Chronicle, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_notifiers, chronicle, [], [], "edge1"))
        record(chronicle, "down")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


# --------------------------------------------------------------------------------------------------------------------
# All of it


async def test_a_real_hook_and_a_real_server(
    chronicle: Chronicle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifiers, "Damping", partial(Damping, gather=0.05, spacing=0.1))
    monkeypatch.setattr(hooks, "BACKOFF_S", (0.001,))
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\ncat >>{tmp_path}/out\n")
    script.chmod(0o755)
    web = HttpServer()
    with listening(web.serve) as port:
        notify = Notify(name="chat", url=f"http://127.0.0.1:{port}/", every=0.2)
        async with trio.open_nursery() as nursery:
            await nursery.start(run_notifiers, chronicle, [Hook(command=(str(script),))], [notify], "edge1")
            record(chronicle, "down")
            with trio.fail_after(5):
                while not web.requests:  # noqa: ASYNC110 - the server has a thread of its own
                    await trio.sleep(0.01)
            record(chronicle, "up")
            chronicle.record("proxy", "", "stopped", "SIGTERM", 1_700_000_009.0)
            nursery.cancel_scope.cancel()
    told = [json.loads(request.body) for request in web.requests]
    assert [item["state"] for document in told for item in document["items"]] == ["down", "up"]
    heard = [json.loads(line)["after"] for line in (tmp_path / "out").read_text().splitlines()]
    assert heard == ["down", "up"]
