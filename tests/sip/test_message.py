"""Is a datagram cut into start line, fields and body as RFC 3261 7 says, and does it leave as it came?"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message, unfold
from tests.sip.samples import datagram

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\n\r\nnot\x00the end"


def test_a_request_has_method_uri_and_version() -> None:
    message = Message.parse(datagram(body=SDP))
    assert (message.method, message.uri, message.version, message.status) == (
        b"INVITE", b"sip:8006@192.0.2.1", b"SIP/2.0", 0,
    )  # fmt: skip
    assert message.names == [b"via", b"max-forwards", b"from", b"to", b"call-id", b"cseq"]
    assert message.lines[1] == b"Max-Forwards: 70"
    assert message.body == SDP


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"SIP/2.0 200 OK", 200),
        (b"SIP/2.0 100 ", 100),
        (b"SIP/2.0 486", 486),
        (b"sip/2.0 699 x", 699),
        ("SIP/2.0 603 Занято 忙".encode(), 603),
        (b"SIP/2.0 404 \xff\xfe\x80", 404),
        (b"SIP/2.0 200  two blanks", 200),
    ],
)
def test_a_reply_has_a_status_and_any_phrase(start: bytes, status: int) -> None:
    message = Message.parse(datagram(start))
    assert (message.method, message.uri, message.version, message.status) == (b"", b"", b"", status)
    assert message.to_bytes() == datagram(start)


@pytest.mark.parametrize(
    "written",
    [
        datagram(),
        datagram(body=SDP),
        datagram(eol=b"\n"),
        datagram(eol=b"\n", body=SDP),
        datagram(extra=(b"Subject: a\r\n b\r\n\tc", b"X:")),
        datagram(eol=b"\n", extra=(b"Subject: a\n b\n\tc",)),
        datagram(eol=b"\n", extra=(b"Subject: a\r\n b", b"X: y\r")),
        datagram().replace(b"\r\n\r\n", b"\r\n\n") + b"body",
        datagram(eol=b"\n")[:-1] + b"\r\nbody",
        datagram(extra=(b"X: \xff\xfe\xc3\xbc",)),
        b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n",
        b"OPTIONS sip:192.0.2.1 SIP/2.0\n\n",
    ],
)
def test_an_unedited_message_leaves_byte_for_byte_as_it_came(written: bytes) -> None:
    assert Message.parse(written).to_bytes() == written


@pytest.mark.parametrize("first", [b"\r\n", b"\r\n\r\n", b"\n\n\n", b"\r\n\r\n\r\n\r\n", b"\r"])
@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_line_ends_before_the_start_line_are_skipped(first: bytes, eol: bytes) -> None:
    """RFC 3261 7.5."""
    written = datagram(b"~ sip:a SIP/2.0", extra=(b"Subject: a" + eol + b" b",), eol=eol)
    message = Message.parse(first + written)
    assert message.to_bytes() == written
    assert (message.method, message.eol, message.lines[-1]) == (b"~", eol, b"Subject: a" + eol + b" b")


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_a_field_goes_on_in_lines_that_begin_with_white_space(eol: bytes) -> None:
    """RFC 3261 7.3.1."""
    folded = b"Subject: I know you're there," + eol + b"      pick up" + eol + b"\t \tthe phone   " + eol + b" "
    message = Message.parse(datagram(extra=(folded, b"X: y"), eol=eol))
    assert message.lines[-2:] == [folded, b"X: y"]
    assert message.value(b"subject") == b"I know you're there, pick up the phone"
    assert message.eol == eol


@pytest.mark.parametrize("blank", [b" ", b"\t"])
@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_a_blank_or_a_tab_makes_a_fold(blank: bytes, eol: bytes) -> None:
    message = Message.parse(datagram(extra=(b"Subject: a" + eol + blank + b"b: c",), eol=eol))
    assert message.value(b"subject") == b"a b: c"


def test_lines_of_a_mixed_message_keep_their_own_carriage_return() -> None:
    message = Message.parse(b"OPTIONS sip:a SIP/2.0\r\nFrom: x\r\nTo: y\nVia: z\r\n\r\nbody")
    assert message.eol == b"\n"
    assert message.method == b"OPTIONS"
    assert message.lines == [b"From: x\r", b"To: y", b"Via: z\r"]
    assert [message.value(name) for name in (b"from", b"to", b"via")] == [b"x", b"y", b"z"]
    assert (message.blank, message.body) == (b"\r\n", b"body")


def test_a_mixed_reply_is_read_too() -> None:
    assert Message.parse(b"SIP/2.0 200 OK\r\nFrom: x\n\n").status == 200


def test_the_first_field_of_a_name_is_told_and_which_names_stand_again() -> None:
    message = Message.parse(datagram(extra=(b"v: below", b"VIA: last", b"f: <sip:b>")))
    assert message.value(b"via") == b"SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport"
    assert message.repeated == {b"via", b"from"}
    assert [raw for _, raw in message.values(b"via")][1:] == [b" below", b" last"]
    assert [place for place, _ in message.values(b"via")] == [0, 6, 7]
    assert message.value(b"subject") is None
    assert list(message.values(b"subject")) == []
    assert Message.parse(datagram()).repeated == frozenset()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"", "No empty line after the header fields"),
        (b"\r\n\r\n", "No empty line after the header fields"),
        (b"\r\n\r\nx", "No empty line after the header fields"),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n", "No empty line after the header fields"),
        (b"OPTIONS sip:a SIP/2.0", "No empty line after the header fields"),
        (b"hello\r\n\r\n", "Malformed start line"),
        (b" OPTIONS sip:a SIP/2.0\r\n\r\n", "Malformed start line"),
        (b"OPTIONS  sip:a SIP/2.0\r\n\r\n", "Malformed start line"),
        (b"OPTIONS sip:a  SIP/2.0\r\n\r\n", "Malformed start line"),
        (b"OPTIONS sip:a SIP/2.0 \r\n\r\n", "Malformed start line"),
        (b"OPTIONS\tsip:a\tSIP/2.0\r\n\r\n", "Malformed start line"),
        (b"OPTIONS sip:a HTTP/1.1\r\n\r\n", "Malformed start line"),
        (b"OPT(IONS sip:a SIP/2.0\r\n\r\n", "Malformed start line"),
        (b"SIP/2.0 99 x\r\n\r\n", "Malformed start line"),
        (b"SIP/2.0 700 x\r\n\r\n", "Malformed start line"),
        (b"SIP/2.0 2000 x\r\n\r\n", "Malformed start line"),
        (b"SIP/3.0 200 x\r\n\r\n", "Malformed start line"),
        (b"OPTIONS sip:a SIP/2.0\r\n x\r\n\r\n", "White space before the first header field"),
        (b"OPTIONS sip:a SIP/2.0\n\tx\n\n", "White space before the first header field"),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: a\rb\r\n\r\n", "Carriage return within a line"),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: a\r\r\n\r\n", "Carriage return within a line"),
        (b"OPTIONS sip:a SIP/2.0\r\rVia: a\r\n\r\n", "Carriage return within a line"),
        (b"OPTIONS sip:a SIP/2.0\r\nVia\r\n\r\n", "Header field without a colon"),
        (b"OPTIONS sip:a SIP/2.0\r\nnothing\r\n\r\n", "Header field without a colon"),
        (b"OPTIONS sip:a SIP/2.0\r\n: x\r\n\r\n", "Malformed header field name"),
        (b"OPTIONS sip:a SIP/2.0\r\nVia\x00: x\r\n\r\n", "NUL in a header field"),
        (b"\r\n\r\nOPTIONS sip:a SIP/2.0\r\nX: \x00\r\n\r\n", "NUL in a header field"),
        (b"OPTIONS sip:a\x00b SIP/2.0\n\n", "NUL in a header field"),
    ],
)
def test_what_is_no_message_is_refused(wrong: bytes, reason: str) -> None:
    with pytest.raises(SipError) as caught:
        Message.parse(wrong)
    assert caught.value.reason == reason


def test_a_null_may_stand_in_a_quoted_pair_and_in_a_body() -> None:
    """RFC 4475 3.1.1.2; the body is nobody's business."""
    written = datagram(change={b"From": b'"a\\\x00b" <sip:a@b>;tag=1'}, body=b"\x00")
    assert Message.parse(written).to_bytes() == written


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b" x ", b"x"),
        (b"\t x\t", b"x"),
        (b" a \r\n \t b", b"a b"),
        (b" a\n b\r", b"a b"),
        (b"~\n ~\r\n ~", b"~ ~ ~"),
        (b"\r\n x", b"x"),
        (b"a\r\n \r\n b", b"a  b"),
        (b"", b""),
        (b"\x0bx\x0c", b"\x0bx\x0c"),
    ],
)
def test_a_fold_is_one_blank(raw: bytes, value: bytes) -> None:
    assert unfold(raw) == value
