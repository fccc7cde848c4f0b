"""Which set does a person mean who names a destination and no set?"""

from __future__ import annotations

from typing import Final

from dispatcher.destination import Entry
from dispatcher.slices import Slices
from sip.errors import SipError
from sip.uri import SipUri, host_port, parse_uri
from sipdispatch.facts import DestinationFacts
from sipdispatch.operations import OperationError, Operations
from sipdispatch.slices import gather

ALL: Final = "all"
"""Names every destination of a set."""

Spelling = tuple[str, int, str]
"""Host, port and transport."""


async def find_set(operations: Operations, set_id: int | None, name: str) -> int:
    """The set itself where one is given, else the only one that has such a destination; raises OperationError."""
    if set_id is not None:
        return set_id
    facts = await gather(operations)
    known = [one.set_id for one in facts.sets]
    if len(known) == 1:
        return known[0]
    if not known:
        raise OperationError("the list is empty", facts.list_path, "write destinations into it")
    sought = spelling(name)
    slices = Slices()
    found: list[int] = []
    for destination in facts.destinations:
        if name == ALL or is_called(destination, name, sought):
            found.append(destination.set_id)
        if slices.over:
            await slices.turn()
    where = sorted(set(found))
    if not where:
        raise OperationError(f"no destination is called {name}", "all sets", "see sipdispatch ds list")
    if len(where) > 1:
        sets = ", ".join(map(str, where))
        raise OperationError(f"{name} is in several sets: {sets}", "all sets", "say which set: --set NUMBER")
    return where[0]


def is_called(destination: DestinationFacts, name: str, sought: Spelling | None) -> bool:
    """Whether this is a name of the destination: its URI however spelled (`sought`), its address, its duid."""
    if name in (destination.uri, host_port(destination.address), destination.attributes.get("duid")):
        return True
    return sought is not None and sought == spelling(destination.uri)


def is_entry(entry: Entry, name: str, sought: Spelling | None) -> bool:
    """Whether this is a name of the line: its URI however spelled (`sought`), its duid."""
    return name in (entry.uri, entry.duid) or sought == _spelled(entry.target)


def spelling(uri: str) -> Spelling | None:
    """Host, port and transport of a URI as values; None for what is no SIP URI."""
    try:
        return _spelled(parse_uri(uri.encode()))
    except SipError:
        return None


def _spelled(target: SipUri) -> Spelling:
    port = target.default_port if target.port is None else target.port
    return target.host.removesuffix("."), port, target.transport
