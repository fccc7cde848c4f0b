"""A good answer is what the options say, and many probes end in the status that scripts and Nagios expect."""

from __future__ import annotations

import re
from typing import Literal

import attrs
import pytest

from health.options import Answer
from health.probe import Aim
from health.report import ProbeReport, Result
from sip.message import Message
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome, Plan
from sipdispatch.probe_verdict import (
    Expectation,
    Nagios,
    exceeded,
    exit_status,
    gravest_nagios,
    nagios_status,
)
from tests.sipdispatch.probe_reports import BUSY, GOOD, LOST, NAMELESS, OTHER, tally

PLAN = Plan(aims=(Aim(uri="sip:pbx:5060", host="pbx"),))
NONE = Thresholds()


def answer(status: int) -> Answer:
    raw = b"SIP/2.0 %d Said\r\nServer: Asterisk PBX 16\r\nAllow: INVITE\r\nAllow: ACK\r\n\r\nbody\r\n" % status
    return Answer(status, "Said", "", Message.parse(raw))


def expectation(*, codes: frozenset[int] | None = frozenset({200}), **patterns: str) -> Expectation:
    texts = tuple(re.compile(each, re.MULTILINE) for each in [patterns.pop("grep", "")] if each)
    return Expectation(
        codes=codes, fields=tuple((name, re.compile(each)) for name, each in patterns.items()), texts=texts
    )


@pytest.mark.parametrize(
    ("wanted", "status", "result"),
    [
        (expectation(), 200, Result.OK),
        (expectation(), 404, Result.STATUS),
        (expectation(codes=None), 404, Result.OK),
        (expectation(server="^Asterisk"), 200, Result.OK),
        (expectation(server="^Kamailio"), 200, Result.NO_MATCH),
        (expectation(contact=".*"), 200, Result.NO_MATCH),
        (expectation(allow="^ACK$"), 200, Result.OK),
        (expectation(grep="^Allow: ACK$"), 200, Result.OK),
        (expectation(grep="^body$"), 200, Result.OK),
        (expectation(grep="nowhere"), 200, Result.NO_MATCH),
        (expectation(grep="nowhere"), 404, Result.STATUS),
    ],
)
def test_a_good_answer(wanted: Expectation, status: int, result: Result) -> None:
    assert wanted.judge(answer(status)) is result


def test_what_is_above_its_limit() -> None:
    found = tally(GOOD, LOST, BUSY)
    assert exceeded(found, NONE) == ()
    assert exceeded(found, Thresholds(rtt_s=0.000875, loss_percent=33.4, retrans=3)) == ()
    assert exceeded(found, Thresholds(rtt_s=0.0005, loss_percent=33.0, retrans=2)) == (
        "rtt 0.9 ms > 0.5 ms",
        "loss 33.3% > 33%",
        "retrans 3 > 2",
    )
    assert exceeded(tally(LOST), Thresholds(rtt_s=0.0)) == ()


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ((), 3),
        ((GOOD,), 0),
        ((GOOD, BUSY), 1),
        ((GOOD, OTHER), 32),
        ((BUSY, LOST, GOOD), 3),
        ((LOST, NAMELESS), 2),
    ],
)
def test_the_gravest_probe_is_the_exit_status(reports: tuple[ProbeReport, ...], status: int) -> None:
    assert exit_status(PLAN, Outcome((tally(*reports),)), ()) == status


def test_of_several_targets_the_gravest_counts() -> None:
    assert exit_status(PLAN, Outcome((tally(GOOD), tally(LOST), tally(BUSY))), ()) == 3


def test_a_signal_is_the_exit_status_whatever_was_found() -> None:
    assert exit_status(PLAN, Outcome((tally(LOST),), signal=2), ()) == 130


def test_a_limit_makes_a_good_run_a_bad_one_and_no_other_worse() -> None:
    limit = Thresholds(rtt_s=0.0)
    assert exit_status(PLAN, Outcome((tally(GOOD),)), (NONE, limit)) == 1
    assert exit_status(PLAN, Outcome((tally(GOOD, LOST),)), (limit, NONE)) == 3


@pytest.mark.parametrize(
    ("until", "reports", "status"),
    [
        ("up", (LOST, GOOD, GOOD), 0),
        ("up", (GOOD, LOST, GOOD), 1),
        ("up", (GOOD, LOST), 3),
        ("up", (BUSY,), 1),
        ("up", (), 1),
        ("down", (GOOD, LOST, LOST), 0),
        ("down", (LOST, LOST, GOOD), 1),
        ("down", (LOST,), 1),
    ],
)
def test_waiting_ends_well_or_with_the_last_probe(
    until: Literal["up", "down"], reports: tuple[ProbeReport, ...], status: int
) -> None:
    plan = attrs.evolve(PLAN, until=until, rise=2, fall=2)
    assert exit_status(plan, Outcome((tally(*reports),)), (Thresholds(rtt_s=0.0),)) == status


LOSS_5_50 = (Thresholds(loss_percent=5), Thresholds(loss_percent=50))


@pytest.mark.parametrize(
    ("reports", "limits", "status"),
    [
        ((), (NONE, NONE), Nagios.UNKNOWN),
        ((GOOD,), (NONE, NONE), Nagios.OK),
        ((GOOD, GOOD), LOSS_5_50, Nagios.OK),
        ((BUSY,), (NONE, NONE), Nagios.CRITICAL),
        ((OTHER,), (NONE, NONE), Nagios.CRITICAL),
        ((LOST, LOST), LOSS_5_50, Nagios.CRITICAL),
        ((NAMELESS, GOOD), (NONE, NONE), Nagios.UNKNOWN),
        ((GOOD, LOST), (NONE, NONE), Nagios.WARNING),
        ((GOOD, BUSY), (NONE, NONE), Nagios.WARNING),
        ((GOOD, BUSY), LOSS_5_50, Nagios.WARNING),
        ((GOOD, LOST), LOSS_5_50, Nagios.WARNING),
        ((GOOD, LOST, LOST), LOSS_5_50, Nagios.CRITICAL),
        ((GOOD, LOST), (Thresholds(loss_percent=60), NONE), Nagios.OK),
        ((GOOD,), (Thresholds(rtt_s=0.0), NONE), Nagios.WARNING),
        ((GOOD,), (NONE, Thresholds(rtt_s=0.0)), Nagios.CRITICAL),
    ],
)
def test_the_words_of_nagios(
    reports: tuple[ProbeReport, ...], limits: tuple[Thresholds, Thresholds], status: Nagios
) -> None:
    assert nagios_status(tally(*reports), *limits) is status


def test_critical_is_graver_than_unknown() -> None:
    assert gravest_nagios([]) is Nagios.UNKNOWN
    assert gravest_nagios([Nagios.OK, Nagios.WARNING]) is Nagios.WARNING
    assert gravest_nagios([Nagios.UNKNOWN, Nagios.WARNING]) is Nagios.UNKNOWN
    assert gravest_nagios([Nagios.UNKNOWN, Nagios.CRITICAL]) is Nagios.CRITICAL
