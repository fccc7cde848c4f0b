"""Does every datagram end in a decision, and what is passed on in a message that has one reading again?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import DEFAULT
from dispatcher.branch import COOKIE, is_ours, transaction_below
from dispatcher.keyed import BRANCH
from dispatcher.outcome import Drop, Forward, Outcome, Reply, Resolve
from dispatcher.snapshot import Policy
from sip.message import Message
from sip.request import read_request
from sip.uri import Address
from sip.via import parse_via, vias
from tests.dispatcher.world import KEY, PHONE, SERVER_A, SERVER_B, VIP, VIP6, Node, make_snapshot, reply_to, request
from tests.sip.generated import messages

TORTURE = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "torture").glob("*.dat"))]
SNAPSHOT = make_snapshot(
    SERVER_A, SERVER_B, listeners=(VIP, VIP6), policy=Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)))
)
SOURCES: list[Address] = [PHONE, SERVER_A, VIP.address, ("2001:db8:e::7", 5060), ("198.51.100.7", 1)]


def _calls() -> list[bytes]:
    """What a call through the proxy puts on the wire, tokens and branches of ours in it."""
    node = Node(SNAPSHOT)
    invite, _ = node.forward(request(extra=("Route: <sip:192.0.2.1;lr>",)), PHONE)
    ringing = reply_to(invite, contact="<sip:8006@10.0.0.11>")
    token = next(raw.strip() for _, raw in invite.values(b"record-route")).decode()
    route = (f"Route: {token}",)
    bye = request("BYE", "sip:8006@10.0.0.11", to_tag="uas", extra=route, branch="z9hG4bK-2", cseq=2)
    back = request(
        "BYE", "sip:8005@198.51.100.7:40001", via="10.0.0.11", from_tag="uas", to_tag="from-tag", extra=route
    )
    return [request(), ringing, bye, back, request("ACK"), request("CANCEL"), request("OPTIONS", "sip:192.0.2.1")]


CALLS = _calls()
CUTS = [b"\r\n", b"\n", b"\r", b"\x00", b" ", b";", b",", b'"', b"<", b">", b":", b"@", b"=", b"%", b"\\", b"9" * 400]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message of RFC 4475, of a call or drawn, with pieces replaced, cut, doubled or taken from another."""
    written = draw(st.sampled_from(TORTURE + CALLS) | messages())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(written)))
        put = draw(st.sampled_from(CUTS) | st.binary(max_size=4))
        written = written[:at] + put + written[at + draw(st.integers(0, 6)) :]
    if draw(st.booleans()):
        lines = written.split(b"\r\n")
        place = draw(st.integers(0, len(lines)))
        other = draw(st.sampled_from(TORTURE + CALLS)).split(b"\r\n")
        written = b"\r\n".join((*lines[:place], draw(st.sampled_from(other)), *lines[place:]))
    return written


def decide(datagram: bytes, source: Address, arrival: int) -> Outcome:
    return Node(SNAPSHOT, names={"host.example.org": (SERVER_B,)}).take(datagram, source, arrival)


def check(datagram: bytes, source: Address, arrival: int) -> None:
    outcome = decide(datagram, source, arrival)
    assert isinstance(outcome, Forward | Reply | Drop | Resolve)
    if isinstance(outcome, Reply):
        assert outcome.address[0] == source[0], "an answer goes to the source and nowhere else"
        answer = Message.parse(outcome.payload)
        assert answer.status == outcome.status
        assert not answer.body
        assert outcome.payload.count(b"\n") == outcome.payload.count(b"\r\n")
    if isinstance(outcome, Forward):
        came = Message.parse(datagram)
        if came.method:
            _check_request(outcome.payload, came)
        else:
            assert vias(Message.parse(outcome.payload)) == vias(came)[1:]


def _check_request(payload: bytes, came: Message) -> None:
    request = read_request(Message.parse(payload))
    message = request.message
    assert message.names[0] == b"via", "our Via is the first field that any parser meets"
    assert message.body == came.body[: len(message.body)]
    own, below = (parse_via(text) for text in vias(message)[:2])
    transaction = transaction_below(below, request.call_id, request.from_tag, request.cseq)
    assert transaction is not None
    assert is_ours(own.branch.removeprefix(COOKIE), (KEY,), BRANCH, transaction), "the reply to it will be known"
    assert request.max_forwards == (read_request(came).max_forwards or 71) - 1


@settings(max_examples=400, deadline=None)
@given(mutated(), st.sampled_from(SOURCES), st.integers(0, 1))
def test_the_pipeline_never_raises_on_mutated_messages(datagram: bytes, source: Address, arrival: int) -> None:
    check(datagram, source, arrival)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(CUTS), max_size=30).map(b"".join),
    st.sampled_from([b"", b"\r\n\r\n", b"SIP/2.0 ", b"INVITE ", b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a"]),
    st.sampled_from(SOURCES),
)
def test_the_pipeline_never_raises_on_any_bytes(rest: bytes, start: bytes, source: Address) -> None:
    check(start + rest, source, 0)


@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("datagram", TORTURE + CALLS, ids=lambda datagram: datagram[:20].decode("latin-1"))
def test_whole_messages_end_in_a_decision_from_anywhere(datagram: bytes, source: Address) -> None:
    for arrival in (0, 1):
        check(datagram, source, arrival)


@settings(max_examples=100, deadline=None)
@given(messages())
def test_what_is_legal_from_the_edge_is_never_called_malformed(datagram: bytes) -> None:
    """The generator writes what RFC 3261 allows."""
    outcome = decide(datagram, PHONE, 0)
    assert not isinstance(outcome, Reply) or outcome.status in (200, 403, 416, 482, 483, 500)
    assert not isinstance(outcome, Drop) or outcome.reason.label not in ("malformed", "malformed_reply", "short")
