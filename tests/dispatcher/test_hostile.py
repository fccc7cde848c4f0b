"""Can any bytes that Mallory puts together make us send to the edge?  The oracle is written anew, in hostile.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.outcome import Drop, Forward
from sip.uri import Address, host_port
from tests.dispatcher.hostile import HARVEST, HIDDEN, MALLORY, TRUNK, VICTIM, is_harmless, reachable, town
from tests.dispatcher.world import SERVER_A, SERVER_B

SOURCES: tuple[Address, ...] = (MALLORY, VICTIM, TRUNK, (MALLORY[0], 9), ("192.0.2.1", 5060), ("2001:db8:66::6", 5060))

hosts = st.sampled_from(
    (
        *(VICTIM[0], MALLORY[0], TRUNK[0], SERVER_A[0], SERVER_B[0], HIDDEN[0], "192.0.2.1", "192.0.2.2"),
        *("[2001:db8::1]", f"[::ffff:{VICTIM[0]}]", "[::1]", "example.com", "sip.example.net", "SIP.EXAMPLE.NET."),
        *(
            "victim.example.org",
            "vip.example.org",
            "hidden.example.org",
            "unknown.example.org",
            "10.0.0.11.",
            "0.0.0.0",
        ),
    )
)
ports = st.sampled_from(("", "", ":5060", ":5080", ":40001", ":0", ":65536"))
tokens = st.sampled_from([token for token, _, _ in HARVEST.tokens])
users = st.sampled_from(("", "v@", "s@", "10.0.0.11;x@", "v:p@", "%40@")) | tokens.map("{}@".format)
params = st.lists(
    st.sampled_from(("lr", "LR=on", "transport=udp", "transport=tcp", "x=%40y", "user=phone", "m%61ddr=198.51.100.7"))
    | hosts.map("maddr={}".format),
    max_size=2,
).map(lambda names: "".join(f";{name}" for name in names))
uris = st.builds(
    "{}{}{}{}{}".format, st.sampled_from(("sip:", "sips:", "SIP:")), users, hosts, ports, params
) | st.just("tel:+4930")
own_uris = st.builds(
    "sip:{}@{};lr".format, tokens, st.sampled_from(("192.0.2.1", "192.0.2.1:5060", "example.com", "[2001:db8::1]"))
)
routes = st.lists(own_uris | uris, max_size=4)
genuine = st.sampled_from([via for stack in HARVEST.stacks.values() for via in stack])
made_up_vias = st.builds(
    "SIP/2.0/UDP {}{};branch={}{}".format,
    hosts,
    ports,
    st.sampled_from(("z9hG4bK-1", "z9hG4bK-2", "z9hG4bK0123456789abcdef", "1")),
    st.lists(
        st.sampled_from((";rport", ";rport=40001", ";i=00000000", ";l=00000000", ";i=", ";received=[2001:db8::7]"))
        | hosts.map(";received={}".format)
        | hosts.map(";maddr={}".format),
        max_size=3,
    ).map("".join),
)
vias = st.lists(genuine | made_up_vias, min_size=1, max_size=4)
tags = st.sampled_from((*HARVEST.dialogs, "uas", "mallory"))
methods = st.sampled_from(("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "SUBSCRIBE", "X"))
eols = st.sampled_from(("\r\n", "\r\n", "\r\n", "\n"))


@st.composite
def heads(draw: st.DrawFn, start: str, method: str) -> bytes:
    """A message under any start line, of pieces that each mean something to us."""
    found = draw(routes)
    fields = [f"Via: {via}" for via in draw(vias)]
    if draw(st.booleans()):
        fields = ["v: " + " , ".join(field.removeprefix("Via: ") for field in fields)]
    fields += [f"Route: <{uri}>" for uri in found] if draw(st.booleans()) else ["Route: <" + ">,<".join(found) + ">"]
    fields += [
        f"Max-Forwards: {draw(st.sampled_from((70, 1, 0)))}",
        f"From: <sip:m@example.com>;tag={draw(tags)}",
        f"To: <sip:v@example.com>{draw(st.just('') | tags.map(';tag={}'.format))}",
        f"Call-ID: {draw(tags)}",
        f"CSeq: 1 {method}",
        f"Contact: <{draw(uris)}>",
        f"Record-Route: <{draw(own_uris)}>",
    ]
    if not found:
        fields = [field for field in fields if not field.startswith("Route:")]
    return draw(eols).join((start, *fields, "", "")).encode("latin-1")


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(methods)
    return draw(heads(f"{method} {draw(uris | own_uris)} SIP/2.0", method))


@settings(max_examples=1500, deadline=None)
@given(datagram=requests(), source=st.sampled_from(SOURCES), arrival=st.integers(0, 2), left=st.booleans())
def test_nothing_from_the_edge_leaves_to_the_edge(datagram: bytes, source: Address, arrival: int, left: bool) -> None:  # noqa: FBT001
    """Whether the server of the harvested calls is still in the list or has left it."""
    listed = (SERVER_B,) if left else (SERVER_A, SERVER_B)
    outcome = town(*listed).take(datagram, source, arrival)
    assert is_harmless(outcome, source, reachable(datagram, source, listed)), outcome


@settings(max_examples=400, deadline=None)
@given(datagram=heads("SIP/2.0 200 OK", "INVITE"), source=st.sampled_from(SOURCES), arrival=st.integers(0, 2))
def test_a_reply_of_the_edge_goes_where_its_request_came_from(datagram: bytes, source: Address, arrival: int) -> None:
    """A request of that very transaction, under that very branch."""
    outcome = town().take(datagram, source, arrival)
    assert isinstance(outcome, Forward | Drop)
    if isinstance(outcome, Forward):
        own = [name for name, (via, _) in HARVEST.stacks.items() if via.encode() in datagram]
        assert outcome.address in [HARVEST.came_from[name] for name in own]


@pytest.mark.parametrize("name", HARVEST.stacks)
def test_the_generator_can_make_replies_that_pass(name: str) -> None:
    own, below = HARVEST.stacks[name]
    datagram = (
        f"SIP/2.0 200 OK\r\nVia: {own}, {below}\r\nFrom: <sip:m@example.com>;tag={name}\r\nTo: <sip:v@example.com>\r\n"
        f"Call-ID: {name}\r\nCSeq: 1 INVITE\r\n\r\n"
    )
    assert town().forward(datagram.encode(), MALLORY)[1].address == HARVEST.came_from[name]


def test_the_oracle_knows_who_may_be_reached() -> None:
    (token,) = {user for user, core, edge in HARVEST.tokens if (core, edge) == (HIDDEN, MALLORY)}
    assert reachable(b"", MALLORY, (SERVER_B,)) == {SERVER_B}
    assert reachable(token.encode(), VICTIM, (SERVER_B,)) == {SERVER_B, HIDDEN}
    own = next(user for user, core, edge in HARVEST.tokens if (core, edge) == (SERVER_A, MALLORY))
    assert reachable(own.encode(), MALLORY, (SERVER_B,)) == {SERVER_A, SERVER_B}
    assert reachable(own.encode(), VICTIM, (SERVER_B,)) == {SERVER_B}
    assert not is_harmless(Forward(b"", VICTIM, 0), MALLORY, frozenset((SERVER_B,)))
    assert host_port(VICTIM) not in host_port(MALLORY)
