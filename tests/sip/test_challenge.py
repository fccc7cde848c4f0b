"""A Digest challenge is read as RFC 3261 and RFC 8760 write it, and in the order of the server's preference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.challenge import Challenge, parse_challenge, quoted, read_challenges
from sip.errors import SipError
from sip.message import Message


def test_a_full_challenge() -> None:
    text = (
        b'Digest realm="biloxi.com", qop="auth,auth-int", nonce="dcd98b", opaque="5ccc", stale=FALSE, algorithm=SHA-256'
    )
    assert parse_challenge(text) == Challenge(
        realm=b"biloxi.com", nonce=b"dcd98b", opaque=b"5ccc", algorithm=b"SHA-256", qop=(b"auth", b"auth-int")
    )


def test_a_short_challenge_is_md5_without_qop() -> None:
    assert parse_challenge(b'digest  nonce="n" ,realm=r') == Challenge(realm=b"r", nonce=b"n")


def test_commas_quotes_and_escapes_within_quotes() -> None:
    assert parse_challenge(rb'Digest realm="a, \"b\" \\ c", nonce=""').realm == rb'a, "b" \ c'


def test_names_in_any_case_and_empty_members() -> None:
    found = parse_challenge(b'Digest REALM="r",, Nonce="n", QOP=" Auth ,, auth-int",')
    assert (found.realm, found.nonce, found.qop) == (b"r", b"n", (b"auth", b"auth-int"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Digest",
        b'Basic realm="r", nonce="n"',
        b'Digest realm="r"',
        b'Digest nonce="n"',
        b'Digest realm="r", nonce="n", realm="s"',
        b'Digest realm="r", nonce="n", opaque',
        b'Digest realm="r", nonce="n',
        b'Digest realm="r" nonce="n"',
    ],
)
def test_what_is_no_digest_challenge(text: bytes) -> None:
    with pytest.raises(SipError):
        parse_challenge(text)


def test_the_challenges_of_a_reply_in_their_order() -> None:
    reply = Message.parse(
        b"SIP/2.0 401 Unauthorized\r\n"
        b'WWW-Authenticate: Basic realm="r"\r\n'
        b'WWW-Authenticate: Digest realm="r",\r\n nonce="1", algorithm=SHA-256\r\n'
        b'Proxy-Authenticate: Digest realm="p", nonce="2"\r\n'
        b'www-authenticate: Digest realm="r", nonce="3"\r\n\r\n'
    )
    assert [each.nonce for each in read_challenges(reply, b"www-authenticate")] == [b"1", b"3"]
    assert [each.realm for each in read_challenges(reply, b"proxy-authenticate")] == [b"p"]


@given(st.binary().filter(lambda text: b"\x00" not in text))
def test_a_quoted_value_is_read_again(text: bytes) -> None:
    assert parse_challenge(b"Digest nonce=n, realm=" + quoted(text)).realm == text
