"""What can be told about the running proxy?  Frozen values for the control socket, the metrics and HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from health.board import Verdict, Word
from sip.uri import Address

NOTHING: Mapping[str, int] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Histogram:
    """Durations: `counts` has those up to each of `bounds` (seconds, not cumulative), and one more for the longer."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0
    """Seconds, all together."""


@attrs.frozen(kw_only=True)
class DestinationFacts:
    """One address of the list.  Moments are Unix time, durations seconds; counts begin with the process.

    `number` names it over reloads; `share` is its part of its set's new work by weight, among those that take any now.
    """

    number: int
    set_id: int
    uri: str
    address: Address
    word: Word
    verdict: Verdict
    letters: str
    """Kamailio's."""
    since: float
    """When word or verdict changed last."""
    cause: str
    weight: int | None
    priority: int
    share: float
    attributes: Mapping[str, str]
    requests: int
    replies: Mapping[int, int]
    """By class: 1 to 6."""
    calls_begun: int
    calls_active: int
    last_seen: float | None
    """When anything was last forwarded to it or from it."""
    messages_per_second: float
    calls_per_second: float
    probes: int
    probe_failures: int
    rtt: float | None
    """Of the last probe that was answered."""
    latency: float | None
    """The moving average of the probes."""
    answer_times: Histogram | None
    """How long its first answers took, from the traffic."""
    avoided_until: float | None = None
    """It has asked for no new work until then (503 with Retry-After), and others of its set have it if they can."""


@attrs.frozen(kw_only=True)
class SetFacts:
    """One set of the list; `algorithm` is what the proxy's policy says, without the rules that may override it."""

    set_id: int
    algorithm: str
    destinations: tuple[DestinationFacts, ...]


@attrs.frozen(kw_only=True)
class ListenerFacts:
    """One listener: where it is, how others know it, what its receive buffer holds (bytes)."""

    address: str
    advertised: str
    receive_buffer: int


@attrs.frozen(kw_only=True)
class LimitFacts:
    """The limits in force, as `LimitPolicy` has them, and whom they hit; `rate` and `ban_after` None: there is none."""

    rate: int | None = None
    burst: int = 0
    ban_after: float | None = None
    ban_for: float = 300.0
    allow: tuple[str, ...] = ()
    over: int = 0
    """Sources that are over their limit."""
    banned: int = 0
    """Sources and networks that are banned."""
    bans: int = 0
    """How many bans there have been."""


@attrs.frozen(kw_only=True)
class ReloadFacts:
    """The last reload: when (Unix time), whether its list is in force, and what it changed or why it failed."""

    at: float
    done: bool
    text: str


@attrs.frozen(kw_only=True)
class ProxyFacts:
    """The whole proxy.  The mappings of counts are by label: answers by status, the others by reason."""

    version: str
    packet_path: str
    pid: int
    started: float
    now: float
    listeners: tuple[ListenerFacts, ...]
    list_path: str
    list_fingerprint: str
    secret_fingerprint: str
    snapshot_version: int
    serving: bool
    reload: ReloadFacts | None
    sets: tuple[SetFacts, ...]
    received: int
    received_bytes: int
    forwarded: int
    lookups: int
    packet_path_why: str = ""
    """Why it is not the compiled one."""
    by_fast_path: int = 0
    """Datagrams, of those received, that the compiled path has dealt with; the others were left to Python."""
    answered: Mapping[str, int] = NOTHING
    refused: Mapping[str, int] = NOTHING
    dropped: Mapping[str, int] = NOTHING
    unsent: Mapping[str, int] = NOTHING
    network_errors: Mapping[str, int] = NOTHING
    """By the name of the error, as in ECONNREFUSED."""
    limits: LimitFacts = LimitFacts()

    @property
    def destinations(self) -> tuple[DestinationFacts, ...]:
        """Those of all sets."""
        return tuple(destination for one in self.sets for destination in one.destinations)
