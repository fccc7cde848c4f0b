"""A stream falls into the same messages however it is cut, and nobody can make it hold more than one message."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.errors import SipError
from sip.limits import MAX_MESSAGE_BYTES
from sip.stream import Framer


def message(body: bytes = b"", *, length: bytes | None = None, field: bytes = b"Content-Length") -> bytes:
    digits = b"%d" % len(body) if length is None else length
    return b"SIP/2.0 200 OK\r\nCall-ID: a\r\n" + field + b": " + digits + b"\r\n\r\n" + body


def framed(*pieces: bytes) -> tuple[list[bytes], Framer]:
    framer = Framer()
    found = []
    for piece in pieces:
        framer.receive_data(piece)
        while (whole := framer.next_message()) is not None:
            found.append(whole)
    return found, framer


def test_several_messages_in_one_piece() -> None:
    found, framer = framed(message(b"one") + message() + message(b"three", field=b"l"))
    assert found == [message(b"one"), message(), message(b"three", field=b"l")]
    assert not framer.holds_a_part


def test_keepalives_between_messages_are_dropped() -> None:
    found, framer = framed(b"\r\n\r\n", message() + b"\r\n", b"\r", b"\n" + message())
    assert found == [message(), message()]
    framer.receive_data(b"\r\n\r\n")
    assert framer.next_message() is None
    assert not framer.holds_a_part


def test_without_a_length_there_is_no_body() -> None:
    bare = b"SIP/2.0 200 OK\r\nCall-ID: a\r\n\r\n"
    assert framed(bare + message())[0] == [bare, message()]


def test_bare_line_feeds_end_a_head_too() -> None:
    data = b"SIP/2.0 200 OK\nl: 2\n\nab"
    assert framed(data + message())[0] == [data, message()]


def test_a_message_that_is_not_whole_is_waited_for() -> None:
    data = message(b"body")
    found, framer = framed(data[:-1])
    assert found == []
    assert framer.holds_a_part
    framer.receive_data(data[-1:])
    assert framer.next_message() == data
    assert not framer.holds_a_part


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4), st.lists(st.integers(0, 400), max_size=8))
def test_however_a_stream_is_cut_it_has_the_same_messages(bodies: list[bytes], cuts: list[int]) -> None:
    messages = [message(body) for body in bodies]
    stream = b"\r\n\r\n".join(messages)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert framed(*pieces)[0] == messages


@pytest.mark.parametrize(
    "data",
    [
        message(length=b"-1"),
        message(length=b"two"),
        message(length=b"9" * 11),
        message(length=b"%d" % MAX_MESSAGE_BYTES),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"x" * MAX_MESSAGE_BYTES,
    ],
)
def test_what_cannot_be_cut_ends_the_stream(data: bytes) -> None:
    with pytest.raises(SipError):
        framed(data)


def test_the_longest_message_passes_and_one_byte_more_does_not() -> None:
    room = MAX_MESSAGE_BYTES - len(message(length=b"65000"))
    assert framed(message(b"x" * room))[0] == [message(b"x" * room)]
    with pytest.raises(SipError):
        framed(message(b"x" * (room + 1)))
