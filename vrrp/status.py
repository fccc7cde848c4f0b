"""What can be told of an agent?  Frozen values; times are Unix time, durations seconds."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class PeerStatus:
    """Somebody whose adverts were heard."""

    address: str
    priority: int
    interval: float
    version: int
    checksum: str
    heard: float
    adverts: int


@attrs.frozen(kw_only=True)
class Alarm:
    """Something that the operator should put right.  `field` is a metric's label."""

    field: str
    peer: str
    text: str
    since: float
    last: float
    count: int


@attrs.frozen(kw_only=True)
class TrackStatus:
    """A track.  `ok` is its verdict, None before the first."""

    name: str
    ok: bool | None
    fault: bool
    since: float | None
    detail: str
    at: float | None
    results: int
    failures: int


@attrs.frozen(kw_only=True)
class Lateness:
    """How late the agent's own timers were."""

    last: float
    worst: float
    worst_at: float | None
    worst_of_minute: float
    step_downs: int
    """How often it was so late that it gave up the address."""
    realtime: str
    """`SCHED_RR 50, memory locked`, or why not."""


@attrs.frozen(kw_only=True)
class Status:
    """The whole."""

    version: str
    pid: int
    started: float
    now: float
    state: str
    since: float
    cause: str
    vrid: int
    vrrp_version: int
    interface: str
    source: str
    destinations: tuple[str, ...]
    addresses: tuple[str, ...]
    priority: int
    effective_priority: int
    interval: float
    preempt: str
    held: bool
    released_until: float | None
    """Infinity: until told otherwise; None: not released."""
    waits_until: float | None
    """When an Active of lower priority is not left alone any more; None: it does not wait for that."""
    lease: float
    leases_lost: int
    addresses_taken: int
    transitions: Mapping[str, int]
    """How often each state was entered."""
    sent: int
    sent_zero: int
    unsent: int
    received: int
    received_zero: int
    refused: Mapping[str, int]
    """By reason; every reason is there."""
    announced: int
    peers: tuple[PeerStatus, ...]
    alarms: tuple[Alarm, ...]
    tracks: tuple[TrackStatus, ...]
    lateness: Lateness
