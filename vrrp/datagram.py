"""What has come from the network?"""

from __future__ import annotations

import attrs


@attrs.frozen
class Datagram:
    """What followed the IP header, with the addresses and the TTL (hop limit) from there."""

    data: bytes
    source: str
    destination: str
    ttl: int
