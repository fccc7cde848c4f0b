"""What does the doctor make of what it was told, without a network to look at?"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sipdispatch import doctor_node
from sipdispatch.doctor_finding import FINE, FOUND, Finding, Verdict, as_json, as_text, exit_status
from sipdispatch.doctor_pair import pair_findings
from sipdispatch.screen import Screen
from sipdispatch.vrrp_section import read_vrrp_section
from vrrp.link import InterfaceFacts

VIP = "192.0.2.100"
BASE = f'interface = "eth0"\nvrid = 51\npriority = 250\naddresses = ["{VIP}/24"]\n'


def vrrp(more: str = "") -> Any:
    section, found = read_vrrp_section(tomllib.loads(BASE + more), Path("/"))
    assert section is not None, found
    return section


def verdicts(findings: Iterator[Finding] | Sequence[Finding]) -> list[tuple[str, str]]:
    return [(each.check, each.verdict.value) for each in findings]


@pytest.mark.parametrize(("is_kept", "expected"), [(True, "ok"), (False, "look"), (None, "skipped")])
def test_a_clock_that_nobody_keeps_matters_with_keys(is_kept: bool | None, expected: str) -> None:  # noqa: FBT001
    assert verdicts(doctor_node.clock_findings(vrrp('keys_file = "k"\n'), is_kept=is_kept)) == [("clock", expected)]
    assert verdicts(doctor_node.clock_findings(vrrp(), is_kept=is_kept)) == []
    assert doctor_node.clock_is_kept() in (True, False, None)


def agent_status(**changes: Any) -> dict[str, Any]:
    lateness = {"realtime": "SCHED_RR 50, memory locked", "worst": 0.001}
    return {
        "state": "backup",
        "keepalived_state": "BACKUP",
        "cause": "started",
        "alarms": [],
        "tracks": [],
        "addresses_taken": 0,
        "lateness": lateness,
        **changes,
    }


LATE = {"realtime": "no real-time schedule: operation not permitted", "worst": 0.5}


@pytest.mark.parametrize(
    ("more", "status", "permitted", "expected"),
    [
        ("", None, True, [("realtime", "ok")]),
        ("", None, False, [("realtime", "look")]),
        ("realtime = false\n", None, True, [("realtime", "look")]),
        ("", agent_status(), False, [("realtime", "ok")]),
        ("", agent_status(lateness=LATE), True, [("realtime", "look"), ("lateness", "look")]),
    ],
)
def test_real_time(more: str, status: Any, permitted: bool, expected: list[tuple[str, str]]) -> None:  # noqa: FBT001
    assert verdicts(doctor_node.realtime_findings(vrrp(more), status, permitted=permitted)) == expected
    assert doctor_node.may_run_in_real_time() in (True, False)


def test_what_the_agent_says_is_told() -> None:
    status = agent_status(
        alarms=[{"field": "interval", "peer": "192.0.2.12", "text": "1 s instead of 0.1 s"}],
        tracks=[{"name": "sip", "ok": False, "detail": "no answer"}, {"name": "file", "ok": None, "detail": ""}],
        addresses_taken=2,
    )
    assert verdicts(doctor_node.agent_findings(status, "")) == [
        ("agent", "ok"),
        ("alarm", "look"),
        ("track", "look"),
        ("taken", "look"),
    ]
    (finding,) = doctor_node.agent_findings(None, "there is none")
    assert "there is none" in finding.what


def test_an_interface_without_networks_is_compared_with_nothing() -> None:
    facts = InterfaceFacts(exists=True, running=True, hardware=b"", addresses=())
    assert not list(doctor_node.subnet_findings(vrrp(), lambda _: facts))


PROXY = {"list": {"path": "x", "fingerprint": "a" * 64}, "secret": {"fingerprint": "b" * 16}}
AGENT = {"vrid": 51, "vrrp_version": 3, "interval": 0.1, "addresses": [VIP], "priority": 200, "state": "backup"}


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [
        (PROXY, {}, [("list", "skipped"), ("secret", "skipped")]),
        (None, {"proxy": PROXY}, [("list", "skipped"), ("secret", "skipped")]),
        (PROXY, {"proxy": PROXY}, [("list", "ok"), ("secret", "ok")]),
        (PROXY, {"proxy": {**PROXY, "secret": None}}, [("list", "ok"), ("secret", "wrong")]),
        (PROXY, {"vrrp": AGENT}, [("list", "skipped"), ("secret", "skipped"), ("other agent", "ok")]),
        (
            PROXY,
            {"proxy": PROXY, "vrrp": {**AGENT, "interval": 1.0, "addresses": None, "priority": 250}},
            [("list", "ok"), ("secret", "ok"), *[("other agent", "wrong")] * 3],
        ),
    ],
)
def test_the_two_nodes_are_compared(own: Any, theirs: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert verdicts(list(pair_findings(vrrp(), own, theirs))) == expected


def test_a_fingerprint_of_this_node_is_shown_to_compare_by_hand() -> None:
    first, _ = pair_findings(vrrp(), PROXY, {})
    assert "a" * 16 in first.what
    assert "--peer-status" in first.to_do


def test_findings_become_a_table_and_a_document() -> None:
    findings = [Finding("a", Verdict.OK, "fine"), Finding("b", Verdict.WRONG, "bad\x1b", "mend it")]
    text = as_text(findings, Screen())
    assert "to do: mend it" in text
    assert "\x1b" not in text
    assert text.endswith("2 checks: 1 ok, 1 wrong")
    document = json.loads(as_json(findings))
    assert document["status"] == FOUND
    assert document["findings"][1] == {"check": "b", "verdict": "wrong", "what": "bad\x1b", "to_do": "mend it"}
    assert exit_status(findings[:1]) == FINE
