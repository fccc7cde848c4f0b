"""Which rule decides the set and the algorithm of a request that is dispatched?

ACK and CANCEL match as the INVITE they belong to: within a transaction the way of a request is never a function of its
method, or a CANCEL would look for its INVITE on another server.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from re import Pattern

import attrs

from dispatcher.algorithm import Algorithm
from dispatcher.user_pattern import matches
from sip.uri import unescape

Network = IPv4Network | IPv6Network

_AS_INVITE = frozenset((b"ACK", b"CANCEL"))


def _ranges(rule: Rule) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((net.network_address.packed, net.broadcast_address.packed) for net in rule.sources)


@attrs.frozen(kw_only=True)
class Rule:
    """One `[[proxy.route]]`: every condition that is given must hold; one that is empty or None holds always.

    `methods` never has ACK or CANCEL.  `user_prefixes` and `user_regex` see the user part of the Request-URI unescaped
    and without its parameters.  `hosts` are hosts of the Request-URI as `sip.uri.SipUri.host` has them, `sources` the
    networks of the datagram's source, `listeners` the texts of the listeners (`udp:192.0.2.10:5060`) it arrived on.
    `set_id` and `algorithm` are what the rule decides; None leaves it to the proxy's own.
    """

    methods: frozenset[bytes] = frozenset()
    user_prefixes: tuple[bytes, ...] = ()
    user_regex: Pattern[str] | None = None
    hosts: frozenset[str] = frozenset()
    sources: tuple[Network, ...] = ()
    listeners: frozenset[str] = frozenset()
    set_id: int | None = None
    algorithm: Algorithm | None = None

    _source_ranges: tuple[tuple[bytes, bytes], ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(_ranges, takes_self=True)
    )

    def is_unconditional(self) -> bool:
        """Whether the rule matches every request, so that no rule after it is ever reached."""
        conditions = (self.methods, self.user_prefixes, self.user_regex, self.hosts, self.sources, self.listeners)
        return not any(conditions)

    def _matches(self, method: bytes, user: bytes | None, host: str, source: bytes, listener: str) -> bool:
        if self.methods and method not in self.methods:
            return False
        if self.hosts and host not in self.hosts:
            return False
        if self.listeners and listener not in self.listeners:
            return False
        if self.user_prefixes and (user is None or not user.startswith(self.user_prefixes)):
            return False
        if self._source_ranges and not any(
            len(low) == len(source) and low <= source <= high for low, high in self._source_ranges
        ):
            return False
        return self.user_regex is None or (user is not None and matches(self.user_regex, user))


def first_match(
    rules: Sequence[Rule], *, method: bytes, user: bytes | None, host: str, source: str, listener: str
) -> Rule | None:
    """The first rule whose conditions all hold, or None.

    `method` is the request's, as it came.  `user` is the Request-URI's user part as it came, escapes and parameters
    included, None if it has none; `host` the Request-URI's in lower case, "" for a URI without one (tel:).  `source`
    is the canonical numeric address the request came from, `listener` the text of the listener it arrived on.
    """
    if not rules:
        return None
    method = b"INVITE" if method in _AS_INVITE else method
    user = None if user is None else unescape(user.partition(b";")[0])
    packed_source = ip_address(source).packed
    for rule in rules:
        if rule._matches(method, user, host, packed_source, listener):  # noqa: SLF001 - one module, one question
            return rule
    return None
