"""What do the hosts file and the DNS say of a name now?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from dispatcher.hosts import find_host, parse_hosts
from dispatcher.names import (
    MIN_TTL_S,
    Answer,
    Failure,
    FailureKind,
    Found,
    Lookup,
    Srv,
    answer_from,
    answer_from_srv,
    bounded_ttl,
    lookup,
)
from dispatcher.watch import Signature, signature
from sip.uri import Address

if TYPE_CHECKING:
    from dispatcher.dnsclient import DnsClient

HOSTS = Path("/etc/hosts")
RESOLV_CONF = Path("/etc/resolv.conf")
TIMEOUT_S = 5.0
"""For a whole name: SRV, then the addresses of its targets."""
MAX_QUERIES = 4
"""Questions of one name under way at once: A and AAAA of two SRV targets."""
_LARGE_FILE_BYTES = 65536
"""A hosts file past this (there are lists of blocked names) is read in a thread."""


class UnresolvedError(Exception):
    """A name has no address now; `failure` says why."""

    def __init__(self, asked: Lookup, failure: Failure) -> None:
        super().__init__(f"{asked}: {failure.kind.sentence}")
        self.asked = asked
        self.failure = failure


class NameSource(Protocol):
    """Who can be asked for names: a Resolver, or a table in a test."""

    async def ask(self, asked: Lookup) -> Answer | Failure:
        """The addresses of a name or why there are none; never raises."""


class Resolver:
    """Asks the hosts file, then the DNS; keeps no answers.

    `nameservers` replace those of `resolv_conf` and its search list.  Both files are read again when they have
    changed.
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[Address] = (),
        hosts: Path = HOSTS,
        resolv_conf: Path = RESOLV_CONF,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._resolv_conf = resolv_conf
        self._timeout_s = timeout_s
        self._hosts = _HostsFile(hosts)
        self._client_class: type[DnsClient] | None = None
        self._client: DnsClient | Failure | None = None
        self._client_of: Signature | None = None

    async def resolve(self, host: str, port: int | None, transport: str) -> Answer:
        """The addresses of a host for a transport; raises UnresolvedError, and nothing else."""
        asked = lookup(host, port, transport)
        outcome = await self.ask(asked)
        if isinstance(outcome, Failure):
            raise UnresolvedError(asked, outcome)
        return outcome

    async def ask(self, asked: Lookup) -> Answer | Failure:
        """The addresses of a name or why there are none, within the time-out.  Whoever asks bounds how many at once."""
        if asked.address is not None:
            return Answer(addresses=(asked.address,))
        try:
            return await self._ask(asked)
        except Exception as error:  # noqa: BLE001 - no thread, or a mistake in a library: costs one answer, not the proxy
            return Failure(FailureKind.SERVER_FAILURE, f"{type(error).__name__}: {error}")

    async def _ask(self, asked: Lookup) -> Answer | Failure:
        await self._hosts.refresh()
        found = self._hosts.found(asked.host)
        if found is not None:
            return answer_from(asked, found)
        if not asked.is_name:
            return Failure(FailureKind.BAD_NAME)
        with trio.move_on_after(self._timeout_s):
            return await self._ask_dns(asked)
        return Failure(FailureKind.TIMEOUT)

    async def _ask_dns(self, asked: Lookup) -> Answer | Failure:
        client = await self._configured()
        if isinstance(client, Failure):
            return client
        outcome: Answer | Failure = Failure(FailureKind.NO_SUCH_NAME)
        for name in client.spellings(asked.host):
            outcome = await self._ask_name(client, asked, name)
            if isinstance(outcome, Answer) or not outcome.kind.is_answer:
                break
        return outcome

    async def _ask_name(self, client: DnsClient, asked: Lookup, name: str) -> Answer | Failure:
        """SRV first where it applies, then A and AAAA (RFC 3263 4.2)."""
        srv_name = asked.srv_name(name)
        if srv_name is None:
            return answer_from(asked, (await self._find(client, [name]))[name])
        records, ttl_s = await client.srv(srv_name)
        if isinstance(records, Failure):
            # Not the default port instead: the next answer would move every call back.
            return records
        if records:
            return await self._ask_targets(client, records, ttl_s)
        outcome = answer_from(asked, (await self._find(client, [name]))[name])
        if isinstance(outcome, Answer):
            # SRV records that the name is given later are seen when the denial of them has run out.
            return attrs.evolve(outcome, ttl_s=min(outcome.ttl_s, bounded_ttl(ttl_s)))
        return outcome

    async def _ask_targets(self, client: DnsClient, records: tuple[Srv, ...], ttl_s: float) -> Answer | Failure:
        targets = list(dict.fromkeys(record.target for record in records if record.target))
        return answer_from_srv(records, await self._find(client, targets), ttl_s)

    async def _find(self, client: DnsClient, names: Sequence[str]) -> dict[str, Found]:
        """What the hosts file, else A and AAAA say of each name."""
        found: dict[str, Found] = {}
        limit = trio.CapacityLimiter(MAX_QUERIES)

        async def find(name: str) -> None:
            known = self._hosts.found(name)
            found[name] = await client.addresses(name, limit) if known is None else known

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(find, name)
        return found

    async def _configured(self) -> DnsClient | Failure:
        """The client for the name servers of now."""
        if self._client_class is None:
            loaded = await trio.to_thread.run_sync(_load_client)
            if isinstance(loaded, Failure):
                return loaded
            self._client_class = loaded
        state = None if self._nameservers else signature(self._resolv_conf)
        if self._client is None or state != self._client_of:
            self._client_of = state
            try:
                self._client = self._client_class(self._nameservers, self._resolv_conf, self._timeout_s)
            except Exception as error:  # noqa: BLE001 - whatever the file has in it, look-ups only fail
                self._client = Failure(FailureKind.NO_RESOLVER, str(error))
        return self._client


def _load_client() -> type[DnsClient] | Failure:
    """The class, or why there is none: an environment that is upgraded under a running program may lack anything."""
    try:
        from dispatcher.dnsclient import DnsClient  # noqa: PLC0415 - a list of numeric addresses pays for no dnspython
    except Exception as error:  # noqa: BLE001 - half a library fails in its own way
        return Failure(FailureKind.NO_LIBRARY, f"{type(error).__name__}: {error}")
    return DnsClient


class _HostsFile:
    """/etc/hosts as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: Signature | None = None
        self._names: Mapping[str, tuple[str, ...]] = {}

    async def refresh(self) -> None:
        """Read the file again when it has changed; one that is gone has no names."""
        state = signature(self._path)
        if state == self._read:
            return
        self._read = state
        if state is not None and state[1] > _LARGE_FILE_BYTES:
            self._names = await trio.to_thread.run_sync(self._load)
        else:
            self._names = self._load()

    def found(self, name: str) -> Found | None:
        """The addresses of a name; they are looked at again as soon as any may be: the file costs nothing."""
        hosts = find_host(self._names, name)
        return Found(hosts=hosts, ttl_s=MIN_TTL_S) if hosts else None

    def _load(self) -> Mapping[str, tuple[str, ...]]:
        try:
            return parse_hosts(self._path.read_bytes())
        except OSError:
            return {}
