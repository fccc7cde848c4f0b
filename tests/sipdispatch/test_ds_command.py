"""Do the commands that speak to a running proxy do, say and end as they should?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog

from dispatcher.problem import Problem
from health.board import Word
from sipdispatch import ds_command
from sipdispatch.cli import main
from sipdispatch.control_client import ControlClient
from sipdispatch.control_path import NAME
from sipdispatch.event_words import event_words
from sipdispatch.facts import ListenerFacts, ReloadFacts
from sipdispatch.facts_json import status_json
from sipdispatch.operations import ReloadReport
from sipdispatch.screen import CLEAR, Screen
from sipdispatch.status_command import as_text
from tests.sipdispatch.control_world import BROKEN, Running, Steered, running
from tests.sipdispatch.fake_operations import EMPTY, destination, happening, sets_json, with_destinations, with_these
from tests.sipdispatch.manual_proxy import NOW, ManualProxy, facts

A, B, C = "sip:192.0.2.21", "sip:192.0.2.22", "sip:192.0.2.23"
NOBODY = {"kind": "list", "before": "", "uri": "", "address": ""}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        told = capsys.readouterr()
        return status, told.out, told.err

    return go


def as_json(told: str) -> Any:
    document = json.loads(told)
    assert document["version"] == 1
    return document


# --------------------------------------------------------------------------------------------------------------------
# Which proxy


@pytest.mark.parametrize("command", [("status",), ("events",), ("events", "-f"), ("ds", "list"), ("ds", "drain", A)])
def test_without_a_proxy_every_command_says_so(run: Run, command: tuple[str, ...]) -> None:
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert err.startswith("sipdispatch: error: no proxy has its control socket there\n  where: ")


@pytest.mark.usefixtures("proxy")
def test_the_socket_may_be_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nowhere")
    assert run("status")[0] == 2
    assert run("status", "--socket", str(tmp_path / NAME))[0] == 0


@pytest.mark.usefixtures("proxy")
def test_the_configuration_may_be_named(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text('[proxy]\nlisten = "192.0.2.1"\n')
    assert run("status", "--config", str(config))[0] == 0
    config.write_text('[proxy]\nlisten = "x"\nsett = 1\n')
    status, _, err = run("status", "--config", str(config))
    assert status == 2
    assert err.count("sipdispatch: error: ") == 2
    assert "both a socket and a configuration" in run("status", "--config", str(config), "--socket", "x")[2]


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ('socket = "/a/b"', "/a/b"),
        ("", f"where: {{folder}}/{NAME}"),
        ("enabled = false", "this proxy has no control socket\n  where: a.toml"),
    ],
)
def test_the_socket_of_the_configuration(run: Run, tmp_path: Path, control: str, expected: str) -> None:
    Path("a.toml").write_text(f'[proxy]\nlisten = "192.0.2.1"\n[control]\n{control}\n')
    assert expected.format(folder=tmp_path) in run("status", "--config", "a.toml")[2]


# --------------------------------------------------------------------------------------------------------------------
# ds


def test_without_a_command_help_is_shown(run: Run) -> None:
    status, out, err = run("ds")
    assert (status, out) == (2, "")
    assert "Commands:\n  list " in err


@pytest.mark.parametrize(("word", "hint"), [("lits", "did you mean list?"), ("xyz", "write one of list, explain,")])
def test_a_command_that_there_is_not(run: Run, word: str, hint: str) -> None:
    status, _, err = run("ds", word)
    assert status == 2
    assert f"there is no command ds {word}" in err
    assert hint in err


@pytest.mark.usefixtures("proxy")
def test_list_as_json(run: Run) -> None:
    status, out, _ = run("ds", "list", "--json")
    assert status == 0
    assert as_json(out) == {"version": 1, "now": NOW} | sets_json(facts())
    (one,) = as_json(run("ds", "list", "--set", "2", "--json")[1])["sets"]
    assert one["set"] == 2


@pytest.mark.usefixtures("proxy")
def test_list_of_a_set_that_there_is_not(run: Run) -> None:
    assert run("ds", "list", "--set", "7") == (
        2,
        "",
        "sipdispatch: error: there is no set 7\n  where: /etc/sipdispatch/dispatcher.list\n  to do: name one of 1, 2\n",
    )


@pytest.mark.parametrize("clear", [True, False])
def test_watching(run: Run, proxy: Running[Steered], monkeypatch: pytest.MonkeyPatch, *, clear: bool) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            proxy.stop()

    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(ds_command, "standard_output", lambda: Screen(can_clear=clear))
    said: list[str] = []
    monkeypatch.setattr(ds_command, "say", said.append)
    status, _, err = run("ds", "list", "--watch", "0.5")
    assert (status, naps) == (2, [0.5, 0.5])
    assert [text.count("set 1: weight") for text in said] == [1, 1]
    assert all(text.startswith(CLEAR) == clear for text in said)
    assert err.startswith("sipdispatch: error: ")


def test_words(run: Run, proxy: Running[Steered]) -> None:
    assert run("ds", "drain", A) == (0, f"{A} in set 1: draining, takes no new work\n", "")
    assert run("ds", "undrain", A) == (0, f"{A} in set 1: enabled\n", "")
    assert run("ds", "set-state", "d", A, "--set", "1") == (0, f"{A} in set 1: disabled\n", "")
    assert run("ds", "set-state", "i", "all", "--set", "1")[1] == (
        "all in set 1, 3 destinations: draining, takes no new work\n"
    )
    done = [each[:3] for each in proxy.operations.done]
    assert done == [(1, A, Word.DRAINING), (1, A, Word.ENABLED), (1, A, Word.DISABLED), (1, "all", Word.DRAINING)]
    assert all(re.fullmatch(r"control: uid \d+, pid \d+", each[3]) for each in proxy.operations.done)
    assert as_json(run("ds", "undrain", A, "--json")[1]) == {
        "version": 1,
        "set": 1,
        "destination": A,
        "word": "enabled",
        "destinations": 1,
    }


def test_the_set_may_stand_first_as_kamcmd_has_it(run: Run, proxy: Running[Steered]) -> None:
    assert run("ds", "set-state", "ip", "1", A) == (0, f"{A} in set 1: draining, takes no new work\n", "")
    assert run("ds", "remove", "1", B, "--set", "1")[0] == 0
    assert proxy.operations.done[0][:2] == (1, A)
    for wrong in (("x", A), ("2", A, "--set", "1"), ("1", A, B), ()):
        status, _, err = run("ds", "set-state", "a", *wrong)
        assert status == 2
        assert err.endswith("  to do: write one, after its set if need be, as in 1 sip:192.0.2.21\n")


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("number", ["nan", "inf", "1e12"])
def test_a_time_that_nobody_can_wait(run: Run, number: str) -> None:
    for words in (("list", "--watch", number), ("drain", A, "--wait", "--timeout", number)):
        status, out, err = run("ds", *words)
        assert (status, out) == (2, "")
        assert err.startswith("sipdispatch: error: ")


@pytest.mark.usefixtures("proxy")
def test_no_such_state(run: Run) -> None:
    status, _, err = run("ds", "set-state", "asleep", A)
    assert status == 2
    assert err.startswith(
        "sipdispatch: error: 'asleep' is no state\n  where: parameter state\n  to do: write a (enabled)"
    )


def test_drain_waits(run: Run, proxy: Running[Steered]) -> None:
    told = f"{C} in set 1: draining, takes no new work\n"
    assert run("ds", "drain", C, "--wait", "--timeout", "0") == (
        1,
        f"{told}not drained after 0 s: 2 calls at what drains in set 1\n",
        "",
    )
    status, out, _ = run("ds", "drain", C, "--wait", "--timeout", "0", "--json")
    assert (status, as_json(out)["drained"]) == (1, False)
    proxy.do(proxy.operations.drained.set)
    assert run("ds", "drain", C, "--wait") == (0, f"{told}drained after 0 s: no call is left\n", "")
    status, out, _ = run("ds", "drain", C, "--wait", "--json")
    assert status == 0
    told_of = {"version", "set", "destination", "word", "destinations", "drained", "waited", "known_since"}
    assert set(as_json(out)) == told_of


def test_drain_says_what_a_young_proxy_cannot_know(run: Run, proxy: Running[Steered]) -> None:
    proxy.operations.told = attrs.evolve(proxy.operations.told, started=time.time() - 300)
    proxy.do(proxy.operations.drained.set)
    _, out, _ = run("ds", "drain", C, "--wait")
    unknown = "but calls from before the proxy was started, 5 min ago, it does not know"
    assert out.endswith(f"drained after 0 s: no call is left; {unknown}\n")


def test_a_timeout_is_about_waiting(run: Run) -> None:
    status, _, err = run("ds", "drain", C, "--timeout", "3")
    assert status == 2
    assert "--timeout is about waiting" in err


@pytest.mark.usefixtures("proxy")
def test_reload(run: Run) -> None:
    status, out, _ = run("ds", "reload", "--json")
    assert status == 0
    assert as_json(out)["added"] == ["1 sip:192.0.2.24"]
    assert run("ds", "reload", "--reset-state")[1] == "reloaded: nothing is different; 4 destinations\n"
    assert not as_json(run("ds", "reload", "--dry-run", "--json")[1])["done"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_list_that_is_refused(run: Run, tmp_path: Path, dry: tuple[str, ...]) -> None:
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered(with_destinations(2), answer=BROKEN)):
        told = "sipdispatch: error: -1 is no number\n  where: a.list:2:18\n  to do: write 0\n"
        assert run("ds", "reload", *dry) == (2, "", told)
        status, out, _ = run("ds", "reload", "--json", *dry)
        assert status == 2
        assert (as_json(out)["refused"], len(as_json(out)["problems"])) == (True, 2)


def test_a_list_that_is_refused_without_a_reason(run: Run, tmp_path: Path) -> None:
    answer = ReloadReport(done=False, destinations=2)
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered(with_destinations(2), answer=answer)):
        assert run("ds", "reload")[2].startswith("sipdispatch: error: the list is not taken over\n")


def test_warnings_are_told(run: Run, tmp_path: Path) -> None:
    problems = [
        Problem("a.list", 3, 1, severity="warning", message="doubtful", hint="look"),
        Problem("a.list", 0, 0, severity="warning", message="x"),
    ]
    answer = ReloadReport(done=True, destinations=1, problems=problems)
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered(with_destinations(2), answer=answer)):
        assert run("ds", "reload") == (
            0,
            "a.list:3:1: warning: doubtful; look\na.list: warning: x\nreloaded: nothing is different; 1 destination\n",
            "",
        )


def test_add_and_remove(run: Run, tmp_path: Path) -> None:
    operations = Steered(with_these(destination(1, uri=A), destination(2, uri=B, set_id=2)))
    with structlog.testing.capture_logs(), running(tmp_path / NAME, operations):
        assert run("ds", "add", "1", "sip:x", "0", "0", "")[1] == "+ sip:192.0.2.23\nadded; 3 destinations\n"
        assert run("ds", "add", "1", "sip:x", "8", "2", "weight=5", "--save")[0] == 0
        assert run("ds", "remove", B, "--save")[1].endswith("removed, and taken out of the list; 3 destinations\n")
        assert run("ds", "remove", "sip:x")[2].startswith("sipdispatch: error: no destination is called sip:x\n")
    assert [each[:-1] for each in operations.done] == [
        ("add", "1 sip:x 0 0", False),
        ("add", "1 sip:x 8 2 weight=5", True),
        ("remove", 2, B, True),
    ]


@pytest.mark.usefixtures("proxy")
def test_history(run: Run) -> None:
    assert run("ds", "history", B)[1].count("\n") == 2
    assert run("ds", "history", "--limit", "1")[1].count("\n") == 1
    assert run("ds", "history", "--set", "2")[1] == "nothing has happened\n"
    assert len(as_json(run("ds", "history", "--json")[1])["events"]) == 4


def test_explain(run: Run, tmp_path: Path) -> None:
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered()):
        question = ("--call-id", "x", "--from", "sip:a", "--source", "192.0.2.9", "--uri", "sip:b")
        asked = as_json(run("ds", "explain", *question, "--json")[1])["asked"]
        assert asked == {"call_id": "x", "from": "sip:a", "source": "192.0.2.9", "uri": "sip:b"}
        Path("a.sip").write_bytes(b"INVITE sip:a SIP/2.0\r\n\r\n")
        asked = as_json(run("ds", "explain", "a.sip", "--listener", "x", "--json")[1])["asked"]
        assert asked == {"message": "INVITE sip:a SIP/2.0\r\n\r\n", "listener": "x"}
        Path("b.sip").write_bytes(b"\xff")
        assert "the message is not UTF-8" in run("ds", "explain", "b.sip")[2]
        assert "there is no message to explain" in run("ds", "explain")[2]


# --------------------------------------------------------------------------------------------------------------------
# status and events


def test_status(run: Run, tmp_path: Path) -> None:
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered(attrs.evolve(EMPTY, serving=False))):
        status, out, err = run("status")
        assert (status, err) == (1, "")
        assert out.startswith("serving     no: no destination takes new work\n")
        status, out, _ = run("status", "--json")
        assert (status, as_json(out)["proxy"]["serving"]) == (1, False)


def test_status_tells_what_there_is() -> None:
    listeners = (
        ListenerFacts(address="udp:192.0.2.10:5060", advertised="198.51.100.1:5060", receive_buffer=212_992),
        ListenerFacts(address="udp:[2001:db8::1]:5060", advertised="[2001:db8::1]:5060", receive_buffer=999),
    )
    told = attrs.evolve(
        EMPTY,
        listeners=listeners,
        reload=ReloadFacts(at=EMPTY.now - 5, done=False, text="1 error"),
        received_bytes=1 << 50,
        packet_path_why="the fast path is not built",
    )
    text = as_text(status_json(told))
    assert "            the fast path is not built; pure Python forwards less than a tenth as much\n" in text
    assert "listeners   udp:192.0.2.10:5060, known as 198.51.100.1:5060, receive buffer 208 KiB\n" in text
    assert "            udp:[2001:db8::1]:5060, receive buffer 999 B\n" in text
    assert "last reload refused 5 s ago: 1 error\n" in text
    assert "sets        0; destinations: none\n" in text
    assert "1,000 received (1024.0 TiB)" in text


def test_events(run: Run, tmp_path: Path) -> None:
    with structlog.testing.capture_logs(), running(tmp_path / NAME, Steered()):
        assert run("events") == (0, "nothing has happened\n", "")
    with structlog.testing.capture_logs(), running(tmp_path / NAME, ManualProxy()):
        assert run("events")[1].count("\n") == 4
        assert len(as_json(run("events", "-n", "2", "--json")[1])["events"]) == 2


@pytest.fixture
def meanwhile(proxy: Running[Steered], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these happen at the proxy once a command follows, and some after it has read the past; then it stops."""
    ask, follow = ControlClient.call, ControlClient.events

    def prepare(before: Sequence[int], after: Sequence[int]) -> None:
        def call(client: ControlClient, method: str, *arguments: Any, **named: Any) -> Any:
            result = ask(client, method, *arguments, **named)
            for number in {"events": before, "dispatcher.history": after}.get(method, ()):
                proxy.do(proxy.operations.happen, happening(number))
            return result

        def events(client: ControlClient) -> Iterator[Any]:
            for place, event in enumerate(follow(client), 1):
                yield event
                if place == len(before) + len(after):
                    proxy.stop()

        monkeypatch.setattr(ControlClient, "call", call)
        monkeypatch.setattr(ControlClient, "events", events)

    proxy.operations.room = 100
    return prepare


@pytest.mark.parametrize("json_wanted", [True, False])
def test_following(run: Run, meanwhile: Callable[..., None], *, json_wanted: bool) -> None:
    meanwhile([5], [6, 8, 12])
    status, out, err = run("events", "--follow", "--limit", "2", *(("--json",) if json_wanted else ()))
    assert status == 2
    assert err.startswith("1 event lost: what reads this is too slow\n3 events lost: what reads this is too slow\n")
    assert "the proxy has ended, or has closed the connection" in err
    if json_wanted:
        assert [json.loads(line)["sequence"] for line in out.splitlines()] == [4, 5, 6, 8, 12]
    else:
        assert out.count("\n") == 5


def test_following_without_the_past(run: Run, meanwhile: Callable[..., None]) -> None:
    meanwhile([], [5])
    status, out, err = run("events", "-f", "-n", "0")
    assert (status, out.count("\n")) == (2, 1)
    assert "lost" not in err


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "set 1  sip:10.0.0.2:5060  up -> down: no answer in 500 ms"),
        ({"uri": "sip:pbx", "cause": ""}, "set 1  sip:pbx 10.0.0.2:5060  up -> down"),
        (
            NOBODY | {"after": "reloaded", "cause": "2 added", "set_id": None},
            "list  reloaded: 2 added",
        ),
        (NOBODY | {"after": "x\x1b", "cause": ""}, "list  set 1  x\\x1b"),
        (
            {"kind": "ban", "before": "free", "after": "banned", "uri": "", "address": "203.0.113.9", "set_id": None},
            "ban  203.0.113.9  free -> banned: no answer in 500 ms",
        ),
    ],
)
def test_an_event_is_one_line(known: dict[str, Any], words: str) -> None:
    assert event_words(happening(1, **known).to_json()) == f"2026-09-21 14:13:21  {words}"
