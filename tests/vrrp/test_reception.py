"""Which advert is heard, which refused, and what is told of a peer that is configured differently?"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrrp.packet import GROUP_IPV4, GROUP_IPV6, Advert, Checksum, encode, with_checksum
from vrrp.reception import Heard, Mismatch, Reception, window_for
from vrrp.refusal import Refusal
from vrrp.trailer import Key, next_sequence, seal

NODE, PEER, STRANGER = "192.0.2.11", "192.0.2.12", "192.0.2.13"
WALL = 1_800_000_000.0
KEY = Key(1, bytes(range(32)))
ADVERT = Advert(version=3, vrid=51, priority=250, interval=0.1, addresses=("192.0.2.100", "192.0.2.101"))
ADVERT_V2 = attrs.evolve(ADVERT, version=2, interval=1.0, password=b"secret")
LISTENS = Reception(
    vrid=51, version=3, addresses=("192.0.2.101", "192.0.2.100"), interval=0.1, own=(NODE,), peers=(PEER,)
)
LISTENS_V2 = attrs.evolve(LISTENS, version=2, interval=1.0, password=b"secret")
SECURED = attrs.evolve(LISTENS, keys=(KEY,))


def write(advert: Advert = ADVERT, *, source: str = PEER) -> bytes:
    return encode(advert, source=source, destination=GROUP_IPV4)


def judge(
    listens: Reception, data: bytes, *, source: str = PEER, ttl: int = 255, wall: float = WALL
) -> Heard | Refusal:
    return listens.judge(data, source=source, destination=GROUP_IPV4, ttl=ttl, wall=wall)


def sealed(*, source: str = PEER, wall: float = WALL, key: Key = KEY) -> bytes:
    sequence = next_sequence(None, wall=wall, window=5)
    return seal(write(source=source), source=source, destination=GROUP_IPV4, key=key, sequence=sequence)


def test_an_advert_of_a_peer_is_heard() -> None:
    assert judge(LISTENS, write()) == Heard(ADVERT, Checksum.PSEUDO_HEADER)


def test_the_other_form_of_the_checksum_is_heard_and_told() -> None:
    data = encode(ADVERT, source=PEER, destination=GROUP_IPV4, checksum=Checksum.MESSAGE)
    assert judge(LISTENS, data) == Heard(ADVERT, Checksum.MESSAGE)


def test_without_peers_anybody_is_heard() -> None:
    assert judge(LISTENS, write(source=STRANGER), source=STRANGER) is Refusal.STRANGER
    assert isinstance(judge(attrs.evolve(LISTENS, peers=()), write(source=STRANGER), source=STRANGER), Heard)


def test_a_lower_ttl_is_heard_where_it_is_allowed() -> None:
    assert judge(LISTENS, write(), ttl=254) is Refusal.TTL
    assert isinstance(judge(attrs.evolve(LISTENS, least_ttl=254), write(), ttl=254), Heard)


def _resealed(data: bytes) -> bytes:
    return with_checksum(data, source=PEER, destination=GROUP_IPV4, checksum=Checksum.MESSAGE)


GOOD = write()
TRIPS: dict[Refusal, dict[str, Any]] = {
    Refusal.OWN: {"data": write(source=NODE), "source": NODE},
    Refusal.VRID: {"data": write(attrs.evolve(ADVERT, vrid=52))},
    Refusal.STRANGER: {"data": write(source=STRANGER), "source": STRANGER},
    Refusal.TTL: {"data": GOOD, "ttl": 254},
    Refusal.LENGTH: {"data": GOOD[:-1]},
    Refusal.VERSION: {"data": b"\x11" + GOOD[1:]},
    Refusal.TYPE: {"data": b"\x30" + GOOD[1:]},
    Refusal.CHECKSUM: {"data": GOOD[:-1] + b"\xff"},
    Refusal.COUNT: {"data": _resealed(GOOD[:3] + b"\0" + GOOD[4:8])},
    Refusal.INTERVAL: {"data": _resealed(GOOD[:4] + b"\0\0" + GOOD[6:])},
    Refusal.AUTH_TYPE: {"data": _resealed(write(ADVERT_V2)[:4] + b"\x02" + write(ADVERT_V2)[5:])},
    Refusal.HMAC_MISSING: {"data": GOOD, "listens": SECURED},
    Refusal.HMAC_MALFORMED: {"data": GOOD + b"padding", "listens": SECURED},
    Refusal.HMAC_STALE: {"data": sealed(), "listens": SECURED, "wall": WALL + 6},
    Refusal.HMAC_KEY: {"data": sealed(key=Key(2, KEY.secret)), "listens": SECURED},
    Refusal.HMAC_WRONG: {"data": sealed(key=Key(1, bytes(32))), "listens": SECURED},
    Refusal.HMAC_REPLAY: {
        "data": sealed(),
        "listens": attrs.evolve(SECURED, latest={PEER: next_sequence(None, wall=WALL, window=5)}),
    },
}


@pytest.mark.parametrize("refusal", Refusal, ids=lambda refusal: refusal.label)
def test_every_refusal_has_a_packet_that_trips_it(refusal: Refusal) -> None:
    case = {"listens": LISTENS, **TRIPS[refusal]}
    assert judge(**case) is refusal


def test_another_virtual_router_is_no_concern_of_ours_whatever_is_wrong_with_it() -> None:
    other = attrs.evolve(ADVERT, vrid=52)
    assert judge(LISTENS, write(other, source=STRANGER)[:-1], source=STRANGER, ttl=1) is Refusal.VRID


# --------------------------------------------------------------------------------------------------------------------
# Heard, with an alarm


@pytest.mark.parametrize(
    ("listens", "advert", "mismatches"),
    [
        (LISTENS, attrs.evolve(ADVERT, interval=1.0), [Mismatch("interval", "0.1 s", "1 s")]),
        (
            LISTENS,
            attrs.evolve(ADVERT, addresses=("192.0.2.100", "192.0.2.200")),
            [Mismatch("addresses", "192.0.2.100 192.0.2.101", "192.0.2.100 192.0.2.200")],
        ),
        (LISTENS, attrs.evolve(ADVERT, addresses=ADVERT.addresses[::-1]), []),
        (LISTENS, ADVERT_V2, [Mismatch("version", "3", "2"), Mismatch("interval", "0.1 s", "1 s")]),
        (LISTENS_V2, ADVERT_V2, []),
        (LISTENS_V2, attrs.evolve(ADVERT_V2, interval=3.0), [Mismatch("interval", "1 s", "3 s")]),
        (LISTENS_V2, attrs.evolve(ADVERT_V2, password=b"other"), [Mismatch("password", "one", "another")]),
        (LISTENS_V2, attrs.evolve(ADVERT_V2, password=None), [Mismatch("password", "one", "none")]),
        (attrs.evolve(LISTENS_V2, password=None), ADVERT_V2, [Mismatch("password", "none", "one")]),
        (LISTENS_V2, attrs.evolve(ADVERT, interval=1.0), [Mismatch("version", "2", "3")]),
    ],
)
def test_a_peer_with_another_configuration_is_heard_with_an_alarm(
    listens: Reception, advert: Advert, mismatches: list[Mismatch]
) -> None:
    heard = judge(listens, write(advert))
    assert isinstance(heard, Heard)
    assert heard.advert == advert
    assert list(heard.mismatches) == mismatches


def test_padding_is_no_reason_to_refuse() -> None:
    assert judge(LISTENS, write() + bytes(18)) == Heard(ADVERT, Checksum.PSEUDO_HEADER)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(LISTENS_V2)


# --------------------------------------------------------------------------------------------------------------------
# Keys


def test_a_trailer_is_accepted_once_from_each_sender() -> None:
    listens = attrs.evolve(SECURED, peers=(PEER, STRANGER), latest={})
    assert judge(listens, sealed()) == Heard(ADVERT, Checksum.PSEUDO_HEADER)
    assert judge(listens, sealed()) is Refusal.HMAC_REPLAY
    assert isinstance(judge(listens, sealed(source=STRANGER), source=STRANGER), Heard)
    assert isinstance(judge(listens, sealed(wall=WALL + 0.1)), Heard)
    assert set(listens.latest) == {PEER, STRANGER}


def test_what_is_refused_leaves_no_mark() -> None:
    listens = attrs.evolve(SECURED, latest={})
    assert judge(listens, sealed(wall=WALL + 1, key=Key(1, bytes(32)))) is Refusal.HMAC_WRONG
    assert listens.latest == {}
    assert isinstance(judge(listens, sealed()), Heard)


def test_while_keys_are_introduced_an_advert_without_trailer_is_heard() -> None:
    listens = attrs.evolve(SECURED, enforced=False, latest={})
    heard = judge(listens, write())
    assert heard == Heard(ADVERT, Checksum.PSEUDO_HEADER, (Mismatch("hmac", "a trailer", "none"),))
    assert judge(listens, sealed(key=Key(1, bytes(32)))) is Refusal.HMAC_WRONG
    assert judge(listens, sealed()) == Heard(ADVERT, Checksum.PSEUDO_HEADER)


def test_without_keys_a_trailer_is_not_looked_at() -> None:
    assert judge(LISTENS, sealed(key=Key(9, bytes(32)))) == Heard(ADVERT, Checksum.PSEUDO_HEADER)


def test_the_window_follows_a_long_interval() -> None:
    assert window_for(0.1) == 5.0
    assert window_for(10.0) == 30.0


# --------------------------------------------------------------------------------------------------------------------
# IPv6, and anything


def test_over_ipv6_zones_and_spellings_do_not_matter() -> None:
    advert = attrs.evolve(ADVERT, addresses=("fe80::64", "2001:db8::64"))
    listens = attrs.evolve(
        LISTENS, addresses=("2001:DB8:0::64", "fe80::64"), own=("fe80::1%eth0",), peers=("fe80::2%eth0",), keys=(KEY,)
    )
    data = encode(advert, source="fe80::2", destination=GROUP_IPV6)
    sequence = next_sequence(None, wall=WALL, window=5)
    data = seal(data, source="fe80::2%eth0", destination=GROUP_IPV6, key=KEY, sequence=sequence)
    heard = listens.judge(data, source="fe80::2%eth0", destination=GROUP_IPV6, ttl=255, wall=WALL)
    assert heard == Heard(advert, Checksum.PSEUDO_HEADER)
    own = listens.judge(data, source="fe80::1%eth1", destination=GROUP_IPV6, ttl=255, wall=WALL)
    assert own is Refusal.OWN


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from((LISTENS, LISTENS_V2, SECURED)), st.integers(0, 255))
def test_no_bytes_make_it_raise(data: bytes, listens: Reception, ttl: int) -> None:
    assert isinstance(judge(listens, data, ttl=ttl), Refusal)


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_no_changed_byte_makes_it_raise(at: int, value: int) -> None:
    judge(LISTENS, _resealed(GOOD[:at] + bytes((value,)) + GOOD[at + 1 :]))
