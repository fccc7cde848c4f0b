"""Does a value fall into its members and parameters where RFC 3261 7.3.1 says, and nowhere else?"""

from __future__ import annotations

import re

import pytest

from sip.errors import SipError
from sip.lists import PARAMS, read_params, split_members, split_params


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b"", [b""]),
        (b" a", [b" a"]),
        (b"a,b , c", [b"a", b"b ", b" c"]),
        (b",,", [b"", b"", b""]),
        (b'"a,b" <sip:c,d@e>;x="f,g", <sip:h>', [b'"a,b" <sip:c,d@e>;x="f,g"', b" <sip:h>"]),
        (b'"a\\",b", c', [b'"a\\",b"', b" c"]),
        (b'"a\\\\", c', [b'"a\\\\"', b" c"]),
        (b'"<", a, ">"', [b'"<"', b" a", b' ">"']),
        (b'<sip:a"b,c>, d', [b'<sip:a"b,c>', b" d"]),
        (b"a,\r\n b", [b"a", b"\r\n b"]),
        (b"a>b,c", [b"a>b", b"c"]),
    ],
)
def test_commas_part_members_but_not_in_quotes_or_brackets(raw: bytes, members: list[bytes]) -> None:
    assert split_members(raw) == members
    assert b",".join(members) == raw


@pytest.mark.parametrize("raw", [b'"a,b', b'a,"', b"<a,b", b"a,<", b'"a\\",b', b'"a,b\\'])
def test_a_quote_or_bracket_that_never_ends_is_refused(raw: bytes) -> None:
    with pytest.raises(SipError, match="Unbalanced quote or angle bracket"):
        split_members(raw)


@pytest.mark.parametrize(
    ("raw", "pieces"),
    [
        (b"", [b""]),
        (b"a;b=c; d", [b"a", b"b=c", b" d"]),
        (b'a;b=";";c', [b"a", b'b=";"', b"c"]),
        (b'a;b="\\";";c', [b"a", b'b="\\";"', b"c"]),
        (b";;", [b"", b"", b""]),
    ],
)
def test_semicolons_part_parameters_but_not_in_quotes(raw: bytes, pieces: list[bytes]) -> None:
    assert split_params(raw) == pieces


def test_parameters_with_a_quote_that_never_ends_are_refused() -> None:
    with pytest.raises(SipError):
        split_params(b'a;b="c')


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (b"", {}),
        (b";lr", {b"lr": b""}),
        (b" ; Tag = x ;y=", {b"tag": b"x", b"y": b""}),
        (b';a="b;c=\\"d";e', {b"a": b'"b;c=\\"d"', b"e": b""}),
        (b";received=[2001:db8::1]", {b"received": b"[2001:db8::1]"}),
        (b";a=b=c", {b"a": b"b=c"}),
    ],
)
def test_parameters_have_names_in_lower_case(text: bytes, params: dict[bytes, bytes]) -> None:
    assert re.fullmatch(PARAMS, text, re.DOTALL)
    assert read_params(text) == params


@pytest.mark.parametrize(
    "text",
    [b"x", b";", b";;a", b";a;", b";=a", b';a="b', b';a="b"c', b";a=b c", b";a,b", b";a=<b>", b";a=\x00", b";a b"],
)
def test_what_is_no_parameter_list_does_not_match(text: bytes) -> None:
    assert re.fullmatch(PARAMS, text, re.DOTALL) is None


@pytest.mark.parametrize("text", [b";a=1;a=2", b";a;A", b";a=1;b;a=1"])
def test_a_parameter_that_stands_twice_is_refused(text: bytes) -> None:
    with pytest.raises(SipError, match="Repeated parameter"):
        read_params(text)
