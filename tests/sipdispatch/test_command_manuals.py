"""Do the manual pages of the commands say what the program does?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from dispatcher.outcome import DropReason, Refusal, Reply
from health.board import State, Verdict
from health.sending import SendOutcome
from sip.uri import Address
from sipdispatch.cli import COMMANDS, group
from tests.dispatcher.world import PHONE, SERVER_A, Node, make_snapshot, request, values
from tests.sipdispatch.manual import ROOT, blocks, entry, page, replay, run_in, sessions

HEADINGS = ["Name", "Synopsis", "Description", "Options", "Examples", "Exit status", "See also"]
PAGES = {
    name: page(f"sipdispatch-{name}")
    for name in ("proxy", "ds", "limits", "status", "events", "probe", "check", "explain", "notify", "demo", "vrrp")
}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of every table row below a heading, heads left out."""
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    return [row for row in rows if row[0].startswith("`")]


@pytest.mark.parametrize("name", ["sipdispatch.toml", "notices", *(f"sipdispatch-{name}" for name in PAGES)])
def test_a_page_has_the_parts_of_a_manual_page(name: str) -> None:
    found = re.findall(r"^## (.*)$", page(name), re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


@pytest.mark.parametrize("name", list(PAGES))
def test_a_page_begins_with_the_name_of_its_command(name: str) -> None:
    assert PAGES[name].startswith(f"# sipdispatch {name}\n\n## Name\n\nsipdispatch {name} - ")


def test_every_command_for_the_operator_has_its_page() -> None:
    assert set(PAGES) == set(COMMANDS) - {"completion"}


@pytest.mark.parametrize("name", list(PAGES))
def test_every_option_is_in_the_manual_and_no_other(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    ctx = click.Context(command)
    names = command.list_commands(ctx) if isinstance(command, click.Group) else ()
    verbs = [command.get_command(ctx, each) for each in names] if isinstance(command, click.Group) else []
    options = {
        option
        for verb in (command, *filter(None, verbs))
        for each in verb.params
        if isinstance(each, click.Option)
        for option in (*each.opts, *each.secondary_opts)
    }
    # A verb with much to say has a page of its own.
    own = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob(f"sipdispatch-{name}-*.md")]
    entries = "\n".join(re.findall(r"^(`.*)\n:", "\n".join((PAGES[name], *own)), re.MULTILINE))
    assert set(re.findall(r"`(--?[A-Za-z0-9-]+)", entries)) == options | {"-h", "--help"}


@pytest.mark.parametrize(
    ("name", "session"),
    [(name, session) for name in ("proxy", "explain", "check", "notify") for session in sessions(PAGES[name])],
)
def test_every_session_goes_as_it_says(name: str, session: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for kind in ("text", "toml"):
        for file, text in blocks(PAGES[name], kind):
            path = state / file if file == "secret" else tmp_path / file
            is_message = path.suffix == ".sip"
            path.write_bytes(text.encode().replace(b"\n", b"\r\n") if is_message else text.encode())
            path.chmod(0o600)
    shown = replay(session, run_in(tmp_path, state)).replace(str(state), "/var/lib/sipdispatch")
    assert shown.replace(f"{tmp_path}/", "") == session


# --------------------------------------------------------------------------------------------------------------------
# What is refused and dropped, and the log


def test_every_reason_to_drop_is_in_the_manual() -> None:
    rows = {row[0].strip("`"): row[1] for row in table(PAGES["proxy"], "What is dropped")}
    reasons = {reason.label: reason.sentence for reason in DropReason}
    unsent = {outcome.label: outcome.sentence for outcome in SendOutcome if outcome is not SendOutcome.SENT}
    assert rows == reasons | unsent


def test_every_refusal_is_in_the_manual() -> None:
    rows = {row[0].strip("`"): row[2] for row in table(PAGES["proxy"], "What is refused")}
    assert rows == {refusal.label: refusal.sentence for refusal in Refusal}


def looped() -> bytes:
    here = Node(make_snapshot(SERVER_A))
    own = values(here.forward(request(), PHONE)[0], "Via")[0]
    first, rest = request(via_params=";rport=40001;received=198.51.100.7").split(b"\r\nVia:", 1)
    return (
        first + b"\r\nVia: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-2\r\nVia: " + own.encode() + b"\r\nVia:" + rest
    )


def token_from_a_stranger() -> bytes:
    recorded = values(Node(make_snapshot(SERVER_A)).forward(request(), PHONE)[0], "Record-Route")[0]
    return request("BYE", "sip:a@198.51.100.9", from_tag="x", to_tag="y", cseq=2, extra=(f"Route: {recorded}",))


REFUSED: Mapping[Refusal, tuple[bytes, Address]] = {
    Refusal.BAD_REQUEST: (request(cseq_method="BYE"), PHONE),
    Refusal.VERSION: (request().replace(b" SIP/2.0", b" SIP/3.0", 1), PHONE),
    Refusal.SCHEME: (request(uri="mailto:a@b"), PHONE),
    Refusal.TOO_MANY_HOPS: (request(max_forwards=0), PHONE),
    Refusal.LOOP: (looped(), PHONE),
    Refusal.EXTENSION: (request(extra=("Proxy-Require: x",)), PHONE),
    Refusal.NO_DESTINATION: (request(), PHONE),
    Refusal.EDGE_TO_EDGE: (token_from_a_stranger(), ("203.0.113.5", 5060)),
    Refusal.UNRESOLVED: (request(uri="sip:a@gone"), SERVER_A),
    Refusal.TRANSPORT: (request(uri="sip:a@192.0.2.9;transport=tcp"), SERVER_A),
    Refusal.NO_LISTENER: (request(uri="sip:a@[2001:db8::9]"), SERVER_A),
    Refusal.NOT_SERVING: (request("OPTIONS", "sip:192.0.2.1"), PHONE),
}


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_is_answered_as_the_manual_says(refusal: Refusal) -> None:
    datagram, source = REFUSED[refusal]
    dead = refusal in (Refusal.NO_DESTINATION, Refusal.NOT_SERVING)
    liveness = bytes((State(verdict=Verdict.DOWN).code,)) if dead else None
    snapshot = make_snapshot(SERVER_A, liveness=liveness, serving=not dead)
    outcome = Node(snapshot, names={"gone": ()}).take(datagram, source)
    assert isinstance(outcome, Reply)
    assert outcome.refusal is refusal
    answers = next(row[1] for row in table(PAGES["proxy"], "What is refused") if row[0] == f"`{refusal.label}`")
    assert str(outcome.status) in re.findall(r"\d{3}", answers)


def logged(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Level and first word of every call that logs, where that is a text."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("log", "_log")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.func.attr, str(node.args[0].value)


def test_every_event_of_the_log_is_in_the_manual_and_no_other() -> None:
    of_agent = {row[0].strip("`"): row[1] for row in table(PAGES["vrrp"].replace("### Log", "## Log"), "Log")}
    rows = of_agent | {row[0].strip("`"): row[1] for row in table(PAGES["proxy"], "Log")}
    events: dict[str, str] = {}
    texts: set[str] = set()
    rooms = ("dispatcher", "health", "vrrp", "sipdispatch")
    for path in [path for room in rooms for path in (ROOT / room).glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        events |= {event: level.replace("exception", "error") for level, event in logged(tree)}
        texts |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert {event: rows.get(event) for event in events} == events
    assert set(rows) <= texts


def test_the_numbers_in_the_demo_page_are_the_defaults() -> None:
    command = group.get_command(click.Context(group), "demo")
    assert command is not None
    defaults = {each.opts[0]: each.default for each in command.params if isinstance(each, click.Option)}
    for option in ("--port", "--calls", "--rate"):
        assert f"Default: {defaults[option]}." in entry(PAGES["demo"], f"{option} NUMBER")
