"""Does a token come back as it was written, and only if we have written it?"""

from __future__ import annotations

import base64
import string

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.keyed import TO_TAG, TOKEN, digest
from dispatcher.token import Claims, read_token, tag_hash, write_token
from sip.uri import canonical, numeric
from tests.dispatcher.world import KEY, OTHER_KEY

LISTENERS = (b"192.0.2.1:5060", b"[2001:db8::1]:5060", b"sip.example.com:5060")

hosts = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(canonical)
addresses = st.tuples(hosts, st.integers(0, 65535))
claims_ = st.builds(
    Claims,
    edge=addresses,
    core=addresses,
    behind_nat=st.booleans(),
    creator_is_core=st.booleans(),
    creator_tag=st.integers(0, 2**24 - 1),
    is_path=st.booleans(),
    transport=st.sampled_from(("udp", "tcp", "tls", "ws", "wss")),
)
SOME = Claims(("198.51.100.7", 40001), ("10.0.0.11", 5060), behind_nat=True, creator_is_core=False, creator_tag=7)


@given(claims=claims_, place=st.integers(0, 2))
def test_a_token_says_what_was_written_into_it(claims: Claims, place: int) -> None:
    text = write_token(claims, KEY, LISTENERS[place])
    assert read_token(text, (KEY,), LISTENERS) == (claims, place)


def test_an_end_is_spelled_as_sockets_and_uris_spell_it() -> None:
    claims = attrs.evolve(SOME, edge=("::ffff:192.0.2.1", 5060))
    found = read_token(write_token(claims, KEY, LISTENERS[0]), (KEY,), LISTENERS)
    assert found is not None
    assert found[0].edge[0] == numeric("::FFFF:192.0.2.1") == "::ffff:192.0.2.1"


@given(claims=claims_)
def test_a_token_fits_into_a_user_part(claims: Claims) -> None:
    text = write_token(claims, KEY, LISTENERS[0]).decode()
    assert len(text) in (32, 48, 64)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


@given(claims=claims_, at=st.integers(0, 63), by=st.integers(1, 255))
def test_a_token_with_one_byte_changed_says_nothing(claims: Claims, at: int, by: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(write_token(claims, KEY, LISTENERS[0])))
    raw[at % len(raw)] ^= by
    assert read_token(base64.urlsafe_b64encode(raw), (KEY,), LISTENERS) is None


@given(text=st.binary(max_size=70) | st.binary(min_size=24, max_size=48).map(base64.urlsafe_b64encode))
def test_what_we_have_not_written_says_nothing(text: bytes) -> None:
    assert read_token(text, (KEY, OTHER_KEY), LISTENERS) is None


@pytest.mark.parametrize("flags", [0b101_00000, 0b110_00000, 0b111_00000, 1, 2, 3])
def test_a_signed_body_of_another_shape_says_nothing(flags: int) -> None:
    """Nothing that is signed looks so; a later version may write it."""
    body = bytes((flags,)) + bytes(15)
    signed = body + digest(KEY, TOKEN, body + LISTENERS[0]).to_bytes(8, "big")
    assert read_token(base64.urlsafe_b64encode(signed), (KEY,), LISTENERS) is None


def test_a_hash_made_for_another_use_is_no_signature() -> None:
    raw = base64.urlsafe_b64decode(write_token(SOME, KEY, LISTENERS[0]))
    body = raw[:-8]
    signed = body + digest(KEY, TO_TAG, body + LISTENERS[0]).to_bytes(8, "big")
    assert read_token(base64.urlsafe_b64encode(signed), (KEY,), LISTENERS) is None


def test_an_older_secret_still_verifies_and_a_foreign_one_does_not() -> None:
    old = write_token(SOME, OTHER_KEY, LISTENERS[1])
    assert read_token(old, (KEY, OTHER_KEY), LISTENERS) == (SOME, 1)
    assert read_token(old, (KEY,), LISTENERS) is None
    assert read_token(old, (), LISTENERS) is None


def test_the_listener_is_found_wherever_it_stands_and_must_be_one_of_ours() -> None:
    text = write_token(SOME, KEY, LISTENERS[0])
    assert read_token(text, (KEY,), LISTENERS[::-1]) == (SOME, 2)
    assert read_token(text, (KEY,), LISTENERS[1:]) is None
    assert read_token(text, (KEY,), ()) is None


def test_padding_and_line_ends_make_no_second_spelling() -> None:
    text = write_token(SOME, KEY, LISTENERS[0])
    for other in (text + b"=", text + b"====", b" " + text, text[:-1] + b"=", text.lower(), text[:-1] + b"\n", b""):
        assert read_token(other, (KEY,), LISTENERS) is None


@given(left=st.binary(max_size=20), right=st.binary(max_size=20))
def test_tags_are_told_apart_by_24_bits(left: bytes, right: bytes) -> None:
    assert 0 <= tag_hash(left) < 2**24
    if len(left) == len(right) <= 3 and left != right:
        assert tag_hash(left + b"tag") != tag_hash(right + b"tag")


def test_each_claim_changes_the_token() -> None:
    others = [
        attrs.evolve(SOME, edge=("198.51.100.8", 40001)),
        attrs.evolve(SOME, edge=("198.51.100.7", 40002)),
        attrs.evolve(SOME, core=("10.0.0.12", 5060)),
        attrs.evolve(SOME, core=("10.0.0.11", 5061)),
        attrs.evolve(SOME, behind_nat=False),
        attrs.evolve(SOME, creator_is_core=True),
        attrs.evolve(SOME, creator_tag=8),
        attrs.evolve(SOME, is_path=True),
        attrs.evolve(SOME, transport="tcp"),
    ]
    assert len({write_token(each, KEY, LISTENERS[0]) for each in (SOME, *others)}) == 1 + len(others)
