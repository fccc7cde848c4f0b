"""Does the manual page of notices and hooks say what the program does?"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from sipdispatch import command_run, damping, hooks, notice_post, notice_shapes, notice_text, notices
from sipdispatch.damping import Item, Notice
from sipdispatch.happening import KINDS, Kind
from sipdispatch.hooks import facts_for, line_for, run_hook
from sipdispatch.notice_sections import HOOK_KEYS, NOTIFY_KEYS, read_notice_sections
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.notice_text import compose
from sipdispatch.notifiers import STOP_S
from tests.sipdispatch.happenings import happening
from tests.sipdispatch.manual import blocks, entry, page

NOTICES = page("notices")


def part(heading: str) -> str:
    """What stands under a heading of the third rank."""
    return NOTICES.split(f"\n### {heading}\n", 1)[1].split("\n##", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, heads left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    body = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if "---" not in line + after]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


@pytest.mark.parametrize("text", [text for _, text in blocks(NOTICES, "toml")])
def test_every_configuration_is_right(text: str) -> None:
    sections, found = read_notice_sections(tomllib.loads(text), Path("/etc/sipdispatch"))
    assert found == []
    assert sections.hooks or sections.notifiers


@pytest.mark.parametrize(("heading", "keys"), [("Hooks", HOOK_KEYS), ("Notifiers", NOTIFY_KEYS)])
def test_every_key_is_described_and_no_other(heading: str, keys: tuple[str, ...]) -> None:
    described = re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^(`.*)\n:", part(heading), re.MULTILINE)))
    assert sorted(described) == sorted(keys)


def kinds(of: frozenset[Kind]) -> str:
    return ", ".join(f'"{kind}"' for kind in KINDS if kind in of)


HOOK, POST = Hook(command=("/x",)), Notify()
DEFAULTS = [
    ("Hooks", "on", f"`[{kinds(HOOK.kinds)}]`"),
    ("Hooks", "timeout", f'`"{HOOK.timeout:g}s"`'),
    ("Hooks", "retries", f"{HOOK.retries}."),
    ("Hooks", "at_once", f"{HOOK.at_once}."),
    ("Notifiers", "on", f"`[{kinds(POST.kinds)}]`"),
    ("Notifiers", "timeout", f'`"{POST.timeout:g}s"`'),
    ("Notifiers", "retries", f"{POST.retries}."),
    ("Notifiers", "every", f'`"{POST.every:g}s"`'),
    ("Notifiers", "format", f'`"{POST.shape}"`'),
    ("Notifiers", "starttls", f"{POST.starttls}.".lower()),
    ("Notifiers", "subject_prefix", f'`"{POST.subject_prefix}"`'),
]


@pytest.mark.parametrize(("heading", "key", "value"), DEFAULTS)
def test_the_defaults_are_those_of_the_program(heading: str, key: str, value: str) -> None:
    assert f"Default: {value}" in entry(part(heading), key)


def test_the_numbers_are_those_of_the_program() -> None:
    assert (damping.GATHER_S, damping.SPACING_S, damping.LISTED) == (0.5, 5.0, 10)
    assert (damping.FIRST_HOLD_S, damping.LONGEST_HOLD_S) == (30.0, 300.0)
    assert hooks.BACKOFF_S == notices.BACKOFF_S == (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    assert (command_run.TERM_S, hooks.QUEUE, STOP_S) == (2.0, 1000, 5.0)
    assert (notice_text.SETS, notice_shapes.WECOM_OCTETS, notice_post.LONGEST_WAIT_S) == (3, 2048, 60.0)
    assert f"{command_run.PLAIN_ENVIRONMENT['PATH']}`; `C.UTF-8`" in NOTICES


def test_every_fact_of_a_hook_is_described() -> None:
    told = happening("down")
    described = [name for row in rows(part("What a hook gets")) for name in re.findall(r"`([A-Z_]+)`", row[0])]
    assert sorted(described) == sorted(facts_for(told, "edge1"))
    sentence = NOTICES.split("on its standard input has the keys ")[1].split(".")[0]
    assert set(re.findall(r"`([a-z]+)`", sentence)) == set(re.findall(r'"([a-z]+)": ', line_for(told, "x").decode()))


def test_every_key_of_the_document_is_described() -> None:
    at = 1_700_000_000.0
    item = Item(kind="verdict", state="down", since=at, cause="x")
    document = compose(Notice(items=(item,), counts={"down": 1}, sets=(1,)), "edge1", at=at, left={1: (1, 2)}).document
    table = {name: row[1] for row in rows(part("Services")) for name in re.findall(r"`([a-z]+)`", row[0])}
    assert set(document) <= set(table)
    assert set(item.to_json()) <= set(re.findall(r"`([a-z]+)`", table["items"]))
    assert document["sets"] == [{"set": 1, "left": 1, "destinations": 2}]
    assert set(re.findall(r"`([a-z]+)`", table["sets"])) == {"set", "left", "destinations"}


def test_every_example_of_a_text_is_what_is_said() -> None:
    at = datetime(2026, 11, 23, 14, 3, 10, tzinfo=UTC).timestamp()
    item = Item(
        kind="verdict",
        state="down",
        since=at - 3,
        cause="2 probes unanswered",
        set_id=1,
        uri="sip:10.0.0.5:5060",
        address="10.0.0.5:5060",
        number=5,
    )
    told = [
        item,
        attrs.evolve(item, changes=7),
        attrs.evolve(item, state="up", lasted=192.0),
        attrs.evolve(item, state="removed", lasted=60.0, cause="reload"),
        attrs.evolve(item, kind="word", state="draining", cause="ds drain by root"),
        attrs.evolve(item, kind="list", state="refused", cause="line 3"),
        Item(
            kind="ban",
            state="banned",
            since=at - 3,
            cause="over 50 messages/s for 10 s, for 300 s",
            address="203.0.113.9",
        ),
    ]
    shown = [row[1].strip("`") for row in rows(part("What people are told"))]
    for index, (text, each) in enumerate(zip(shown, told, strict=True)):
        notice = Notice(items=(each,), counts={each.state: 1}, sets=(1,))
        assert compose(notice, "edge1", at=at, zone=UTC, left={1: (1, 4)} if index == 0 else {}).text == text


async def test_the_example_of_a_hook(tmp_path: Path) -> None:
    ((name, text),) = blocks(NOTICES, "sh")
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o755)
    hook = Hook(command=(str(path),))
    said = [(await run_hook(hook, happening(state), "edge1")).output for state in ("down", "draining", "up", "suspect")]
    assert said == ["hide sip:10.0.0.1:5060\n", "hide sip:10.0.0.1:5060\n", "show sip:10.0.0.1:5060\n", ""]
