"""Does nothing from the edge ever leave to the edge, in whatever disguise it comes?"""

from __future__ import annotations

import re

import attrs
import pytest

from dispatcher.outcome import Drop, DropReason, Forward, Refusal, Reply
from sip.message import Message
from sip.uri import Address, host_port
from tests.dispatcher.hostile import (
    HARVEST,
    HIDDEN,
    MALLORY,
    TRUNK,
    VICTIM,
    is_harmless,
    reachable,
    town,
    user_of,
)
from tests.dispatcher.world import SERVER_A, SERVER_B, reply_to, request, with_vias

V = host_port(VICTIM)
LISTED = (SERVER_A, SERVER_B)
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "MESSAGE", "NOTIFY")

URIS = {
    "the victim": f"sip:v@{V}",
    "the victim by sips": f"sips:v@{V}",
    "the victim by another transport": f"sip:v@{V};transport=tcp",
    "the victim in capitals": f"SIP:V@{V};LR;TRANSPORT=UDP",
    "a name of the victim": "sip:v@victim.example.org",
    "a name of the victim in capitals": "sip:v@VICTIM.EXAMPLE.ORG.:40001",
    "a number with a final dot": "sip:v@10.0.0.11.",
    "a listed server, but maddr": f"sip:v@10.0.0.11;maddr={VICTIM[0]}",
    "ourselves, but maddr": f"sip:v@192.0.2.1;maddr={VICTIM[0]}",
    "one of our domains, but maddr": "sip:v@example.com;maddr=victim.example.org",
    "maddr with escaped letters": f"sip:v@192.0.2.1;m%61ddr={VICTIM[0]}",
    "a listed server as the user": f"sip:10.0.0.11@{V}",
    "a listed server as the password": f"sip:v:10.0.0.11@{V}",
    "a listed server before a semicolon": f"sip:10.0.0.11;lr@{V}",
    "an escaped at sign": f"sip:10.0.0.11%40{V}@{V}",
    "an at sign among the parameters": f"sip:10.0.0.11;x=@{V}",
    "IPv4 in IPv6": f"sip:v@[::ffff:{VICTIM[0]}]:40001",
    "IPv4 in IPv6, in hexadecimal": "sip:v@[::ffff:c633:6407]:40001",
    "IPv4 in an old kind of IPv6": f"sip:v@[::{VICTIM[0]}]:40001",
    "IPv6": "sip:v@[2001:db8:7::9]",
    "a zone": "sip:v@[fe80::1%25eth0]",
    "a server as one number": "sip:v@167772171",
    "a server in octal": "sip:v@012.0.0.013",
    "port 0": f"sip:v@{VICTIM[0]}:0",
    "a port out of range": f"sip:v@{VICTIM[0]}:105060",
    "our other listener": "sip:v@192.0.2.2:5080",
    "our other listener by its name": "sip:v@Sip.Example.NET",
    "our listener of the other family": "sip:v@[2001:db8::1]",
    "a port of ours that nobody listens on": "sip:v@192.0.2.1:40001",
    "a telephone number at the victim": f"tel:+4930;phone-context={V}",
    "a core address that is not listed": f"sip:v@{host_port(HIDDEN)}",
    "a name of a core address that is not listed": "sip:v@hidden.example.org",
    "the trunk": f"sip:v@{host_port(TRUNK)}",
}

ROUTES = {
    "none": (),
    "the victim": (f"<sip:{V};lr>",),
    "the victim, strict": (f"<sip:{V}>",),
    "us, then the victim": ("<sip:192.0.2.1;lr>", f"<sip:{V};lr>"),
    "us twice in one line": (f"<sip:192.0.2.1;lr>, <sip:example.com;lr>, <sip:{V};lr>",),
    "us, but maddr": (f"<sip:192.0.2.1;maddr={VICTIM[0]};lr>",),
    "a server, but maddr": (f"<sip:10.0.0.11;maddr={VICTIM[0]};lr>",),
    "a name of the victim": ("<sip:victim.example.org;lr>",),
    "a name of ours": ("<sip:vip.example.org;lr>", f"<sip:{V};lr>"),
    "the victim behind a quoted comma": (f'"a,<sip:192.0.2.1;lr>" <sip:{V};lr>',),
    "the victim in IPv6": (f"<sip:[::ffff:{VICTIM[0]}];lr>",),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("uri", URIS)
def test_no_request_of_the_edge_leaves_to_the_edge(uri: str, route: str) -> None:
    here = town()
    extra = tuple(f"Route: {value}" for value in ROUTES[route])
    for method in METHODS:
        for arrival in range(2):
            outcome = here.take(request(method, URIS[uri], extra=extra), MALLORY, arrival)
            assert is_harmless(outcome, MALLORY, frozenset(LISTED)), (method, outcome)


def test_the_same_requests_of_the_core_do_leave() -> None:
    """The disguises are real: the core, which may go anywhere, reaches the victim with them."""
    here = town()
    uris = {name for name, uri in URIS.items() if reaches_victim(here.take(request(uri=uri), SERVER_A))}
    routes = {
        name
        for name, values in ROUTES.items()
        if reaches_victim(
            here.take(request(uri="sip:v@203.0.113.1", extra=tuple(f"Route: {value}" for value in values)), SERVER_A)
        )
    }
    assert len(uris) >= 11, uris
    assert len(routes) >= 7, routes


def reaches_victim(outcome: object) -> bool:
    return isinstance(outcome, Forward) and VICTIM[0] in outcome.address[0]


# Tokens

TOKENS = {name: user_of(dialog.record_routes[0]) for name, dialog in HARVEST.dialogs.items()}
PATHS = {name: user_of(path) for name, path in HARVEST.paths.items()}
TAGS = (*HARVEST.dialogs, "uas", "register-victim", "")


@pytest.mark.parametrize("token", [*TOKENS.values(), *PATHS.values()], ids=[*TOKENS, "path", "own path"])
@pytest.mark.parametrize(
    "uri", ["the victim", "a listed server, but maddr", "ourselves, but maddr", "a name of the victim"]
)
@pytest.mark.parametrize("from_tag", TAGS)
def test_no_token_opens_the_way_to_the_edge(token: str, uri: str, from_tag: str) -> None:
    """Stolen, replayed, with the tag of either end, a Path token, one of a call that Mallory is in himself."""
    here = town()
    routes = (
        (f"<sip:{token}@192.0.2.1:5060;lr>",),
        (f"<sip:{token}@192.0.2.1:5060;lr>", f"<sip:{V};lr>"),
        (f"<sip:{token}@192.0.2.1:5060;lr>", f"<sip:{V}>"),
        (f"<sip:{token}@sip.example.net;lr>", f"<sip:{token}@192.0.2.1;lr>", f"<sip:{V};lr>"),
        (f"<sip:{token}@192.0.2.1;maddr={VICTIM[0]};lr>",),
        (f"<sip:{token}:x@example.com;lr>",),
    )
    for route in routes:
        for method in ("INVITE", "BYE", "ACK"):
            extra = tuple(f"Route: {value}" for value in route)
            datagram = request(method, URIS[uri], extra=extra, from_tag=from_tag, to_tag="x")
            outcome = here.take(datagram, MALLORY)
            assert is_harmless(outcome, MALLORY, reachable(datagram, MALLORY, LISTED)), outcome


@pytest.mark.parametrize("last", [f"sip:v@{V}", "sip:v@victim.example.org", f"sip:v@10.0.0.11;maddr={VICTIM[0]}"])
def test_no_strict_router_opens_the_way_to_the_edge(last: str) -> None:
    here = town()
    for token, _, _ in HARVEST.tokens:
        for tag in TAGS:
            datagram = request("BYE", f"sip:{token}@192.0.2.1:5060;lr", extra=(f"Route: <{last}>",), from_tag=tag)
            outcome = here.take(datagram, MALLORY)
            assert is_harmless(outcome, MALLORY, reachable(datagram, MALLORY, LISTED)), outcome


def test_the_other_direction_is_refused_as_what_it_is() -> None:
    here = town()
    for dialog in HARVEST.dialogs.values():
        toward_edge = dialog.from_callee if dialog.callee[0].startswith("10.") else dialog.from_caller
        assert here.refusal(toward_edge(), MALLORY) == (403, Refusal.EDGE_TO_EDGE)
        assert here.drop(toward_edge("ACK"), MALLORY) is DropReason.EDGE_TO_EDGE
    for path in HARVEST.paths.values():
        datagram = request(extra=(f"Route: {path}",))
        assert here.refusal(datagram, MALLORY) == (403, Refusal.EDGE_TO_EDGE)
        assert here.refusal(datagram, VICTIM) == (403, Refusal.EDGE_TO_EDGE)


def test_a_stolen_token_makes_no_token_for_mallory() -> None:
    """What a stolen token hands on, in Record-Route or Path, still points to its own ends."""
    here = town()
    victim = HARVEST.dialogs["victim"]
    message, _ = here.forward(victim.from_caller("INVITE"), MALLORY)
    (own,) = (raw.decode() for _, raw in message.values(b"record-route"))
    assert own.strip() == victim.record_routes[0]
    datagram = victim.from_caller("REGISTER")
    message, _ = here.forward(datagram, MALLORY)
    route = "Route:" + message.first[b"path"].decode()
    assert here.forward(request(uri=f"sip:v@{V}", extra=(route,)), SERVER_A)[1].address == VICTIM


def test_a_token_that_was_changed_counts_as_none() -> None:
    here = town()
    for token in TOKENS.values():
        for changed in (token[:-1] + "!", token[:-2], token + "AAAA", token.swapcase(), "A" * 32, token[::-1]):
            outcome = here.take(
                request(uri=URIS["the victim"], extra=(f"Route: <sip:{changed}@192.0.2.1;lr>",)), MALLORY
            )
            assert isinstance(outcome, Forward)
            assert outcome.address in LISTED


# What we answer


@pytest.mark.parametrize(
    "via",
    [
        f"{V};received={VICTIM[0]};rport={VICTIM[1]}",
        f"{VICTIM[0]};maddr={VICTIM[0]}",
        f"{V};rport",
        "victim.example.org",
        f"[::ffff:{VICTIM[0]}];received={VICTIM[0]}",
        f"{MALLORY[0]};received={VICTIM[0]}",
        f"{V};i=00000000;l=00000000",
    ],
)
def test_our_answers_go_to_their_source_whatever_its_via_says(via: str) -> None:
    here = town()
    sent_by, _, params = via.partition(";")
    asking = {"via": sent_by, "via_params": f";{params}" if params else ""}
    datagrams = (
        request(max_forwards=0, **asking),  # type: ignore[arg-type]
        request("OPTIONS", "sip:192.0.2.1", **asking),  # type: ignore[arg-type]
        request(**asking).replace(b"CSeq: 1", b"CSeq: x"),  # type: ignore[arg-type]
        request(uri="http:x", **asking),  # type: ignore[arg-type]
    )
    for datagram in datagrams:
        outcome = here.take(datagram, MALLORY)
        assert isinstance(outcome, Reply)
        assert outcome.address[0] == MALLORY[0]


# Replies

STACKS = HARVEST.stacks


def reply(name: str, *vias: str) -> bytes:
    return with_vias(reply_to(Message.parse(request(call_id=name, from_tag=name))), *vias)


@pytest.mark.parametrize("name", STACKS)
def test_a_genuine_branch_leads_back_to_its_request_and_nowhere_else(name: str) -> None:
    here = town()
    own, below = STACKS[name]
    assert here.forward(reply(name, own, below), MALLORY)[1].address == HARVEST.came_from[name]
    bare = re.sub(";(received|rport)=[^;]*", "", below)
    forged = [
        f"{bare};received={TRUNK[0]}",
        f"{bare};received={TRUNK[0]};rport={TRUNK[1]}",
        f"{bare};rport={TRUNK[1] + 1}",
        f"{below};received={TRUNK[0]}",
        f"{below};rport=9",
        bare.replace(bare.split()[1].partition(";")[0], host_port(TRUNK)),
        f"SIP/2.0/UDP {host_port(TRUNK)};branch=z9hG4bK-1",
        f"SIP/2.0/UDP {host_port(TRUNK)};branch=z9hG4bK-1;rport={TRUNK[1]};received={TRUNK[0]}",
        *(other[1] for other_name, other in STACKS.items() if other_name != name),
    ]
    for via in forged:
        for vias in ((own, via), (own, via, below), (f"{own}, {via}", below)):
            outcome = here.take(reply(name, *vias), MALLORY)
            assert isinstance(outcome, Drop), (vias, outcome)
    shifted = here.take(reply(name, own, f"{below};maddr={TRUNK[0]}"), MALLORY)
    assert isinstance(shifted, Drop) or getattr(shifted, "address", None) == HARVEST.came_from[name]


def test_a_genuine_branch_counts_in_its_own_transaction_only() -> None:
    here = town()
    for name, vias in STACKS.items():
        for other in STACKS:
            outcome = here.take(reply(other, *vias), MALLORY)
            assert isinstance(outcome, Forward) is (other == name)


def test_two_genuine_branches_on_top_of_each_other_lead_nowhere() -> None:
    here = town()
    for name, (own, below) in STACKS.items():
        for other_own, other_below in STACKS.values():
            for vias in ((own, own, below), (own, other_own, other_below), (own, other_own, below)):
                assert here.drop(reply(name, *vias), MALLORY) is DropReason.REPLY_FORGED


# Who is who


@pytest.mark.parametrize(
    "source",
    [("10.0.0.13", 5060), ("10.0.1.11", 5060), ("::ffff:10.0.0.11", 5060), ("192.0.2.1", 5060), ("192.0.2.2", 5080)],
)
def test_nobody_is_of_the_core_because_he_looks_like_it(source: Address) -> None:
    arrival = 2 if ":" in source[0] else 0
    outcome = town().take(request(uri=URIS["the victim"]), source, arrival)
    assert isinstance(outcome, Forward)
    assert outcome.address in LISTED


def test_a_server_that_has_left_the_list_is_of_the_edge() -> None:
    here = town(SERVER_B)
    outcome = here.take(request(uri=URIS["the victim"]), SERVER_A)
    assert isinstance(outcome, Forward)
    assert outcome.address == SERVER_B
    for dialog in HARVEST.dialogs.values():
        toward_edge = dialog.from_callee if dialog.callee == SERVER_A else dialog.from_caller
        outcome = here.take(toward_edge(uri=URIS["the trunk"]), SERVER_A)
        edge = dialog.caller if dialog.callee == SERVER_A else dialog.callee
        assert isinstance(outcome, Reply) if SERVER_A not in (dialog.caller, dialog.callee) else outcome.address == edge  # type: ignore[union-attr]


def test_a_request_that_we_have_sent_to_ourselves_is_of_the_edge() -> None:
    """A phone that claims our own address as its source gets no further than any other."""
    here = town()
    spoofed = attrs.evolve(HARVEST.dialogs["victim"], caller=("192.0.2.1", 5060))
    outcome = here.take(spoofed.from_callee(), ("192.0.2.1", 5060))
    assert isinstance(outcome, Reply)
