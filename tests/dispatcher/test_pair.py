"""Do two nodes act as one when they share list and secret, and do no harm when they do not?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.listener import Listener
from dispatcher.outcome import DropReason, Forward, Outcome, Refusal
from dispatcher.snapshot import Policy
from sip.uri import Address, host_port
from tests.dispatcher.world import (
    KEY,
    OTHER_KEY,
    OTHER_PHONE,
    PHONE,
    VIP,
    Dialog,
    Node,
    destination,
    make_snapshot,
    reply_to,
    request,
    set_up,
    values,
)

SERVERS: tuple[Address, ...] = tuple((f"10.0.0.{number}", 5060) for number in range(11, 18))
ORDERED = [destination(each, weight=10 * place + 10, priority=place) for place, each in enumerate(SERVERS)]
KEYED = [kind for kind in Kind if kind not in (Kind.ROUND_ROBIN, Kind.RANDOM)]
HOSTS = {each[0] for each in SERVERS}


def pair(
    keys: tuple[bytes, ...] = (KEY,), other_keys: tuple[bytes, ...] = (KEY,), kind: Kind = Kind.WEIGHT
) -> tuple[Node, Node]:
    """Two nodes; the second has the list and its listeners in another order, and one listener of its own."""
    policy = Policy(algorithm=Algorithm(kind, "X-Account" if kind is Kind.HEADER else ""))
    left, right = (Listener("udp", (f"192.0.2.{number}", 5060)) for number in (2, 3))
    return (
        Node(make_snapshot(*ORDERED, policy=policy, keys=keys, listeners=(VIP, left))),
        Node(make_snapshot(*ORDERED[::-1], policy=policy, keys=other_keys, listeners=(right, VIP))),
    )


def seen(node: Node, outcome: Outcome) -> object:
    """An outcome without the places that only its node knows."""
    if not isinstance(outcome, Forward):
        return outcome
    return outcome.payload, outcome.address, node.snapshot.listeners[outcome.listener], outcome.remember


datagrams = st.builds(
    request,
    st.sampled_from(("INVITE", "REGISTER", "OPTIONS", "CANCEL", "ACK", "SUBSCRIBE")),
    st.sampled_from(("sip:8006@192.0.2.1", "sip:8006@10.0.0.13", "sip:%38006@h", "tel:+49-30", "sip:192.0.2.1")),
    call_id=st.integers(0, 10**6).map("call-{}".format),
    to=st.integers(0, 100).map("<sip:{}@h>".format),
    from_=st.integers(0, 100).map("<sip:{}@h>".format),
    from_tag=st.integers(0, 10**6).map(str),
    via=st.sampled_from(("198.51.100.7", "192.168.1.5:5062", "phone.example.com")),
    extra=st.sampled_from(((), ("X-Account: 1",), ("Route: <sip:192.0.2.1;lr>", 'Authorization: Digest username="a"'))),
    max_forwards=st.sampled_from((70, 0, None)),
)


@settings(max_examples=300, deadline=None)
@given(datagram=datagrams, kind=st.sampled_from(KEYED), source=st.sampled_from((PHONE, SERVERS[0], SERVERS[3])))
def test_two_nodes_with_one_list_and_one_secret_agree_on_every_datagram(
    datagram: bytes, kind: Kind, source: Address
) -> None:
    """Neither knows what the other has chosen a moment ago."""
    left, right = pair(kind=kind)
    assert left.snapshot.destinations != right.snapshot.destinations
    one, other = left.take(datagram, source, 0), right.take(datagram, source, 1)
    if isinstance(one, Forward):
        assert seen(left, one) == seen(right, other)
    else:
        assert type(one) is type(other)
        assert getattr(one, "payload", b"") == getattr(other, "payload", b"")


@pytest.mark.parametrize("kind", [kind for kind in KEYED if kind not in (Kind.HEADER, Kind.AUTH_USER)])
def test_a_transaction_survives_the_loss_of_its_node(kind: Kind) -> None:
    left, right = pair(kind=kind)
    for number in range(20):
        call_id, user = f"c{number}", f"sip:{number}@192.0.2.1"
        invite, forward = left.forward(request(uri=user, call_id=call_id), PHONE, 0)
        for method in ("INVITE", "CANCEL", "ACK"):
            message, again = right.forward(request(method, user, call_id=call_id), PHONE, 1)
            assert again.address == forward.address
            assert values(message, "via")[0] == values(invite, "via")[0]
        _, back = right.forward(reply_to(invite), forward.address, 1)
        assert back.address == PHONE


def test_a_call_survives_the_loss_of_its_node() -> None:
    for left, right in (pair(), pair()[::-1]):
        arrival = left.snapshot.listeners.index(VIP)
        call = set_up(left, request(via="192.168.1.5:5062"), PHONE, arrival)
        other = right.snapshot.listeners.index(VIP)
        for method in ("ACK", "INVITE", "BYE"):
            for here, place in ((left, arrival), (right, other)):
                _, forward = here.forward(call.from_caller(method, "sip:8006@pbx.internal"), PHONE, place)
                assert (forward.address, forward.listener) == (call.callee, place)
                _, forward = here.forward(call.from_callee(method), call.callee, place)
                assert (forward.address, forward.listener) == (PHONE, place)


def test_a_registration_leads_back_through_either_node() -> None:
    left, right = pair()
    message, forward = left.forward(request("REGISTER", "sip:192.0.2.1", via="192.168.1.5:5062"), PHONE, 0)
    route = f"Route: {values(message, 'path')[0]}"
    for here, place in ((left, 0), (right, 1)):
        _, onward = here.forward(
            request("OPTIONS", "sip:8005@192.168.1.5:5062", extra=(route,)), forward.address, place
        )
        assert onward.address == PHONE


def test_an_answer_of_one_node_is_acknowledged_to_the_other() -> None:
    left, right = pair()
    answer, _ = left.answer(request(max_forwards=0), PHONE, 0)
    assert right.drop(request("ACK", to=values(answer, "to")[0]), PHONE, 1) is DropReason.ACK_TO_OUR_ANSWER


def test_a_loop_over_both_nodes_is_seen() -> None:
    left, right = pair()
    message, _ = left.forward(request(), PHONE, 0)
    assert right.refusal(message.to_bytes(), PHONE, 1) == (482, Refusal.LOOP)


# The secret is rotated: the new one is put behind the old one on both, then in front, then the old one goes.

STEPS = [((KEY,), (KEY,)), ((KEY, OTHER_KEY), (KEY,)), ((KEY, OTHER_KEY), (OTHER_KEY, KEY)), ((OTHER_KEY, KEY),) * 2]


@pytest.mark.parametrize(("keys", "other_keys"), STEPS[1:])
def test_rotation_keeps_calls_registrations_and_transactions(
    keys: tuple[bytes, ...], other_keys: tuple[bytes, ...]
) -> None:
    for before, after in (pair(keys, other_keys), pair(other_keys, keys)):
        if before.snapshot.keys[0] not in after.snapshot.keys:
            continue
        place, other = before.snapshot.listeners.index(VIP), after.snapshot.listeners.index(VIP)
        message, forward = before.forward(request(), PHONE, place)
        assert after.forward(reply_to(message), forward.address, other)[1].address == PHONE
        call = set_up(before, request(via="192.168.1.5:5062"), PHONE, place)
        assert after.forward(call.from_caller(uri="sip:a@pbx.internal"), PHONE, other)[1].address == call.callee
        assert after.forward(call.from_callee(), call.callee, other)[1].address == PHONE


def test_each_step_of_a_rotation_understands_the_one_before() -> None:
    for (keys, other_keys), following in pairwise(STEPS):
        for before in (keys, other_keys):
            assert all(before[0] in after for after in following)


# Two nodes that share no secret


def strangers() -> tuple[Node, Node]:
    return pair((KEY,), (OTHER_KEY,))


def calls(node: Node) -> list[Dialog]:
    """A call of the edge, one of the core to a trunk, one of the core by Path."""
    place = node.snapshot.listeners.index(VIP)
    register = request("REGISTER", "sip:192.0.2.1", via="192.168.1.5:5062")
    message, forward = node.forward(register, PHONE, place)
    route = f"Route: {values(message, 'path')[0]}"
    server = forward.address
    by_path = request(uri="sip:8005@192.168.1.5:5062", via=host_port(server), extra=(route,), call_id="by-path")
    return [
        set_up(node, request(via="192.168.1.5:5062"), PHONE, place),
        set_up(node, request(uri="sip:4930@203.0.113.20", via=host_port(server), call_id="out"), server, place),
        set_up(node, by_path, server, place),
    ]


@pytest.mark.parametrize("swap", [False, True])
def test_a_call_of_a_stranger_is_never_relayed_wrongly(*, swap: bool) -> None:
    """What the edge sends reaches a listed destination, what the core sends its Request-URI, as without any token."""
    left, right = strangers()[::-1] if swap else strangers()
    place = right.snapshot.listeners.index(VIP)
    for call in calls(left):
        edge_called = call.callee[0] not in HOSTS
        edge, core = (call.callee, call.caller) if edge_called else (call.caller, call.callee)
        by_edge, by_core = (call.from_callee, call.from_caller) if edge_called else (call.from_caller, call.from_callee)
        for method in ("ACK", "BYE", "INVITE"):
            for source in (edge, OTHER_PHONE):
                _, forward = right.forward(by_edge(method, f"sip:x@{host_port(core)}"), source, place)
                assert forward.address == core
                for uri in ("sip:x@pbx.internal", f"sip:x@{host_port(OTHER_PHONE)}"):
                    _, forward = right.forward(by_edge(method, uri), source, place)
                    assert forward.address in SERVERS
                    _, forward = right.forward(by_core(method, uri), source, place)
                    assert forward.address in SERVERS
            _, forward = right.forward(by_core(method, "sip:x@203.0.113.77"), core, place)
            assert forward.address == ("203.0.113.77", 5060)


def test_a_reply_to_a_stranger_is_dropped() -> None:
    left, right = strangers()
    message, forward = left.forward(request(), PHONE, 0)
    assert right.drop(reply_to(message), forward.address, 1) is DropReason.REPLY_FORGED


def test_a_request_that_crosses_both_strangers_finds_its_way_back() -> None:
    left, right = strangers()
    first, _ = left.forward(request(), PHONE, 0)
    second, forward = right.forward(first.to_bytes(), VIP.address, 1)
    back, outcome = right.forward(reply_to(second), forward.address, 1)
    assert outcome.address == VIP.address
    _, outcome = left.forward(back.to_bytes(), VIP.address, 0)
    assert outcome.address == PHONE


def test_nodes_with_different_secrets_choose_differently() -> None:
    """So that this is noticed: the fingerprint of the secret is shown, and compared."""
    left, right = strangers()
    choices = [
        (left.forward(datagram, PHONE, 0)[1].address, right.forward(datagram, PHONE, 1)[1].address)
        for datagram in (request(call_id=f"c{number}") for number in range(50))
    ]
    assert any(one != other for one, other in choices)
