"""Does another parser find the same in a message as ours?

It is sipmessage, written by others, sharing no code with us.  It knows no folds, bare LF and blanks round slashes,
undoes escapes where RFC 4475 3.1.1.5 says that there are none, and is right about quotes only when a field has one pair
and no semicolon in them.  So the messages here have none of these; all else of a well-formed message is drawn.
"""

from __future__ import annotations

from urllib.parse import unquote

import sipmessage
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.address import parse_name_addr
from sip.lists import split_members
from sip.message import Message
from sip.reply import compose_reply
from sip.request import read_request
from sip.routes import route_uris
from sip.uri import SipUri, parse_host, parse_uri
from sip.via import parse_via, vias

TOKEN = st.text("aZ09-.!*_+`'~", min_size=1, max_size=4)
HOSTS = st.sampled_from(["a", "a.example.com", "A-1.b", "192.0.2.1", "[2001:db8::1]", "[2001:DB8:0::2]", "[::1]"])
PORTS = st.sampled_from(["", ":1", ":5060", ":65535"])
USERS = st.sampled_from(
    ["", "8006@", "+49-30@", "a%40b@", "a;b=c,d?e/f@", "a:p@", "a:b&=+$,%20@", "-_.!~*'()&=+$,;?/@"]
)
URI_PARAMS = st.sampled_from(["", ";lr", ";user=phone", ";transport=tcp;x"])
URIS = st.builds("{}:{}{}{}{}".format, st.sampled_from(["sip", "sips"]), USERS, HOSTS, PORTS, URI_PARAMS)
UNQUOTED = st.sampled_from(["", "Alice ", "a-1 b~2 % "])
NAMES = UNQUOTED | st.sampled_from(['"a, <b>;tag=\\"c" ', '"\\\\" ', '"J\u00fcrgen"'])
PARAMS = st.sampled_from(["", ";x", ";x=y", ";x=[::1]"])
PLAIN = st.builds("{}<{}>".format, UNQUOTED, URIS)
ADDRESSES = st.builds("{}<{}>".format, NAMES, URIS)
VIAS = st.builds(
    "SIP/2.0/{} {}{};branch=z9hG4bK{}{}".format,
    st.sampled_from(["UDP", "TCP", "TLS"]),
    HOSTS,
    PORTS,
    TOKEN,
    st.sampled_from(["", ";rport", ";rport=7;received=192.0.2.9", ";x=a;ttl=1", ";l=0123abcd"]),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["INVITE", "REGISTER", "X-1~"]))
    values = draw(st.lists(VIAS, min_size=1, max_size=3))
    lines = [
        f"{method} {draw(URIS)} SIP/2.0",
        *([f"Via: {', '.join(values)}"] if draw(st.booleans()) else [f"v: {value}" for value in values]),
        f"{draw(st.sampled_from(['From', 'f', 'FROM']))}: {draw(ADDRESSES)};tag={draw(TOKEN)}{draw(PARAMS)}",
        f"To: {draw(ADDRESSES)}{draw(PARAMS)}{draw(st.just('') | TOKEN.map(';tag={}'.format))}",
        f"Call-ID: {draw(TOKEN)}@a",
        f"CSeq: {draw(st.integers(0, 2**31 - 1))} {method}",
        f"Max-Forwards: {draw(st.integers(0, 255))}",
        *(
            f"Route: {', '.join(group)}"
            for group in draw(st.lists(st.lists(PLAIN, min_size=1, max_size=2), max_size=2))
        ),
        f"Contact: {draw(ADDRESSES)}{draw(PARAMS)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + draw(st.binary(max_size=10))


def same(uri: SipUri, theirs: sipmessage.URI) -> bool:
    """Whether a URI means the same: they undo the escapes of user and password and leave the host as it was written."""
    ours = [None if text is None else unquote(text.decode()) for text in (uri.user, uri.password)]
    return (uri.scheme, *ours, uri.host, uri.port, [name for name, _ in uri.params]) == (
        theirs.scheme, theirs.user, theirs.password or (uri.password and ""), parse_host(theirs.host.encode()),
        theirs.port, [name.lower() for name in theirs.parameters],
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(messages())
def test_another_parser_finds_the_same(written: bytes) -> None:
    ours = read_request(Message.parse(written))
    theirs = sipmessage.Message.parse(written)
    assert isinstance(theirs, sipmessage.Request)
    assert ours.message.method.decode() == theirs.method
    assert ours.uri is not None
    assert same(ours.uri, theirs.uri)
    assert ours.message.body == theirs.body
    stack = [parse_via(text) for text in vias(ours.message)]
    assert len(stack) == len(theirs.via)
    for via, other in zip(stack, theirs.via, strict=True):
        assert (via.transport, via.host, via.port) == (other.transport, parse_host(other.host.encode()), other.port)
        assert via.branch.decode() == other.parameters.get("branch")
        assert via.received == other.parameters.get("received")
        assert (via.rport is None) == ("rport" not in other.parameters)
        assert (via.rport or b"").decode() == (other.parameters.get("rport") or "")
    assert ours.call_id.decode() == theirs.call_id
    assert ours.from_tag.decode() == theirs.from_address.parameters["tag"]
    assert ours.to_tag.decode() == theirs.to_address.parameters.get("tag", "")
    assert (ours.cseq, ours.message.method.decode()) == (theirs.cseq.sequence, theirs.cseq.method)
    assert ours.max_forwards == theirs.max_forwards
    routes = route_uris(ours.message)
    assert len(routes) == len(theirs.route)
    assert all(same(parse_uri(uri), other.uri) for uri, other in zip(routes, theirs.route, strict=True))
    for name, address in ((b"from", theirs.from_address), (b"to", theirs.to_address), (b"contact", theirs.contact[0])):
        (member,) = split_members(ours.message.value(name) or b"")
        assert same(parse_uri(parse_name_addr(member).uri), address.uri)


@settings(max_examples=100, deadline=None)
@given(messages())
def test_they_find_our_answer_whole(written: bytes) -> None:
    """And what we have read out of the request in it."""
    ours = read_request(Message.parse(written))
    via_line = ours.message.lines[ours.message.names.index(b"via")]
    answer = compose_reply(ours.message, 483, "Too Many Hops", via_line=via_line, to_tag=b"ours")
    theirs = sipmessage.Message.parse(answer)
    assert isinstance(theirs, sipmessage.Response)
    assert (theirs.code, theirs.phrase, theirs.body, theirs.content_length) == (483, "Too Many Hops", b"", 0)
    assert [other.host for other in theirs.via] == [other.host for other in sipmessage.Message.parse(written).via]
    assert theirs.call_id == ours.call_id.decode()
    assert theirs.from_address.parameters["tag"] == ours.from_tag.decode()
    assert theirs.to_address.parameters["tag"] == (ours.to_tag or b"ours").decode()
    assert theirs.cseq.sequence == ours.cseq
