"""What becomes of each of RFC 4475's 49 messages in the whole pipeline, and why?

Each datagram comes from a phone on the edge.  What passes is compared with what came by a reading of its own, which
shares no code with the one under test: every line again, in its order, but for the edits that a proxy has to make.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from dispatcher.branch import COOKIE, mac, transaction_below
from dispatcher.keyed import BRANCH
from dispatcher.outcome import Drop, DropReason, Forward, Outcome, Reply
from sip.address import tag_of
from sip.message import Message, unfold
from sip.request import read_call_id, read_cseq_number
from sip.via import parse_via
from tests.dispatcher.world import KEY, PHONE, SERVER_A, SERVER_B, Node, make_snapshot, request

FOLDER = Path(__file__).parents[1] / "torture"
MESSAGES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.dat"))}


@attrs.frozen
class Case:
    """What the RFC says of a message, and what comes of it here: passed on, a status code, or dropped."""

    section: str
    expected: int | DropReason | None
    why: str


def passes(section: str, why: str) -> Case:
    return Case(section, None, why)


TABLE = {
    # 3.1.1 valid messages
    "wsinv": passes("3.1.1.1", "legal: line folding all over, 'various mixtures of' white space, lower case, compact"),
    "intmeth": passes("3.1.1.2", "legal: unusual method, 'display names with quoted' control characters, UTF-8"),
    "esc01": passes("3.1.1.3", "'The request is syntactically valid': escapes in user parts and URI parameters"),
    "escnull": passes("3.1.1.4", "'A parser must accept this as a well-formed message': %00 is an escape like others"),
    "esc02": passes("3.1.1.5", "'syntactically valid': % in a method is no escape, so REGISTER it is not"),
    "lwsdisp": passes("3.1.1.6", "legal: no white space between display name and <"),
    "longreq": passes("3.1.1.7", "legal: 'long values in header fields' and 34 Via values under three names"),
    "dblreq": passes("3.1.1.8", "'the INVITE octets would not appear in the forwarded request'"),
    "semiuri": passes("3.1.1.9", "legal: a semicolon in the user part belongs to the user"),
    "transports": passes("3.1.1.10", "legal: 'varied and unknown transport types' below the top Via"),
    "mpart01": passes("3.1.1.11", "legal: a multipart body with binary octets"),
    "unreason": Case("3.1.1.12", DropReason.REPLY_TO_US, "legal, but its one Via is the reader's and not ours"),
    "noreason": Case("3.1.1.13", DropReason.REPLY_TO_US, "legal, but its one Via is the reader's and not ours"),
    # 3.1.2 invalid messages
    "badinv01": Case("3.1.2.1", 400, "'should respond with a 400 Bad Request': Via with extra separators"),
    "clerr": Case("3.1.2.2", 400, "'the element should respond with a 400': Content-Length larger than the datagram"),
    "ncl": Case("3.1.2.3", 400, "'should respond with an error': a negative Content-Length is no number"),
    "scalar02": Case("3.1.2.4", 400, "'should respond with a 400 Bad Request due to the CSeq error'"),
    "scalarlg": Case("3.1.2.5", DropReason.REPLY_TO_US, "'simply discard'; its one Via would have ended it anyway"),
    "quotbal": Case("3.1.2.6", 400, "'should return a 400 Bad Request error': a quote that never ends"),
    "ltgtruri": Case("3.1.2.7", 400, "'reasonable always to reject': angle brackets round the Request-URI"),
    "lwsruri": Case("3.1.2.8", 400, "'should respond with a 400': white space within the Request-URI"),
    "lwsstart": Case("3.1.2.9", 400, "'acceptable to reject'; a proxy 'must not include these extra SP characters'"),
    "trws": Case("3.1.2.10", 400, "'acceptable to reject'; a proxy 'must not include these extra SP characters'"),
    "escruri": Case("3.1.2.11", 400, "'acceptable to reject'; the headers 'must not appear' in what a proxy sends"),
    "baddate": passes("3.1.2.12", "an element 'shouldn't' reject it unless the Date was 'important to its processing'"),
    "regbadct": passes("3.1.2.13", "'could infer the angle brackets': the Contact is for the registrar to judge"),
    "badaspec": passes("3.1.2.14", "'may ignore the spaces' round the URI in To: nobody reads them in another way"),
    "baddn": Case("3.1.2.15", 400, "'reasonable always to reject'; a proxy 'must not propagate the error'"),
    "badvers": Case("3.1.2.16", 505, "'should respond to the request with a 505 Version Not Supported error'"),
    "mismatch01": Case("3.1.2.17", 400, "'will respond with a 400 Bad Request': CSeq names another method"),
    "mismatch02": Case("3.1.2.18", 400, "'a 400 Bad Request is also acceptable' where 501 is: CSeq, method unknown"),
    "bigcode": Case("3.1.2.19", DropReason.MALFORMED_REPLY, "'simply discard': a status of ten digits"),
    # 3.2 transaction layer
    "badbranch": passes("3.2.1", "'could fall back to the RFC 2543-style': to us the branch is a text like any other"),
    # 3.3 application layer
    "insuf": Case("3.3.1", 400, "'should respond with a 400 Bad Request': neither From nor To nor Call-ID"),
    "unkscm": Case("3.3.2", 416, "'will reject it with a 416 Unsupported URI Scheme'"),
    "novelsc": Case("3.3.3", 416, "'appropriate to treat it as unknown and return a 416'"),
    "unksm2": passes("3.3.4", "'Proxies should treat this message as they would any other request for this URI'"),
    "bext01": Case("3.3.5", 420, "'will respond with a 420 Bad Extension', Unsupported lists Proxy-Require's options"),
    "invut": passes("3.3.6", "the unknown body is for the endpoint, which will say 415"),
    "regaut01": passes("3.3.7", "the unknown credentials are for the registrar, which will challenge or fail them"),
    "multi01": Case("3.3.8", 400, "'would respond with a 400 Bad Request error': single fields stand twice"),
    "mcl01": Case("3.3.9", 400, "'should respond with an error': two Content-Length, no way to know the body's end"),
    "bcast": Case("3.3.10", DropReason.REPLY_FORGED, "'proxies should drop such responses'; the top Via is not ours"),
    "zeromf": Case("3.3.11", 483, "'should not forward the request and should respond 483 (Too Many Hops)'"),
    "cparam01": passes("3.3.12", "the unknown Contact parameter is for the registrar to accept"),
    "cparam02": passes("3.3.13", "the unknown URI parameter is for the registrar to accept"),
    "regescrt": passes("3.3.14", "'The register should succeed': the escaped Route is part of a Contact"),
    "sdp01": passes("3.3.15", "what the caller accepts is for the endpoint, which will say 406"),
    # 3.4 backward compatibility
    "inv2543": passes("3.4.1", "'should be accepted': neither branch nor tags nor Max-Forwards nor Content-Length"),
}


def take(datagram: bytes) -> Outcome:
    return Node(make_snapshot(SERVER_A, SERVER_B)).take(datagram, PHONE)


def test_the_table_has_each_message_of_the_rfc_once() -> None:
    assert set(TABLE) == set(MESSAGES)
    assert len(TABLE) == 49
    assert len({case.section for case in TABLE.values()}) == 49


@pytest.mark.parametrize("name", TABLE)
def test_a_message_becomes_what_the_table_says(name: str) -> None:
    outcome = take(MESSAGES[name])
    match TABLE[name].expected:
        case None:
            assert isinstance(outcome, Forward)
        case DropReason() as reason:
            assert outcome == Drop(reason)
        case status:
            assert isinstance(outcome, Reply)
            assert outcome.status == status
            assert outcome.address[0] == PHONE[0]


@pytest.mark.parametrize("name", [name for name, case in TABLE.items() if case.expected is None])
def test_our_edits_are_the_only_difference(name: str) -> None:
    outcome = take(MESSAGES[name])
    assert isinstance(outcome, Forward)
    assert differences(MESSAGES[name], outcome.payload) == []


@pytest.mark.parametrize("name", [name for name, case in TABLE.items() if isinstance(case.expected, int)])
def test_an_answer_carries_what_the_request_lets_us_copy(name: str) -> None:
    outcome = take(MESSAGES[name])
    assert isinstance(outcome, Reply)
    answer = Message.parse(outcome.payload)
    asked = fields_of(MESSAGES[name])
    for short, long in (("v", "via"), ("f", "from"), ("t", "to"), ("i", "call-id"), ("", "cseq")):
        values = [value for written, value in asked if written in (short, long)]
        got = [raw.strip() for _, raw in answer.values(long.encode())]
        if long == "via":
            assert got[0].startswith(values[0].partition(b",")[0].rstrip(b" \t"))
            assert b"received=198.51.100.7" in got[0]
        elif long == "to" and values:
            assert got[0].startswith(values[0])
        else:
            assert got == values[:1]
    assert answer.value(b"content-length") == b"0"


def test_the_answer_to_proxy_require_names_the_options() -> None:
    outcome = take(MESSAGES["bext01"])
    assert isinstance(outcome, Reply)
    assert b"\r\nUnsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis\r\n" in outcome.payload


def test_a_display_name_with_a_comma_is_refused_for_itself() -> None:
    """The file ends before its empty line, which alone would be an error."""
    outcome = take(MESSAGES["baddn"] + b"\r\n")
    assert isinstance(outcome, Reply)
    assert outcome.payload.startswith(b"SIP/2.0 400 Bad Request - Malformed address\r\n")


def test_no_line_end_has_been_lost_on_the_way_here() -> None:
    """The bodies are as long as their Content-Length says, but for the messages that are about that."""
    about_it = {"clerr", "ncl", "mcl01", "dblreq"}
    for name in set(TABLE) - about_it - {"baddn"}:
        head, blank, body = MESSAGES[name].partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*([0-9]+)", head)
        assert blank, name
        assert length is None or int(length[1]) == len(body), name
        assert head.count(b"\n") == head.count(b"\r\n"), name


# ---------------------------------------------------------------------------------------------------------------------
# The same reading twice would prove nothing: this one knows lines and no SIP.


def fields_of(datagram: bytes) -> list[tuple[str, bytes]]:
    """The header fields: name as written in lower case, value with its folds."""
    lines = re.split(rb"\r\n(?![ \t])", datagram.partition(b"\r\n\r\n")[0])[1:]
    pairs = [line.split(b":", 1) for line in lines if b":" in line]
    return [(name.decode("latin-1").strip().lower(), value.strip()) for name, value in pairs]


def on_top(method: bytes, names: list[bytes]) -> list[bytes]:
    """What we have to add, as patterns."""
    expected = [rb"Via: SIP/2\.0/UDP 192\.0\.2\.1(:5060)?;branch=z9hG4bK[0-9a-f]{16};rport;l=[0-9a-f]{8};t=0000"]
    if method in (b"INVITE", b"SUBSCRIBE", b"REFER", b"NOTIFY"):
        expected.append(rb"Record-Route: <sip:[A-Za-z0-9_-]{32}@192\.0\.2\.1(:5060)?;lr>")
    if method == b"REGISTER":
        expected += [rb"Path: <sip:[A-Za-z0-9_-]{32}@192\.0\.2\.1(:5060)?;lr>", rb"Supported: path"]
    if b"max-forwards" not in names:
        expected.append(rb"Max-Forwards: 70")
    return expected


def differences(came: bytes, left: bytes) -> list[str]:
    """What is in `left` that a proxy had no reason to change; the phone is 198.51.100.7:40001, the proxy 192.0.2.1."""
    head, _, body = came.partition(b"\r\n\r\n")
    new_head, _, new_body = left.partition(b"\r\n\r\n")
    start, *lines = re.split(rb"\r\n(?![ \t])", head)
    new_start, *new_lines = re.split(rb"\r\n(?![ \t])", new_head)
    found = []
    length = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*([0-9]+)", head)
    if new_body != (body if length is None else body[: int(length[1])]):
        found.append("the body")
    if new_start != start:
        found.append("the start line")
    names = [re.split(rb"[ \t]*:", line)[0].lower() for line in lines]
    expected = on_top(start.split(b" ")[0], names)
    added, kept = new_lines[: len(expected)], new_lines[len(expected) :]
    for pattern, line in zip(expected, added, strict=True):
        if re.fullmatch(pattern, line) is None:
            found.append(f"on top {line!r}")
    if len(kept) != len(lines):
        return [*found, f"{len(kept)} fields for {len(lines)}"]
    top_via = min(place for place, name in enumerate(names) if name in (b"via", b"v"))
    for place, (line, new_line) in enumerate(zip(lines, kept, strict=True)):
        wanted = line
        if place == top_via:
            stamped = b";rport=40001;received=198.51.100.7"
            wanted = line.replace(b";rport", stamped) if line.endswith(b";rport") else line + stamped
        elif names[place] == b"max-forwards":
            written, _, value = line.partition(b":")
            wanted = b"%b: %d" % (written, int(value) - 1)
        if new_line != wanted:
            found.append(f"{line!r} became {new_line!r}")
    return found


@pytest.mark.parametrize(
    ("what", "tamper"),
    [
        ("a line is lost", lambda left: left.replace(b"Accept: application/sdp\r\n", b"")),
        ("two lines change places", lambda left: re.sub(rb"(Accept: .*\r\n)(CSeq: .*\r\n)", rb"\2\1", left)),
        ("a name changes its case", lambda left: left.replace(b"Call-ID:", b"Call-Id:")),
        ("a blank goes", lambda left: left.replace(b"Call-ID:  ", b"Call-ID: ")),
        ("Max-Forwards stays", lambda left: left.replace(b"Max-Forwards: 69", b"Max-Forwards: 70")),
        ("the Via is not stamped", lambda left: left.replace(b";received=198.51.100.7", b"")),
        ("a Via below is touched", lambda left: left.replace(b"SCTP", b"sctp")),
        ("a line is added at the end", lambda left: left.replace(b"l: 0\r\n", b"l: 0\r\nX: y\r\n")),
        ("our Via is missing", lambda left: re.sub(rb"Via: SIP/2.0/UDP 192.*\r\n", b"", left, count=1)),
        ("octets behind the body", lambda left: left + b"\r\n"),
        ("the Request-URI changes", lambda left: left.replace(b"sip:user@example.com SIP", b"sip:u@example.com SIP")),
    ],
)
def test_the_comparison_sees(what: str, tamper: object) -> None:
    outcome = take(MESSAGES["transports"])
    assert isinstance(outcome, Forward)
    assert callable(tamper)
    assert differences(MESSAGES["transports"], tamper(outcome.payload)), what


# ---------------------------------------------------------------------------------------------------------------------
# The replies of the set, as they would come through us: with a Via of ours on top of theirs.


def our_via_for(reply: Message) -> bytes:
    """The Via that we would have put above the reply's one Via."""
    below = parse_via(unfold(reply.first[b"via"]))
    transaction = transaction_below(below, read_call_id(reply), tag_of(reply.first[b"from"]), read_cseq_number(reply))
    assert transaction is not None
    return b"SIP/2.0/UDP 192.0.2.1;branch=" + COOKIE + mac(KEY, BRANCH, transaction) + b";l=00000000"


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("name", ["unreason", "noreason"])
def test_a_reply_with_our_via_on_top_passes_byte_for_byte(name: str, *, joined: bool) -> None:
    """3.1.1.12 and 3.1.1.13: any UTF-8 in the reason phrase, and none at all."""
    came = MESSAGES[name]
    ours = b"Via: " + our_via_for(Message.parse(came))
    datagram = came.replace(b"Via: ", ours + (b", " if joined else b"\r\nVia: "), 1)
    outcome = Node(make_snapshot(SERVER_A, SERVER_B)).take(datagram, SERVER_A)
    assert isinstance(outcome, Forward)
    assert outcome.payload == came
    via = re.search(rb"Via: SIP/2.0/UDP ([0-9.]+)", came)
    assert via is not None
    assert outcome.address == (via[1].decode(), 5060)


@pytest.mark.parametrize("name", ["unreason", "noreason"])
def test_a_reply_to_what_we_have_passed_on_passes(name: str) -> None:
    start, _, rest = MESSAGES[name].partition(b"\r\n")
    node = Node(make_snapshot(SERVER_A, SERVER_B))
    forwarded, went = node.forward(request("INVITE"), PHONE)
    vias = [line for line, field in zip(forwarded.lines, forwarded.names, strict=True) if field == b"via"]
    copied = [forwarded.lines[forwarded.names.index(field)] for field in (b"from", b"call-id", b"cseq")]
    rest = b"\r\n".join(
        copied + [line for line in rest.split(b"\r\n") if not line.startswith((b"Via", b"From", b"Ca"))]
    )
    rest = rest.replace(b"CSeq: 35 INVITE\r\n", b"")
    outcome = node.take(b"\r\n".join((start, *vias, rest)), went.address)
    assert isinstance(outcome, Forward)
    assert outcome.payload == b"\r\n".join((start, vias[1], rest))
    assert outcome.address == PHONE


@pytest.mark.parametrize("name", ["bcast", "scalarlg", "bigcode"])
def test_no_via_of_ours_saves_the_other_replies(name: str) -> None:
    """3.3.10, 3.1.2.5, 3.1.2.19: a broadcast address, a CSeq and a status too large to be true."""
    came = MESSAGES[name].replace(b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK0123456789abcdef\r\nVia: ", 1)
    outcome = Node(make_snapshot(SERVER_A, SERVER_B)).take(came, SERVER_A)
    assert isinstance(outcome, Drop)
    assert outcome.reason in (DropReason.REPLY_FORGED, DropReason.MALFORMED_REPLY)
