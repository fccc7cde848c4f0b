"""What is done about the limits and bans of a running proxy, and who hears of it?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Any, Final, Protocol

import attrs
import structlog
import trio

from dispatcher.limits import Ban, Network, Over, SourceLimits
from dispatcher.logbudget import LogBudget
from dispatcher.snapshot import Snapshot
from sipdispatch.chronicle import About, Chronicle
from sipdispatch.facts import LimitFacts
from sipdispatch.notice_text import duration
from sipdispatch.operations import OperationError

LOOK_S: Final = 1.0
"""How often the bans are looked at: how late one is told of that begins by itself or ends."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Limited(Protocol):
    """The packet path, as far as its limits go."""

    limits: SourceLimits
    snapshot: Snapshot


class Limiting:
    """The limits and bans of a packet path.  Bans are told with moments of Unix time."""

    def __init__(self, path: Limited, chronicle: Chronicle) -> None:
        self._path = path
        self._chronicle = chronicle
        self._budget = LogBudget()
        self._told: dict[str, float] = {}
        """Bans that were told of, and when they end."""

    # What can be told

    def now(self) -> float:
        """Unix time."""
        return time.time()

    def facts(self) -> LimitFacts:
        """What is in force, and whom it hits."""
        return facts_of(self._path.limits, trio.current_time())

    def bans(self) -> tuple[Ban, ...]:
        """All bans, those that end first in front."""
        now = trio.current_time()
        return tuple(_dated(ban, now) for ban in self._path.limits.bans(now))

    def top(self, count: int) -> tuple[Over, ...]:
        """The sources that are over their limit, those of whom most is dropped in front."""
        now = trio.current_time()
        ago = time.time() - now
        return tuple(attrs.evolve(over, since=over.since + ago) for over in self._path.limits.top(count, now))

    def note_on(self, host: str) -> tuple[str, ...]:
        """What whoever asks about a message from this address should know of it."""
        limits, now, address = self._path.limits, trio.current_time(), ip_address(host)
        if self._path.snapshot.is_exempt(host) or any(address in allowed for allowed in limits.policy.allow):
            return ()
        return tuple(
            f"{ban.source} is banned, so that nothing of it is heard for "
            f"{duration(round(ban.until - now))}: {ban.cause}"
            for ban in limits.bans(now)
            if address in ip_network(ban.source)
        )

    # What can be done

    def change(self, asked: Mapping[str, float | None], *, by: str) -> LimitFacts:
        """Set those of rate, burst, ban_after and ban_for that are not None, until the next start; 0 is none."""
        limits = self._path.limits
        known: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        changes: dict[str, Any] = {name: value or None for name, value in known.items()}
        policy = attrs.evolve(limits.policy, **changes)
        if policy.rate is None and (known.get("burst") or known.get("ban_after")):
            raise OperationError(
                "there is no limit that this could belong to", "limits.set", "give rate too, in messages a second"
            )
        limits.change(policy)
        log.info("the limits were changed", **known, by=by)
        return self.facts()

    def ban(self, source: str, seconds: float | None, *, by: str) -> Ban:
        """Hear nobody of an address or a network for so long; None: for as long as the bans of the limits' own last."""
        network = self._bannable(source)
        limits, now = self._path.limits, trio.current_time()
        lasts = limits.policy.ban_for if seconds is None else seconds
        try:
            ban = limits.ban(network, lasts, f"operator: ban ({by})", now)
        except ValueError as error:
            raise OperationError(str(error), source, "end one of them: sipdispatch limits unban SOURCE") from error
        self._tell_begun(ban)
        return _dated(ban, now)

    def unban(self, source: str, *, by: str) -> Ban:
        """Hear them again."""
        network = _whole_source(_network_of(source))
        limits, now = self._path.limits, trio.current_time()
        ban = limits.unban(network, now)
        if ban is None:
            holder = next((each.source for each in limits.bans(now) if _holds(ip_network(each.source), network)), None)
            if holder is None:
                raise OperationError(f"{source} is not banned", "limits.unban", "see sipdispatch limits bans")
            raise OperationError(
                f"{source} is banned as a part of {holder}",
                "limits.unban",
                f"end that: sipdispatch limits unban {holder}",
            )
        self._tell_ended(ban, f"operator: unban ({by})")
        return _dated(ban, now)

    def _bannable(self, source: str) -> Network:
        """The network that is meant; raises OperationError for one that is never banned."""
        asked = _network_of(source)
        if asked.num_addresses == 1 and self._path.snapshot.is_exempt(str(asked.network_address)):
            raise OperationError(
                f"{source} is a server of yours or this node, which are never banned",
                "limits.ban",
                "drain or disable a server with sipdispatch ds",
            )
        for core in self._path.snapshot.policy.core_networks:
            if _holds(core, asked):
                raise OperationError(
                    f"{source} is a part of {core}, whose hosts are never banned",
                    "core_networks in [proxy]",
                    "take it out there, and restart the proxy",
                )
        network = _whole_source(asked)
        for allowed in self._path.limits.policy.allow:
            if _holds(allowed, network):
                raise OperationError(
                    f"{source} may send what it likes: allow has {allowed}",
                    "[proxy.limits]",
                    "take it out there, and restart the proxy",
                )
        return network

    # What happens

    async def watch(self) -> None:
        """Tell of bans that have begun by themselves and of those that end; never returns."""
        while True:
            self.look(trio.current_time())
            await trio.sleep(LOOK_S)

    def look(self, now: float) -> None:
        """Tell of them now: of one a minute and source that has begun, and of twenty in a minute in all."""
        for ban in self._path.limits.take_begun():
            if self._budget.spend(ban.source.partition("/")[0], now) is not None:
                self._tell_begun(ban)
        for ban in self._path.limits.expire(now):
            if ban.source in self._told:
                self._tell_ended(ban, "its time is over" if ban.until <= now else "a newer ban took its place")
        self._told = {source: until for source, until in self._told.items() if now < until}

    def end(self) -> None:
        """Say that nothing is left of them: who starts the proxy anew at night may count on a ban of the evening."""
        banned = self._path.limits.banned(trio.current_time())
        if banned:
            log.warning("all bans end with the proxy", banned=banned)

    def _tell_begun(self, ban: Ban) -> None:
        self._told[ban.source] = ban.until
        cause = f"{ban.cause}, for {ban.until - ban.since:g} s"
        log.warning("a source is banned", source=ban.source, cause=cause)
        self._record("free", "banned", cause, ban.source)

    def _tell_ended(self, ban: Ban, cause: str) -> None:
        self._told.pop(ban.source, None)
        log.info("a source is banned no more", source=ban.source, cause=cause, dropped=ban.dropped)
        self._record("banned", "free", cause, ban.source)

    def _record(self, before: str, after: str, cause: str, source: str) -> None:
        self._chronicle.record("ban", before, after, cause, time.time(), about=About(address=source))


def facts_of(limits: SourceLimits, now: float) -> LimitFacts:
    """What is in force, and whom it hits."""
    policy, active = limits.policy, limits.active
    return LimitFacts(
        rate=policy.rate,
        burst=policy.room,
        ban_after=policy.ban_after,
        ban_for=policy.ban_for,
        allow=tuple(map(str, policy.allow)),
        over=limits.over(now) if active else 0,
        banned=limits.banned(now) if active else 0,
        bans=limits.begun,
    )


def _dated(ban: Ban, now: float) -> Ban:
    """With Unix time in place of the loop's."""
    ago = time.time() - now
    return attrs.evolve(ban, since=ban.since + ago, until=ban.until + ago)


def _network_of(source: str) -> Network:
    try:
        network = ip_network(source)
    except ValueError:
        raise OperationError(f"{source} is neither an address nor a network", "limits", _meant(source)) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None:
        raise OperationError(f"{source} is the IPv4 address {mapped}", "limits", f"write {mapped}")
    if not network.prefixlen:
        raise OperationError(f"{source} is everybody", "limits", "write a smaller network")
    return network


def _meant(source: str) -> str:
    """What to write in place of what is no network, as with bits behind its prefix: either of the two may be meant."""
    try:
        network = ip_network(source, strict=False)
    except ValueError:
        return "write it as in 203.0.113.9, 203.0.113.0/24 or 2001:db8::/64"
    return f"write {network}, or {source.partition('/')[0]} alone"


def _whole_source(network: Network) -> Network:
    """Of IPv6 the /64 at least: that is what one source is."""
    return network.supernet(new_prefix=64) if network.version == 6 and network.prefixlen > 64 else network


def _holds(outer: Network, inner: Network) -> bool:
    return (
        outer.version == inner.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )
