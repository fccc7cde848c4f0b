"""Can somebody who is woken by a notice read in it what is the matter?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipdispatch.damping import Item, Notice
from sipdispatch.happening import Kind
from sipdispatch.notice_text import Message, compose, duration

AT = datetime(2026, 11, 23, 14, 3, 10, tzinfo=UTC).timestamp()
SINCE = AT - 3


def item(
    state: str,
    *,
    kind: Kind = "verdict",
    number: int = 5,
    cause: str = "2 probes unanswered",
    changes: int = 1,
    lasted: float | None = None,
    since: float = SINCE,
) -> Item:
    return Item(
        kind=kind,
        state=state,
        since=since,
        cause=cause,
        changes=changes,
        lasted=lasted,
        set_id=1,
        uri=f"sip:10.0.0.{number}:5060",
        address=f"10.0.0.{number}:5060",
        number=number,
    )


def source(state: str, cause: str = "") -> Item:
    return Item(kind="ban", state=state, since=SINCE, cause=cause, address="203.0.113.9")


def notice(*items: Item, more: int = 0) -> Notice:
    counts: dict[str, int] = {}
    for each in items:
        counts[each.state] = counts.get(each.state, 0) + 1
    if more:
        counts[items[0].state] += more
    return Notice(items=items, counts=counts, sets=(1,))


def said(*items: Item, more: int = 0) -> Message:
    return compose(notice(*items, more=more), "edge1", at=AT, zone=UTC)


SENTENCES = [
    (item("down"), "sip:10.0.0.5:5060 (set 1) is down since 14:03:07: 2 probes unanswered."),
    (
        item("down", changes=7),
        "sip:10.0.0.5:5060 (set 1) flapped 7 times; now down since 14:03:07: 2 probes unanswered.",
    ),
    (item("down", cause=""), "sip:10.0.0.5:5060 (set 1) is down since 14:03:07."),
    (
        item("down", since=AT - 86_400),
        "sip:10.0.0.5:5060 (set 1) is down since 2026-11-22 14:03:10: 2 probes unanswered.",
    ),
    (item("up", lasted=192.0), "resolved: sip:10.0.0.5:5060 (set 1) is up again after 3 min 12 s."),
    (
        item("up", lasted=192.0, changes=3),
        "resolved: sip:10.0.0.5:5060 (set 1) is up again after 3 min 12 s; it flapped 3 times.",
    ),
    (item("up"), "resolved: sip:10.0.0.5:5060 (set 1) is up."),
    (
        item("removed", lasted=60.0, cause="reload"),
        "resolved: sip:10.0.0.5:5060 (set 1), which was down, has left the list after 1 min: reload.",
    ),
    (
        item("draining", kind="word", cause="ds drain by root."),
        "sip:10.0.0.5:5060 (set 1) is draining since 14:03:07: ds drain by root.",
    ),
    (item("enabled", kind="word", cause="x"), "sip:10.0.0.5:5060 (set 1) is enabled since 14:03:07: x."),
    (
        item("refused", kind="list", cause="line 3"),
        "the list was refused at 14:03:07, and the old one stays in force: line 3.",
    ),
    (item("reloaded", kind="list", lasted=60.0), "resolved: the list is in force again after 1 min."),
    (item("started", kind="proxy", cause=""), "the proxy has started at 14:03:07."),
    (item("stopped", kind="proxy", cause="SIGTERM"), "the proxy has stopped at 14:03:07: SIGTERM."),
    (
        item("active", kind="vrrp", cause="192.0.2.12 has given the address up"),
        "this node is active: it has the virtual IP; since 14:03:07: 192.0.2.12 has given the address up.",
    ),
    (
        item("backup", kind="vrrp", cause="sip: no answer", changes=3),
        "this node is backup: it does not have the virtual IP; since 14:03:07, after 3 changes: sip: no answer.",
    ),
    (
        item("fault", kind="vrrp", cause="interface eth0: down"),
        "this node is in fault: it cannot have the virtual IP; since 14:03:07: interface eth0: down.",
    ),
    (
        source("banned", "over 50 messages/s for 10 s, for 300 s"),
        "203.0.113.9 is banned since 14:03:07: over 50 messages/s for 10 s, for 300 s.",
    ),
    (source("free", "its time is over"), "203.0.113.9 is free again since 14:03:07: its time is over."),
]


@pytest.mark.parametrize(("told", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_one_thing(told: Item, sentence: str) -> None:
    assert said(told).text == f"sipdispatch on edge1: {sentence}"


SUBJECTS = [
    ("down", "sip:10.0.0.5:5060 (set 1) is down"),
    ("up", "resolved: sip:10.0.0.5:5060 (set 1) is up again"),
    ("removed", "resolved: sip:10.0.0.5:5060 (set 1) has left the list"),
    ("draining", "sip:10.0.0.5:5060 (set 1) is draining"),
    ("refused", "the list was refused"),
    ("reloaded", "resolved: the list is in force again"),
    ("stopped", "the proxy has stopped"),
    ("active", "this node is active: it has the virtual IP"),
    ("fault", "this node is in fault: it cannot have the virtual IP"),
]


@pytest.mark.parametrize(("state", "subject"), SUBJECTS)
def test_subjects(state: str, subject: str) -> None:
    assert said(item(state)).subject == f"edge1: {subject}"


def test_what_is_left_of_the_set_is_told() -> None:
    message = compose(notice(item("down")), "edge1", at=AT, zone=UTC, left={1: (1, 4), 2: (9, 9)})
    assert message.text == (
        "sipdispatch on edge1: sip:10.0.0.5:5060 (set 1) is down since 14:03:07: 2 probes unanswered."
        " 1 of 4 destinations of set 1 left."
    )


def test_times_are_those_of_the_zone() -> None:
    zone = timezone(timedelta(hours=8))
    assert "since 22:03:07:" in compose(notice(item("down")), "edge1", at=AT, zone=zone).text


def test_without_a_zone_they_are_the_machines() -> None:
    local = datetime.fromtimestamp(SINCE).strftime("%H:%M:%S")  # noqa: DTZ006 - the machine's is wanted
    assert f"since {local}:" in compose(notice(item("down")), "edge1", at=AT).text


def test_many() -> None:
    items = [item("down", number=number) for number in range(1, 10)]
    message = compose(notice(*items, item("up", lasted=5.0), more=30), "edge1", at=AT, zone=UTC, left={1: (0, 1)})
    lines = message.text.split("\n")
    assert message.subject == "edge1: 39 destinations are down, 1 is up again"
    assert lines[0] == "sipdispatch on edge1: 39 destinations are down, 1 is up again:"
    assert lines[1] == "- sip:10.0.0.1:5060 (set 1) is down since 14:03:07: 2 probes unanswered."
    assert lines[10] == "- resolved: sip:10.0.0.5:5060 (set 1) is up again after 5 s."
    assert lines[11:] == ["and 30 more.", "0 of 1 destination of set 1 left."]


def test_many_with_the_list_in_between() -> None:
    message = said(item("down"), item("refused", kind="list"), item("draining", kind="word"))
    assert message.subject == "edge1: 1 destination is down, the list was refused, 1 is draining"
    assert len(message.text.split("\n")) == 4


def test_sources_are_counted_apart_from_destinations() -> None:
    message = said(item("down"), source("banned"), source("banned"), source("free"))
    assert message.subject == "edge1: 1 destination is down, 2 sources are banned, 1 source is free again"


def test_a_test() -> None:
    message = compose(Notice(), "edge1", at=AT, zone=UTC)
    assert message.subject == "edge1: test notice"
    assert message.text == "sipdispatch on edge1: this is a test notice; nothing has happened."
    assert message.document["test"] is True


def test_a_name_is_told_with_its_address() -> None:
    told = Item(
        kind="verdict",
        state="down",
        since=SINCE,
        cause="",
        set_id=2,
        uri="sip:pbx.example.com",
        address="10.0.0.5:5060",
    )
    assert "sip:pbx.example.com at 10.0.0.5:5060 (set 2) is down" in said(told).text


def test_what_a_server_has_said_cannot_change_the_form() -> None:
    message = said(item("down", cause="503 \x1b[2J\r\nresolved: all is well\n" + "x" * 500))
    assert message.text.isprintable()
    assert "503 \\x1b[2J resolved: all is well xxx" in message.text
    assert message.text.endswith("xxx....")
    assert len(message.text) < 260


def test_the_document_for_programs() -> None:
    message = compose(notice(item("down")), "edge1", at=AT, zone=UTC, left={1: (1, 4)})
    document = json.loads(json.dumps(message.document))
    assert document == {
        "version": 1,
        "node": "edge1",
        "at": AT,
        "test": False,
        "text": message.text,
        "counts": {"down": 1},
        "items": [
            {
                "kind": "verdict",
                "state": "down",
                "since": SINCE,
                "cause": "2 probes unanswered",
                "changes": 1,
                "lasted": None,
                "set": 1,
                "uri": "sip:10.0.0.5:5060",
                "address": "10.0.0.5:5060",
                "number": 5,
            }
        ],
        "more": 0,
        "sets": [{"set": 1, "left": 1, "destinations": 4}],
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (192.0, "3 min 12 s"),
        (3600.0, "1 h"),
        (3601.0, "1 h"),
        (7500.0, "2 h 5 min"),
        (90_061.0, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
