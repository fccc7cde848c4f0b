"""How is one question put to the name servers, and what do they answer?

The only module that knows dnspython; importing it costs some 0.2 s, so `dispatcher.resolver` does it late, in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs
import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver
import trio
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from dispatcher.names import Failure, FailureKind, Found, Srv, ordered
from sip.uri import Address

ATTEMPT_S = 1.5
"""For one server to answer one question, so that a second try, or a second server, has its time too."""
QUERY_SHARE = 0.6
"""Of the whole time-out for one question: a family whose queries are lost leaves time for what the other one said."""
MAX_SEARCH = 6
"""Domains of resolv.conf's `search` that are tried, as in resolv.conf(5)."""


@attrs.frozen
class _Records:
    """What there is of one type, for how many seconds; `exists` is False when there is no such name."""

    rdatas: tuple[dns.rdata.Rdata, ...]
    ttl_s: float
    exists: bool = True


class DnsClient:
    """Asks these name servers, or those of resolv.conf as it is now.

    Raises dns.exception.DNSException, OSError or ValueError when there is no usable configuration.
    """

    def __init__(self, nameservers: Sequence[Address], resolv_conf: Path, timeout_s: float) -> None:
        self._backend = dns.asyncbackend.get_backend("trio")
        self._query_s = timeout_s * QUERY_SHARE
        if nameservers:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in nameservers]
            search: list[dns.name.Name] = []
        else:
            self._resolver = dns.asyncresolver.Resolver(str(resolv_conf))
            search = self._resolver.search or [self._resolver.domain]
        self._search = [each.to_text(omit_final_dot=True) for each in search[:MAX_SEARCH] if each != dns.name.root]
        self._resolver.timeout = min(ATTEMPT_S, self._query_s)

    def spellings(self, host: str) -> list[str]:
        """The names to ask for: one with a dot is whole, one without is completed by the search list first."""
        return [host] if "." in host else [*(f"{host}.{domain}" for domain in self._search), host]

    async def srv(self, name: str) -> tuple[tuple[Srv, ...] | Failure, float]:
        """The ordered SRV records of a name, () when there are none, or why that is not known; and for how long."""
        outcome = await self._query(name, "SRV")
        if isinstance(outcome, Failure):
            return outcome, 0.0
        records = (cast("SRV", each) for each in outcome.rdatas)
        return (
            ordered(Srv(each.priority, each.weight, each.port, _host(each.target)) for each in records),
            outcome.ttl_s,
        )

    async def addresses(self, name: str, limit: trio.CapacityLimiter) -> Found:
        """A and AAAA of a name, asked at the same time within the limit."""
        outcomes: dict[int, _Records | Failure] = {}

        async def ask(family: int, kind: str) -> None:
            async with limit:
                outcomes[family] = await self._query(name, kind)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 4, "A")
            nursery.start_soon(ask, 6, "AAAA")
        failures = {family: each for family, each in outcomes.items() if isinstance(each, Failure)}
        records = [each for each in outcomes.values() if isinstance(each, _Records)]
        failure = next(iter(failures.values()), None)
        if failure is None and not all(each.exists for each in records):
            failure = Failure(FailureKind.NO_SUCH_NAME)
        return Found(
            hosts=tuple(cast("A | AAAA", rdata).address for each in records for rdata in each.rdatas),
            ttl_s=min((each.ttl_s for each in records), default=0.0),
            missing=frozenset(failures),
            failure=failure,
        )

    async def _query(self, name: str, kind: str) -> _Records | Failure:
        """The records of one type, following CNAMEs, over TCP where UDP is too small; never raises."""
        with trio.move_on_after(self._query_s):
            try:
                absolute = dns.name.from_text(name)
                answer = await self._resolver.resolve(
                    absolute,
                    kind,
                    raise_on_no_answer=False,
                    lifetime=self._query_s,
                    search=False,
                    backend=self._backend,
                )
            except dns.resolver.NXDOMAIN as denied:
                denial = denied.kwargs["responses"][absolute]
                return _Records((), denial.resolve_chaining().minimum_ttl, exists=False)
            except dns.exception.Timeout:
                return Failure(FailureKind.TIMEOUT)
            except (dns.exception.DNSException, OSError, ValueError) as error:
                return Failure(FailureKind.SERVER_FAILURE, str(error))
            except ImportError as error:
                # dnspython loads parts of itself late, and by then it may have been upgraded on the disk.
                return Failure(FailureKind.NO_LIBRARY, f"{type(error).__name__}: {error}")
            return _Records(tuple(answer.rrset or ()), answer.chaining_result.minimum_ttl)
        return Failure(FailureKind.TIMEOUT)


def _host(name: dns.name.Name) -> str:
    """A name as the list would write it; "" for the root, which says that there is no such service (RFC 2782)."""
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()
