"""What do the commands of `sipdispatch vrrp` print, and how do they end?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog

from sipdispatch.cli import main
from sipdispatch.control_client import ControlClient, RefusedError
from sipdispatch.control_path import AGENT_NAME
from sipdispatch.screen import Screen
from sipdispatch.vrrp_json import is_well, status_json
from sipdispatch.vrrp_methods import METHODS
from sipdispatch.vrrp_metrics import ALARM_FIELDS, FAMILIES, metrics_text
from sipdispatch.vrrp_words import status_text
from tests.sipdispatch.control_world import running
from tests.sipdispatch.manual_agent import NOW, ManualAgent, agent_status, track, trouble
from vrrp.status import PeerStatus


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("v")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    return folder / AGENT_NAME


@pytest.fixture
def agent(socket: Path) -> Iterator[ManualAgent]:
    with structlog.testing.capture_logs(), running(socket, ManualAgent(), methods=METHODS) as there:
        yield there.operations


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(("vrrp", *words))
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_status_of_a_node_that_is_not_well(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.told = trouble()
    status, text = told(capsys, "status")
    assert status == 1
    for line in (
        "state       BACKUP for 3 min",
        "priority    97, lowered from 250; preempt always",
        "operator    has released it until resume",
        "lease       2 s; 1 ran out; the address was taken away 2 times",
        "adverts     1,990 (3 with priority 0) out, 4 could not be sent",
        "lateness    worst 0.4 ms in this minute, 1.5 s ever; gave the address up for it once; SCHED_RR 50",
        "sip    FAILS           3 min  no answer",
        "file   no verdict yet  -      no result yet",
        "nobody was heard",
        "interval  1 min  71     interval: here 0.1 s, at 192.0.2.12 1 s",
    ):
        assert f"\n{line}" in f"\n{text}" or line in text, line


def test_status_says_who_has_released_or_holds_it() -> None:
    released = attrs.evolve(agent_status(), released_until=NOW + 60)
    assert "operator    has released it until 2026-09-21" in status_text(status_json(released), Screen())
    held = attrs.evolve(agent_status(), held=True, state="fault", transitions={})
    text = status_text(status_json(held), Screen())
    assert "operator    holds the address away from this node until resume" in text
    assert "changes     none" in text
    assert "state       FAULT for" in text


def test_status_says_what_a_backup_waits_for() -> None:
    waiting = attrs.evolve(agent_status(), state="backup", waits_until=NOW + 60)
    words = status_text(status_json(waiting), Screen())
    assert "\n            leaves the owner alone until 2026-09-21" in words
    assert "leaves" not in status_text(status_json(agent_status()), Screen())


def test_without_tracks_and_alarms_there_is_no_table_of_them() -> None:
    text = status_text(status_json(attrs.evolve(agent_status(), tracks=())), Screen())
    assert "track" not in text
    assert "alarm" not in text


@pytest.mark.parametrize(
    ("changes", "well", "status"),
    [
        ({}, True, 0),
        ({"state": "backup"}, True, 0),
        ({"state": "fault"}, False, 3),
        ({"state": "initialize"}, False, 3),
        ({"held": True}, False, 1),
        ({"released_until": NOW + 9}, False, 1),
        ({"alarms": trouble().alarms}, False, 1),
        ({"tracks": (track("sip", "no answer", ok=False),)}, False, 1),
        ({"tracks": (track("sip", "no result yet", ok=None),)}, False, 1),
    ],
)
def test_the_exit_status_says_whether_somebody_has_to_look(
    agent: ManualAgent,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    well: bool,  # noqa: FBT001
    status: int,
) -> None:
    agent.told = attrs.evolve(agent_status(), **changes)
    assert is_well(agent.told) is well
    found, text = told(capsys, "status", "--json")
    assert found == status
    document = json.loads(text)
    assert document["version"] == 1
    assert document["vrrp"]["well"] is well


def test_the_json_has_every_fact() -> None:
    document = status_json(trouble())
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["released"], document["released_until"]) == (True, None)
    assert document["transitions"] == {"initialize": 0, "backup": 1, "active": 1, "fault": 0}
    assert document["adverts"]["refused"]["vrid"] == 12
    assert document["alarms"][0]["count"] == 71


def test_release_waits_until_somebody_has_taken_it(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    def release(seconds: float, *, by: str) -> Any:
        peer = PeerStatus(
            address="192.0.2.12", priority=240, interval=0.1, version=3, checksum="message", heard=NOW + 1, adverts=3
        )
        agent.told = attrs.evolve(agent.told, state="backup", peers=(peer,))
        return agent.told

    agent.release = release  # type: ignore[method-assign]
    assert told(capsys, "release", "--for", "10m") == (0, "released for 600 s; 192.0.2.12 has the address\n")


def test_release_says_that_nobody_has_taken_it(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.release = lambda seconds, *, by: agent.told  # type: ignore[method-assign]
    status, text = told(capsys, "release")
    assert status == 1
    assert text == "released until sipdispatch vrrp resume; nobody has taken the address, so it is here again\n"


def test_release_does_not_wait_for_ever(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that takes the address and is not heard, as with adverts filtered one way."""
    status, text = told(capsys, "release", "--json")
    assert status == 0
    assert json.loads(text)["vrrp"]["state"] == "backup"
    assert agent.done == [("release control", float("inf"))]
    agent.told = agent_status()
    assert told(capsys, "release") == (0, "released until sipdispatch vrrp resume; this node is BACKUP\n")


def test_release_of_a_backup_is_done_at_once(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.told = attrs.evolve(agent_status(), state="backup")
    assert told(capsys, "release", "--for", "90s") == (0, "released for 90 s; this node is BACKUP\n")
    assert agent.done == [("release control", 90.0)]


@pytest.mark.parametrize("command", ["hold", "resume"])
def test_hold_and_resume_say_json_too(agent: ManualAgent, capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, text = told(capsys, command, "--json")
    assert status == 0
    assert json.loads(text)["vrrp"]["held"] is (command == "hold")
    assert agent.done == [(f"{command} control", None)]


def test_metrics_are_printed_as_they_are_scraped(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = told(capsys, "metrics")
    assert (status, text) == (0, metrics_text(agent_status()))
    _, document = told(capsys, "metrics", "--json")
    assert json.loads(document)["metrics"] == text


def test_events_are_told(agent: ManualAgent, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = told(capsys, "events", "--limit", "1", "--json")
    assert status == 0
    assert [event["after"] for event in json.loads(text)["events"]] == ["active"]
    assert told(capsys, "events", "-n", "0") == (0, "nothing has happened\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("releas",), "there is no command vrrp releas"),
        (("banana",), "write one of run, status"),
        (("release", "--for", "soon"), '"soon" is not a time'),
        (("release", "--for", "0s"), '"0s" is out of range'),
        (("status", "--socket", "x", "--config", "y"), "both a socket and a configuration are named"),
        (("status", "--config", "/nowhere.toml"), "the file cannot be read"),
        (("run", "--vrid", "300"), "300 is out of range"),
        (("run",), "nothing says which address moves"),
        (("run", "--interface", "eth0"), "the option --vrid is missing"),
        (("status",), "no VRRP agent has its control socket there"),
    ],
)
def test_what_is_wrong_is_said(
    socket: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], what: str
) -> None:
    status, text = told(capsys, *words)
    assert status == 2
    assert what in text
    assert "to do: " in text


def test_the_group_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = told(capsys)
    assert status == 2
    assert "Hand the address over to the other node." in text


def test_the_socket_of_the_configuration_is_asked(
    agent: ManualAgent, socket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = socket.with_name("a.toml")
    text = '[vrrp]\ninterface = "eth0"\nvrid = 51\naddresses = ["192.0.2.100/24"]\n[vrrp.control]\n'
    config.write_text(f'{text}socket = "{socket}"\n')
    assert told(capsys, "status", "-c", str(config))[0] == 0
    config.write_text(f"{text}enabled = false\n")
    status, said = told(capsys, "status", "-c", str(config))
    assert status == 2
    assert "this agent has no control socket" in said
    config.write_text(text)
    assert told(capsys, "status", "-c", str(config))[0] == 0


@pytest.mark.parametrize(("given", "what"), [(0, "0 is no time"), ("x", "is no duration")])
def test_release_takes_seconds(agent: ManualAgent, socket: Path, given: object, what: str) -> None:
    with ControlClient(socket) as client, pytest.raises(RefusedError, match=what):
        client.call("vrrp.release", {"for": given})


def test_the_methods_of_kamailio_are_there(agent: ManualAgent, socket: Path) -> None:
    with ControlClient(socket) as client:
        assert client.call("core.version") == "sipdispatch 0.1.0 (VRRP agent)"
        assert client.call("core.uptime")["uptime"] == 200
        assert client.call("core.echo", {"a": 1}) == {"a": 1}
        assert client.call("system.listMethods") == sorted(METHODS)


# --------------------------------------------------------------------------------------------------------------------
# Metrics


def test_every_series_is_there_from_the_first_scrape() -> None:
    fresh = attrs.evolve(agent_status(), state="initialize", transitions={}, peers=(), tracks=())
    lines = metrics_text(fresh).splitlines()
    assert [line.split()[2] for line in lines if line.startswith("# TYPE")] == [family.name for family in FAMILIES]
    assert 'sipdispatch_vrrp_state{state="active"} 0' in lines
    assert 'sipdispatch_vrrp_adverts_refused_total{reason="hmac_replay"} 0' in lines
    for field in ALARM_FIELDS:
        assert f'sipdispatch_vrrp_alarms{{about="{field}"}} 0' in lines


def test_metrics_say_what_the_status_says() -> None:
    odd = attrs.evolve(trouble(), version='1"0\\')
    lines = metrics_text(odd).splitlines()
    for line in (
        'sipdispatch_vrrp_info{version="1\\"0\\\\",vrid="51",interface="eth0",source="192.0.2.11"} 1',
        'sipdispatch_vrrp_state{state="backup"} 1',
        "sipdispatch_vrrp_effective_priority 97",
        "sipdispatch_vrrp_released 1",
        "sipdispatch_vrrp_adverts_unsent_total 4",
        'sipdispatch_vrrp_alarms{about="interval"} 1',
        'sipdispatch_vrrp_track_up{track="sip"} 0',
        'sipdispatch_vrrp_track_up{track="file"} NaN',
        'sipdispatch_vrrp_track_results_total{track="sip",result="ok"} 990',
        "sipdispatch_vrrp_timer_lateness_worst_seconds 1.5",
        "sipdispatch_vrrp_late_step_downs_total 1",
    ):
        assert line in lines, line


def test_prometheus_reads_them() -> None:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only here

    for status in (agent_status(), trouble()):
        read = {family.name: family for family in text_string_to_metric_families(metrics_text(status))}
        assert {family.name.removesuffix("_total") for family in FAMILIES} == set(read)
        assert {(sample.value) for sample in read["sipdispatch_vrrp_priority"].samples} == {250.0}
