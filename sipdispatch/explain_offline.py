"""What would a proxy with this configuration do with a message, as far as can be told without asking it?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import attrs
import click
import trio

from dispatcher.algorithm import Kind
from dispatcher.choice import Chance
from dispatcher.hopcache import NextHops
from dispatcher.keyed import derive
from dispatcher.outcome import Forward, Reply, Resolve
from dispatcher.refresh import ListNames
from dispatcher.resolver import Resolver
from dispatcher.service import MAX_LOOKUPS_A_REQUEST
from dispatcher.snapshot import Snapshot
from sip.uri import host_port
from sipdispatch import logs, secret
from sipdispatch.config import Config
from sipdispatch.errors import CommandError
from sipdispatch.explain import Account, explain
from sipdispatch.explain_document import as_json
from sipdispatch.explain_request import Arriving, Asked, arrive, read_file, says_line_feeds_only
from sipdispatch.explain_words import Setting, as_text
from sipdispatch.listread import read_list
from sipdispatch.proxy import expanded, fault_of, policy_of
from sipdispatch.secret import SecretError
from sipdispatch.upkeep import Upkeep

_CALL_ID_KINDS = (
    Kind.CALL_ID,
    Kind.WEIGHT,
    Kind.RELATIVE_WEIGHT,
    Kind.TIERS,
    Kind.HEADER,
    Kind.LATENCY,
    Kind.CALL_LOAD,
)
"""Algorithms whose choice is another one with another Call-ID."""

_BY_WHAT_IS_SEEN = {
    Kind.LATENCY: "latency compares how soon servers answer",
    Kind.CALL_LOAD: "call-load compares how many calls servers have",
}
"""Algorithms that hang on more than the message, the list and who is up."""


@attrs.frozen
class Secrets:
    """The secrets to hash with; `throw_away` when the configured file is not there."""

    values: tuple[bytes, ...]
    throw_away: bool


def run(config: Config, asked: Asked, *, as_document: bool) -> str:
    """The account of the message, for people or as a JSON document; raises CommandError."""
    logs.hand_over(lambda line, level: click.echo(f"sipdispatch: {level}: {line}", err=True), "warning")
    datagram = None if asked.file is None else read_file(asked.file)
    secrets = read_secrets(config)
    snapshot, account, setting = trio.run(_account, config, asked, datagram, secrets)
    return (as_json if as_document else as_text)(snapshot, account, setting)


def read_secrets(config: Config) -> Secrets:
    """The proxy's own secrets; a throw-away one where there is no file yet, which is never made here."""
    try:
        return Secrets(secret.read(config.proxy.secret_file), throw_away=False)
    except SecretError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Secrets((os.urandom(secret.SECRET_BYTES),), throw_away=True)
        if isinstance(error.__cause__, PermissionError):
            (fault,) = error.faults
            raise CommandError(
                fault.what, fault.where, "run this as the user that the proxy runs as, or as root"
            ) from error
        raise


async def _account(
    config: Config, asked: Asked, datagram: bytes | None, secrets: Secrets
) -> tuple[Snapshot, Account, Setting]:
    resolver = Resolver()
    snapshot = await snapshot_at_start(config, secrets.values, resolver)
    arriving = arrive(asked, datagram, snapshot)
    account, looked_up = await _follow(snapshot, arriving, NextHops(resolver))
    setting = Setting(
        listeners=[str(listener) for listener in snapshot.listeners],
        assumed=arriving.assumed,
        secret_path=str(config.proxy.secret_file),
        fingerprint=None if secrets.throw_away else secret.fingerprint(secrets.values[0]),
        looked_up=looked_up,
        notes=tuple(_notes(config, account, secrets, arriving)),
    )
    return snapshot, account, setting


async def snapshot_at_start(config: Config, secrets: Sequence[bytes], resolver: Resolver) -> Snapshot:
    """What the proxy would know when it begins to forward; raises CommandError."""
    settings = config.proxy
    entries, problems = await read_list(settings.list_path, settings)
    if entries is None:
        raise CommandError.of(*(fault_of(problem) for problem in problems if problem.severity == "error"))
    upkeep = Upkeep(
        settings,
        policy_of(settings),
        tuple(derive(raw) for raw in secrets),
        expanded(settings.listen),
        ListNames(resolver),
    )
    async with trio.open_nursery() as nursery:
        await upkeep.follow_list(entries, nursery)
        nursery.cancel_scope.cancel()
    assert upkeep.snapshot is not None  # noqa: S101 - follow_list has made it
    return upkeep.snapshot


async def _follow(
    snapshot: Snapshot, arriving: Arriving, names: NextHops
) -> tuple[Account, Mapping[str, Sequence[str]]]:
    """The account once the names of its next hops are known, and those names with their addresses."""
    looked_up: dict[str, Sequence[str]] = {}
    chance = Chance(0, int.from_bytes(os.urandom(8)))
    while True:
        account = explain(
            snapshot, arriving.datagram, arriving.source, arriving.arrival, names=names.get, chance=chance
        )
        asked = account.outcome
        if not isinstance(asked, Resolve) or len(looked_up) == MAX_LOOKUPS_A_REQUEST:
            return account, looked_up
        found = await names.fetch(asked.host, asked.port, asked.transport)
        looked_up[asked.host] = [host_port(address) for address in found or ()]


def _notes(config: Config, account: Account, secrets: Secrets, arriving: Arriving) -> list[str]:
    """What the reader should know of the answer."""
    notes: list[str] = []
    if isinstance(account.outcome, Reply) and account.fault and says_line_feeds_only(arriving.datagram):
        notes.append(
            "the file has line feeds only, where SIP has carriage returns before them: was it saved as it came?"
        )
    if secrets.throw_away and _hangs_on_secret(account):
        notes.append(
            f"there is no secret in {config.proxy.secret_file}, so a throw-away one was used: "
            "the running proxy chooses otherwise, and no token or branch of it is known"
        )
    choice = account.choice
    if choice is not None and isinstance(account.outcome, Forward):
        if "call_id" in arriving.assumed and choice.used.kind in _CALL_ID_KINDS:
            notes.append("another Call-ID may go elsewhere: give the one that you mean with --call-id")
        if choice.used.kind in _BY_WHAT_IS_SEEN:
            notes.append(
                f"{_BY_WHAT_IS_SEEN[choice.used.kind]}, which only the running proxy knows: it may choose another"
            )
        keeps = "" if choice.is_register else "keeps a Call-ID of the last three minutes where it went, and "
        notes.append(f"the running proxy, which is not asked, {keeps}avoids a destination that has just refused")
    return notes


def _hangs_on_secret(account: Account) -> bool:
    """Whether another secret may give another answer: there is a choice, a token or a branch in it."""
    is_reply = account.message is not None and not account.message.method
    return is_reply or account.choice is not None or any(seen.has_user for seen in account.routes)
