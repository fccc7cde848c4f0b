"""Is a branch the same for what belongs together, and another one for all else?"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.branch import MAC_LENGTH, Transaction, is_ours, mac, transaction_below
from dispatcher.keyed import BRANCH, TO_TAG
from sip.via import parse_via
from tests.dispatcher.world import KEY, OTHER_KEY

SOME = Transaction(b"z9hG4bK-1", ("198.51.100.7", 5060), ("198.51.100.7", 40001), b"call-1@phone", b"from-tag", 1)
VIA = b"SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK-1;rport=40001;received=198.51.100.7"


def test_a_hash_is_sixteen_hexadecimal_digits() -> None:
    made = mac(KEY, BRANCH, SOME)
    assert len(made) == MAC_LENGTH
    assert int(made, 16) < 2**64
    assert made == mac(KEY, BRANCH, attrs.evolve(SOME))


@pytest.mark.parametrize(
    "change",
    [
        {"branch": b"z9hG4bK-2"},
        {"branch": b"Z9hG4bK-1"},
        {"branch": b""},
        {"sent_by": ("198.51.100.8", 5060)},
        {"sent_by": ("198.51.100.7", 5061)},
        {"where": ("198.51.100.8", 40001)},
        {"where": ("198.51.100.7", 40002)},
        {"call_id": b"Call-1@phone"},
        {"from_tag": b"From-tag"},
        {"from_tag": b""},
        {"cseq": 2},
    ],
)
def test_each_value_counts(change: dict[str, object]) -> None:
    other = attrs.evolve(SOME, **change)  # type: ignore[arg-type]  # each field with its own type
    made = mac(KEY, BRANCH, other)
    assert made != mac(KEY, BRANCH, SOME)
    assert is_ours(made, (KEY,), BRANCH, other)
    assert not is_ours(made, (KEY,), BRANCH, SOME)


words = st.binary(max_size=6).map(lambda raw: raw.replace(b"\n", b""))


@given(left=st.tuples(words, words, words), right=st.tuples(words, words, words))
def test_what_moves_from_one_value_to_the_next_is_noticed(
    left: tuple[bytes, bytes, bytes], right: tuple[bytes, bytes, bytes]
) -> None:
    ours = Transaction(left[0], ("a", 1), ("b", 2), left[1], left[2], 3)
    theirs = Transaction(right[0], ("a", 1), ("b", 2), right[1], right[2], 3)
    assert (mac(KEY, BRANCH, ours) == mac(KEY, BRANCH, theirs)) is (left == right)


def test_a_branch_is_no_to_tag() -> None:
    assert not is_ours(mac(KEY, BRANCH, SOME), (KEY,), TO_TAG, SOME)


def test_any_of_the_secrets_verifies() -> None:
    made = mac(OTHER_KEY, BRANCH, SOME)
    assert is_ours(made, (KEY, OTHER_KEY), BRANCH, SOME)
    assert not is_ours(made, (KEY,), BRANCH, SOME)
    assert not is_ours(made, (), BRANCH, SOME)


@pytest.mark.parametrize("cut", [b"", b"0", b"0" * 15, b"0" * 16, b"0" * 17])
def test_a_hash_of_another_length_is_not_ours(cut: bytes) -> None:
    assert not is_ours(cut, (KEY,), BRANCH, SOME)
    assert not is_ours(mac(KEY, BRANCH, SOME) + cut[:1] + b"x", (KEY,), BRANCH, SOME)


@pytest.mark.parametrize(
    "printed",
    [
        VIA,
        b"SIP/2.0/UDP 198.51.100.7:5060;received=198.51.100.7;rport=40001;branch=z9hG4bK-1",
        b"sip / 2.0 / udp 198.51.100.7 ; Branch = z9hG4bK-1 ; RPORT = 40001 ; Received = 198.51.100.7 ; x=y",
    ],
)
def test_a_via_may_be_printed_in_another_way(printed: bytes) -> None:
    assert transaction_below(parse_via(printed), b"call-1@phone", b"from-tag", 1) == SOME


def test_the_case_of_a_host_name_does_not_count() -> None:
    one, other = (
        transaction_below(parse_via(b"SIP/2.0/UDP %b;branch=z9hG4bK-1;received=198.51.100.7" % host), b"c", b"f", 1)
        for host in (b"Phone.Example.COM", b"phone.example.com:5060")
    )
    assert one == other


def test_a_name_without_received_says_nothing() -> None:
    assert transaction_below(parse_via(b"SIP/2.0/UDP phone.example.com;branch=z9hG4bK-1"), b"c", b"f", 1) is None
