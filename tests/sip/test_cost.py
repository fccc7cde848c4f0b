"""Does what a text costs grow with its length only, whatever it is made of?

Nasty texts of 8 KiB and of 64 KiB, the largest there are, go through each function that reads raw bytes.  Time is not
asserted, but for one hard bound: a pattern that tries a run of 64 KiB again from each of its positions takes half a
minute for one text, all texts of one test a second.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest

from sip.address import parse_name_addr, tag_of
from sip.edit import stamp_via, without_first_member
from sip.errors import SipError
from sip.lists import split_members, split_params
from sip.message import Message, unfold
from sip.reply import compose_reply, lenient_via, salvage
from sip.request import read_request, read_uri
from sip.routes import route_uris
from sip.uri import parse_uri
from sip.via import parse_via, vias
from tests.sip.samples import datagram

SIZES = (8_192, 65_536)
ALARM_SECONDS = 25

REPEATED = [
    *(
        b" ",
        b"\t",
        b";",
        b",",
        b'"',
        b"<",
        b">",
        b"\\",
        b"=",
        b":",
        b"/",
        b".",
        b"-",
        b"@",
        b"[",
        b"%",
        b"a",
        b"0",
        b"\xff",
    ),
    *(b"\r\n ", b"\n ", b" \r\n ", b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"\x00", b"\\\x00"),
    *(
        b" ;",
        b"; ",
        b" ,",
        b", ",
        b'"",',
        b'";',
        b'\\"',
        b'"\\',
        b"<,",
        b"<>",
        b"<>,",
        b"a.",
        b"a-",
        b";a",
        b";a=",
        b";a=b",
    ),
    *(b';a="', b';a="b"', b";rport", b";received", b" = ", b": ", b"a:", b"a@", b"%41", b"SIP/2.0/UDP a,", b"<sip:a>,"),
    *(b";tag", b";tag=", b" tag ", b"/ ", b"SIP/", b";branch=", b"\n;", b"1 "),
]
STARTS = [b"", b"a", b"<", b'"', b"<sip:a", b"sip:a@b", b"SIP/2.0/UDP a", b"<sip:a>;tag="]
ENDS = [b"!", b"\r\n x"]


@contextmanager
def alarm(seconds: float = ALARM_SECONDS) -> Iterator[None]:
    """Fail from within: a pattern that hangs checks for signals."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def quietly(call: Callable[[], object]) -> None:
    with suppress(SipError):
        call()


def readers(text: bytes) -> list[Callable[[], object]]:
    """Everything that is given bytes of a peer."""
    via = b"Via: " + text
    return [
        lambda: unfold(text),
        lambda: split_members(text),
        lambda: split_params(text),
        lambda: parse_name_addr(text),
        lambda: parse_name_addr(text).tag,
        lambda: tag_of(text),
        lambda: parse_uri(text),
        lambda: read_uri(text),
        lambda: parse_via(text),
        lambda: lenient_via(text),
        lambda: stamp_via(via, received="192.0.2.9", rport=7),
    ]


@pytest.mark.parametrize("repeated", REPEATED, ids=repr)
def test_no_text_is_read_over_and_over(repeated: bytes) -> None:
    with alarm():
        for size in SIZES:
            for start in STARTS:
                for end in ENDS:
                    text = (start + repeated * (size // len(repeated)))[:size] + end
                    for read in readers(text):
                        quietly(read)


def handlings(written: bytes) -> list[Callable[[], object]]:
    """Everything that is given a whole datagram."""

    def pass_on() -> None:
        message = Message.parse(written)
        read_request(message)
        vias(message)
        route_uris(message)
        without_first_member(message, b"via")
        compose_reply(message, 400, "Bad Request", via_line=b"Via: x", to_tag=b"x")

    def save() -> None:
        found = salvage(written)
        if found is not None:
            compose_reply(found[0], 400, "Bad Request", via_line=b"Via: x", to_tag=b"x")

    return [lambda: Message.parse(written).to_bytes(), pass_on, save]


@pytest.mark.parametrize("repeated", REPEATED, ids=repr)
def test_no_datagram_is_read_over_and_over(repeated: bytes) -> None:
    with alarm():
        for size in SIZES:
            filler = repeated * (size // len(repeated))
            room = filler[: size - 1_000]
            for name in (b"Via", b"From", b"Call-ID", b"CSeq", b"Route", b"Max-Forwards", b"Content-Length"):
                for handle in handlings(datagram(extra=(name + b": " + room,))):
                    quietly(handle)
                for handle in handlings(datagram(change={name: b"<" + room[:16_000] + b"!\r\n x"})):
                    quietly(handle)
            for written in (filler, datagram(room), datagram(b"INVITE " + room), datagram() + room, room + datagram()):
                for handle in handlings(written):
                    quietly(handle)


def test_many_fields_of_many_values_are_bounded_together() -> None:
    """Not one long field but as many as there is room for."""
    with alarm():
        for value in (b"<sip:a;lr>," * 40, b"SIP/2.0/UDP a;branch=x," * 20, b" " * 250, b'"' * 250, b";tag=1" * 40):
            for name in (b"Route", b"Via", b"Record-Route", b"From"):
                for handle in handlings(datagram(extra=(name + b": " + value,) * 200)):
                    quietly(handle)


def test_the_alarm_rings_for_a_pattern_that_tries_all_ways() -> None:
    """The test could fail: this is the pattern that a naive address grammar has."""
    naive = re.compile(rb"<[ \t]*([^<>]*?)[ \t]*>")
    with pytest.raises(TimeoutError), alarm(seconds=0.2):
        naive.fullmatch(b"<" + b" " * 16_384 + b"x")
