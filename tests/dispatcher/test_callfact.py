"""Does a message tell what it means for its call, and nothing else?"""

from __future__ import annotations

import pytest

from dispatcher.callfact import CallFact, CallStep
from dispatcher.keyed import CHOICE, digest
from dispatcher.outcome import Forward
from sip.uri import Address
from tests.dispatcher.world import KEY, OTHER_PHONE, PHONE, SERVER_A, Node, make_snapshot, reply_to, request, set_up

OUTSIDE: Address = ("203.0.113.20", 5060)


def node() -> Node:
    return Node(make_snapshot(SERVER_A))


def told(here: Node, datagram: bytes, source: Address = PHONE) -> CallStep | None:
    outcome = here.take(datagram, source)
    assert isinstance(outcome, Forward), outcome
    if outcome.call is None:
        return None
    assert outcome.call == CallFact(digest(KEY, CHOICE, b"call-1@phone"), outcome.call.step)
    return outcome.call.step


def test_an_invite_that_is_dispatched_begins_a_call_however_often_it_comes() -> None:
    here = node()
    assert told(here, request()) is CallStep.BEGIN
    assert told(here, request()) is CallStep.BEGIN
    assert told(here, request(uri="sip:8006@10.0.0.11")) is CallStep.BEGIN


def test_an_invite_of_a_server_to_the_outside_begins_none() -> None:
    assert told(node(), request(uri="sip:1@203.0.113.20"), SERVER_A) is None


def test_an_invite_that_follows_its_choice_to_a_server_that_has_left_begins_none() -> None:
    """There is nobody in the list to count it for; only its CANCEL and ACK go there anyway."""
    here = node()
    here.forward(request(), PHONE)
    here.snapshot = make_snapshot(OTHER_PHONE, departed={1000: here.snapshot.destinations[0]}, liveness=bytes((0,)))
    assert told(here, request("CANCEL")) is None


@pytest.mark.parametrize(
    "method", ["ACK", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "BYE", "UPDATE", "INFO"]
)
def test_nothing_else_outside_a_dialog_is_a_call(method: str) -> None:
    assert told(node(), request(method)) is None


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("BYE", CallStep.END),
        ("INVITE", CallStep.GOING),
        ("UPDATE", CallStep.GOING),
        ("INFO", CallStep.GOING),
        ("OPTIONS", CallStep.GOING),
        ("ACK", None),
        ("PRACK", None),
        ("NOTIFY", None),
        ("CANCEL", None),
    ],
)
def test_a_request_within_a_call_says_the_same_from_either_end(method: str, step: CallStep | None) -> None:
    here = node()
    call = set_up(here, request(), PHONE)
    assert told(here, call.from_caller(method), PHONE) is step
    assert told(here, call.from_callee(method, uri="sip:8005@198.51.100.7:40001"), SERVER_A) is step


@pytest.mark.parametrize(
    ("method", "status", "step"),
    [
        ("INVITE", "100 Trying", None),
        ("INVITE", "183 Progress", None),
        ("INVITE", "200 OK", CallStep.ANSWERED),
        ("INVITE", "299 Odd", CallStep.ANSWERED),
        ("INVITE", "302 Moved", CallStep.FAILED),
        ("INVITE", "401 Unauthorized", CallStep.CHALLENGED),
        ("INVITE", "407 Proxy Authentication Required", CallStep.CHALLENGED),
        ("INVITE", "487 Cancelled", CallStep.FAILED),
        ("INVITE", "603 Decline", CallStep.FAILED),
        ("BYE", "200 OK", None),
        ("CANCEL", "200 OK", None),
        ("REGISTER", "403 No", None),
    ],
)
def test_a_reply_tells_of_a_call_when_it_answers_an_invite_for_good(
    method: str, status: str, step: CallStep | None
) -> None:
    here = node()
    message, forward = here.forward(request(method), PHONE)
    assert told(here, reply_to(message, status), forward.address) is step


def test_an_answer_of_the_outside_to_a_server_tells_too() -> None:
    here = node()
    message, forward = here.forward(request(uri="sip:1@203.0.113.20"), SERVER_A)
    assert forward.address == OUTSIDE
    assert told(here, reply_to(message), OUTSIDE) is CallStep.ANSWERED
