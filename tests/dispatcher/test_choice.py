"""Which set, and does what belongs to one transaction meet one server?"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

import attrs
import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.choice import route_to
from dispatcher.listener import Listener
from dispatcher.outcome import DropReason, Refusal
from dispatcher.rules import Rule
from dispatcher.user_pattern import compile_user_pattern
from health.board import State, Verdict, Word
from sip.uri import Address
from tests.dispatcher.choosing import (
    DISABLED,
    DOWN,
    DRAINING,
    SERVERS,
    SUSPECT,
    UP,
    WEIGHT,
    choices,
    policy,
    received,
    snapshot,
)
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    Node,
    destination,
    make_snapshot,
    request,
)

# What is known of the destinations now


def test_when_everybody_has_as_many_calls_as_it_may_there_is_no_destination() -> None:
    full = [destination(each, maxload=2) for each in SERVERS[:2]]
    here = Node(make_snapshot(*full, policy=policy(Kind.CALL_LOAD)), calls={1000: 2, 1001: 1})
    assert choices(here, [request()]) == [SERVERS[1]]
    here.calls[1001] = 2
    assert choices(here, [request()]) == [SERVERS[1]], "a retransmission stays where its call is counted"
    assert here.refusal(request(call_id="another"), PHONE) == (503, Refusal.NO_DESTINATION)
    here.snapshot = make_snapshot(*full, policy=policy(Kind.CALL_LOAD, no_destination=None))
    assert here.refusal(request(call_id="another"), PHONE) == (503, Refusal.NO_DESTINATION), (
        "panic opens no full server"
    )
    assert choices(here, [request("REGISTER")])[0] in SERVERS[:2], "a registration is no call"


def test_panic_chooses_by_calls_among_those_that_have_room() -> None:
    full = [destination(each, maxload=2) for each in SERVERS[:3]]
    snapshot = make_snapshot(*full, policy=policy(Kind.CALL_LOAD, no_destination=None), liveness=bytes((DOWN,)) * 3)
    assert choices(Node(snapshot, calls={1000: 1, 1001: 2}), [request()]) == [SERVERS[2]]


def test_calls_are_counted_for_the_set_that_is_asked() -> None:
    both = [destination(SERVERS[0]), destination(SERVERS[1]), *(destination(each, set_id=2) for each in SERVERS[:2])]
    rules = (Rule(user_prefixes=(b"9",), set_id=2),)
    here = Node(make_snapshot(*both, policy=policy(Kind.CALL_LOAD, rules=rules)), calls={1000: 5, 1003: 5})
    assert choices(here, [request(), request(uri="sip:9@192.0.2.1")]) == [SERVERS[1], SERVERS[0]]


def test_the_quicker_of_two_has_nearly_every_call() -> None:
    snapshot = make_snapshot(*SERVERS[:2], policy=policy(Kind.LATENCY), latency=(0.2, 0.01))
    requests = [request(call_id=str(number)) for number in range(20)]
    assert choices(Node(snapshot), requests) == [SERVERS[1]] * 20


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HEADER])
def test_who_comes_back_gets_little_and_keeps_what_it_has(kind: Kind) -> None:
    here = Node(make_snapshot(*SERVERS[:2], policy=policy(kind), ramp=bytes((0, 255))))
    datagrams = [
        request(call_id=f"c{number}", uri=f"sip:{number}@192.0.2.1", to=f"<sip:{number}@a>", from_=f"<sip:{number}@a>")
        for number in range(20)
    ]
    assert choices(here, datagrams) == [SERVERS[1]] * 20
    here.snapshot = make_snapshot(*SERVERS[:2], policy=policy(kind), ramp=bytes((255, 0)))
    assert choices(here, datagrams) == [SERVERS[1]] * 20, "a ramp moves no call that is under way"
    assert choices(here, [request(uri="sip:x@10.0.0.12", call_id="new")]) == [SERVERS[1]], "nor one that names it"
    here.snapshot = make_snapshot(*SERVERS[:2], policy=policy(kind), ramp=bytes((0, 0)))
    assert len(choices(Node(here.snapshot), datagrams)) == 20


# Rules


def test_rules_choose_the_set_and_the_algorithm() -> None:
    rules = (
        Rule(methods=frozenset((b"REGISTER",)), set_id=2),
        Rule(user_prefixes=(b"+49",), set_id=3, algorithm=Algorithm(Kind.AOR)),
        Rule(user_regex=compile_user_pattern("^7"), algorithm=Algorithm(Kind.FROM)),
        Rule(hosts=frozenset(("example.com",)), set_id=4),
        Rule(sources=(ip_network("203.0.113.0/24"),), set_id=5),
        Rule(listeners=frozenset(("udp:192.0.2.2:5060",)), set_id=6),
    )
    listeners = (VIP, Listener("udp", ("192.0.2.2", 5060), ("advertised.example", 5060)))
    world = make_snapshot(SERVER_A, policy=policy(default_set=9, rules=rules), listeners=listeners)

    def routed(datagram: bytes, source: Address = PHONE, arrival: int = 0) -> tuple[int, Algorithm]:
        came = received(datagram, source, arrival)
        return route_to(world, came, came.request.uri)

    assert routed(request("REGISTER")) == (2, WEIGHT)
    assert routed(request(uri="sip:%2B4930@h")) == (3, Algorithm(Kind.AOR))
    assert routed(request(uri="tel:+49-30")) == (3, Algorithm(Kind.AOR))
    assert routed(request(uri="sip:7@h")) == (9, Algorithm(Kind.FROM))
    assert routed(request(uri="sip:8@Example.com")) == (4, WEIGHT)
    assert routed(request(), ("203.0.113.9", 1)) == (5, WEIGHT)
    assert routed(request(), arrival=1) == (6, WEIGHT)
    assert routed(request()) == (9, WEIGHT)
    assert routed(request(uri="urn:service:sos")) == (9, WEIGHT)


def test_each_set_has_its_own_servers() -> None:
    others = [destination(("10.2.0.1", 5060), set_id=2), destination(("10.2.0.2", 5060), set_id=2)]
    rules = (Rule(user_prefixes=(b"9",), set_id=2),)
    here = Node(make_snapshot(SERVER_A, SERVER_B, *others, policy=policy(rules=rules)))
    for number in range(30):
        assert choices(here, [request(uri="sip:8@h", call_id=f"c{number}")])[0][0].startswith("10.0.")
        assert choices(here, [request(uri="sip:9@h", call_id=f"c{number}")])[0][0].startswith("10.2.")


def test_a_call_that_passes_through_two_sets_has_a_recent_choice_in_each() -> None:
    """A proxy in the core sends it by again, with the same Call-ID."""
    others = [destination((f"10.2.0.{number}", 5060), set_id=2) for number in range(1, 9)]
    rules = (Rule(user_prefixes=(b"9",), set_id=2),)
    here = Node(make_snapshot(*SERVERS, *others, policy=policy(Kind.ROUND_ROBIN, rules=rules)))
    first, second = (choices(here, [request(uri=uri)]) for uri in ("sip:8@h", "sip:9@h"))
    for method in ("INVITE", "CANCEL", "ACK"):
        assert choices(here, [request(method, "sip:8@h")]) == first
        assert choices(here, [request(method, "sip:9@h")]) == second


def test_a_set_that_is_not_there_is_no_destination() -> None:
    rules = (Rule(set_id=7),)
    here = Node(make_snapshot(SERVER_A, policy=policy(rules=rules)))
    assert here.refusal(request(), PHONE) == (503, Refusal.NO_DESTINATION)
    assert here.refusal(request("REGISTER"), PHONE) == (503, Refusal.NO_DESTINATION)
    assert here.drop(request("ACK"), PHONE) is DropReason.ACK_REFUSED


# Who is alive


def liveness(here: Node, codes: Iterable[int]) -> Node:
    """The same node, its memory kept, after the verdicts have changed."""
    return attrs.evolve(here, snapshot=attrs.evolve(here.snapshot, liveness={1: bytes(codes)}))


def only(chosen: Address, code: int) -> list[int]:
    return [code if server == chosen else UP for server in SERVERS]


def test_nobody_is_chosen_who_takes_no_new_work() -> None:
    here = Node(snapshot(Kind.WEIGHT))
    for number in range(20):
        datagram = request(call_id=f"c{number}")
        (before,) = choices(Node(here.snapshot), [datagram])
        for code in (DOWN, DRAINING, DISABLED):
            (after,) = choices(liveness(Node(here.snapshot), only(before, code)), [datagram])
            assert after != before
        assert choices(liveness(Node(here.snapshot), only(before, SUSPECT)), [datagram]) == [before]


@pytest.mark.parametrize("code", [UP, SUSPECT, DRAINING])
@pytest.mark.parametrize("method", ["INVITE", "CANCEL", "ACK", "PRACK", "OPTIONS"])
def test_a_recent_choice_wins_while_its_server_answers(method: str, code: int) -> None:
    here = Node(snapshot(Kind.ROUND_ROBIN))
    (chosen,) = choices(here, [request()])
    _, forward = liveness(here, only(chosen, code)).forward(request(method), PHONE)
    assert forward.address == chosen
    assert forward.remember is None  # grows no younger


@pytest.mark.parametrize("code", [DOWN, DISABLED])
def test_when_its_server_is_down_ack_and_cancel_follow_and_the_rest_chooses_anew(code: int) -> None:
    here = Node(snapshot(Kind.WEIGHT))
    (chosen,) = choices(here, [request()])
    here = liveness(here, only(chosen, code))
    assert choices(here, [request("CANCEL"), request("ACK")]) == [chosen, chosen]
    (other,) = choices(here, [request()])
    assert other != chosen
    assert choices(here, [request("CANCEL"), request("ACK")]) == [other, other]
    here = liveness(here, [UP] * len(SERVERS))
    assert choices(here, [request(), request("CANCEL"), request("ACK")]) == [other] * 3  # a recovery moves nothing


def test_a_list_change_moves_no_transaction_in_flight() -> None:
    before = Node(make_snapshot(*SERVERS[:4], policy=policy()))
    datagrams = [request(call_id=f"c{number}") for number in range(40)]
    chosen = choices(before, datagrams)
    grown = make_snapshot(*SERVERS, policy=policy(), numbers=(*before.snapshot.numbers, 2001, 2002, 2003, 2004))
    assert choices(attrs.evolve(before, snapshot=grown), datagrams) == chosen
    assert choices(Node(grown), datagrams) != chosen


def without_a(here: Node) -> Node:
    departed = {1000: here.snapshot.destinations[0]}
    return attrs.evolve(
        here, snapshot=make_snapshot(SERVER_B, policy=here.snapshot.policy, numbers=(1001,), departed=departed)
    )


def test_a_server_that_has_left_is_followed_by_ack_and_cancel_only() -> None:
    here = Node(make_snapshot(destination(SERVER_A, socket=("192.0.2.1", 5060)), SERVER_B, policy=policy()))
    datagram = next(
        each
        for each in (request(call_id=f"c{number}") for number in range(50))
        if choices(Node(here.snapshot), [each]) == [SERVER_A]
    )
    choices(here, [datagram])
    cancel, ack = (datagram.replace(b"INVITE", method) for method in (b"CANCEL", b"ACK"))
    here = without_a(here)
    _, forward = here.forward(cancel, PHONE)
    assert (forward.address, forward.destination, forward.remember) == (SERVER_A, None, None)
    assert choices(here, [ack, datagram, cancel]) == [SERVER_A, SERVER_B, SERVER_B]
    assert choices(without_a(Node(here.snapshot)), [cancel]) == [SERVER_B]  # nothing is remembered


def test_a_whole_set_that_has_left_is_followed_by_ack_and_cancel() -> None:
    here = Node(make_snapshot(SERVER_A, policy=policy()))
    choices(here, [request()])
    gone = make_snapshot(policy=policy(), departed={1000: here.snapshot.destinations[0]})
    here = attrs.evolve(here, snapshot=gone)
    assert choices(here, [request("CANCEL"), request("ACK")]) == [SERVER_A, SERVER_A]
    assert here.refusal(request(), PHONE) == (503, Refusal.NO_DESTINATION)


def test_a_number_that_nobody_has_is_forgotten() -> None:
    here = Node(make_snapshot(SERVER_A, policy=policy()))
    choices(here, [request()])
    here.memory = dict.fromkeys(here.memory, 9999)
    assert choices(here, [request("CANCEL"), request()]) == [SERVER_A, SERVER_A]


# A destination that the Request-URI names

NAMES_A = "sip:8006@10.0.0.11"


@pytest.mark.parametrize("kind", [Kind.WEIGHT, Kind.ROUND_ROBIN])
@pytest.mark.parametrize("code", [DOWN, DISABLED])
def test_ack_and_cancel_follow_an_invite_that_named_its_server(kind: Kind, code: int) -> None:
    here = Node(make_snapshot(SERVER_A, SERVER_B, policy=policy(kind)))
    assert choices(here, [request(uri=NAMES_A)]) == [SERVER_A]
    assert choices(here, [request("CANCEL", NAMES_A)]) == [SERVER_A]
    here = liveness(here, (code, UP))
    assert choices(here, [request("CANCEL", NAMES_A), request("ACK", NAMES_A)]) == [SERVER_A, SERVER_A]
    assert choices(here, [request(uri=NAMES_A), request("CANCEL", NAMES_A)]) == [SERVER_B, SERVER_B]
    here = liveness(here, (UP, UP))
    assert choices(here, [request("CANCEL", NAMES_A), request("ACK", NAMES_A)]) == [SERVER_B, SERVER_B]


def test_ack_and_cancel_follow_a_named_server_that_has_left() -> None:
    here = Node(make_snapshot(SERVER_A, SERVER_B, policy=policy()))
    choices(here, [request(uri=NAMES_A)])
    assert choices(without_a(here), [request("CANCEL", NAMES_A), request("ACK", NAMES_A)]) == [SERVER_A, SERVER_A]


def test_a_redirection_to_another_server_keeps_the_call_id_and_is_obeyed() -> None:
    here = Node(make_snapshot(SERVER_A, SERVER_B, policy=policy()))
    assert choices(here, [request(uri=NAMES_A), request("ACK", NAMES_A)]) == [SERVER_A, SERVER_A]
    moved = "sip:8006@10.0.0.12"
    datagrams = [request(uri=moved, cseq=2), request("CANCEL", moved, cseq=2), request("BYE", NAMES_A, cseq=3)]
    assert choices(here, datagrams) == [SERVER_B, SERVER_B, SERVER_A]


def test_a_stranger_who_names_a_server_does_not_steer_the_cancel_of_another_call() -> None:
    here = Node(make_snapshot(SERVER_A, SERVER_B, policy=policy(Kind.ROUND_ROBIN)))
    assert choices(here, [request()]) == [SERVER_A]
    assert choices(here, [request(uri="sip:8006@10.0.0.12", from_tag="stranger")]) == [SERVER_B]
    assert choices(here, [request("CANCEL"), request("ACK"), request()]) == [SERVER_A] * 3
    assert choices(here, [request("CANCEL", "sip:8006@10.0.0.12")]) == [SERVER_B]
    assert choices(here, [request("INVITE", "tel:8006"), request("CANCEL", "tel:8006")]) == [SERVER_A, SERVER_A]


@pytest.mark.parametrize("kind", [Kind.AOR, Kind.REQUEST_URI, Kind.TO])
def test_a_redirection_to_another_user_keeps_the_call_id_and_is_keyed_anew(kind: Kind) -> None:
    here = Node(snapshot(kind))
    for number in range(20):
        pieces = {"uri": f"sip:{number}@192.0.2.1", "to": f"<sip:{number}@192.0.2.1>"}
        expected = choices(Node(here.snapshot), [request(**pieces)])  # type: ignore[arg-type]
        assert choices(here, [request(method, **pieces) for method in ("INVITE", "ACK", "CANCEL")]) == expected * 3  # type: ignore[arg-type]
    assert len(here.memory) == 20


def test_a_server_that_comes_into_the_list_draws_no_cancel_of_a_call_that_has_named_it() -> None:
    here = Node(make_snapshot(SERVER_A, policy=policy()))
    moved = "sip:8006@10.0.0.12"
    assert choices(here, [request(uri=moved)]) == [SERVER_A]
    here = attrs.evolve(here, snapshot=make_snapshot(SERVER_A, SERVER_B, policy=policy()))
    assert choices(here, [request("CANCEL", moved), request("ACK", moved), request(uri=moved)]) == [
        SERVER_A, SERVER_A, SERVER_B,
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_one_that_has_lost_its_invite_draws_no_others_after_it(method: str) -> None:
    here = Node(snapshot(Kind.ROUND_ROBIN))
    _, forward = here.forward(request(method), PHONE)
    assert forward.remember is None
    assert here.turn == 0
    assert here.forward(request("OPTIONS", "sip:x@192.0.2.1"), PHONE)[1].remember is not None


# Panic


def test_in_a_panic_all_are_tried_as_if_they_were_up() -> None:
    calm = policy()
    panicking = attrs.evolve(calm, no_destination=None)
    codes = bytes([DOWN] * len(SERVERS))
    datagrams = [request(call_id=f"c{number}") for number in range(20)]
    expected = choices(Node(make_snapshot(*SERVERS, policy=calm)), datagrams)
    assert choices(Node(make_snapshot(*SERVERS, policy=panicking, liveness=codes)), datagrams) == expected
    down = Node(make_snapshot(*SERVERS, policy=calm, liveness=codes))
    assert down.refusal(datagrams[0], PHONE) == (503, Refusal.NO_DESTINATION)


@pytest.mark.parametrize("kind", [Kind.WEIGHT, Kind.ROUND_ROBIN])
def test_a_panic_overrules_verdicts_and_never_the_operators_word(kind: Kind) -> None:
    panicking = attrs.evolve(policy(kind), no_destination=None)
    words = [Word.DISABLED, Word.DRAINING, Word.ENABLED, Word.ENABLED]
    datagrams = [request(call_id=f"c{number}") for number in range(40)]
    codes = bytes(State(word, Verdict.DOWN).code for word in words)
    here = Node(make_snapshot(*SERVERS[:4], policy=panicking, liveness=codes))
    assert set(choices(here, datagrams)) == set(SERVERS[2:4])
    codes = bytes(State(word).code for word in words[:2])  # disabled ones are up for the probes
    here = Node(make_snapshot(*SERVERS[:2], policy=panicking, liveness=codes))
    assert here.refusal(datagrams[0], PHONE) == (503, Refusal.NO_DESTINATION)


def test_a_panic_gives_no_work_to_who_has_weight_0() -> None:
    idle = destination(SERVER_A, weight=0)
    here = Node(make_snapshot(idle, policy=attrs.evolve(policy(), no_destination=None)))
    assert here.refusal(request(), PHONE) == (503, Refusal.NO_DESTINATION)
