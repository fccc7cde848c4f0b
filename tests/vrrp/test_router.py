"""Does a router speak as it is configured?"""

from __future__ import annotations

import attrs
import pytest

from vrrp.packet import GROUP_IPV4, Checksum, Decoded, decode
from vrrp.parameters import Parameters
from vrrp.reception import Heard, Reception
from vrrp.router import Router, Voice
from vrrp.trailer import TRAILER_BYTES, Key

OURS, THEIRS, VIP = "192.0.2.11", "192.0.2.12", "192.0.2.100"
KEY = Key(1, bytes(range(32)))


def router(*, key: Key | None = None, version: int = 3, password: bytes | None = None) -> Router:
    keys = () if key is None else (key,)
    return Router(
        parameters=Parameters(address=OURS, priority=250, interval=1.0, version=version),
        reception=Reception(
            vrid=51, version=version, addresses=(VIP,), interval=1.0, own=(OURS,), password=password, keys=keys
        ),
        advertised=(VIP,),
        signing_key=key,
    )


def hearing(key: Key | None = None) -> Reception:
    keys = () if key is None else (key,)
    return Reception(vrid=51, version=3, addresses=(VIP,), interval=1.0, own=(THEIRS,), keys=keys)


@pytest.mark.parametrize("checksum", [Checksum.PSEUDO_HEADER, Checksum.MESSAGE])
def test_an_advert_says_what_is_configured(checksum: Checksum) -> None:
    speaking = attrs.evolve(router(), checksum=checksum)
    message = Voice().compose(speaking, 97, source=OURS, destination=GROUP_IPV4, wall=1000.0)
    decoded = decode(message, source=OURS, destination=GROUP_IPV4)
    assert isinstance(decoded, Decoded)
    advert = decoded.advert
    assert (advert.vrid, advert.priority, advert.interval, advert.addresses) == (51, 97, 1.0, (VIP,))
    assert decoded.checksum is checksum
    assert decoded.rest == b""


def test_version_2_has_the_password() -> None:
    speaking = router(version=2, password=b"secret")
    message = Voice().compose(speaking, 100, source=OURS, destination=GROUP_IPV4, wall=1000.0)
    decoded = decode(message, source=OURS, destination=GROUP_IPV4)
    assert isinstance(decoded, Decoded)
    assert (decoded.advert.version, decoded.advert.password) == (2, b"secret")


def test_with_a_key_no_advert_is_taken_for_an_old_one() -> None:
    voice, speaking, listening = Voice(), router(key=KEY), hearing(KEY)
    plain = Voice().compose(router(), 250, source=OURS, destination=GROUP_IPV4, wall=1000.0)
    # The clock stands still, then goes back a little: each number is above the last all the same.
    for wall in (1000.0, 1000.0, 999.5):
        message = voice.compose(speaking, 250, source=OURS, destination=GROUP_IPV4, wall=wall)
        assert len(message) == len(plain) + TRAILER_BYTES
        heard = listening.judge(message, source=OURS, destination=GROUP_IPV4, ttl=255, wall=1000.0)
        assert isinstance(heard, Heard)
