"""What holds for any bytes and for any message that can be written?"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sip.address import tag_of
from sip.edit import stamp_via, without_first_member
from sip.errors import SipError
from sip.lists import split_members, split_params
from sip.message import Message, unfold
from sip.reply import compose_reply, salvage
from sip.request import read_request
from sip.routes import keep_routes, route_uris
from sip.uri import host_port, parse_uri
from sip.via import Via, parse_via, reply_address, vias
from tests.sip.generated import EOLS, addresses, forms, headers, messages, uris, via_values
from tests.sip.samples import datagram

LINES = datagram(extra=(b"Route: <sip:a;lr>, <sip:b>", b"l: 0")).split(b"\r\n")
MARKS = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\x00",
    b"\\",
    b'"',
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b":",
    b"%",
    b"\xc3\xbc",
]
PIECES = st.sampled_from(MARKS + LINES)
ANY = st.binary(max_size=80) | st.lists(PIECES, max_size=40).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """A message with a few of its bytes replaced, inserted or cut."""
    written = draw(originals)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(written)))
        written = written[:at] + draw(PIECES | st.binary(max_size=3)) + written[at + draw(st.integers(0, 5)) :]
    return written


@settings(max_examples=200, deadline=None)
@given(messages())
def test_an_unedited_message_leaves_byte_for_byte_as_it_came(written: bytes) -> None:
    """And is read whole: the generator writes what RFC 3261 allows, so nothing legal is refused."""
    message = Message.parse(written)
    assert message.to_bytes() == written
    if message.method:
        read_request(message)
        route_uris(message)
    assert [parse_via(text) for text in vias(message)]


@settings(max_examples=300, deadline=None)
@given(ANY | mutated(messages()), st.sampled_from([b"", b"\r\n", b"\n\n", b"\r\n\r\n"]))
@example(b"", b"")
def test_whatever_is_taken_for_a_message_leaves_byte_for_byte(written: bytes, before: bytes) -> None:
    try:
        message = Message.parse(before + written)
    except SipError:
        return
    assert message.to_bytes() == (before + written).lstrip(b"\r\n")
    assert len(message.names) == len(message.lines)
    assert set(message.first) == set(message.names)
    assert message.repeated == {name for name in message.names if message.names.count(name) > 1}
    assert bool(message.method) != bool(message.status)


@settings(max_examples=300, deadline=None)
@given(ANY | mutated(messages()))
def test_only_sip_errors_come_of_any_bytes(written: bytes) -> None:
    found = salvage(written)
    if found is not None:
        answer = Message.parse(compose_reply(found[0], 400, "Bad Request", via_line=found[0].lines[0], to_tag=b"x"))
        assert answer.status == 400
        assert set(answer.names) <= {b"via", b"from", b"to", b"call-id", b"cseq", b"content-length"}
    try:
        message = read_request(Message.parse(written)).message
        stack = [parse_via(text) for text in vias(message)]
        route_uris(message)
    except SipError:
        return
    for via in stack:
        where = reply_address(via)
        assert where is None or 0 < where[1] < 65536


@settings(max_examples=100, deadline=None)
@given(st.lists(addresses, min_size=1, max_size=4), st.sampled_from([",", " , ", ",\r\n ", "\t,"]))
def test_members_come_apart_as_they_were_joined(members: list[str], comma: str) -> None:
    raw = comma.join(members).encode()
    assert [unfold(member).decode() for member in split_members(raw)] == members
    assert b",".join(split_members(raw)) == raw


@given(ANY)
def test_pieces_joined_are_what_was_split(raw: bytes) -> None:
    for split, mark in ((split_members, b","), (split_params, b";")):
        try:
            pieces = split(raw)
        except SipError:
            continue
        assert mark.join(pieces) == raw


@settings(max_examples=100, deadline=None)
@given(st.lists(via_values(), min_size=1, max_size=4), st.booleans(), st.sampled_from(EOLS), st.integers(1, 65535))
def test_a_stamp_changes_what_it_says_and_a_pop_takes_the_top(
    values: list[str],
    joined: bool,  # noqa: FBT001
    eol: str,
    port: int,
) -> None:
    lines = ["Via: " + ", ".join(values)] if joined else ["Via: " + value for value in values]
    message = Message.parse(eol.join(("SIP/2.0 200 OK", "X: y", *lines, "", "")).encode())
    before = [parse_via(text) for text in vias(message)]
    place, popped = without_first_member(message, b"via")
    assert place == 1
    for received, rport in (("192.0.2.9", port), ("2001:db8::9", None), (None, None)):
        stamped = list(message.lines)
        stamped[1] = stamp_via(stamped[1], received=received, rport=rport)
        message_now = Message.parse(eol.encode().join((message.start, *stamped, b"", b"")))
        top, *below = [parse_via(text) for text in vias(message_now)]
        assert below == before[1:]
        assert top == Via(
            before[0].transport, before[0].host, before[0].port, before[0].branch, received,
            before[0].rport if rport is None else b"%d" % rport, before[0].left,
            before[0].arrival,
        )  # fmt: skip
    kept = [line for line in (message.lines[0], popped, *message.lines[2:]) if line is not None]
    message_now = Message.parse(eol.encode().join((message.start, *kept, b"", b"")))
    assert [parse_via(text) for text in vias(message_now)] == before[1:]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(uris, min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_the_routes_kept_are_those_asked_for(groups: list[list[str]], data: st.DataObject) -> None:
    extra = tuple(b"Route: " + ", ".join(f'"a, <b>" <{uri}>' for uri in group).encode() for group in groups)
    message = Message.parse(datagram(extra=extra))
    every = route_uris(message)
    assert every == [uri.encode() for group in groups for uri in group]
    start = data.draw(st.integers(0, len(every)))
    stop = data.draw(st.integers(start, len(every)))
    edits = keep_routes(message, start, stop)
    lines = [edits.get(place, line) for place, line in enumerate(message.lines)]
    left = Message.parse(b"\r\n".join((message.start, *(line for line in lines if line is not None), b"", b"")))
    assert route_uris(left) == every[start:stop]


@settings(max_examples=100, deadline=None)
@given(addresses, st.sampled_from(["", ";tag=a-1", ";x;TAG = b2", ' ; x="a;tag=c" ; tag=d']))
def test_the_tag_is_found_in_any_address(address: str, params: str) -> None:
    bare = address if ">" in address.rpartition('"')[2] else f"<{address}>"
    expected = {"": b"", ";tag=a-1": b"a-1", ";x;TAG = b2": b"b2"}.get(params, b"d")
    assert tag_of(f" {bare}{params}".encode()) == expected


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_written_is_the_address_read(host: object, port: int) -> None:
    text = str(host).split("%")[0]
    uri = parse_uri(b"sip:" + host_port((text, port)).encode())
    assert (uri.host, uri.port) == (uri.numeric_host, port)
    assert parse_uri(b"sip:" + host_port((uri.host, port)).encode()) == uri
    via = parse_via(b"SIP/2.0/UDP " + host_port((text, port)).encode())
    assert reply_address(via) == (uri.host, port)


@settings(max_examples=100, deadline=None)
@given(st.lists(headers(), max_size=8), st.sampled_from(EOLS))
def test_a_field_is_found_by_its_name_however_it_is_folded(written: list[tuple[str, str]], eol: str) -> None:
    lines = [f"{name}: {value}".replace("\r\n", eol) for name, value in written]
    message = Message.parse(eol.join(("OPTIONS sip:a SIP/2.0", *lines, "", "")).encode())
    assert len(message.lines) == len(lines)
    for name, _ in written:
        assert name.lower().encode() in message.first


def test_the_generator_writes_what_it_promises() -> None:
    """Folds, LF, compact names, joined values and replies all come up; else the properties above say little."""
    seen = set()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(messages())
    def look(written: bytes) -> None:
        message = Message.parse(written)
        seen.add("reply" if message.status else "request")
        seen.add("LF" if message.eol == b"\n" else "CRLF")
        seen.update(forms(written))

    look()
    assert seen == {"reply", "request", "CRLF", "LF", "fold", "joined", "compact"}
