"""What does the hot path know?  One frozen value: the list, the names, the policy and who lives, swapped whole."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

import attrs

from dispatcher.algorithm import Algorithm
from dispatcher.destination import Destination
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from dispatcher.selection import Pool
from dispatcher.whereabouts import Whereabouts, find
from health.board import OLD_WORK
from sip.uri import Address, SipUri, numeric

Network = IPv4Network | IPv6Network

Names = Callable[[str, int | None, str], "tuple[Address, ...] | None"]
"""(host, port, transport) -> its addresses in order, () when it has none, None when nobody has looked it up yet."""


@attrs.frozen(kw_only=True)
class Policy:
    """What the operator has decided, apart from the list."""

    default_set: int = 1
    algorithm: Algorithm
    rules: tuple[Rule, ...] = ()
    domains: frozenset[str] = frozenset()
    """Host names, in lower case, that mean this proxy."""
    core_networks: tuple[Network, ...] = ()
    aor_domain: bool = False
    rewrite_host: bool = False
    force_rport: Literal["nat", "always", "never"] = "nat"
    no_destination: int | None = 503
    """The code when no destination is usable; None is panic: the choice is made as if no verdict were down."""
    retry_after: int = 5
    """Seconds, said with a 503."""
    server: bytes = b""
    """The Server field of our own answers, nothing when empty."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """Everything that decides where a message goes.

    `destinations` are those of all sets, one set after the other; `starts` says where each set begins in them.
    `liveness` has one byte a destination of the set, as `health.board` codes them.
    """

    version: int
    policy: Policy
    keys: tuple[bytes, ...]
    """Hash keys of the secrets, the current one first."""
    listeners: tuple[Listener, ...]
    destinations: tuple[Destination, ...]
    pools: Mapping[int, Pool]
    starts: Mapping[int, int]
    liveness: Mapping[int, bytes]
    serving: bool
    """At least one destination takes new work."""
    numbers: tuple[int, ...]
    """What the table of recent choices knows each destination by."""
    latency: Mapping[int, Sequence[float]] = attrs.field(factory=dict)
    """Of each set, one for each destination in seconds, 0.0 where it is not known; a set that is missing knows none."""
    ramp: Mapping[int, bytes] = attrs.field(factory=dict)
    """Of each set in which somebody has just come back: how many of 256 keys each destination takes, 255 for all."""
    departed: Mapping[int, Destination] = attrs.field(factory=dict)
    """Destinations that the list has lost, by number: the ACK or CANCEL of a request under way follows them."""
    where: Whereabouts = attrs.field(
        default=attrs.Factory(lambda self: find(self.destinations, self.numbers), takes_self=True), eq=False, repr=False
    )
    """What is derived from `destinations` and `numbers`."""

    sent_by: tuple[bytes, ...] = attrs.field(init=False, eq=False, repr=False)
    by_number: Mapping[int, int] = attrs.field(init=False, eq=False, repr=False)
    _at: Mapping[Address, tuple[int, ...]] = attrs.field(init=False, eq=False, repr=False)
    _listed: Mapping[Address, int] = attrs.field(init=False, eq=False, repr=False)
    _core_hosts: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    own: Mapping[Address, int] = attrs.field(init=False, eq=False, repr=False)
    """The place of the listener with this address or advertised name."""
    _own_hosts: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    own_names: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    """What means us without a port: an address alone is port 5060 of a node that may be shared."""
    _bound: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    _own_ports: frozenset[int] = attrs.field(init=False, eq=False, repr=False)
    inner: frozenset[int] = attrs.field(init=False, eq=False, repr=False)
    """The listeners that the list names with `socket`: they are toward the servers."""

    @sent_by.default
    def _make_sent_by(self) -> tuple[bytes, ...]:
        return tuple(listener.sent_by for listener in self.listeners)

    @by_number.default
    def _make_by_number(self) -> Mapping[int, int]:
        return self.where.by_number

    @_at.default
    def _make_at(self) -> Mapping[Address, tuple[int, ...]]:
        return self.where.at

    @_listed.default
    def _make_listed(self) -> Mapping[Address, int]:
        return self.where.listed

    @_core_hosts.default
    def _make_core_hosts(self) -> frozenset[str]:
        return self.where.core_hosts

    @own.default
    def _make_own(self) -> Mapping[Address, int]:
        own: dict[Address, int] = {}
        for place, listener in enumerate(self.listeners):
            own.setdefault(listener.address, place)
            own.setdefault((listener.advertised[0].lower(), listener.advertised[1]), place)
        return own

    @_own_hosts.default
    def _make_own_hosts(self) -> frozenset[str]:
        return frozenset(host for host, _ in self.own) | self.policy.domains

    @_bound.default
    def _make_bound(self) -> frozenset[str]:
        return frozenset(listener.address[0].partition("%")[0] for listener in self.listeners)

    @own_names.default
    def _make_own_names(self) -> frozenset[str]:
        return frozenset(host for host, _ in self.own if numeric(host) is None) | self.policy.domains

    @_own_ports.default
    def _make_own_ports(self) -> frozenset[int]:
        return frozenset(port for _, port in self.own)

    @inner.default
    def _make_inner(self) -> frozenset[int]:
        return frozenset(self.own[socket] for socket in self.where.sockets if socket in self.own)

    def is_core(self, host: str) -> bool:
        """Whether a numeric address is on the core side: a destination's, ports do not count, or in `core_networks`."""
        return host in self._core_hosts or (bool(self.policy.core_networks) and within(host, self.policy.core_networks))

    def is_exempt(self, host: str) -> bool:
        """Whether a numeric address is never limited or banned: the core, and this node itself, whose agent asks us."""
        return host in self._bound or self.is_core(host)

    def listed(self, host: str, port: int) -> int | None:
        """The place of the destination that the list has under this host (as written, or numeric) and port.

        A name that stands for several addresses is none of them: it is the whole farm's.
        """
        return self._listed.get((host, port))

    def places_at(self, address: Address) -> tuple[int, ...]:
        """The places of all destinations at an address: one for each set that lists it."""
        return self._at.get(address, ())

    def with_liveness(
        self,
        liveness: Mapping[int, bytes],
        *,
        serving: bool,
        latency: Mapping[int, Sequence[float]] | None = None,
        ramp: Mapping[int, bytes] | None = None,
    ) -> Snapshot:
        """The same snapshot with other liveness; what is derived from the list is shared, not made again.

        `latency` and `ramp` are as before where they are None.
        """
        other = copy.copy(self)
        object.__setattr__(other, "liveness", liveness)
        object.__setattr__(other, "serving", serving)
        object.__setattr__(other, "latency", self.latency if latency is None else latency)
        object.__setattr__(other, "ramp", self.ramp if ramp is None else ramp)
        return other

    def is_usable(self, place: int) -> bool:
        """Whether a destination takes requests that name it: it is neither down nor disabled."""
        set_id = self.destinations[place].entry.set_id
        return bool(self.liveness[set_id][place - self.starts[set_id]] & OLD_WORK)

    def own_listener(self, host: str, port: int) -> int | None:
        """The place of the listener with this address or advertised name."""
        return self.own.get((host, port))

    def is_own_name(self, uri: SipUri) -> bool:
        """Whether a URI means this proxy: a listener, its advertised name or one of `domains`, without a look-up.

        A destination of the list with this host and port is meant before us.
        """
        host = uri.host
        if host not in self._own_hosts:
            return False
        place = (host, uri.port or uri.default_port)
        if place in self._listed:
            return False
        if place in self.own:
            return True
        return (
            host in self.own_names if uri.port is None else host in self.policy.domains and uri.port in self._own_ports
        )

    def listener_for(self, host: str, preferred: int) -> int | None:
        """The listener to leave by: the preferred one if it has the family of `host`, else the first that has it."""
        family = 6 if ":" in host else 4
        if self.listeners[preferred].family == family:
            return preferred
        for place, listener in enumerate(self.listeners):
            if listener.family == family:
                return place
        return None

    def listener_outward(self, host: str, arrival: int) -> int | None:
        """The listener by which a server's request that came in by `arrival` leaves for `host`.

        It is that one again, but a listener toward the servers leads to no carrier: the first that is not takes it.
        """
        if arrival in self.inner and not self.is_core(host):
            family = 6 if ":" in host else 4
            for place, listener in enumerate(self.listeners):
                if place not in self.inner and listener.family == family:
                    return place
        return self.listener_for(host, arrival)


@lru_cache(maxsize=8192)
def within(host: str, networks: Sequence[Network]) -> bool:
    """Whether a numeric address lies in one of the networks."""
    address = ip_address(host)
    return any(address in network for network in networks)
