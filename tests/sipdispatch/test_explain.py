"""Does an explanation say what the pipeline does, and give the reason that it has?"""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.choice import Chance
from dispatcher.considered import Reason
from dispatcher.listener import Listener
from dispatcher.nexthop import SERVED_TRANSPORTS
from dispatcher.outcome import Drop, DropReason, Forward, Refusal, Reply, Resolve
from dispatcher.route import route
from dispatcher.selection import idle
from dispatcher.snapshot import Policy, Snapshot
from health.board import State, Word
from sip.message import Message
from sip.uri import Address
from sipdispatch.explain import Way, explain
from sipdispatch.explain_document import as_json
from sipdispatch.explain_words import as_text
from tests.dispatcher.world import (
    OTHER_KEY,
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    Node,
    destination,
    forget,
    make_snapshot,
    reply_to,
    request,
    values,
)
from tests.sipdispatch.explained import CHANCE, DOWN, SNAPSHOT, UP, ask, names, setting, told

TORTURE = sorted((Path(__file__).parents[1] / "torture").glob("*.dat"))


# --------------------------------------------------------------------------------------------------------------------
# The same as the pipeline


KINDS = [Algorithm(kind, "X-Account" if kind is Kind.HEADER else "") for kind in Kind]


@given(
    call_id=st.text("abcdefgh0123456789", min_size=1, max_size=12),
    algorithm=st.sampled_from(KINDS),
    method=st.sampled_from(["INVITE", "REGISTER", "OPTIONS", "BYE", "ACK", "CANCEL", "SUBSCRIBE"]),
    liveness=st.lists(
        st.sampled_from([UP, DOWN, State(Word.DRAINING).code, State(Word.DISABLED).code]), min_size=4, max_size=4
    ),
    no_destination=st.sampled_from([503, None]),
    turn=st.integers(0, 9),
    drawn=st.integers(0, 2**64 - 1),
)
def test_the_first_usable_candidate_is_where_the_pipeline_sends_it(
    call_id: str,
    algorithm: Algorithm,
    method: str,
    liveness: list[int],
    no_destination: int | None,
    turn: int,
    drawn: int,
) -> None:
    policy = Policy(algorithm=algorithm, no_destination=no_destination)
    servers = [destination((f"10.0.0.{number}", 5060), weight=number, priority=number % 2) for number in range(1, 5)]
    snapshot = make_snapshot(*servers, policy=policy, liveness=bytes(liveness))
    datagram = request(method, call_id=call_id, extra=("X-Account: blue",))
    chance = Chance(turn, drawn)
    account = explain(snapshot, datagram, PHONE, 0, names=names, chance=chance)
    outcome = route(snapshot, datagram, PHONE, 0, names=names, recent=forget, chance=chance, now=0.0, calls=idle)
    assert account.outcome == outcome
    assert account.choice is not None
    assert len(account.choice.candidates) == 4
    chosen = [each.destination.address for each in account.choice.candidates if each.reason is Reason.CHOSEN]
    assert chosen == ([outcome.address] if isinstance(outcome, Forward) else [])
    assert account.choice.panic == (no_destination is None and not any(code & 1 for code in liveness))
    document = json.loads(as_json(snapshot, account, setting(snapshot)))
    assert [each["address"] for each in document["choice"]["candidates"] if each["chosen"]] == [
        f"{host}:{port}" for host, port in chosen
    ]
    assert as_text(snapshot, account, setting(snapshot))


@pytest.mark.parametrize("path", TORTURE, ids=lambda path: path.stem)
@pytest.mark.parametrize("source", [PHONE, SERVER_A], ids=["edge", "core"])
def test_every_torture_message_is_explained(path: Path, source: Address) -> None:
    datagram = path.read_bytes()
    account = ask(datagram, source)
    assert account.outcome == route(
        SNAPSHOT, datagram, source, 0, names=names, recent=forget, chance=CHANCE, now=0.0, calls=idle
    )
    lines = told(account)
    assert lines["outcome"].startswith(("forwarded to ", "answered with ", "dropped"))
    assert all(character.isprintable() for line in lines.values() for character in line)
    assert json.loads(as_json(SNAPSHOT, account, setting(SNAPSHOT)))["outcome"]["reason"] == lines["outcome"]


@given(st.binary(max_size=200))
def test_any_bytes_are_explained(datagram: bytes) -> None:
    assert as_text(SNAPSHOT, ask(datagram), setting(SNAPSHOT))


def test_there_are_torture_messages() -> None:
    assert len(TORTURE) == 49


# --------------------------------------------------------------------------------------------------------------------
# Reasons


def test_a_call_from_the_edge() -> None:
    account = ask(request())
    assert account.way is Way.DISPATCHED
    lines = told(account)
    assert lines["message"] == "INVITE sip:8006@192.0.2.1 SIP/2.0"
    assert lines["side"] == "edge: neither a destination's address nor in core_networks"
    assert lines["way"] == "dispatched: a request from the edge goes to a destination of the list"
    assert lines["set"] == "1: 2 destinations"
    assert lines["key"] == "call-1@phone (the Call-ID)"
    assert lines["secret"] == "0123abcd, of /secret"
    assert "rule" not in lines


def test_a_named_destination_and_one_that_takes_nothing() -> None:
    datagram = request(uri="sip:8006@10.0.0.11:5060")
    account = ask(datagram)
    assert (account.way, account.choice) == (Way.NAMED, None)
    assert told(account)["way"] == "its Request-URI names the destination sip:10.0.0.11:5060"
    snapshot = make_snapshot(SERVER_A, SERVER_B, liveness=bytes((DOWN, UP)))
    account = ask(datagram, snapshot=snapshot)
    assert told(account, snapshot)["way"] == (
        "dispatched: its Request-URI names the destination sip:10.0.0.11:5060, which takes nothing now"
    )
    assert told(account, snapshot)["candidates"] == (
        " 1. sip:10.0.0.12:5060  up    no weight  takes it 2. sip:10.0.0.11:5060  down  no weight  is down"
    )


def test_the_core_goes_where_it_wants() -> None:
    account = ask(request(uri="sip:bob@pbx.example.com"), SERVER_A)
    assert account.way is Way.ONWARD
    assert told(account)["side"] == "core: the address of sip:10.0.0.11:5060"
    assert told(account)["way"] == "a request from the core goes where its Request-URI says"
    assert told(account)["outcome"] == "forwarded to 192.0.2.99:5060, from udp:192.0.2.1:5060"


def test_the_core_by_its_route() -> None:
    account = ask(request(uri="sip:bob@a.example", extra=("Route: <sip:192.0.2.77;lr>",)), SERVER_A)
    assert told(account)["way"] == "a request from the core goes where its Route says"
    assert told(account)["Route"] == "sip:192.0.2.77;lr: not ours, kept"


def test_the_core_calls_the_proxy() -> None:
    assert told(ask(request(), SERVER_A))["way"] == "dispatched: its Request-URI is ours"


def test_a_source_in_core_networks() -> None:
    policy = Policy(algorithm=Algorithm(Kind.WEIGHT), core_networks=(ip_network("198.51.100.0/24"),))
    snapshot = make_snapshot(SERVER_A, policy=policy)
    assert told(ask(request(), snapshot=snapshot), snapshot)["side"] == "core: in 198.51.100.0/24 of core_networks"


@pytest.mark.parametrize(
    ("uri", "refusal", "words"),
    [
        ("sip:bob@gone.example.com", Refusal.UNRESOLVED, "its next hop has no address"),
        ("sip:bob@192.0.2.9;transport=tls", Refusal.TRANSPORT, "its next hop asks for a transport that is not served"),
        ("sip:bob@[2001:db8::9]", Refusal.NO_LISTENER, "no listener has the address family of its next hop"),
    ],
)
def test_a_next_hop_that_cannot_be(uri: str, refusal: Refusal, words: str) -> None:
    assert "tls" not in SERVED_TRANSPORTS
    account = ask(request(uri=uri), SERVER_A)
    assert account.refusal is refusal
    assert told(account)["outcome"].endswith(words)
    cancel = ask(request("CANCEL", uri), SERVER_A)
    assert cancel.refusal is refusal
    assert told(cancel)["outcome"].startswith("dropped, cancel_refused: ")
    assert told(cancel)["outcome"].endswith(words)


def test_a_name_that_is_still_to_be_looked_up() -> None:
    account = ask(request(uri="sip:bob@new.example.com"), SERVER_A)
    assert account.outcome == Resolve("new.example.com", None, "udp")
    assert account.way is None
    assert told(account)["outcome"] == "dropped: its next hop new.example.com cannot be looked up now"


def test_a_request_for_the_proxy_itself() -> None:
    options = request("OPTIONS", "sip:s@192.0.2.1")
    assert told(ask(options))["way"] == "it asks for the proxy itself"
    assert told(ask(options))["outcome"] == "answered with 200 OK, to 198.51.100.7:40001"
    snapshot = make_snapshot(SERVER_A, serving=False)
    account = ask(options, snapshot=snapshot)
    assert account.way is Way.OURS
    assert told(account, snapshot)["outcome"] == (
        "answered with 503 Service Unavailable, to 198.51.100.7:40001: no destination takes new work"
    )


@pytest.mark.parametrize(
    ("datagram", "refusal"),
    [
        (request(max_forwards=0), Refusal.TOO_MANY_HOPS),
        (request(extra=("Proxy-Require: x",)), Refusal.EXTENSION),
        (request("ACK", max_forwards=0), Refusal.TOO_MANY_HOPS),
        (request("CANCEL", max_forwards=0), Refusal.TOO_MANY_HOPS),
    ],
)
def test_a_request_that_never_has_a_next_hop(datagram: bytes, refusal: Refusal) -> None:
    account = ask(datagram)
    assert (account.refusal, account.way, account.choice) == (refusal, None, None)
    assert told(account)["outcome"].endswith(refusal.sentence)


@pytest.mark.parametrize("method", ["INVITE", "CANCEL"])
def test_a_loop(method: str) -> None:
    here = Node(SNAPSHOT)
    own = values(here.forward(request(method), PHONE)[0], "Via")[0]
    first, second = request(method).split(b"\r\nVia:", 1)
    back = (
        first
        + b"\r\nVia: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-2\r\nVia: "
        + own.encode()
        + b"\r\nVia:"
        + second
    )
    back = back.replace(b";rport", b";rport=40001;received=198.51.100.7")
    account = ask(back)
    assert account.refusal is Refusal.LOOP
    assert told(account)["outcome"].endswith(Refusal.LOOP.sentence)


def test_the_ack_to_an_answer_of_ours() -> None:
    down = make_snapshot(SERVER_A, liveness=bytes((DOWN,)))
    answer = Message.parse(ask(request(), snapshot=down).outcome.payload)  # type: ignore[union-attr]
    tag = values(answer, "To")[0].partition("tag=")[2]
    account = ask(request("ACK", to_tag=tag), snapshot=down)
    assert account.outcome == Drop(DropReason.ACK_TO_OUR_ANSWER)
    assert (account.way, account.refusal) == (None, None)


# --------------------------------------------------------------------------------------------------------------------
# Dialogs


def dialog(snapshot: Snapshot = SNAPSHOT, **pieces: object) -> tuple[str, Address]:
    """The Record-Route of a call that a phone has made, and the server that took it."""
    message, forward = Node(snapshot).forward(request(**pieces), PHONE)  # type: ignore[arg-type]
    return values(message, "Record-Route")[0], forward.address


def in_dialog(route_value: str, *, from_tag: str = "from-tag", uri: str, key: str = "Route", **pieces: object) -> bytes:
    return request(
        "BYE",
        uri,
        from_tag=from_tag,
        to_tag="x",
        cseq=2,
        extra=(f"{key}: {route_value}",),
        **pieces,  # type: ignore[arg-type]
    )


def test_the_caller_hangs_up() -> None:
    recorded, (host, port) = dialog()
    account = ask(in_dialog(recorded, uri=f"sip:8006@{host}:{port}"))
    lines = told(account)
    assert account.way is Way.TOKEN_TO_CORE
    assert lines["Route"] == (
        f"{recorded.strip('<>')}: ours, taken off; its token is valid: edge end 198.51.100.7:40001; "
        f"core end {host}:{port}; begun by the edge"
    )
    assert lines["way"] == "by the token, to its core end: the destination that the Request-URI names"
    lines = told(ask(in_dialog(recorded, uri="sip:8006@192.0.2.200")))
    assert lines["way"] == "by the token, to its core end: the address that the token has"


def test_the_server_hangs_up() -> None:
    recorded, server = dialog()
    account = ask(in_dialog(recorded, from_tag="x", uri="sip:8005@198.51.100.8:7000"), server)
    assert account.way is Way.TOKEN_TO_EDGE
    assert told(account)["way"] == "by the token, to its edge end: the Request-URI, its Contact"
    lines = told(ask(in_dialog(recorded, from_tag="x", uri="sip:8005@198.51.100.7:40001"), server))
    assert lines["way"] == "by the token, to its edge end: the address that the token has"
    beyond = in_dialog(f"{recorded}, <sip:198.51.100.9;lr>", from_tag="x", uri="sip:8005@198.51.100.8")
    assert told(ask(beyond, server))["way"] == "by the token, to its edge end: the next Route"


def test_a_phone_behind_a_nat() -> None:
    recorded, server = dialog(via="10.9.9.9:5060")
    lines = told(ask(in_dialog(recorded, from_tag="x", uri="sip:8005@10.9.9.9"), server))
    assert lines["way"] == "by the token, to its edge end: the address that it was last seen at, for it is behind a NAT"
    assert ", behind a NAT; core end" in lines["Route"]


def test_a_registered_phone_is_called() -> None:
    message, forward = Node(SNAPSHOT).forward(request("REGISTER", "sip:192.0.2.1"), PHONE)
    call = request(uri="sip:8005@198.51.100.7:40001", extra=(f"Route: {values(message, 'Path')[0]}",))
    account = ask(call, forward.address)
    assert account.way is Way.TOKEN_TO_EDGE
    assert told(account)["Route"].endswith("; of a registration")


def test_a_stolen_token() -> None:
    recorded, _ = dialog()
    account = ask(in_dialog(recorded, from_tag="x", uri="sip:8005@198.51.100.8"), ("203.0.113.5", 5060))
    assert account.refusal is Refusal.EDGE_TO_EDGE
    lines = told(account)
    assert lines["way"] == (
        "by the token, to its edge end: only the core and the token's own core end may use it in this direction"
    )
    assert lines["outcome"].startswith("answered with 403 ")
    assert "core_networks" in lines["outcome"]


def test_a_token_of_another_secret_and_none_at_all() -> None:
    recorded, _ = dialog(make_snapshot(SERVER_A, keys=(OTHER_KEY,)))
    account = ask(in_dialog(recorded, uri="sip:8006@192.0.2.1"))
    assert account.way is Way.DISPATCHED
    assert told(account)["Route"].endswith(": ours, taken off; its token is not valid and counts for nothing")
    account = ask(in_dialog("<sip:192.0.2.1;lr>", uri="sip:8006@192.0.2.1"))
    assert told(account)["Route"] == "sip:192.0.2.1;lr: ours, taken off; it has no token"
    document = json.loads(as_json(SNAPSHOT, account, setting(SNAPSHOT)))
    assert document["routes"][0] == {
        "uri": "sip:192.0.2.1;lr",
        "ours": True,
        "request_uri": False,
        "token": "none",
        "edge": None,
        "core": None,
        "behind_nat": None,
        "path": None,
    }


def test_a_strict_router() -> None:
    recorded, (host, port) = dialog()
    own = recorded.strip("<>")
    account = ask(request("BYE", own, to_tag="x", cseq=2, extra=(f"Route: <sip:8006@{host}:{port}>",)))
    assert [(seen.is_request_uri, seen.is_ours) for seen in account.routes] == [(True, True), (False, False)]
    assert account.way is Way.TOKEN_TO_CORE
    text = as_text(SNAPSHOT, account, setting(SNAPSHOT))
    assert "the Request-URI is ours, from a strict router;" in " ".join(text.split())


# --------------------------------------------------------------------------------------------------------------------
# Replies and what is no SIP


def test_a_reply_of_ours_and_a_forged_one() -> None:
    message, forward = Node(SNAPSHOT).forward(request(), PHONE)
    account = ask(reply_to(message), forward.address)
    assert told(account)["outcome"] == "forwarded to 198.51.100.7:40001, from udp:192.0.2.1:5060"
    assert "side" not in told(account)
    other = make_snapshot(SERVER_A, keys=(OTHER_KEY,))
    account = ask(reply_to(message), forward.address, other)
    assert told(account, other)["outcome"] == (
        "dropped, reply_forged: a reply whose top Via is not one that we have sent out"
    )
    document = json.loads(as_json(other, account, setting(other)))
    assert document["message"]["kind"] == "reply"
    assert document["outcome"]["drop"] == "reply_forged"


@pytest.mark.parametrize(
    ("datagram", "message", "outcome"),
    [
        (b"", "an empty line", "dropped, keepalive: an empty line that keeps a NAT binding open"),
        (b"\r\n\r\n", "an empty line", "dropped, keepalive: an empty line that keeps a NAT binding open"),
        (b"\x00\x01\x00\x00", "\\x00\\x01\\x00\\x00", "dropped, stun: a STUN message"),
        (
            b"hello \x1b[2J",
            "hello \\x1b[2J",
            "dropped, malformed: not SIP, and nothing in it says where an answer should go",
        ),
    ],
)
def test_what_is_no_sip(datagram: bytes, message: str, outcome: str) -> None:
    account = ask(datagram)
    lines = told(account)
    assert (lines["message"], lines["outcome"]) == (message, outcome)
    assert account.fault
    document = json.loads(as_json(SNAPSHOT, account, setting(SNAPSHOT)))
    assert (document["message"]["kind"], document["source"]["side"]) == (None, None)


def test_a_broken_request_has_its_fault() -> None:
    account = ask(request(cseq_method="BYE"))
    assert isinstance(account.outcome, Reply)
    assert told(account)["fault"] == "CSeq method does not match the request"
    broken = request("REGISTER", "sip:192.0.2.1", to="<nonsense>")
    assert told(ask(broken))["outcome"].startswith("answered with 400 ")


def test_a_route_that_cannot_be_read() -> None:
    account = ask(request(extra=("Route: <<",)))
    assert account.fault
    assert account.side is not None
    assert account.refusal is Refusal.BAD_REQUEST


# --------------------------------------------------------------------------------------------------------------------
# Beside the account


def test_what_was_assumed_looked_up_and_noted() -> None:
    snapshot = make_snapshot(SERVER_A, listeners=(VIP, Listener("udp", ("192.0.2.2", 5060))))
    account = ask(request(), snapshot=snapshot, arrival=1)
    beside = setting(
        snapshot,
        assumed={"source": "assumed", "call_id": "made up"},
        fingerprint=None,
        looked_up={"pbx.example.com": ("192.0.2.99:5060",), "gone.example.com": ()},
        notes=("first " * 30, "second"),
    )
    text = as_text(snapshot, account, beside)
    assert "source      198.51.100.7:40001 (assumed)\n" in text
    assert "Call-ID     call-1@phone (made up)\n" in text
    assert "listener    udp:192.0.2.2:5060\n" in text
    assert "looked up   pbx.example.com: 192.0.2.99:5060\n" in text
    assert "looked up   gone.example.com: no address\n" in text
    assert "\nsecret" not in text
    assert text.endswith("first\nnote        second")
    document = json.loads(as_json(snapshot, account, beside))
    assert document["assumed"] == ["call_id", "source"]
    assert document["secret"] == {"path": "/secret", "fingerprint": None}
    assert document["looked_up"]["gone.example.com"] == []
