"""Keyed hashes: the published vector, and that uses, keys and texts are told apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.keyed import BRANCH, CHOICE, DART, SCORE, TO_TAG, TOKEN, derive, digest

KEY = bytes(range(16))


def test_it_is_siphash_2_4() -> None:
    # SipHash paper, appendix A: key 00..0f, input 00..0e; the first byte of the input takes the place of the use.
    assert digest(KEY, b"\x00", bytes(range(1, 15))) == 0xA129CA6149BE45E5


def test_a_zero_byte_does_not_end_the_text() -> None:
    assert digest(KEY, CHOICE, b"a\0b") != digest(KEY, CHOICE, b"a")


def test_every_use_has_hashes_of_its_own() -> None:
    uses = (BRANCH, TO_TAG, TOKEN, CHOICE, DART, SCORE)
    assert all(len(use) == 1 for use in uses)
    assert len({digest(KEY, use, b"text") for use in uses}) == len(uses)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_hash_of_64_bits(text: bytes) -> None:
    value = digest(KEY, CHOICE, text)
    assert 0 <= value < 2**64
    assert value == digest(KEY, CHOICE, text)
    assert value != digest(derive(KEY), CHOICE, text)


def test_the_key_is_derived_and_differs_with_each_bit_of_the_secret() -> None:
    secret = bytes(range(32))
    # Made with this function at version 0.1: two versions of one pair must understand each other's branches.
    assert derive(secret).hex() == "53f92b32711e241500d20d37543b4e51"
    assert len({derive((1 << bit).to_bytes(32, "big")) for bit in range(256)}) == 256
