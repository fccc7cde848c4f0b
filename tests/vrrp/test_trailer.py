"""Is a trailer what keepalived makes, and does it keep out what is forged, old or heard before?"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vrrp import adverts
from tests.vrrp.adverts import Sent
from vrrp.packet import Advert, Checksum, Decoded, decode, encode
from vrrp.refusal import Refusal
from vrrp.trailer import TRAILER_BYTES, Freshness, Key, check, next_sequence, parse_keys, seal

KEY = Key(1, bytes(range(32)))
KEYS = (Key(2, bytes(32)), KEY)
WALL = 1_800_000_000.5
SEQUENCE = next_sequence(None, wall=WALL, window=5)
FRESH = Freshness(wall=WALL, window=5, latest=None)
ANY_TIME = attrs.evolve(FRESH, window=None)

# The two images in keepalived's own test of its trailer (test/auth_hmac_test.c after 2.4.3), which are those of the
# appendix of draft-cassen-vrrp-auth-hmac: key 00 01 .. 1f with the number 1, VRID 51, priority 200, one second,
# sequence 0x6800000080000000; over IPv4 with the checksum of the message alone.
PUBLISHED_SEQUENCE = 0x6800000080000000
PUBLISHED_IPV4 = bytes.fromhex("3133c80100644402c00002640101000068000000800000001b84bc4e8e43892dc6d98448f8ee2265")
PUBLISHED_IPV6 = bytes.fromhex(
    "3133c8010064a2e9fe800000000000000000000000000100010100006800000080000000c8c56146ebfd66ee10ec4d8186461b78"
)


def _published(address: str) -> Advert:
    return Advert(version=3, vrid=51, priority=200, interval=1, addresses=(address,))


@pytest.mark.parametrize(
    ("address", "source", "destination", "image"),
    [
        ("192.0.2.100", "198.51.100.10", "198.51.100.11", PUBLISHED_IPV4),
        ("fe80::100", "fe80::10", "fe80::20", PUBLISHED_IPV6),
    ],
)
def test_the_published_images(address: str, source: str, destination: str, image: bytes) -> None:
    message = encode(_published(address), source=source, destination=destination, checksum=Checksum.MESSAGE)
    assert seal(message, source=source, destination=destination, key=KEY, sequence=PUBLISHED_SEQUENCE) == image
    decoded = decode(image, source=source, destination=destination)
    assert isinstance(decoded, Decoded)
    assert decoded.advert == _published(address)
    message = image[: -len(decoded.rest)]
    assert check(message, decoded.rest, source=source, keys=KEYS, freshness=ANY_TIME) == PUBLISHED_SEQUENCE


@settings(deadline=None)
@given(adverts.sent, st.binary(min_size=32, max_size=64), st.integers(0, 2**64 - 1))
def test_what_is_sealed_is_accepted(case: Sent, secret: bytes, sequence: int) -> None:
    key = Key(7, secret)
    message = encode(case.advert, source=case.source, destination=case.destination)
    sealed = seal(message, source=case.source, destination=case.destination, key=key, sequence=sequence)
    decoded = decode(sealed, source=case.source, destination=case.destination)
    assert isinstance(decoded, Decoded)
    assert (decoded.advert, len(decoded.rest)) == (case.advert, TRAILER_BYTES)
    message = sealed[:-TRAILER_BYTES]
    assert check(message, decoded.rest, source=case.source, keys=(key,), freshness=ANY_TIME) == sequence


SOURCE = "192.0.2.12"
MESSAGE = encode(_published("192.0.2.100"), source=SOURCE, destination="224.0.0.18")
SEALED = seal(MESSAGE, source=SOURCE, destination="224.0.0.18", key=KEY, sequence=SEQUENCE)
TRAILER = SEALED[len(MESSAGE) :]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("at", "answer"),
    [
        (0, Refusal.HMAC_WRONG),  # version and type
        (1, Refusal.HMAC_WRONG),  # VRID
        (2, Refusal.HMAC_WRONG),  # priority
        (5, Refusal.HMAC_WRONG),  # interval
        (6, SEQUENCE),  # the checksum is not covered
        (7, SEQUENCE),
        (11, Refusal.HMAC_WRONG),  # address
        (12, Refusal.HMAC_MALFORMED),  # type
        (13, Refusal.HMAC_KEY),  # number 0
        (14, Refusal.HMAC_MALFORMED),  # reserved
        (19, Refusal.HMAC_WRONG),  # seconds
        (21, Refusal.HMAC_WRONG),  # fraction
        (23, Refusal.HMAC_WRONG),  # counter
        (24, Refusal.HMAC_WRONG),
        (39, Refusal.HMAC_WRONG),
    ],
)
def test_a_changed_bit_is_noticed(at: int, answer: int | Refusal) -> None:
    changed = _flip(SEALED, at)
    message, trailer = changed[: len(MESSAGE)], changed[len(MESSAGE) :]
    assert check(message, trailer, source=SOURCE, keys=KEYS, freshness=FRESH) == answer


@pytest.mark.parametrize(
    ("trailer", "refusal"),
    [(b"", Refusal.HMAC_MISSING), (TRAILER[:-1], Refusal.HMAC_MALFORMED), (TRAILER + b"\0", Refusal.HMAC_MALFORMED)],
)
def test_another_length_is_no_trailer(trailer: bytes, refusal: Refusal) -> None:
    assert check(MESSAGE, trailer, source=SOURCE, keys=KEYS, freshness=FRESH) is refusal


def test_a_trailer_belongs_to_its_sender_and_its_key() -> None:
    assert check(MESSAGE, TRAILER, source=SOURCE, keys=KEYS, freshness=FRESH) == SEQUENCE
    assert check(MESSAGE, TRAILER, source="192.0.2.13", keys=KEYS, freshness=FRESH) is Refusal.HMAC_WRONG
    other = (Key(1, bytes(32)),)
    assert check(MESSAGE, TRAILER, source=SOURCE, keys=other, freshness=FRESH) is Refusal.HMAC_WRONG


@pytest.mark.parametrize(
    ("wall", "fresh"), [(WALL - 6, False), (WALL - 5, True), (WALL + 5, True), (WALL + 6, False), (WALL + 2**31, False)]
)
def test_a_trailer_is_fresh_for_the_window(wall: float, *, fresh: bool) -> None:
    answer = check(MESSAGE, TRAILER, source=SOURCE, keys=KEYS, freshness=attrs.evolve(FRESH, wall=wall))
    assert answer == (SEQUENCE if fresh else Refusal.HMAC_STALE)
    assert check(MESSAGE, TRAILER, source=SOURCE, keys=KEYS, freshness=attrs.evolve(ANY_TIME, wall=wall)) == SEQUENCE


@pytest.mark.parametrize(
    ("latest", "accepted"),
    [
        (SEQUENCE - 1, True),
        (SEQUENCE, False),
        (SEQUENCE + 1, False),
        # Its sender's clock was an hour fast: that mark would keep it out for an hour.
        (SEQUENCE + (3600 << 32), True),
        (SEQUENCE - (3600 << 32), True),
    ],
)
def test_a_trailer_is_accepted_once(latest: int, *, accepted: bool) -> None:
    answer = check(MESSAGE, TRAILER, source=SOURCE, keys=KEYS, freshness=attrs.evolve(FRESH, latest=latest))
    assert answer == (SEQUENCE if accepted else Refusal.HMAC_REPLAY)


def test_without_a_window_a_sequence_only_grows() -> None:
    later = attrs.evolve(ANY_TIME, latest=SEQUENCE + (3600 << 32))
    assert check(MESSAGE, TRAILER, source=SOURCE, keys=KEYS, freshness=later) is Refusal.HMAC_REPLAY


def test_the_end_of_the_seconds_is_no_event() -> None:
    last = next_sequence(None, wall=2**32 - 0.25, window=5)
    following = next_sequence(last, wall=2**32 + 0.25, window=5)
    assert (last >> 32, following >> 32) == (2**32 - 1, 0)
    sealed = seal(MESSAGE, source=SOURCE, destination="224.0.0.18", key=KEY, sequence=following)
    freshness = Freshness(wall=2**32 - 0.5, window=5, latest=last)
    answer = check(MESSAGE, sealed[len(MESSAGE) :], source=SOURCE, keys=KEYS, freshness=freshness)
    assert answer == following


def test_a_sequence_is_the_clock_and_grows_while_it_stands() -> None:
    first = next_sequence(None, wall=1000.5, window=5)
    assert first == 1000 << 32 | 0x8000 << 16
    second = next_sequence(first, wall=1000.5, window=5)
    assert second == first + 1
    assert next_sequence(second, wall=999.0, window=5) == second + 1
    assert next_sequence(second, wall=1001.0, window=5) == 1001 << 32


def test_a_clock_set_back_beyond_the_window_is_followed() -> None:
    last = next_sequence(None, wall=5000.0, window=5)
    assert next_sequence(last, wall=1000.0, window=5) == 1000 << 32
    assert next_sequence(last, wall=1000.0, window=None) == last + 1
    assert next_sequence(2**64 - 1, wall=2**32 - 1, window=None) == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 2**33), max_size=20))
def test_without_a_window_every_sequence_is_after_the_one_before(walls: list[float]) -> None:
    last = next_sequence(None, wall=WALL, window=None)
    for wall in walls:
        following = next_sequence(last, wall=wall, window=None)
        assert 0 < (following - last) % 2**64 < 2**63
        last = following


# --------------------------------------------------------------------------------------------------------------------
# The file of keys


def test_keys_are_read_from_lines() -> None:
    text = f"# the pair's keys\n\n 2 hex:{'0f' * 32}\n1 {'correct horse battery staple 123' * 2} \n"
    assert parse_keys(text) == (Key(2, b"\x0f" * 32), Key(1, b"correct horse battery staple 123" * 2))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key"),
        ("# only words", "no key"),
        ("1", "line 1: write the key's number"),
        ("\none hex:00", "line 2: write the key's number"),
        (f"0 hex:{'0f' * 32}", "line 1: key 0: the number of a key is 1 to 255"),
        (f"256 hex:{'0f' * 32}", "1 to 255"),
        ("1 hex:0f0f", "line 1: key 1 has 2 bytes: 32 to 64"),
        (f"1 {'x' * 65}", "key 1 has 65 bytes"),
        ("1 hex:secret", "line 1: what follows hex: is not hexadecimal"),
        (f"1 hex:{'0f' * 32}\n1 hex:{'1f' * 32}", "line 2: key 1 is there twice"),
    ],
)
def test_a_file_of_keys_that_is_wrong_says_where_and_keeps_the_key(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_keys(text)
    assert "secret" not in str(caught.value)
    assert "0f0f" not in str(caught.value)


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Key(1, b"secret" * 6))
