"""Does the bench of the pair sum up rightly what crossed the network?"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from bench.pair import arguments, calls, complaints, failbacks, faults
from bench.pair_faults import FAULTS, Outcome
from bench.pair_story import AGAIN, BYE, INVITE, Blow, Cast, Toll, beats_of, calls_of, sent_by, toll_of
from tests.e2e.ladder import Crossing

VIP, CALLER, BEATER, SERVER = "192.0.2.100", "192.0.2.20", "192.0.2.21", "192.0.2.1"
A, B, OTHER = b"aaaaaa", b"bbbbbb", b"cccccc"
CAST = Cast(vip=VIP, caller=CALLER, beat=BEATER, nodes={A: "A", B: "B"})
BLOW = Blow(at=100.0, heir="B", until=110.0)


def message(start: str, call_id: str, cseq: str, ends: tuple[str, str], at: float, hardware: bytes) -> Crossing:
    raw = f"{start}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\r\n"
    return Crossing((ends[0], 5060), (ends[1], 5060), raw.encode(), at, hardware)


def asked(call_id: str, step: int, at: float) -> Crossing:
    method = "BYE" if step == BYE else "INVITE"
    return message(f"{method} sip:7@{VIP} SIP/2.0", call_id, f"{step} {method}", (CALLER, VIP), at, OTHER)


def heard(call_id: str, step: int, at: float, *, code: int = 200, node: bytes = A) -> Crossing:
    method = "BYE" if step == BYE else "INVITE"
    return message(f"SIP/2.0 {code} Word", call_id, f"{step} {method}", (VIP, CALLER), at, node)


def call(call_id: str, at: float, *, talk: float = 2.0) -> Iterator[Crossing]:
    """A whole one: three requests, each answered 100 ms later, with `talk` seconds from one to the next."""
    for number, step in enumerate((INVITE, AGAIN, BYE)):
        yield asked(call_id, step, at + number * talk)
        yield heard(call_id, step, at + number * talk + 0.05, code=100)
        yield heard(call_id, step, at + number * talk + 0.1)


def beat(number: int, at: float, node: bytes | None) -> Iterator[Crossing]:
    name = f"beat-{number}"
    yield message(f"OPTIONS sip:{VIP} SIP/2.0", name, "1 OPTIONS", (BEATER, VIP), at, OTHER)
    if node is not None:
        yield message("SIP/2.0 200 OK", name, "1 OPTIONS", (VIP, BEATER), at + 0.001, node)


def read(*parts: Iterator[Crossing], blow: Blow = BLOW) -> Toll:
    crossings = sorted((one for part in parts for one in part), key=lambda one: one.at)
    return toll_of(calls_of(crossings, CAST), beats_of(crossings, CAST), blow)


def beats() -> Iterator[Crossing]:
    """One each 10 ms: A answers until the blow, B from 100 ms after it on."""
    for number in range(200):
        at = 99.0 + number / 100
        yield from beat(number, at, A if at < 99.999 else B if at > 100.095 else None)


def test_the_heirs_first_answer_ends_the_switch_and_the_silence_is_that_of_the_beats() -> None:
    toll = read(beats())
    assert toll.switch == pytest.approx(0.101)
    assert toll.outage == pytest.approx(0.1)


def test_an_heir_that_never_answers_has_no_switch() -> None:
    toll = read(beat(1, 99.95, A), beat(2, 100.5, None), beat(3, 101.5, None), call("a", 105.0))
    assert toll.switch is None
    assert toll.outage == pytest.approx(1.0)
    assert toll.begun == 1, "as long as nobody answers, whoever calls is hit"


def test_a_call_counts_as_what_it_was_when_the_blow_came() -> None:
    toll = read(
        beats(),
        call("over", 90.0),
        call("up", 98.0),
        iter([asked("begun", INVITE, 99.99), asked("begun", INVITE, 100.49)]),
        (one for one in call("begun", 100.5) if one.at > 100.5),
        call("meanwhile", 100.05),
        call("later", 101.0),
        call("much later", 120.0),
    )
    assert (toll.up, toll.begun, toll.others) == (1, 2, 2)
    assert (toll.up_lost, toll.begun_lost, toll.others_lost, toll.lost_percent) == (0, 0, 0, 0.0)
    assert toll.repeated == 1
    assert toll.longest_wait == pytest.approx(0.61)


def test_a_call_is_lost_with_any_of_its_requests() -> None:
    refused = [heard("refused", BYE, 102.05, code=481)]
    unanswered = [one for one in call("unanswered", 98.0) if one.at < 101.9]
    toll = read(beats(), iter(unanswered), iter(refused), call("refused", 98.1), call("up", 98.2), call("fine", 98.3))
    assert (toll.up, toll.up_lost, toll.lost_percent) == (4, 2, 50.0)


def test_only_what_the_node_itself_says_in_the_addresss_name_is_its_own() -> None:
    crossings = [heard("a", INVITE, at, node=node) for at, node in ((99.0, A), (101.0, A), (102.0, B), (111.0, A))]
    crossings.append(message("OPTIONS sip:x SIP/2.0", "p", "1 OPTIONS", ("192.0.2.11", SERVER), 101.5, A))
    assert [one.at for one in sent_by(crossings, CAST, "A", 100.0, 110.0)] == [101.0]


def outcome(*complaints: str, switch: float | None = 0.015) -> Outcome:
    toll = read(beats(), call("up", 98.0))
    fault = attrs.evolve(toll, switch=switch)
    return Outcome(fault=fault, failback=toll, both=0.0, stray=0, complaints=complaints)


def test_the_tables_have_a_row_for_each_fault_and_interval() -> None:
    results = {("proxy", 0.1): [outcome(), outcome(switch=0.025), outcome(switch=0.02)], ("link", 0.01): [outcome()]}
    assert "| kill -9 of the proxy |   0.1 s |     3 |" in faults(results)
    assert "20 [15..25]" in faults(results)
    assert "| link cut             |  0.01 s |  1 |    0 |" in calls(results, lambda one: one.fault)
    assert "101 [101..101]" in failbacks(results)
    assert "never" in faults({("proxy", 0.1): [outcome(switch=None)]})


def test_a_complaint_says_where_it_belongs() -> None:
    results = {("proxy", 0.1): [outcome(), outcome("a phone is mute")]}
    assert complaints(results) == ["kill -9 of the proxy, 0.1 s: a phone is mute"]


def test_the_smoke_is_one_killed_proxy() -> None:
    assert arguments(["--smoke"]).faults == ["proxy"]
    assert arguments([]).faults == list(FAULTS)
