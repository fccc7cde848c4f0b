"""Programs get all of a report: as a document, in lines, as a plugin's line, as metrics."""

from __future__ import annotations

import json
import re
import subprocess

import attrs
import pytest

from health.probe import Aim, Packet
from health.report import ProbeReport
from sipdispatch.probe_document import Collected, Lines, Nothing, document, nagios, probe_object, prometheus
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome, Plan
from sipdispatch.probe_verdict import Nagios
from tests.peers.need import require
from tests.sipdispatch.probe_reports import BUSY, GOOD, LOST, NAMELESS, OTHER, tally

ONE = Plan(aims=(Aim(uri="sip:pbx:5060", host="pbx", port=5060),))
TWO = attrs.evolve(ONE, aims=(*ONE.aims, Aim(uri="sip:b", host="b", transport="tcp")))
NONE = Thresholds()
PACKET = Packet(sent=True, data=b"", address=("192.0.2.1", 5060))


def test_a_probe_has_every_key_and_plain_values() -> None:
    found = probe_object(attrs.evolve(LOST, rtt_ms=None, elapsed_ms=1.23456))
    assert list(found) == [field.name for field in attrs.fields(ProbeReport)]
    assert (found["result"], found["elapsed_ms"], found["rtt_ms"], found["code"]) == ("timeout", 1.235, None, 0)
    assert (found["tls_ms"], found["cert_expires"]) == (None, None)


def test_the_document() -> None:
    found = json.loads(document(ONE, Outcome((tally(GOOD, LOST, BUSY),)), [[GOOD, LOST, BUSY]], 3))
    assert (found["version"], found["status"], found["interrupted"]) == (1, 3, False)
    (target,) = found["targets"]
    assert (target["target"], target["uri"]) == ("pbx:5060", "sip:pbx:5060")
    assert target["summary"] == {
        "sent": 3,
        "answered": 2,
        "ok": 1,
        "loss_percent": 33.333,
        "retransmits": 3,
        "strays": 0,
        "rtt_ms": {"min": 0.84, "avg": 0.875, "max": 0.91, "mdev": 0.035, "p50": 0.875, "p95": 0.907, "p99": 0.909},
    }
    assert [each["result"] for each in target["probes"]] == ["ok", "timeout", "status"]
    nobody = json.loads(document(ONE, Outcome((tally(LOST),), signal=2), [[LOST]], 130))
    assert nobody["interrupted"] is True
    assert nobody["targets"][0]["summary"]["rtt_ms"] is None


def test_lines_as_they_come_and_silence() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    lines.packet(0, PACKET)
    lines.report(0, GOOD)
    assert [json.loads(each) for each in said] == [probe_object(GOOD)]
    tricky = attrs.evolve(GOOD, reason="OK \x9b2J\u2028\U0001f600\u202e")
    lines.report(0, tricky)
    assert said[1].isascii(), "no terminal obeys it, no reader of lines cuts it, and no encoding spoils it"
    assert json.loads(said[1])["reason"] == tricky.reason
    collected = Collected(([], []))
    collected.packet(0, PACKET)
    collected.report(1, GOOD)
    assert collected.reports == ([], [GOOD])
    nothing = Nothing()
    nothing.packet(0, PACKET)
    nothing.report(0, GOOD)


# --------------------------------------------------------------------------------------------------------------------
# Nagios


def test_the_line_of_the_manual() -> None:
    warn, crit = Thresholds(rtt_s=0.1, loss_percent=5), Thresholds(rtt_s=0.5, loss_percent=50)
    assert nagios(ONE, Outcome((tally(GOOD),)), warn, crit) == (
        Nagios.OK,
        "SIP OK - 200 OK in 0.8 ms | rtt=0.00084s;0.1;0.5;0;2 loss=0%;5;50 retrans=0",
    )


@pytest.mark.parametrize(
    ("reports", "limits", "line"),
    [
        ((), (NONE, NONE), "SIP UNKNOWN - not probed | rtt=U;;;0;2 loss=0% retrans=0"),
        ((LOST,), (NONE, NONE), "SIP CRITICAL - timeout: no answer in 2000 ms | rtt=U;;;0;2 loss=100% retrans=3"),
        (
            (OTHER,),
            (NONE, NONE),
            "SIP CRITICAL - 200 OK in 0.8 ms, which does not match | rtt=0.00084s;;;0;2 loss=0% retrans=0",
        ),
        (
            (GOOD, LOST, GOOD),
            (Thresholds(retrans=0), Thresholds(retrans=0)),
            (
                "SIP CRITICAL - 200 OK in 0.8 ms (last of 3, 2 ok); retrans 3 > 0 | "
                "rtt=0.00084s;;;0;2 loss=33.3% retrans=3;0;0"
            ),
        ),
        (
            (attrs.evolve(BUSY, reason="a|b\n", rtt_ms=None),),
            (NONE, NONE),
            "SIP CRITICAL - 503 a/b\\x0a | rtt=U;;;0;2 loss=0% retrans=0",
        ),
        (
            (NAMELESS,),
            (NONE, NONE),
            "SIP UNKNOWN - dns: the DNS does not know the name | rtt=U;;;0;2 loss=100% retrans=0",
        ),
    ],
)
def test_the_line_of_one_target(
    reports: tuple[ProbeReport, ...], limits: tuple[Thresholds, Thresholds], line: str
) -> None:
    status, found = nagios(ONE, Outcome((tally(*reports),)), *limits)
    assert found == line
    assert found.split()[1] == status.name


def test_the_line_of_several_targets() -> None:
    outcome = Outcome((tally(GOOD, target="it's=a"), tally(BUSY, target="b")))
    said = "SIP CRITICAL - 1 of 2 targets ok; b: 503 Service Unavailable in 0.9 ms"
    first = "'itsa rtt'=0.00084s;;;0;2 'itsa loss'=0% 'itsa retrans'=0"
    second = "'b rtt'=0.00091s;;;0;2 'b loss'=0% 'b retrans'=0"
    assert nagios(TWO, outcome, NONE, NONE) == (Nagios.CRITICAL, f"{said} | {first} {second}")


# --------------------------------------------------------------------------------------------------------------------
# Prometheus


def test_metrics_of_each_target() -> None:
    text = prometheus(TWO, Outcome((tally(LOST, GOOD), tally(BUSY, LOST, target='b"\\'))))
    series = dict(
        re.findall(r'^sipdispatch_probe_(\w+\{target="pbx:5060",transport="udp"\}) (.*)$', text, re.MULTILINE)
    )
    assert {name.partition("{")[0]: float(value) for name, value in series.items()} == {
        "up": 1,
        "sent": 2,
        "answered": 1,
        "ok": 1,
        "loss_ratio": 0.5,
        "retransmissions": 3,
        "strays": 0,
        "status_code": 200,
        "rtt_min_seconds": 0.00084,
        "rtt_avg_seconds": 0.00084,
        "rtt_max_seconds": 0.00084,
    }
    assert 'sipdispatch_probe_up{target="b\\"\\\\",transport="tcp"} 0\n' in text
    assert 'sipdispatch_probe_status_code{target="b\\"\\\\",transport="tcp"} 0\n' in text


def test_a_target_without_answers_or_probes_has_no_round_trips() -> None:
    text = prometheus(ONE, Outcome((tally(),)))
    assert "rtt_min_seconds{" not in text
    assert 'status_code{target="pbx:5060",transport="udp"} 0' in text


def test_a_target_named_twice_is_one_series() -> None:
    twice = attrs.evolve(ONE, aims=ONE.aims * 2)
    text = prometheus(twice, Outcome((tally(GOOD), tally(BUSY))))
    assert text.count("sipdispatch_probe_up{") == 1


@pytest.mark.peers
def test_promtool_finds_nothing_wrong() -> None:
    promtool = require("promtool")
    text = prometheus(TWO, Outcome((tally(GOOD), tally(BUSY, target="b")))) + "\n"
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
