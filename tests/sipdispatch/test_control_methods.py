"""Does each method of the control socket do and answer what the manual and Kamailio say?"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import trio

from health.board import Verdict, Word
from sipdispatch.control_kamailio import STATES, word_of
from sipdispatch.control_methods import METHODS, QUESTION, Asking, call
from sipdispatch.control_params import MAX_TEXT, MethodError
from sipdispatch.facts_json import status_json
from sipdispatch.jsonrpc import Request
from tests.sipdispatch.control_world import BROKEN, Steered
from tests.sipdispatch.fake_operations import EMPTY, destination, happening, sets_json, with_destinations, with_these

BY = "control: uid 0, pid 1"
ONE, TWO = destination(1), destination(2)
A, B = ONE.uri, TWO.uri
TWO_SETS = with_these(ONE, TWO, destination(3, set_id=2), destination(4, set_id=2, uri=A, attributes={"duid": "a"}))


async def follow() -> None:
    raise NotImplementedError


def attend() -> None:
    raise NotImplementedError


def steered(told: Any = None, **known: Any) -> Steered:
    return Steered(with_destinations(2) if told is None else told, **known)


async def ask(method: str, *positional: Any, operations: Steered | None = None, **named: Any) -> Any:
    operations = steered() if operations is None else operations
    params = named or list(positional)
    result = await call(Request(method, params, 1), Asking(operations=operations, by=BY, follow=follow, attend=attend))
    return json.loads("".join(result)) if isinstance(result, Iterator) else result


async def refused(
    method: str, *positional: Any, operations: Steered | None = None, **named: Any
) -> tuple[int, str, str]:
    with pytest.raises(MethodError) as caught:
        await ask(method, *positional, operations=operations, **named)
    assert {"what", "where", "to_do"} <= set(caught.value.details)
    assert all(caught.value.details[key] for key in ("what", "where", "to_do"))
    return caught.value.code, caught.value.message, str(caught.value.details["what"])


# --------------------------------------------------------------------------------------------------------------------
# Any method


async def test_no_such_method() -> None:
    assert await refused("dispatcher.oclist") == (-32601, "Method Not Found", "there is no method dispatcher.oclist")


def test_every_method_takes_what_its_parameters_say() -> None:
    taken = {"set": "set_id", "for": "seconds"}
    for name, method in METHODS.items():
        if method.takes_anything:
            continue
        _, *arguments = inspect.signature(method.run).parameters.values()
        if name == "dispatcher.explain":
            assert [parameter.name for parameter in method.parameters] == list(QUESTION)
            continue
        assert {argument.name for argument in arguments} == {
            taken.get(parameter.name, parameter.name) for parameter in method.parameters
        }


@pytest.mark.parametrize(
    ("method", "params", "what"),
    [
        ("dispatcher.set_state", ["a"], "group is missing"),
        ("dispatcher.set_state", ["a", 1, A, 4], "dispatcher.set_state has 3 parameters, and 4 are given"),
        ("status", [1], "status has no parameters, and 1 are given"),
        ("dispatcher.show", [1, 2], "dispatcher.show has one parameter, and 2 are given"),
        ("dispatcher.set_state", {"state": "a", "set": 1}, "dispatcher.set_state has no parameter set"),
        ("dispatcher.set_state", ["a", "x", A], '"x" is no whole number'),
        ("dispatcher.set_state", ["a", -1, A], "-1 is no whole number"),
        ("dispatcher.set_state", ["a", True, A], "true is no whole number"),
        ("dispatcher.set_state", ["a", 2**31, A], "2147483648 is no whole number"),
        ("dispatcher.set_state", ["a", "9" * 100, A], f'"{"9" * 56}... is no whole number'),
        ("dispatcher.set_state", ["a", {}, A], "this is no whole number"),
        ("dispatcher.set_state", [True, 1, A], "a state is a text"),
        ("dispatcher.set_state", ["a", 1, 5], "5 is no text"),
        ("dispatcher.set_state", ["a", 1, " "], "this text cannot be meant"),
        ("dispatcher.set_state", ["a", 1, "x" * (MAX_TEXT + 1)], "this text cannot be meant"),
        ("dispatcher.set_state", ["a", 1, "a\nb"], "this text cannot be meant"),
        ("dispatcher.add", [1, "sip:a b"], "an address has no blanks and no #"),
        ("dispatcher.add", [1, "sip:a#b"], "an address has no blanks and no #"),
        ("dispatcher.add", [1, "sip:a", 0, 0, "a=1 b=2"], "attributes have no blanks"),
        ("dispatcher.list", ["long"], "there is no such detail"),
        ("dispatcher.reload", {"dry_run": "yes"}, '"yes" is neither true nor false'),
        ("dispatcher.wait_drained", {"destination": A, "timeout": -1}, "-1 is no duration"),
        ("dispatcher.wait_drained", {"destination": A, "timeout": False}, "false is no duration"),
        ("dispatcher.explain", {"message": ""}, "this is no message"),
    ],
)
async def test_wrong_parameters(method: str, params: Any, what: str) -> None:
    if isinstance(params, dict):
        code, message, said = await refused(method, **params)
    else:
        code, message, said = await refused(method, *params)
    assert (code, message, said) == (-32602, "Invalid Parameters", what)


# --------------------------------------------------------------------------------------------------------------------
# Kamailio's, as recorded from 5.6.3


async def test_list_has_kamailios_shape() -> None:
    told = with_these(
        destination(1, set_id=2, uri="sip:127.0.0.1:26003", letters="AP", priority=4, attributes={"foo": "bar"}),
        destination(
            2,
            set_id=3,
            uri="sip:b",
            attributes={"duid": "a", "weight": "50", "maxload": "3"},
            latency=None,
            letters="IP",
        ),
        destination(3, set_id=3, uri="sip:c", rtt=None),
    )
    listed = await ask("dispatcher.list", operations=steered(told))
    null_attributes = {"SOCKET": None, "SOCKNAME": None, "OBPROXY": None}
    latency = {"AVG": 3.1, "STD": 0.0, "EST": 3.1, "MAX": 3.1, "TIMEOUT": 1}
    assert listed == {
        "NRSETS": 2,
        "RECORDS": [
            {
                "SET": {
                    "ID": 2,
                    "TARGETS": [
                        {
                            "DEST": {
                                "URI": "sip:127.0.0.1:26003",
                                "FLAGS": "AP",
                                "PRIORITY": 4,
                                "ATTRS": {"BODY": "foo=bar", "DUID": None, "MAXLOAD": 0, "WEIGHT": 0, "RWEIGHT": 0}
                                | null_attributes,
                                "LATENCY": latency,
                                "RUNTIME": {"DLGLOAD": 4},
                            }
                        }
                    ],
                }
            },
            {
                "SET": {
                    "ID": 3,
                    "TARGETS": [
                        {
                            "DEST": {
                                "URI": "sip:b",
                                "FLAGS": "IP",
                                "PRIORITY": 0,
                                "ATTRS": {
                                    "BODY": "duid=a;weight=50;maxload=3",
                                    "DUID": "a",
                                    "MAXLOAD": 3,
                                    "WEIGHT": 50,
                                    "RWEIGHT": 0,
                                }
                                | null_attributes,
                                "RUNTIME": {"DLGLOAD": 4},
                            }
                        },
                        {
                            "DEST": {
                                "URI": "sip:c",
                                "FLAGS": "AP",
                                "PRIORITY": 0,
                                "LATENCY": latency,
                                "RUNTIME": {"DLGLOAD": 4},
                            }
                        },
                    ],
                }
            },
        ],
    }


async def listed(told: Any, *detail: str) -> list[dict[str, Any]]:
    answer = await ask("dispatcher.list", *detail, operations=steered(told))
    return [target["DEST"] for record in answer["RECORDS"] for target in record["SET"]["TARGETS"]]


async def test_list_tells_a_line_once_with_its_best_address() -> None:
    addresses = [
        destination(1, uri="sip:pbx", letters="IP", verdict=Verdict.DOWN),
        destination(2, uri="sip:other"),
        destination(3, uri="sip:pbx", letters="TP"),
    ]
    told = await listed(with_these(*addresses))
    assert [(one["URI"], one["FLAGS"], one["RUNTIME"]["DLGLOAD"]) for one in told] == [
        ("sip:pbx", "TP", 8),
        ("sip:other", "AP", 4),
    ]


async def test_short_and_full_lists() -> None:
    told = with_these(
        destination(1, uri="sip:pbx.example:5070;transport=tcp", attributes={"a": "b"}), destination(2, uri="?")
    )
    assert all(set(one) == {"URI", "FLAGS", "PRIORITY", "LATENCY", "RUNTIME"} for one in await listed(told, "short"))
    full, odd = await listed(told, "full")
    assert {key: full[key] for key in ("HOST", "IPADDR", "PORT", "PROTOID", "DNSTIME_SEC", "DNSTIME_USEC")} == {
        "HOST": "pbx.example",
        "IPADDR": "10.0.0.2",
        "PORT": 5060,
        "PROTOID": 2,
        "DNSTIME_SEC": 0,
        "DNSTIME_USEC": 0,
    }
    assert "ATTRS" in full
    assert odd["HOST"] == odd["IPADDR"]


async def test_an_empty_list_is_a_fault() -> None:
    assert await refused("dispatcher.list", operations=steered(EMPTY)) == (
        500,
        "No Destination Sets",
        "the list is empty",
    )


@pytest.mark.parametrize(
    ("state", "word"),
    [
        *STATES.items(),
        ("A", Word.ENABLED),
        ("ap", Word.ENABLED),
        ("AX", Word.ENABLED),
        ("IP", Word.DRAINING),
        ("dp", Word.DISABLED),
        (1, Word.ENABLED),
        (0, Word.DRAINING),
    ],
)
async def test_set_state(state: str | int, word: Word) -> None:
    operations = steered()
    said = await ask("dispatcher.set_state", state, "1", A, operations=operations)
    assert said == "Ok. Dispatcher state updated."
    assert operations.done == [(1, A, word, BY)]


@pytest.mark.parametrize("state", ["p", "z", "aa", "apx", "up"])
async def test_no_state(state: str) -> None:
    assert word_of(state) is None
    assert await refused("dispatcher.set_state", state, 1, A) == (500, "Unknown State Value", f"'{state}' is no state")
    assert (await refused("dispatcher.set_duid_state", state, 1, "a"))[1] == "Unknown State Value"


async def test_an_empty_state() -> None:
    assert (await refused("dispatcher.set_state", "", 1, A))[:2] == (500, "Invalid State Parameter")


async def test_set_state_of_nobody() -> None:
    for group, address in ((1, "sip:x"), (9, "all")):
        assert (await refused("dispatcher.set_state", "a", group, address))[:2] == (500, "State Update Failed")


async def test_set_duid_state_takes_a_duid_only() -> None:
    operations = steered(TWO_SETS)
    assert await ask("dispatcher.set_duid_state", "d", 2, "a", operations=operations) == "Ok. Dispatcher state updated."
    assert operations.done == [(2, "a", Word.DISABLED, BY)]
    for group, duid in ((1, "a"), (2, A), (2, "all")):
        found = await refused("dispatcher.set_duid_state", "d", group, duid, operations=operations)
        assert found[:2] == (500, "State Update Failed")


async def test_reload_in_kamailios_words() -> None:
    operations = steered()
    assert await ask("dispatcher.reload", operations=operations) == "Ok. Dispatcher successfully reloaded."
    assert operations.done == [("reload", False, False, BY)]


async def test_reload_with_a_report() -> None:
    expected = {
        "done": True,
        "dry_run": False,
        "refused": False,
        "destinations": 3,
        "added": ["sip:192.0.2.23"],
        "removed": [],
        "changed": [],
        "problems": [],
    }
    operations = steered()
    assert await ask("dispatcher.reload", operations=operations, reset_state=True, report=True) == expected
    assert await ask("dispatcher.reload", operations=operations, dry_run=1) == expected | {
        "done": False,
        "dry_run": True,
    }
    assert operations.done == [("reload", False, True, BY), ("reload", True, False, BY)]


async def test_a_list_that_is_refused() -> None:
    operations = steered(answer=BROKEN)
    for method, params, message in (
        ("dispatcher.reload", {}, "Reload Failed"),
        ("dispatcher.add", {"group": 1, "address": "sip:x"}, "Adding dispatcher dst failed"),
        ("dispatcher.remove", {"group": 1, "address": A}, "Removing dispatcher dst failed"),
    ):
        with pytest.raises(MethodError) as caught:
            await ask(method, operations=operations, **params)
        assert (caught.value.code, caught.value.message) == (500, message)
        details = caught.value.details
        assert (details["what"], details["where"], details["to_do"]) == ("-1 is no number", "a.list:2:18", "write 0")
        assert details["report"]["refused"]
        assert [problem["line"] for problem in details["report"]["problems"]] == [2, 3]
    dry = await ask("dispatcher.reload", operations=operations, dry_run=True)
    assert (dry["done"], dry["refused"]) == (False, True)


async def test_a_list_that_is_refused_for_no_line_of_it() -> None:
    whole = attrs.evolve(BROKEN.problems[0], line=0, column=0, hint="")
    for problems, where in (((whole,), "a.list"), ((), "the list")):
        with pytest.raises(MethodError) as caught:
            await ask("dispatcher.reload", operations=steered(answer=attrs.evolve(BROKEN, problems=problems)))
        assert caught.value.details["where"] == where
        assert caught.value.details["to_do"] == "look at it with sipdispatch check"


async def test_add_makes_a_line() -> None:
    operations = steered()
    assert await ask("dispatcher.add", 1, "sip:x", operations=operations) == "Ok. Dispatcher destination added."
    await ask("dispatcher.add", "2", "sip:y", 8, "3", "weight=5;duid=b", 1, operations=operations)
    assert operations.done == [("add", "1 sip:x 0 0", False, BY), ("add", "2 sip:y 8 3 weight=5;duid=b", True, BY)]


async def test_remove() -> None:
    operations = steered()
    assert await ask("dispatcher.remove", 1, A, operations=operations) == "Ok. Dispatcher destination removed."
    assert (await ask("dispatcher.remove", operations=operations, address=B, save=True, report=True))["done"]
    assert operations.done == [("remove", 1, A, False, BY), ("remove", 1, B, True, BY)]
    assert (await refused("dispatcher.remove", 1, "sip:x"))[:2] == (500, "Removing dispatcher dst failed")


async def test_hash() -> None:
    assert await ask("dispatcher.hash", 4, "abcd", "efg") == {"hashid": 7, "slot": 3}
    assert await ask("dispatcher.hash", 0, "abcd") == {"hashid": 4, "slot": 0}


async def test_ping_active_tells_and_switches_nothing() -> None:
    assert await ask("dispatcher.ping_active") == {"OldPingState": 1}
    assert await ask("dispatcher.ping_active", 1) == {"NewPingState": 1, "OldPingState": 1}
    assert (await refused("dispatcher.ping_active", 0))[:2] == (500, "Ping State Update Failed")
    unprobed = steered(with_destinations(2, letters="AX"))
    assert await ask("dispatcher.ping_active", operations=unprobed) == {"OldPingState": 0}


async def test_core() -> None:
    assert await ask("core.echo", "a", 1, {}) == ["a", 1, {}]
    assert await ask("core.echo", a=1) == {"a": 1}
    assert await ask("core.version") == "sipdispatch 1.2.3 (pure Python)"
    uptime = await ask("core.uptime")
    assert uptime["uptime"] == 100
    assert uptime["up_since"].endswith(" 2026")
    assert await ask("system.listMethods") == sorted(METHODS)


# --------------------------------------------------------------------------------------------------------------------
# Our own


async def test_show() -> None:
    assert await ask("dispatcher.show", operations=steered(TWO_SETS)) == {"now": EMPTY.now} | sets_json(TWO_SETS)
    only = await ask("dispatcher.show", 2, operations=steered(TWO_SETS))
    assert [one["set"] for one in only["sets"]] == [2]
    assert await refused("dispatcher.show", 3) == (500, "there is no set 3", "there is no set 3")
    assert (await ask("dispatcher.show", operations=steered(EMPTY)))["sets"] == []
    assert await refused("dispatcher.show", 3, operations=steered(EMPTY)) == (500, *["there is no set 3"] * 2)


async def test_status() -> None:
    assert await ask("status") == status_json(with_destinations(2))


@pytest.mark.parametrize(
    ("method", "params", "word"),
    [
        ("dispatcher.drain", {}, Word.DRAINING),
        ("dispatcher.undrain", {}, Word.ENABLED),
        ("dispatcher.set_word", {"word": "disabled"}, Word.DISABLED),
    ],
)
async def test_words(method: str, params: dict[str, str], word: Word) -> None:
    operations = steered(TWO_SETS)
    answer = await ask(method, operations=operations, destination=B, **params)
    assert answer == {"set": 1, "destination": B, "word": word.name.lower(), "destinations": 1}
    assert operations.done == [(1, B, word, BY)]


async def test_which_set_is_meant() -> None:
    operations = steered(TWO_SETS)
    other = TWO_SETS.sets[1].destinations[0]
    for name, expected in (
        (other.uri, 2),
        (f"SIP:{other.uri[4:]}", 2),
        (other.uri.removesuffix(":5060"), 2),
        (f"{B};transport=udp", 1),
        ("a", 2),
        ("10.0.0.4:5060", 2),
    ):
        try:
            await ask("dispatcher.drain", operations=operations, destination=name)
            found = operations.done[-1][0]
        except MethodError as error:  # the fake knows no other spelling, but has been asked in a set
            found = int(str(error.details["where"]).removeprefix("set "))
        assert found == expected, name
    for name, what in (
        (A, f"{A} is in several sets: 1, 2"),
        ("all", "all is in several sets: 1, 2"),
        ("sip:x", "no destination is called sip:x"),
        ("x", "no destination is called x"),
    ):
        assert (await refused("dispatcher.drain", operations=operations, destination=name))[2] == what
    assert (await refused("dispatcher.drain", "x", operations=steered(EMPTY)))[2] == "the list is empty"
    assert (await refused("dispatcher.drain", "x"))[2] == "no destination is called x"


async def test_wait_drained(autojump_clock: trio.testing.MockClock) -> None:
    operations = steered()
    answer = await ask("dispatcher.wait_drained", operations=operations, destination=A, timeout=30)
    assert answer == {"set": 1, "destination": A, "drained": False, "waited": 30.0, "known_since": EMPTY.started}
    operations.drained.set()
    answer = await ask("dispatcher.wait_drained", operations=operations, destination=A)
    assert answer == {"set": 1, "destination": A, "drained": True, "waited": 0.0, "known_since": EMPTY.started}


async def test_explain() -> None:
    question: dict[str, Any] = {"call_id": "x", "from": "sip:a@b", "message": "INVITE\r\n"}
    assert (await ask("dispatcher.explain", **question))["asked"] == question
    assert (await refused("dispatcher.explain"))[2] == "there is no message to explain"


async def test_history() -> None:
    operations = steered(TWO_SETS, past=[happening(1), happening(2, set_id=2), happening(3)])
    expected = [each.to_json() for each in operations.past]
    assert await ask("dispatcher.history", operations=operations) == {"events": expected}
    assert await ask("dispatcher.history", operations=operations, limit=1) == {"events": expected[-1:]}
    assert await ask("dispatcher.history", operations=operations, limit=0) == {"events": []}
    assert await ask("dispatcher.history", operations=operations, set=2) == {"events": expected[1:2]}
    assert await ask("dispatcher.history", "all", 1, operations=operations) == {"events": [expected[0], expected[2]]}
    assert await ask("dispatcher.history", B, operations=operations) == {"events": [expected[0], expected[2]]}
    assert (await refused("dispatcher.history", "sip:nobody", 1))[2] == "no destination is called sip:nobody"
