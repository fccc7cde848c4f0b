"""Who sets and removes the addresses of a virtual router?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vrrp.event import AddressesLost, MoveFailed

Report = Callable[[AddressesLost | MoveFailed], None]


class Mover(Protocol):
    """Moves all addresses of one virtual router.  None of the verbs but `run` and `settle` waits, and none raises.

    What goes wrong while the address is wanted here is reported, once for each failure.
    """

    def add(self, lease: float) -> None:
        """The addresses are wanted here for `lease` seconds from now; asked again, for so long from then."""

    def remove(self) -> None:
        """The addresses are not wanted here; those that are not here are no error."""

    def announce(self) -> None:
        """Tell the network where the addresses live now."""

    async def run(self, report: Report) -> None:
        """Watch over the addresses until cancelled."""

    async def settle(self) -> None:
        """Return when what was asked for last has been done, or given up."""
