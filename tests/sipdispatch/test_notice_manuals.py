"""Do the manual pages of notices, hooks and `sipdispatch notify` say what the program does?"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import attrs
import click
import pytest

from sipdispatch import damping, hooks, notice_post, notice_shapes, notice_text, notices
from sipdispatch.cli import group
from sipdispatch.damping import Item, Notice
from sipdispatch.happening import KINDS, Kind
from sipdispatch.hooks import facts_for, line_for, run_hook
from sipdispatch.notice_sections import HOOK_KEYS, NOTIFY_KEYS, read_notice_sections
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.notice_text import compose
from sipdispatch.notifiers import STOP_S
from tests.sipdispatch.happenings import happening

ROOT = Path(__file__).parents[2]
NOTICES = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")
NOTIFY = (ROOT / "docs" / "sipdispatch-notify.md").read_text(encoding="utf-8")
HEADINGS = ["Name", "Synopsis", "Description", "Options", "Examples", "Exit status", "See also"]


def blocks(page: str, kind: str) -> list[tuple[str, str]]:
    """What follows the kind on the opening line, and the text, of each fenced block."""
    return re.findall(rf"^```{kind} ?([^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def part(heading: str) -> str:
    """What stands under a heading of the third rank."""
    return NOTICES.split(f"\n### {heading}\n", 1)[1].split("\n##", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, heads left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    body = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if "---" not in line + after]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


@pytest.mark.parametrize("page", [NOTICES, NOTIFY], ids=["notices", "sipdispatch-notify"])
def test_a_page_has_the_parts_of_a_manual_page(page: str) -> None:
    found = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


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
    entry = re.search(rf"^`{key}`\n:(.*?)\n\n", part(heading) + "\n\n", re.DOTALL | re.MULTILINE)
    assert entry is not None
    assert f"Default: {value}" in " ".join(entry[1].split())


def test_the_numbers_are_those_of_the_program() -> None:
    assert (damping.GATHER_S, damping.SPACING_S, damping.LISTED) == (0.5, 5.0, 10)
    assert (damping.FIRST_HOLD_S, damping.LONGEST_HOLD_S) == (30.0, 300.0)
    assert hooks.BACKOFF_S == notices.BACKOFF_S == (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    assert (hooks.TERM_S, hooks.QUEUE, STOP_S) == (2.0, 1000, 5.0)
    assert (notice_text.SETS, notice_shapes.WECOM_OCTETS, notice_post.LONGEST_WAIT_S) == (3, 2048, 60.0)
    assert f"{hooks.PATH}`; `C.UTF-8`" in NOTICES


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


# --------------------------------------------------------------------------------------------------------------------
# sipdispatch notify


def test_every_option_is_in_the_manual_and_no_other() -> None:
    command = group.get_command(click.Context(group), "notify")
    assert isinstance(command, click.Group)
    options = {
        option
        for verb in command.commands.values()
        for each in verb.params
        if isinstance(each, click.Option)
        for option in each.opts
    }
    entries = "\n".join(re.findall(r"^(`.*)\n:", NOTIFY, re.MULTILINE))
    assert set(re.findall(r"`(--?[a-z-]+)", entries)) == options | {"-h", "--help"}


@pytest.mark.parametrize("session", [text for _, text in blocks(NOTIFY, "console")])
def test_every_session_goes_as_it_says(session: str, tmp_path: Path) -> None:
    for name, text in blocks(NOTIFY, "toml"):
        (tmp_path / name).write_text(text)
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert steps
    status = 0
    for command, expected in steps:
        if command == "echo $?":
            assert f"{status}\n" == expected
            continue
        program, *arguments = shlex.split(command)
        assert program == "sipdispatch"
        done = subprocess.run(
            [sys.executable, "-m", "sipdispatch", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout + done.stderr == expected
        status = done.returncode
