"""Is an answer of ours well-formed and for the asker, even when the request was neither (RFC 3261 8.2.6)?"""

from __future__ import annotations

import pytest

from sip.limits import MAX_HEADER_FIELDS
from sip.message import Message
from sip.reply import REASONS, compose_reply, lenient_via, phrase, salvage
from sip.via import Via
from tests.sip.samples import FIELDS, START, datagram

VIA_LINE = b"Via: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport=40001;received=198.51.100.7"


def composed(written: bytes, **changes: object) -> bytes:
    arguments = {"status": 400, "reason": "Bad Request", "via_line": VIA_LINE, "to_tag": b"ours", **changes}
    return compose_reply(Message.parse(written), **arguments)  # type: ignore[arg-type]


def test_an_answer_copies_five_fields_and_ends() -> None:
    below = (b"Via: SIP/2.0/UDP below", b"X: y", b"v: SIP/2.0/UDP last", b"Contact: <sip:a@b>")
    assert composed(datagram(extra=below, body=b"body")) == b"\r\n".join(
        (
            b"SIP/2.0 400 Bad Request",
            VIA_LINE,
            b"From: " + FIELDS[b"From"],
            b"To: <sip:8006@192.0.2.1>;tag=ours",
            b"Call-ID: call-1@phone",
            b"CSeq: 1 INVITE",
            b"Via: SIP/2.0/UDP below",
            b"v: SIP/2.0/UDP last",
            b"Content-Length: 0",
            b"",
            b"",
        )
    )


def test_fields_of_ours_come_last() -> None:
    answer = composed(datagram(), status=503, reason="Service Unavailable", fields=[b"Retry-After: 5"])
    assert answer.startswith(b"SIP/2.0 503 Service Unavailable\r\n")
    assert answer.endswith(b"\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("to", "answered"),
    [
        (b"<sip:a@b>", b"<sip:a@b>;tag=ours"),
        (b"sip:a@b", b"sip:a@b;tag=ours"),
        (b"<sip:a@b> \t", b"<sip:a@b>;tag=ours"),
        (b"<sip:a@b>;x=y", b"<sip:a@b>;x=y;tag=ours"),
        (b"<sip:a@b;tag=uri>", b"<sip:a@b;tag=uri>;tag=ours"),
        (b'"x>;tag=no" <sip:a@b>', b'"x>;tag=no" <sip:a@b>;tag=ours'),
        (b"<sip:a@b>;tag=theirs", b"<sip:a@b>;tag=theirs"),
        (b"sip:a@b;TAG=theirs", b"sip:a@b;TAG=theirs"),
        (b"<sip:a@b> ; Tag = theirs", b"<sip:a@b> ; Tag = theirs"),
        (b"<sip:a@b>;tag=1;tag=2", b"<sip:a@b>;tag=1;tag=2"),
        (b'"never ends <sip:a@b>;tag=theirs', b'"never ends <sip:a@b>;tag=theirs'),
        (b'"never ends <sip:a@b;tag=uri>', b'"never ends <sip:a@b;tag=uri>;tag=ours'),
        (b"", b";tag=ours"),
    ],
)
def test_to_gets_a_tag_when_it_has_none(to: bytes, answered: bytes) -> None:
    assert (b"\r\nTo: " + answered + b"\r\n") in composed(datagram(change={b"To": to})).replace(b"To:;", b"To: ;")


def test_no_tag_of_ours_leaves_to_alone() -> None:
    assert b"\r\nTo: <sip:8006@192.0.2.1>\r\n" in composed(datagram(), to_tag=b"")


def test_what_the_request_lacks_the_answer_lacks() -> None:
    answer = composed(b"INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n")
    assert answer == b"SIP/2.0 400 Bad Request\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"


def test_an_answer_is_in_the_words_of_rfc_3261() -> None:
    assert phrase(483) == "Too Many Hops"
    assert [phrase(status) for status in (401, 599, 699, 399)] == [
        "Request Failure", "Server Failure", "Global Failure", "Failure",
    ]  # fmt: skip
    assert all(phrase(status) == reason for status, reason in REASONS.items())


# ---------------------------------------------------------------------------------------------------------------------
# No header injection


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_every_line_end_of_an_answer_is_ours(eol: bytes) -> None:
    """A folded field is copied in one line: its reader may not know that LF alone ends one."""
    folded = {
        b"From": b"<sip:a@b>" + eol + b" ;tag=1",
        b"To": eol + b"\t<sip:c@d>",
        b"Call-ID": eol + b" x",
        b"CSeq": b"1" + eol + b" INVITE",
    }
    via = VIA_LINE + b"," + eol + b" SIP/2.0/UDP below"
    answer = composed(datagram(change=dict(folded), eol=eol), via_line=via)
    head = answer.removesuffix(b"\r\n\r\n")
    assert answer.count(b"\r") == answer.count(b"\n") == answer.count(b"\r\n")
    assert head.split(b"\r\n") == [
        b"SIP/2.0 400 Bad Request",
        VIA_LINE + b", SIP/2.0/UDP below",
        b"From: <sip:a@b> ;tag=1",
        b"To: <sip:c@d>;tag=ours",
        b"Call-ID: x",
        b"CSeq: 1 INVITE",
        b"Content-Length: 0",
    ]


def test_lines_with_their_own_carriage_return_are_copied_without() -> None:
    mixed = datagram(eol=b"\n", change={b"To": b"<sip:a@b>\r", b"From": b"<sip:c@d>;tag=1\r"})
    answer = composed(mixed, via_line=VIA_LINE + b"\r")
    assert b"\r\nTo: <sip:a@b>;tag=ours\r\nCall-ID" in answer
    assert b"\r\r" not in answer


@pytest.mark.parametrize("reason", ["a\r\nX: y", "a\nX", "a\x00b", "ä", "忙", "\x7f"])
def test_a_reason_is_printable_ascii(reason: str) -> None:
    start = composed(datagram(), reason=reason).split(b"\r\n", 1)[0]
    assert start.startswith(b"SIP/2.0 400 ")
    assert all(32 <= byte < 127 for byte in start)
    assert b"?" in start


ODD = [bytes((code,)) for code in range(256)] + [b"\r\n", b"\r\n ", b"\n\t", b"\xc2\x85", b"\xe2\x80\xa8"]


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_odd_bytes_do_not_become_header_fields_of_an_answer(name: bytes) -> None:
    """The request, whole or broken, never brings its bytes into another place of our answer than its own field."""
    for odd in ODD:
        found = salvage(datagram(change={name: FIELDS[name] + odd + b"Injected: yes"}))
        assert found is not None, odd
        answer = compose_reply(found[0], 400, "Bad Request", via_line=found[0].lines[0], to_tag=b"ours")
        lines = answer.removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert len(lines) == 7, odd
        assert not any(line.startswith((b"Injected", b" ", b"\t")) for line in lines), odd
        assert not any(byte < 32 and byte != 9 for byte in b"".join(lines)), odd


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be parsed is answered too


@pytest.mark.parametrize(
    "written",
    [
        datagram(b"INVITE  sip:a  SIP/2.0"),
        datagram(b"INVITE sip:a; lr SIP/2.0"),
        datagram(b"INVITE nonsense"),
        datagram(extra=(b"a line without its colon",)),
        datagram(extra=(b"Via",)),
        datagram(extra=(b": no name", b"(odd): name")),
        datagram(extra=(b"X: a\rb",)),
        datagram(extra=(b"X: \x00",)),
        datagram()[:-2],
        datagram()[:-4],
        b"\r\n\r\n" + datagram(),
        datagram(eol=b"\n"),
        datagram(b"ACKNOWLEDGE sip:a SIP/2.0"),
    ],
)
def test_the_readable_fields_of_a_broken_request_are_saved(written: bytes) -> None:
    found = salvage(written)
    assert found is not None
    message, via = found
    assert via == Via("UDP", "198.51.100.7", 40001, b"z9hG4bK-1", None, b"")
    assert message.lines == [name + b": " + value for name, value in FIELDS.items() if name != b"Max-Forwards"]


def test_a_field_that_stands_twice_is_saved_once_but_for_via() -> None:
    again = (b"From: <sip:x@y>", b"f: <sip:x@y>", b"Via: below", b"Call-ID: other")
    found = salvage(datagram(extra=again))
    assert found is not None
    assert found[0].lines == [
        name + b": " + value for name, value in FIELDS.items() if name != b"Max-Forwards"
    ] + [b"Via: below"]  # fmt: skip


def test_folds_are_undone_and_control_bytes_blanked() -> None:
    found = salvage(datagram(change={b"To": b"<sip:a@b>\r\n\t;x=\x01y\x7f\x0b\tz", b"Call-ID": b"a\rb\r\n c"}))
    assert found is not None
    saved = dict(zip(found[0].names, found[0].lines, strict=True))
    assert saved[b"to"] == b"To: <sip:a@b>  ;x= y  \tz"
    assert saved[b"call-id"] == b"Call-ID: a b  c"
    assert found[0].first[b"call-id"] == b" a b  c"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\r\n\r\n",
        b"hello",
        datagram(b"hello"),
        datagram(b"SIP/2.0 2000 x"),
        datagram(b"sip/2.0 2000 x"),
        datagram(b" SIP/2.0 200 OK"),
        datagram(b"SIP/2.0\t200 OK"),
        datagram(b"ACK  sip:a SIP/2.0"),
        datagram(b"ACK\tsip:a SIP/2.0"),
        datagram(b" ACK sip:a SIP/2.0"),
        datagram(b"CANCEL sip:a; lr SIP/2.0"),
        datagram(change={b"Via": None}),
        datagram(change={b"Via": b""}),
        datagram(change={b"Via": b"x"}),
        datagram(change={b"Via": b"x"}, extra=(b"Via: SIP/2.0/UDP a",)),
        datagram(change={b"Via": None}, extra=(b"Via",)),
    ],
)
def test_replies_ack_cancel_and_what_has_no_via_are_never_answered(written: bytes) -> None:
    assert salvage(written) is None


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_nothing_is_saved_from_a_body(eol: bytes) -> None:
    broken = datagram(
        b"INVITE nonsense", change={b"To": None}, eol=eol, body=b"To: <sip:evil@x>" + eol + b"Via: evil" + eol
    )
    found = salvage(broken)
    assert found is not None
    assert found[0].names == [b"via", b"from", b"call-id", b"cseq"]
    assert salvage(datagram(change={b"Via": None}, eol=eol, body=b"Via: SIP/2.0/UDP evil")) is None


def test_only_so_many_lines_are_looked_at() -> None:
    filler = (b"x",) * (MAX_HEADER_FIELDS - 1)
    via = b"Via: SIP/2.0/UDP a"
    assert salvage(b"\r\n".join((START, *filler, via, b"", b""))) is not None
    assert salvage(b"\r\n".join((START, *filler, b"x", via, b"", b""))) is None


@pytest.mark.parametrize(
    ("text", "via"),
    [
        (b"SIP/2.0/UDP a;branch=x;rport", Via("UDP", "a", None, b"x", None, b"")),
        (b"SIP/2.0/UDP a:5062;branch=x, garbage;;", Via("UDP", "a", 5062, b"x")),
        (b"SIP/2.0/UDP a:1;;", Via("UDP", "a", 1, b"")),
        (b"SIP/2.0/UDP a:65535;;", Via("UDP", "a", 65535, b"")),
        (b"SIP/2.0/UDP 192.0.2.15;;,;,,", Via("UDP", "192.0.2.15", None, b"")),
        (b"SIP/7.0/UDP c.Example.com;branch=x", Via("UDP", "c.example.com", None, b"x")),
        (
            b"sip / 2.0 / udp  [2001:DB8::1] : 5 ; Branch = x ; RPort = 5",
            Via("UDP", "2001:db8::1", 5, b"x", None, b"5"),
        ),
        (b'SIP/2.0/UDP a;x="never ends;rport;branch=x', Via("UDP", "a", None, b"x", None, b"")),
        (b'SIP/2.0/UDP a;x="never ends, SIP/2.0/UDP b;rport', Via("UDP", "a", None, b"", None, b"")),
        (b"SIP/2.0/UDP a;branch=x;branch=y", Via("UDP", "a", None, b"x")),
        (b"SIP/2.0/UDP a;rport=99999", Via("UDP", "a", None, b"", None, b"")),
        (b"SIP/2.0/UDP a;rportx", Via("UDP", "a", None, b"")),
        (b"SIP/2.0/UDP a b;rport", Via("UDP", "a", None, b"", None, b"")),
    ],
)
def test_a_broken_via_still_says_where_the_answer_goes(text: bytes, via: Via) -> None:
    assert lenient_via(text) == via


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SIP/2.0/UDP",
        b"SIP/2.0/UDP ;x",
        b"SIP/2.0/UDP a:0",
        b"SIP/2.0/UDP a:65536;;",
        b"SIP/2.0/UDP [1::2::3]",
        b"HTTP/1.1 a",
        b", SIP/2.0/UDP a",
    ],
)
def test_a_via_without_an_address_is_none(text: bytes) -> None:
    assert lenient_via(text) is None
