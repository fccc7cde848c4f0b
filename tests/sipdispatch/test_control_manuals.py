"""Do the manuals of the control socket and of its commands say what they do?"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from health.board import State, Verdict, Word
from sipdispatch import control_connection, events_command, jsonrpc
from sipdispatch.control_call import FAULT
from sipdispatch.control_connection import TOO_MANY
from sipdispatch.control_kamailio import STATES
from sipdispatch.control_methods import METHODS, MOST_EVENTS
from sipdispatch.ds_command import command as ds
from sipdispatch.facts_json import destination_json, status_json
from sipdispatch.happening import Happening
from tests.sipdispatch.fake_operations import happening
from tests.sipdispatch.manual import blocks, page, sessions
from tests.sipdispatch.manual_proxy import exchange, exchanges, facts, run_session

CONTROL = page("control")
PAGES = {name: page(f"sipdispatch-{name}") for name in ("ds", "limits", "status", "events")}
LIMITS = control_connection.Limits()


def section(text: str, heading: str) -> str:
    return re.split(r"^#", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, heads left out."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section(text, heading).splitlines()
        if line.startswith("|")
    ]
    heads = ("method", "key", "code", "state", "STATE", "command")
    return [row for row in found if row[0] not in heads and not row[0].startswith("---")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


# --------------------------------------------------------------------------------------------------------------------
# The methods


def test_every_method_is_in_the_manual_with_its_parameters_and_no_other() -> None:
    told = {
        names(row[0])[0]: names(row[1])
        for heading in ("Kamailio's methods", "Our own methods")
        for row in rows(CONTROL, heading)
        if names(row[0])[0] in METHODS
    }
    assert told == {
        name: [parameter.name if parameter.required else f"[{parameter.name}]" for parameter in method.parameters]
        for name, method in METHODS.items()
    }


def test_kamailios_methods_come_first_by_position_as_kamailio_has_them() -> None:
    kamailio = {
        "dispatcher.set_state": ["state", "group", "address"],
        "dispatcher.set_duid_state": ["state", "group", "duid"],
        "dispatcher.add": ["group", "address", "flags", "priority", "attrs"],
        "dispatcher.remove": ["group", "address"],
        "dispatcher.hash": ["nslots", "val1", "val2"],
        "dispatcher.ping_active": ["state"],
    }
    for name, order in kamailio.items():
        assert [parameter.name for parameter in METHODS[name].parameters][: len(order)] == order


def test_every_fault_of_kamailio_is_in_the_manual() -> None:
    text = " ".join(section(CONTROL, "Kamailio's methods").split())
    for fault in filter(None, (method.fault for method in METHODS.values())):
        assert f"`{fault}`" in text


def test_every_code_is_in_the_manual() -> None:
    codes = {int(names(row[0])[0]) for row in rows(CONTROL, "Errors")}
    assert codes == {
        jsonrpc.PARSE_ERROR,
        jsonrpc.INVALID_REQUEST,
        jsonrpc.METHOD_NOT_FOUND,
        jsonrpc.INVALID_PARAMS,
        jsonrpc.INTERNAL_ERROR,
        FAULT,
        TOO_MANY,
    }


def test_the_numbers_in_the_manual_are_those_of_the_program() -> None:
    text = " ".join(section(CONTROL, "Requests").split())
    assert jsonrpc.MAX_REQUEST_BYTES == 1 << 20
    for words in (
        "at most 1 MiB",
        f"{jsonrpc.MAX_VALUES:,} commas",
        f"{jsonrpc.MAX_DEPTH} levels",
        f"{jsonrpc.MAX_DIGITS} digits",
        f"{jsonrpc.MAX_BATCH} requests",
        f"{LIMITS.clients} clients",
        f"{LIMITS.reserved} more",
        f"{LIMITS.attendants} more may attend",
        f"{LIMITS.newcomers} of those",
    ):
        assert words in text
    assert LIMITS.idle == LIMITS.stalled == 10
    assert LIMITS.speak == 1
    assert text.count("ten seconds") == 2
    assert f"the last {MOST_EVENTS:,} unless" in CONTROL
    assert f"Default: {events_command.PAST}, with `--follow` {events_command.PAST_OF_FOLLOWER}." in PAGES["events"]
    assert f"the newest. Default: {events_command.PAST}." in PAGES["ds"]


def test_every_key_of_a_destination_and_of_the_status_is_in_the_manual() -> None:
    told = {name for row in rows(CONTROL, "Our own methods") for name in names(row[0])}
    destination = destination_json(facts().destinations[0])
    assert set(destination) | set(status_json(facts())) == {name for name in told if name not in METHODS}


def test_every_key_of_an_event_is_in_the_manual() -> None:
    keys = {name for row in rows(PAGES["events"], "Output") for name in names(row[0])}
    assert keys == set(happening(1).to_json())
    assert isinstance(happening(1), Happening)


@pytest.mark.parametrize(("request_line", "answer"), exchanges(CONTROL))
def test_every_exchange_goes_as_it_says(request_line: str, answer: str, tmp_path: Path) -> None:
    assert exchange(request_line, tmp_path) == answer


def test_there_are_exchanges_and_json_in_the_manual_is_json() -> None:
    assert len(exchanges(CONTROL)) > 3
    for _, block in blocks(CONTROL, "json"):
        json.loads(block)


# --------------------------------------------------------------------------------------------------------------------
# The states


def test_the_states_are_those_of_the_manual() -> None:
    four = [row for row in rows(PAGES["ds"], "States") if len(row) == 4]
    told = {name: row[2] for row in four for name in names(row[0]) + names(row[1])}
    assert told == {state: word.name.lower() for state, word in STATES.items()}


def test_the_letters_are_those_of_the_manual() -> None:
    told = {names(row[0])[0]: set(names(row[1])) for row in rows(PAGES["ds"], "States") if len(row) == 3}
    assert told == {
        name: {State(word, verdict).letters(probed=probed) for probed in (True, False)}
        for name, word, verdict in (
            ("up", Word.ENABLED, Verdict.UP),
            ("suspect", Word.ENABLED, Verdict.SUSPECT),
            ("down", Word.ENABLED, Verdict.DOWN),
            ("draining", Word.DRAINING, Verdict.UP),
            ("disabled", Word.DISABLED, Verdict.UP),
        )
    }


# --------------------------------------------------------------------------------------------------------------------
# The commands


def test_every_command_of_ds_is_in_the_synopsis_and_described() -> None:
    synopsis = section(PAGES["ds"], "Synopsis")
    described = {name for entry in re.findall(r"^(`ds .*)\n:", PAGES["ds"], re.MULTILINE) for name in names(entry)}
    assert described == {f"ds {name}" for name in ds.commands}
    for name in ds.commands:
        assert f"    sipdispatch ds {name} " in synopsis


@pytest.mark.parametrize("session", [session for text in PAGES.values() for session in sessions(text)])
def test_every_session_goes_as_it_says(
    session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    assert run_session(session, tmp_path, capsys) == session
