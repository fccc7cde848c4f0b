"""What does a virtual router have done?  Frozen values, carried out in their order."""

from __future__ import annotations

import attrs


@attrs.frozen
class SendAdvert:
    """An advert of this priority, at once; 0 says that this node leaves."""

    priority: int


@attrs.frozen
class AddAddresses:
    """Set all addresses, or prolong them: the kernel keeps them for `lease` seconds from now."""

    lease: float


@attrs.frozen
class RemoveAddresses:
    """Take all addresses away; that one is not there is no error."""


@attrs.frozen
class AnnounceAddresses:
    """Gratuitous ARP and unsolicited neighbour advertisements for all addresses."""


Action = SendAdvert | AddAddresses | RemoveAddresses | AnnounceAddresses
