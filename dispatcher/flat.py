"""What of a snapshot does the compiled fast path read?  An image: the same knowledge, flat, and in slices made.

This module does without the compiled one: whoever has it hands over its `Draft`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.rules import Rule
from dispatcher.selection import FULL_SHARE, sketch
from dispatcher.snapshot import Snapshot
from dispatcher.steps import Steps, stepwise

Way = tuple[int | None, str, int, int]
"""Place of the set among the pools, None when the list has no such set; what the choice is keyed on, "" for what only
Python chooses by; the place of its ranking among a pool's tables; 64 bits for the set."""

_KEYED_ON = {
    Kind.CALL_ID: "call-id",
    Kind.WEIGHT: "call-id",
    Kind.RELATIVE_WEIGHT: "call-id",
    Kind.TIERS: "call-id",
    Kind.PRIORITY: "call-id",
    Kind.FROM: "from",
    Kind.TO: "to",
    Kind.REQUEST_URI: "request-uri",
    Kind.AOR: "aor",
}


class Image(Protocol):
    """What the fast path reads; immutable."""

    def with_liveness(self, version: int, liveness: bytes, ramp: bytes) -> Image:
        """The same list with other liveness; what the list makes is shared."""


class Draft(Protocol):
    """An image that is being made; each call takes a microsecond or so.

    Listeners, destinations and pools are known by their place, in the order in which they are added; a destination is
    one of the pool that was added last.  Hosts are texts as `sip.uri` has them.
    """

    def set_policy(self, aor_domain: bool, rewrite_host: bool, force_rport: str) -> None: ...  # noqa: FBT001
    def add_listener(self, host: str, port: int, sent_by: bytes, inner: bool) -> None: ...  # noqa: FBT001
    def add_own(self, host: str, port: int, place: int) -> None: ...
    def add_own_name(self, host: str) -> None: ...
    def add_domain(self, host: str) -> None: ...
    def add_core_network(self, first: str, last: str) -> None: ...
    def add_pool(self, set_id: int, tables: list[bytes | None]) -> None: ...
    def add_destination(self, host: str, port: int, number: int, socket: int | None) -> None: ...
    def add_listed(self, host: str, port: int, place: int) -> None: ...
    def set_default(self, way: Way) -> None: ...
    def add_rule(
        self,
        methods: list[bytes],
        user_prefixes: list[bytes],
        has_regex: bool,  # noqa: FBT001
        hosts: list[str],
        sources: list[tuple[str, str]],
        listeners: list[int] | None,
        way: Way,
    ) -> None: ...
    def finish(self, version: int, liveness: bytes, ramp: bytes) -> Image: ...


@attrs.frozen
class Flat:
    """An image and the snapshot that it is of."""

    snapshot: Snapshot
    image: Image


@stepwise
def flatten(
    snapshot: Snapshot, version: int, draft_of: Callable[[list[bytes]], Draft], before: Flat | None = None
) -> Steps[Flat]:
    """The image of a snapshot under a version number of the caller's; `before` is the one that it takes the place of.

    Where only liveness has changed since then, everything else is shared and the cost is that of a few copied bytes.
    `draft_of` makes a draft for the hash keys of the secrets.
    """
    liveness, ramp = alive(snapshot)
    if before is not None and is_same_list(before.snapshot, snapshot):
        return Flat(snapshot, before.image.with_liveness(version, liveness, ramp))
    draft = draft_of(list(snapshot.keys))
    policy = snapshot.policy
    draft.set_policy(policy.aor_domain, policy.rewrite_host, policy.force_rport)
    for place, listener in enumerate(snapshot.listeners):
        draft.add_listener(*listener.address, listener.sent_by, place in snapshot.inner)
    for (host, port), place in snapshot.own.items():
        draft.add_own(host, port, place)
    for host in snapshot.own_names:
        draft.add_own_name(host)
    for host in policy.domains:
        draft.add_domain(host)
    for network in policy.core_networks:
        draft.add_core_network(str(network.network_address), str(network.broadcast_address))
    yield from _add_destinations(snapshot, draft)
    places = {set_id: place for place, set_id in enumerate(snapshot.pools)}
    draft.set_default(_way(snapshot, places, None, None))
    for rule in policy.rules:
        _add_rule(snapshot, places, draft, rule)
        yield
    return Flat(snapshot, draft.finish(version, liveness, ramp))


def alive(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """Liveness and ramp of all destinations, a byte each in their order; no ramp at all where nobody warms up."""
    liveness = b"".join(snapshot.liveness[set_id] for set_id in snapshot.pools)
    if not snapshot.ramp:
        return liveness, b""
    return liveness, b"".join(
        snapshot.ramp.get(set_id) or bytes((FULL_SHARE,)) * len(pool.destinations)
        for set_id, pool in snapshot.pools.items()
    )


def is_same_list(ours: Snapshot, theirs: Snapshot) -> bool:
    """Whether two snapshots differ in nothing but who lives; what is equal but made anew counts as different."""
    return (
        ours.policy is theirs.policy
        and ours.keys is theirs.keys
        and ours.listeners is theirs.listeners
        and ours.pools is theirs.pools
        and ours.numbers is theirs.numbers
        and ours.where is theirs.where
    )


def _add_destinations(snapshot: Snapshot, draft: Draft) -> Steps[None]:
    for set_id, pool in snapshot.pools.items():
        draft.add_pool(set_id, [table.packed for table in pool.tables])
        start = snapshot.starts[set_id]
        numbers = snapshot.numbers[start : start + len(pool.destinations)]
        for number, destination in zip(numbers, pool.destinations, strict=True):
            socket = destination.entry.socket
            own = None if socket is None else snapshot.own_listener(*socket)
            draft.add_destination(*destination.address, number, own)
            yield
    for (host, port), place in snapshot.where.listed.items():
        draft.add_listed(host, port, place)
        yield


def _add_rule(snapshot: Snapshot, places: Mapping[int, int], draft: Draft, rule: Rule) -> None:
    here = [place for place, listener in enumerate(snapshot.listeners) if str(listener) in rule.listeners]
    draft.add_rule(
        sorted(rule.methods),
        list(rule.user_prefixes),
        rule.user_regex is not None,
        sorted(rule.hosts),
        [(str(network.network_address), str(network.broadcast_address)) for network in rule.sources],
        here if rule.listeners else None,
        _way(snapshot, places, rule.set_id, rule.algorithm),
    )


def _way(snapshot: Snapshot, places: Mapping[int, int], set_id: int | None, algorithm: Algorithm | None) -> Way:
    """Where a rule that names these leads, None leaving it to the proxy's own; `places` are those of the pools."""
    wanted = snapshot.policy.default_set if set_id is None else set_id
    used = algorithm or snapshot.policy.algorithm
    return places.get(wanted), _KEYED_ON.get(used.kind, ""), used.table, sketch(wanted, (), snapshot.keys[0]).salt
