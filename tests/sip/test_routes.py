"""Are the Route members found, kept and pushed as RFC 3261 16.4 and 16.6 step 6 ask?"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message
from sip.routes import keep_routes, push_last, route_uris
from tests.sip.samples import datagram

ROUTES = (b'Route: "p, 1" <sip:1;lr>, <sip:2;lr>;x=","', b"X: y", b"ROUTE :\r\n <sip:3;lr>", b"Route: sip:4")


def message(*extra: bytes, eol: bytes = b"\r\n") -> Message:
    return Message.parse(datagram(extra=extra, eol=eol))


def edited(from_: Message, edits: dict[int, bytes | None]) -> list[bytes]:
    """The lines after the six of the plain request, with the edits made."""
    lines = [edits.get(place, line) for place, line in enumerate(from_.lines)]
    return [line for line in lines[6:] if line is not None]


def test_routes_are_told_from_the_top() -> None:
    assert route_uris(message(*ROUTES)) == [b"sip:1;lr", b"sip:2;lr", b"sip:3;lr", b"sip:4"]
    assert route_uris(message()) == []


@pytest.mark.parametrize(
    "value", [b"", b"<sip:1>,", b",<sip:1>", b"<sip:1>,,<sip:2>", b"<sip:1", b"<sip:1> <sip:2>", b'"<sip:1>', b"x"]
)
def test_a_malformed_route_is_refused(value: bytes) -> None:
    with pytest.raises(SipError):
        route_uris(message(b"Route: " + value))


@pytest.mark.parametrize(
    ("start", "stop", "left"),
    [
        (0, 4, [ROUTES[0], ROUTES[1], ROUTES[2], ROUTES[3]]),
        (1, 4, [b'Route: <sip:2;lr>;x=","', ROUTES[1], ROUTES[2], ROUTES[3]]),
        (2, 4, [ROUTES[1], ROUTES[2], ROUTES[3]]),
        (3, 4, [ROUTES[1], ROUTES[3]]),
        (4, 4, [ROUTES[1]]),
        (0, 3, [ROUTES[0], ROUTES[1], ROUTES[2]]),
        (0, 1, [b'Route: "p, 1" <sip:1;lr>', ROUTES[1]]),
        (1, 2, [b'Route: <sip:2;lr>;x=","', ROUTES[1]]),
    ],
)
def test_only_some_members_are_kept_and_no_other_line_is_touched(start: int, stop: int, left: list[bytes]) -> None:
    whole = message(*ROUTES)
    assert edited(whole, keep_routes(whole, start, stop)) == left


def test_a_field_that_keeps_all_its_members_is_not_edited() -> None:
    assert keep_routes(message(*ROUTES), 0, 4) == {}


def test_a_fold_before_the_first_member_kept_goes() -> None:
    whole = message(b"Route: <sip:1>,\r\n <sip:2>,\r\n <sip:3>")
    assert edited(whole, keep_routes(whole, 1, 3)) == [b"Route: <sip:2>,\r\n <sip:3>"]


def test_a_strict_router_gets_the_request_uri_as_last_route() -> None:
    whole = message(*ROUTES)
    edits = push_last(whole, 1, 4, b"sip:8006@192.0.2.1;x")
    assert edited(whole, edits) == [
        b'Route: <sip:2;lr>;x=",", <sip:3;lr>, sip:4, <sip:8006@192.0.2.1;x>',
        ROUTES[1],
    ]


@pytest.mark.parametrize(
    ("edits", "left"),
    [
        (lambda whole: keep_routes(whole, 0, 1), b"Route: <sip:1>\r"),
        (lambda whole: keep_routes(whole, 1, 2), b"Route: <sip:2>\r"),
        (lambda whole: push_last(whole, 1, 2, b"sip:u"), b"Route: <sip:2>, <sip:u>\r"),
    ],
)
def test_a_line_that_carries_its_own_carriage_return_keeps_it(edits: object, left: bytes) -> None:
    whole = message(b"Route: <sip:1>, <sip:2>\r", b"X: y", eol=b"\n")
    assert callable(edits)
    assert edited(whole, edits(whole)) == [left, b"X: y"]
