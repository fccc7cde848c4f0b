"""What is one virtual router on this node, and what do its adverts look like?"""

from __future__ import annotations

import attrs

from vrrp.packet import Advert, Checksum, encode
from vrrp.parameters import Parameters
from vrrp.reception import Reception
from vrrp.trailer import Key, next_sequence, seal


@attrs.frozen(kw_only=True)
class Router:
    """A virtual router: how its machine behaves, what it listens for, how it speaks.

    `advertised` are the addresses of its adverts in their order; `excluded` move with them and are not told.
    """

    parameters: Parameters
    reception: Reception
    advertised: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    checksum: Checksum = Checksum.PSEUDO_HEADER
    signing_key: Key | None = None


class Voice:
    """Composes adverts; keeps the number of the last one, so that none is taken for an old one."""

    def __init__(self) -> None:
        self._sequence: int | None = None

    def compose(self, router: Router, priority: int, *, source: str, destination: str, wall: float) -> bytes:
        """The message for one destination; `wall` is Unix time in seconds."""
        reception = router.reception
        advert = Advert(
            version=router.parameters.version,
            vrid=reception.vrid,
            priority=priority,
            interval=router.parameters.interval,
            addresses=router.advertised,
            password=reception.password,
        )
        message = encode(advert, source=source, destination=destination, checksum=router.checksum)
        if router.signing_key is None:
            return message
        self._sequence = next_sequence(self._sequence, wall=wall, window=reception.window)
        return seal(message, source=source, destination=destination, key=router.signing_key, sequence=self._sequence)
