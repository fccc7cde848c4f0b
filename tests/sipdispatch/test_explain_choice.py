"""Does an explanation say how the set and the destination were chosen?"""

from __future__ import annotations

import json

import attrs
import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.rules import Rule
from dispatcher.snapshot import Policy
from health.board import State, Word
from sipdispatch.explain import explain
from sipdispatch.explain_document import as_json
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    destination,
    make_snapshot,
    request,
)
from tests.sipdispatch.explained import CHANCE, DOWN, ask, names, setting, told


def test_nobody_takes_new_work() -> None:
    snapshot = make_snapshot(SERVER_A, SERVER_B, liveness=bytes((DOWN, State(Word.DISABLED).code)))
    lines = told(ask(request(), snapshot=snapshot), snapshot)
    assert lines["outcome"] == (
        "answered with 503 Service Unavailable, to 198.51.100.7:40001: no destination of the set takes new work"
    )
    assert "is down" in lines["candidates"]
    assert "disabled  no weight  is disabled" in lines["candidates"]


def test_panic() -> None:
    policy = Policy(algorithm=Algorithm(Kind.WEIGHT), no_destination=None)
    snapshot = make_snapshot(SERVER_A, policy=policy, liveness=bytes((DOWN,)))
    lines = told(ask(request(), snapshot=snapshot), snapshot)
    assert lines["panic"] == "no destination takes new work, so the choice is made as if all enabled ones did"
    assert lines["candidates"] == " 1. sip:10.0.0.11:5060  down  no weight  takes it"
    assert lines["outcome"].startswith("forwarded to 10.0.0.11:5060 (sip:10.0.0.11:5060)")


def test_a_set_that_is_not_there() -> None:
    snapshot = make_snapshot(SERVER_A, policy=Policy(algorithm=Algorithm(Kind.WEIGHT), default_set=7))
    lines = told(ask(request(), snapshot=snapshot), snapshot)
    assert lines["set"] == "7: no destinations"
    assert "candidates" not in lines
    assert "slot" not in lines


RULED = Policy(
    algorithm=Algorithm(Kind.WEIGHT),
    rules=(
        Rule(methods=frozenset((b"REGISTER",)), algorithm=Algorithm(Kind.RANDOM)),
        Rule(user_prefixes=(b"49",), set_id=2),
    ),
)


def test_rules() -> None:
    snapshot = make_snapshot(SERVER_A, destination(SERVER_B, set_id=2, weight=3), policy=RULED)
    lines = told(ask(request(), snapshot=snapshot), snapshot)
    assert lines["rule"] == "none of 2 matches: set and algorithm of [proxy]"
    lines = told(ask(request(uri="sip:4930@192.0.2.1"), snapshot=snapshot), snapshot)
    assert lines["rule"] == "proxy.route[1] matches, the 2nd of 2"
    assert lines["set"] == "2: 1 destination"
    lines = told(ask(request("REGISTER", "sip:192.0.2.1"), snapshot=snapshot), snapshot)
    assert lines["rule"] == "proxy.route[0] matches, the 1st of 2"
    assert lines["algorithm"] == "random; a REGISTER is chosen by aor"
    assert lines["key"] == "8006 (the address of record of a REGISTER, in To)"


@pytest.mark.parametrize(
    ("algorithm", "key", "measure"),
    [
        (Algorithm(Kind.CALL_ID), "call-1@phone (the Call-ID)", "weight 3"),
        (Algorithm(Kind.FROM), "8005@192.0.2.1 (user and host of From)", "weight 3"),
        (Algorithm(Kind.AOR), "8006 (the address of record in the Request-URI)", "weight 3"),
        (Algorithm(Kind.HEADER, "X-No"), "call-1@phone (X-No, without it the Call-ID)", "weight 3"),
        (Algorithm(Kind.PRIORITY), "call-1@phone (the Call-ID, which decides nothing here)", "priority 5"),
        (Algorithm(Kind.TIERS), "call-1@phone (the Call-ID)", "priority 5, weight 3"),
        (Algorithm(Kind.RELATIVE_WEIGHT), "call-1@phone (the Call-ID)", "rweight 9"),
        (
            Algorithm(Kind.ROUND_ROBIN),
            "none: each call takes the next turn of the running proxy; this is the first turn of a new one",
            "weight 3",
        ),
        (Algorithm(Kind.RANDOM), "none: drawn for each call; this is one draw", "weight 3"),
    ],
)
def test_keys_and_measures(algorithm: Algorithm, key: str, measure: str) -> None:
    snapshot = make_snapshot(destination(SERVER_A, weight=3, rweight=9, priority=5), policy=Policy(algorithm=algorithm))
    account = ask(request(), snapshot=snapshot)
    lines = told(account, snapshot)
    assert lines["key"] == key
    assert f"up  {measure}  takes it" in lines["candidates"]
    assert ("slot" in lines) == (algorithm.kind not in (Kind.ROUND_ROBIN, Kind.RANDOM))


def test_an_empty_key_is_shown_as_such() -> None:
    snapshot = make_snapshot(SERVER_A, policy=Policy(algorithm=Algorithm(Kind.AOR)))
    assert told(ask(request(uri="sip:192.0.2.1"), snapshot=snapshot), snapshot)["key"].startswith("(empty) ")


def test_a_long_set_is_cut_for_people_only() -> None:
    snapshot = make_snapshot(*((f"10.0.0.{number}", 5060) for number in range(1, 15)))
    account = ask(request(), snapshot=snapshot)
    assert told(account, snapshot)["candidates"].endswith("and 4 more (all with --json)")
    assert len(json.loads(as_json(snapshot, account, setting(snapshot)))["choice"]["candidates"]) == 14


def test_a_name_of_the_list_is_shown_with_its_address() -> None:
    entry = attrs.evolve(destination(SERVER_A).entry, uri="sip:pbx", target=destination(SERVER_A).entry.target)
    named = attrs.evolve(entry, target=attrs.evolve(entry.target, host="pbx"))
    snapshot = make_snapshot(attrs.evolve(destination(SERVER_A), entry=named))
    assert told(ask(request(), snapshot=snapshot), snapshot)["candidates"].startswith(
        " 1. sip:pbx at 10.0.0.11:5060  up"
    )


def test_the_quicker_of_two_is_explained() -> None:
    policy = Policy(algorithm=Algorithm(Kind.LATENCY))
    snapshot = make_snapshot(SERVER_A, SERVER_B, policy=policy, latency=(0.25, 0.0125))
    lines = told(ask(request(), snapshot=snapshot), snapshot)
    assert lines["key"] == "call-1@phone (the Call-ID, which names the two that are compared)"
    assert "sip:10.0.0.12:5060  up  no weight, 12.5 ms   takes it" in lines["candidates"]
    assert "sip:10.0.0.11:5060  up  no weight, 250.0 ms  " in lines["candidates"]
    snapshot = make_snapshot(SERVER_A, policy=policy)
    assert told(ask(request(), snapshot=snapshot), snapshot)["candidates"].endswith("latency unknown  takes it")


def test_calls_are_explained() -> None:
    members = destination(SERVER_A, maxload=3), destination(SERVER_B, weight=9)
    snapshot = make_snapshot(*members, policy=Policy(algorithm=Algorithm(Kind.CALL_LOAD)), ramp=bytes((255, 9)))
    account = explain(snapshot, request(), PHONE, 0, names=names, chance=CHANCE, calls=lambda number: number - 997)
    assert told(account, snapshot)["key"].endswith("decides between equals)")
    assert " ".join(told(account, snapshot)["candidates"].split()) == (
        "1. sip:10.0.0.12:5060 up weight 9, calls: 4 takes it"
        " 2. sip:10.0.0.11:5060 up no weight, calls: 3 of 3 is at its maxload: no new work"
    )
    shown = json.loads(as_json(snapshot, account, setting(snapshot)))["choice"]["candidates"]
    assert [(each["calls"], each["ramp"], each["latency"]) for each in shown] == [(4, 9, None), (3, 255, None)]
