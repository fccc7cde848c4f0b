"""Where in the list is what a message names: a number, an address, a host?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from dispatcher.destination import Destination
from dispatcher.steps import Steps, stepwise
from sip.uri import Address


@attrs.frozen(kw_only=True)
class Whereabouts:
    """Places are those in the snapshot's destinations, which are of all sets, one set after the other."""

    by_number: Mapping[int, int]
    at: Mapping[Address, tuple[int, ...]]
    """The places of all destinations at an address: one for each set that lists it."""
    listed: Mapping[Address, int]
    """The place of the first destination with this host, as written or numeric, and port.

    A name that stands for several addresses is none of them: it is the whole farm's.
    """
    core_hosts: frozenset[str]
    sockets: frozenset[Address]
    """The listeners that the list names with `socket`."""


@stepwise
def find(destinations: Sequence[Destination], numbers: Sequence[int]) -> Steps[Whereabouts]:
    """The places of these destinations; `numbers` has one for each."""
    by_number: dict[int, int] = {}
    at: dict[Address, tuple[int, ...]] = {}
    listed: dict[Address, int] = {}
    meant: dict[Address, set[Address]] = {}
    hosts: set[str] = set()
    sockets: set[Address] = set()
    for place, (number, destination) in enumerate(zip(numbers, destinations, strict=True)):
        by_number[number] = place
        hosts.add(destination.address[0])
        address, target = destination.address, destination.entry.target
        at[address] = (*at.get(address, ()), place)
        listed.setdefault(address, place)
        if target.host != address[0] or target.port != address[1]:
            name = (target.host, target.port or target.default_port)
            listed.setdefault(name, place)
            meant.setdefault(name, set()).add(address)
        if destination.entry.socket is not None:
            sockets.add(destination.entry.socket)
        yield
    for name, addresses in meant.items():
        if len(addresses) > 1:
            del listed[name]
    return Whereabouts(
        by_number=by_number,
        at=at,
        listed=listed,
        core_hosts=frozenset(hosts),
        sockets=frozenset(sockets),
    )
