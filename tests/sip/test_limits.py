"""Does each limit against abuse let pass what reaches it, and refuse what goes one further?"""

from __future__ import annotations

import pytest

from sip import limits
from sip.errors import SipError
from sip.lists import split_members, split_params
from sip.message import Message
from sip.routes import route_uris
from sip.via import vias
from tests.sip.samples import FIELDS, datagram, parsed


def refusal(written: bytes) -> tuple[str, int]:
    with pytest.raises(SipError) as caught:
        Message.parse(written)
    return caught.value.reason, caught.value.status


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_a_message_may_fill_a_datagram(eol: bytes) -> None:
    """64 KiB: no shell reads more at once."""
    written = datagram(eol=eol)
    written += b"x" * (limits.MAX_MESSAGE_BYTES - len(written))
    assert Message.parse(written).to_bytes() == written
    assert refusal(written + b"x") == ("Message Too Large", 513)


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_as_many_fields_as_the_limit_says(eol: bytes) -> None:
    most = (b"X: y",) * (limits.MAX_HEADER_FIELDS - len(FIELDS))
    assert len(Message.parse(datagram(extra=most, eol=eol)).lines) == limits.MAX_HEADER_FIELDS
    assert refusal(datagram(extra=(*most, b"X: y"), eol=eol)) == ("Too many header fields", 400)


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_as_many_lines_as_the_limit_says(eol: bytes) -> None:
    folds = eol.join([b"X: y", *[b" z"] * (limits.MAX_HEADER_LINES - len(FIELDS) - 2)])
    assert Message.parse(datagram(extra=(folds,), eol=eol)).lines[-1] == folds
    assert refusal(datagram(extra=(folds + eol + b" z",), eol=eol)) == ("Too many header lines", 400)


@pytest.mark.parametrize("fold", [b"", b"\r\n "])
def test_a_field_as_long_as_the_limit_says(fold: bytes) -> None:
    field = b"X: y" + fold
    field += b"z" * (limits.MAX_FIELD_BYTES - len(field))
    assert Message.parse(datagram(extra=(field,))).lines[-1] == field
    assert refusal(datagram(extra=(field + b"z",))) == ("Header field too long", 400)


def test_a_start_line_as_long_as_the_limit_says() -> None:
    user = b"a" * (limits.MAX_FIELD_BYTES - len(b"INVITE sip:@b SIP/2.0"))
    start = b"INVITE sip:" + user + b"@b SIP/2.0"
    assert len(start) == limits.MAX_FIELD_BYTES
    assert parsed(start=start).uri is not None
    assert refusal(datagram(start.replace(b"@", b"a@"))) == ("Request-URI Too Long", 414)


@pytest.mark.parametrize("joined", [False, True])
def test_as_many_via_values_as_the_limit_says(*, joined: bool) -> None:
    def stack(count: int) -> Message:
        value = b"SIP/2.0/UDP a;branch=x"
        if joined:
            return Message.parse(datagram(change={b"Via": b", ".join([value] * count)}))
        return Message.parse(datagram(change={b"Via": value}, extra=(b"Via: " + value,) * (count - 1)))

    assert len(vias(stack(limits.MAX_VIAS))) == limits.MAX_VIAS
    with pytest.raises(SipError, match="Too many Via values"):
        vias(stack(limits.MAX_VIAS + 1))


def test_as_many_routes_as_the_limit_says() -> None:
    def routes(count: int) -> Message:
        return Message.parse(datagram(extra=(b"Route: " + b", ".join([b"<sip:a;lr>"] * count),)))

    assert len(route_uris(routes(limits.MAX_ROUTES))) == limits.MAX_ROUTES
    with pytest.raises(SipError, match="Too many Route values"):
        route_uris(routes(limits.MAX_ROUTES + 1))


@pytest.mark.parametrize("filler", [b"a", b'"a"'])
def test_as_many_members_and_parameters_as_the_limit_says(filler: bytes) -> None:
    for split, mark in ((split_members, b","), (split_params, b";")):
        most = mark.join([filler] * limits.MAX_MEMBERS)
        assert split(most) == [filler] * limits.MAX_MEMBERS
        with pytest.raises(SipError, match="Too many values in a header field"):
            split(most + mark)


def test_the_largest_sequence_number() -> None:
    """RFC 3261 8.1.1.5."""
    assert parsed(change={b"CSeq": b"%d INVITE" % limits.MAX_CSEQ}).cseq == 2**31 - 1
    with pytest.raises(SipError, match="CSeq number too large"):
        parsed(change={b"CSeq": b"%d INVITE" % (limits.MAX_CSEQ + 1)})


def test_the_largest_max_forwards() -> None:
    """RFC 3261 20.22."""
    assert parsed(change={b"Max-Forwards": b"255"}).max_forwards == limits.MAX_MAX_FORWARDS
    with pytest.raises(SipError, match="Malformed Max-Forwards"):
        parsed(change={b"Max-Forwards": b"256"})


def test_the_digits_of_a_length() -> None:
    for name in (b"Content-Length", b"Max-Forwards"):
        most = b"0" * limits.MAX_LENGTH_DIGITS
        parsed(change={b"Max-Forwards": None}, extra=(name + b": " + most,))
        with pytest.raises(SipError, match=f"Malformed {name.decode()}"):
            parsed(change={b"Max-Forwards": None}, extra=(name + b": 0" + most,))
