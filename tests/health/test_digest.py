"""Challenges are met as in the examples of RFC 7616, and only those that can be."""

from __future__ import annotations

import pytest

from health.digest import Credentials, answer_challenge
from sip.message import Message

# RFC 7616 3.9.1; the two responses are printed there.
NONCE = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
OPAQUE = b"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
MUFASA = Credentials(b"Mufasa", b"Circle of Life")
MD5_RESPONSE = b'response="8ca523f5e9506fed4657c9700eebdbec"'
SHA256_RESPONSE = b'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"'


def challenge(algorithm: bytes = b"", *, qop: bytes = b', qop="auth, auth-int"') -> bytes:
    named = b", algorithm=" + algorithm if algorithm else b""
    return b'Digest realm="http-auth@example.org"' + qop + named + b', nonce="' + NONCE + b'", opaque="' + OPAQUE + b'"'


def reply(*challenges: bytes, status: int = 401, name: bytes = b"WWW-Authenticate") -> Message:
    fields = b"".join(name + b": " + each + b"\r\n" for each in challenges)
    return Message.parse(b"SIP/2.0 %d Unauthorized\r\n%s\r\n" % (status, fields))


def answered(message: Message, credentials: Credentials = MUFASA) -> bytes:
    field = answer_challenge(message, credentials, method=b"GET", uri=b"/dir/index.html", cnonce=CNONCE)
    return b"" if field is None else field


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [(b"", MD5_RESPONSE), (b"MD5", MD5_RESPONSE), (b"md5", MD5_RESPONSE), (b"SHA-256", SHA256_RESPONSE)],
)
def test_the_examples_of_rfc_7616(algorithm: bytes, response: bytes) -> None:
    field = answered(reply(challenge(algorithm)))
    assert field.startswith(b'Authorization: Digest username="Mufasa", realm="http-auth@example.org", nonce="')
    assert response in field
    assert b'uri="/dir/index.html"' in field
    assert b"algorithm=" + (algorithm or b"MD5") in field
    assert b"qop=auth, nc=00000001, cnonce=" in field
    assert b'opaque="' + OPAQUE + b'"' in field


def test_a_proxy_is_answered_in_its_own_field() -> None:
    field = answered(reply(challenge(), status=407, name=b"Proxy-Authenticate"))
    assert field.startswith(b"Proxy-Authorization: Digest ")
    assert MD5_RESPONSE in field


def test_the_form_of_rfc_2069_where_there_is_no_qop() -> None:
    # RFC 2617 3.2.2.1 without qop: MD5(HA1:nonce:HA2), by `printf %s HA1:NONCE:HA2 | md5sum`.
    field = answered(reply(challenge(qop=b"").replace(b', opaque="' + OPAQUE + b'"', b"")))
    assert b'response="7b2cc3b30e75b4777ea31027084363fd"' in field
    assert b"cnonce" not in field
    assert b"qop" not in field
    assert b"opaque" not in field


def test_a_session_algorithm_mixes_nonce_and_cnonce_into_the_secret() -> None:
    plain, session = (answered(reply(challenge(name))) for name in (b"MD5", b"MD5-sess"))
    assert plain.partition(b"response")[2][:40] != session.partition(b"response")[2][:40]
    assert b"cnonce=" in answered(reply(challenge(b"SHA-256-sess", qop=b"")))


def test_the_hash_of_the_password_serves_too() -> None:
    # echo -n 'Mufasa:http-auth@example.org:Circle of Life' | md5sum
    assert MD5_RESPONSE in answered(reply(challenge()), Credentials(b"Mufasa", ha1=HA1))


HA1 = b"3d78807defe7de2157e2b0b6573a855f"


def test_the_first_challenge_that_can_be_met_is_taken() -> None:
    several = reply(
        b'Basic realm="r"',
        challenge(b"SHA-512-256"),
        challenge(b"SHA-256", qop=b', qop="auth-int"'),
        challenge(b"SHA-256"),
        challenge(b"MD5"),
    )
    assert SHA256_RESPONSE in answered(several)


@pytest.mark.parametrize(
    "message",
    [
        reply(challenge(), status=403),
        reply(challenge(), status=407),
        reply(),
        reply(challenge(b"SHA-512-256")),
        reply(challenge(qop=b', qop="auth-int"')),
    ],
)
def test_what_cannot_be_met_is_not_answered(message: Message) -> None:
    assert answered(message) == b""


def test_a_password_is_not_shown_by_accident() -> None:
    assert "Circle" not in repr(MUFASA)
    assert "secret" not in repr(Credentials(b"a", ha1=b"secret"))
