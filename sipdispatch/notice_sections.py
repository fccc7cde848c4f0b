"""What do the sections [[hook]] and [[notify]] of a TOML file say, and what is wrong with them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

import attrs

from sipdispatch import notice_settings, readers
from sipdispatch.consistency import Finding
from sipdispatch.happening import KINDS
from sipdispatch.notice_settings import SMTPS_PORT, Format, Hook, Notify, host_of, is_loopback
from sipdispatch.tables import Table, Tables, many

_Section = TypeVar("_Section", Hook, Notify)

_KINDS: Final = many(readers.read_word(KINDS), frozenset, may_be_empty=False)
_RETRIES: Final = readers.read_int(0, 10, "a number of tries after the first")
_MEANT: Final = {
    "kinds": "write on, a list of verdict, word, list, proxy and vrrp",
    "events": "write on, a list of verdict, word, list, proxy and vrrp",
    "interval": 'write every, as in every = "60s"',
    "password": "write password_file, the name of a file: a password does not stand in a configuration",
    "token": "write headers_file, the name of a file with a line such as Authorization: Bearer ...",
    "headers": "write headers_file, the name of a file with a header field in each line",
    "secret": "write secret_file, the name of a file: a secret does not stand in a configuration",
    "username": "write user",
    "sender": "write from",
    "recipients": "write to",
    "webhook": "write url, or url_file with the name of a file that has it",
    "type": "write format",
    "exec": 'write command, as in ["/usr/local/bin/page", "noc"]',
    "args": "write the arguments behind the program in command",
    "max": "write at_once",
}
_USUAL: Final = {
    "hooks.slack.com": "slack",
    "oapi.dingtalk.com": "dingtalk",
    "qyapi.weixin.qq.com": "wecom",
    "open.feishu.cn": "feishu",
    "open.larksuite.com": "feishu",
}
"""The form that the well-known services take, by host."""
_SIGNED: Final = ("dingtalk", "feishu")

_HOOK: Final = Table(
    cls=Hook,
    reads={
        "command": notice_settings.read_command,
        "name": notice_settings.read_name,
        "kinds": _KINDS,
        "timeout": readers.read_duration(0.1, 3600, '"100ms" to "60m"', "10s"),
        "retries": _RETRIES,
        "at_once": readers.read_int(1, 100, "a number of commands"),
    },
    hint="write [[hook]] above its keys",
    names={"kinds": "on"},
    missing={"command": 'write it as in command = ["/usr/local/bin/page", "noc"]'},
    meant=_MEANT,
)


def _notify(base: Path) -> Table:
    path = readers.read_path(base)
    return Table(
        cls=Notify,
        reads={
            "name": notice_settings.read_name,
            "url": notice_settings.read_url,
            "url_file": path,
            "smtp": notice_settings.read_smtp,
            "format": readers.read_word(get_args(Format)),
            "headers_file": path,
            "secret_file": path,
            "proxy": notice_settings.read_proxy,
            "ca_file": path,
            "starttls": readers.read_bool,
            "user": readers.read_text,
            "password_file": path,
            "sender": notice_settings.read_mailbox,
            "recipients": many(notice_settings.read_mailbox, tuple, may_be_empty=False),
            "subject_prefix": notice_settings.read_prefix,
            "kinds": _KINDS,
            "every": readers.read_duration(1, 86_400, '"1s" to "24h"', "60s"),
            "timeout": readers.read_duration(0.1, 300, '"100ms" to "5m"', "10s"),
            "retries": _RETRIES,
        },
        hint="write [[notify]] above its keys",
        names={"sender": "from", "recipients": "to", "kinds": "on"},
        meant=_MEANT,
    )


HOOK_KEYS: Final = _HOOK.keys
NOTIFY_KEYS: Final = _notify(Path("/")).keys


@attrs.frozen
class NoticeSections:
    """Those of the file, without the ones that are wrong; each has a name that no other has."""

    hooks: tuple[Hook, ...] = ()
    notifiers: tuple[Notify, ...] = ()


def read_notice_sections(tree: Mapping[str, Any], base: Path) -> tuple[NoticeSections, list[Finding]]:
    """Both sections, and all that is wrong with them; relative paths start at `base`, an absolute folder."""
    tables = Tables()
    tables.teach(_HOOK)
    tables.teach(_notify(base))
    found: list[Finding] = []
    hooks = _all(tables, tree, "hook", Hook, found)
    notifiers = _all(tables, tree, "notify", Notify, found)
    for index, notify in notifiers:
        found += _misfits(index, notify)
    names = [("hook", index, hook.name) for index, hook in hooks]
    found += _doubles([*names, *(("notify", index, notify.name) for index, notify in notifiers)])
    named = _named([hook for _, hook in hooks], [notify for _, notify in notifiers])
    return named, found


def _all(
    tables: Tables, tree: Mapping[str, Any], section: str, cls: type[_Section], found: list[Finding]
) -> list[tuple[int, _Section]]:
    """Those tables of an array that can be read, each with its index."""
    raw = tree.get(section, [])
    if not isinstance(raw, list):
        hint = f"write [[{section}]], with two brackets, above each"
        found.append(Finding((section,), f"must be a list of tables, not {readers.kind(raw)}", hint))
        return []
    good = []
    for index, table in enumerate(raw):
        value, wrong = tables.try_read(table, cls, (section, index))
        found += wrong
        if value is not None:
            good.append((index, value))
    return good


def _misfits(index: int, notify: Notify) -> Iterator[Finding]:
    """What is wrong between the keys of one notifier."""
    at = ("notify", index)
    ways = [key for key, value in (("url", notify.url), ("url_file", notify.url_file), ("smtp", notify.smtp)) if value]
    if not ways:
        yield Finding(at, "says not where to", 'write url = "https://...", url_file = "FILE" or smtp = "HOST:PORT"')
    elif len(ways) > 1:
        yield Finding((*at, ways[1]), f"{ways[0]} is there too", "make two notifiers of it", of_key=True)
    elif notify.smtp is None:
        yield from _misfits_of_post(at, notify)
    else:
        yield from _misfits_of_mail(at, notify, notify.smtp[0], notify.smtp[1])


def _misfits_of_post(at: tuple[str, int], notify: Notify) -> Iterator[Finding]:
    for key, value in (
        ("to", notify.recipients),
        ("from", notify.sender),
        ("user", notify.user),
        ("password_file", notify.password_file),
    ):
        if value:
            hint = "write smtp in place of the URL, or leave it out"
            if key in ("user", "password_file"):
                hint = "write a line Authorization: Basic ... into headers_file"
            yield Finding((*at, key), "belongs to mail", hint, of_key=True)
    if notify.format == "email":
        yield Finding((*at, "format"), "email is not posted to a URL", 'write smtp = "HOST:PORT" in place of the URL')
    if notify.secret_file is not None and notify.shape not in _SIGNED:
        hint = "leave it out; a token that the service wants goes into headers_file"
        yield Finding((*at, "secret_file"), f"{notify.shape} signs nothing", hint, of_key=True)
    if notify.url is None:
        return
    usual = _USUAL.get(host_of(notify.url).partition(":")[0].lower())
    if usual is not None and notify.shape != usual:
        message = f"{host_of(notify.url)} does not understand {notify.shape}"
        yield Finding((*at, "url"), message, f'write format = "{usual}"', "warning")
    parts = urlsplit(notify.url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Finding((*at, "url"), "what is posted can be read on its way", "write https://", "warning")


def _misfits_of_mail(at: tuple[str, int], notify: Notify, host: str, port: int) -> Iterator[Finding]:
    if notify.format not in (None, "email"):
        yield Finding((*at, "format"), f"{notify.format} does not go by mail", 'leave it out, or write "email"')
    if notify.sender is None:
        yield Finding((*at, "smtp"), "from is missing", 'write from = "sipdispatch@example.com"')
    if not notify.recipients:
        yield Finding((*at, "smtp"), "to is missing", 'write to = ["noc@example.com"]')
    for key, value in (
        ("headers_file", notify.headers_file),
        ("secret_file", notify.secret_file),
        ("proxy", notify.proxy),
    ):
        if value is not None:
            yield Finding((*at, key), "belongs to a URL", "leave it out", of_key=True)
    if (notify.user is None) != (notify.password_file is None):
        here, missing = ("user", "password_file") if notify.user else ("password_file", "user")
        yield Finding((*at, here), f"{missing} is missing", f"write {missing} too", of_key=True)
    if notify.user is not None and not notify.starttls and port != SMTPS_PORT and not is_loopback(host):
        yield Finding((*at, "starttls"), "the password could be read on its way", "leave starttls out")


def _doubles(names: Sequence[tuple[str, int, str]]) -> Iterator[Finding]:
    """Names that stand twice; each with its section and its index there."""
    seen: dict[str, str] = {}
    for section, index, name in names:
        here = f"{section}[{index}]"
        if name and seen.setdefault(name, here) != here:
            hint = "give each a name of its own"
            yield Finding((section, index, "name"), f"{seen[name]} has the same name", hint)


def _named(hooks: Sequence[Hook], notifiers: Sequence[Notify]) -> NoticeSections:
    """All with names: those without one are called after their program or their form, with a number where needed."""
    taken = {hook.name for hook in hooks} | {notify.name for notify in notifiers}

    def name(given: str, kind_of: str) -> str:
        if given:
            return given
        number, free = 1, kind_of
        while free in taken:
            number += 1
            free = f"{kind_of}-{number}"
        taken.add(free)
        return free

    return NoticeSections(
        tuple(attrs.evolve(hook, name=name(hook.name, PurePath(hook.command[0]).name)) for hook in hooks),
        tuple(attrs.evolve(notify, name=name(notify.name, notify.shape)) for notify in notifiers),
    )
