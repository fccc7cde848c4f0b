"""Do client, proxy and servers agree on what went through?  Counts of one stretch of time, taken in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

import attrs

from bench.load import Load, Shares

T = TypeVar("T", bound=attrs.AttrsInstance)

LEFT = ("dropped", "unsent", "refused", "answered", "network_errors")
"""What the proxy may have done with a datagram instead of forwarding it, under its own names."""


@attrs.frozen(kw_only=True)
class Client:
    """Transactions."""

    sent: int
    answered: int
    bad: int

    @classmethod
    def of(cls, load: Load) -> Self:
        return cls(sent=load.sent, answered=load.got + load.late, bad=load.bad)


@attrs.frozen(kw_only=True)
class Proxy:
    """Datagrams at the listeners, and probes, which have sockets of their own."""

    received: int
    forwarded: int
    by_fast_path: int
    left: Mapping[str, int]
    """The others, by what became of them."""
    probes: int
    """Those whose result is known."""
    probe_failures: int

    @classmethod
    def of(cls, counters: Mapping[str, Any], destinations: Iterable[Mapping[str, Any]]) -> Self:
        """From `status` and `dispatcher.show`."""
        each = list(destinations)
        return cls(
            received=counters["received"],
            forwarded=counters["forwarded"],
            by_fast_path=counters["by_fast_path"],
            left={f"{what} {why}": count for what in LEFT for why, count in counters[what].items()},
            probes=sum(one["probes"] for one in each),
            probe_failures=sum(one["probe_failures"] for one in each),
        )

    def since(self, before: Proxy) -> Proxy:
        """What has been added."""
        return Proxy(
            received=self.received - before.received,
            forwarded=self.forwarded - before.forwarded,
            by_fast_path=self.by_fast_path - before.by_fast_path,
            left={
                name: count - before.left.get(name, 0)
                for name, count in self.left.items()
                if count != before.left.get(name, 0)
            },
            probes=self.probes - before.probes,
            probe_failures=self.probe_failures - before.probe_failures,
        )


@attrs.frozen(kw_only=True)
class Tally:
    """A stretch of time at all three; `overrun` is what the kernel threw away before full sockets, by whose they were.

    `under_way` is how many probes may at most be under way at a time: servers have seen those, and no result is known.
    """

    client: Client
    proxy: Proxy
    servers: Shares
    overrun: Mapping[str, int]
    under_way: int

    @property
    def handed_over(self) -> int:
        """What Python had to decide."""
        return self.proxy.received - self.proxy.by_fast_path

    @property
    def probes_seen(self) -> int:
        """By the servers, each once."""
        return self.servers.probes - self.servers.again

    def problems(self) -> list[str]:
        """Everything that is lost or does not agree, a sentence each."""
        client, proxy, servers = self.client, self.proxy, self.servers
        came_back, replies = client.answered + client.bad, servers.answered - servers.probes
        compared = (
            ("answers at the client", came_back, "requests that it sent", client.sent),
            ("requests at the servers", servers.requests, "sent by the client", client.sent),
            ("answers of the servers", replies, "requests that they received", servers.requests),
            ("received by the proxy", proxy.received, "sent by client and servers", client.sent + replies),
            ("forwarded by the proxy", proxy.forwarded, "received by servers and client", servers.requests + came_back),
        )
        found = [f"{what}: {one:,}, {other}: {two:,}" for what, one, other, two in compared if one != two]
        counted = {"answers other than 200": client.bad, "probes failed": proxy.probe_failures}
        counted |= {f"datagrams of the proxy: {what}": count for what, count in proxy.left.items()}
        counted |= {f"datagrams thrown away by the kernel: {whose}": count for whose, count in self.overrun.items()}
        found += [f"{count:,} {what}" for what, count in counted.items() if count]
        if abs(self.probes_seen - proxy.probes) > self.under_way:
            found.append(f"probes at the servers: {self.probes_seen:,}, known to the proxy: {proxy.probes:,}")
        return found

    def plus(self, other: Tally) -> Tally:
        """Both stretches as one."""
        return Tally(
            client=_sum(self.client, other.client),
            proxy=_sum(self.proxy, other.proxy),
            servers=_sum(self.servers, other.servers),
            overrun=_added(self.overrun, other.overrun),
            under_way=self.under_way,
        )


def _sum(one: T, other: T) -> T:
    """Field by field, of values whose fields are counts or mappings of counts."""
    fields = attrs.asdict(one, recurse=False)
    return type(one)(**{name: _added(count, getattr(other, name)) for name, count in fields.items()})


def _added(one: Any, other: Any) -> Any:
    return one + other if isinstance(one, int) else dict(Counter(one) + Counter(other))
