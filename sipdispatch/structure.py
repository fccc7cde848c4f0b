"""Which frozen tree does the plain tree of a TOML file stand for, and which of its keys and values are wrong?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import attrs

from dispatcher.fastpath import Wish
from dispatcher.limits import LimitPolicy
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from sipdispatch import address_readers, readers
from sipdispatch.config import ForceRport, LogFormat, LogLevel, Proxy, Sections
from sipdispatch.consistency import Finding, findings, section_findings
from sipdispatch.readers import BadValueError
from sipdispatch.sections import KEYS, read_sections
from sipdispatch.tables import Table, Tables, many
from sipdispatch.vrrp_section import listening_findings

SECTIONS_TO_COME: Final = ("log",)
"""Known by name and refused, so that nobody believes they work."""

NO_LISTENER: Final = 'write listen = ["udp:192.0.2.10:5060"] with an address of this node or the virtual IP'

LISTS: Final = ("hook", "notify")
"""Sections that may stand several times, each with two brackets."""

KNOWN: Final = ("proxy", *KEYS, "vrrp", *LISTS)
"""All sections."""

_STAND_INS: Final[dict[str, Any]] = {
    "listen": [],
    "list": "dispatcher.list",
    "state_dir": "state",
    "secret_file": "key",
}
"""Instead of keys that must be there and are wrong, so that the others can be compared with each other."""

_MISSING: Final = {
    "listen": NO_LISTENER,
    "state_dir": 'write state_dir = "/var/lib/sipdispatch": this process has no home directory',
}

_MEANT: Final = {
    "port": 'the port is a part of listen, as in "udp:192.0.2.10:5060"',
    "address": 'the address is a part of listen, as in "udp:192.0.2.10:5060"',
    "bind": "write listen",
    "destinations": "destinations stand in the dispatcher list, the file that the key list names",
    "servers": "destinations stand in the dispatcher list, the file that the key list names",
    "file": "write list",
    "list_file": "write list",
    "setid": "write set",
    "alg": "write algorithm",
    "user": "write user_prefix or user_regex",
    "secret": "write secret_file, the name of a file: a secret does not stand in a configuration",
    "routes": "write each rule below a line [[proxy.route]]",
}
"""What people write, and what they mean by it, where the spelling does not tell."""


@attrs.frozen
class _ListenTable:
    """`{ address = ..., advertise = ... }`, one element of `listen`."""

    address: Listener
    advertise: tuple[str, int | None] | None = None


@attrs.frozen
class Structured:
    """The tree as far as it can be read; `proxy` and `sections` are None when there is a finding of severity error.

    `list_path` is told whenever it can be, so that the list can be checked beside a wrong configuration.
    """

    proxy: Proxy | None
    findings: tuple[Finding, ...]
    list_path: Path | None = None
    sections: Sections | None = None


def structure(tree: Mapping[str, Any], base: Path, *, proxy_required: bool = True) -> Structured:
    """Read the tree of a whole file; relative paths start at `base`, an absolute folder.

    Unless the proxy is required, a file for the agent alone, which has [vrrp] in place of [proxy], is right.
    `list`, `state_dir` and `secret_file` must be there: their defaults depend on where the process runs.
    """
    found = list(unknown_sections(tree))
    sections, wrong = read_sections(tree, base)
    found += wrong
    raw = tree.get("proxy")
    if not isinstance(raw, dict):
        # A key outside, a misspelt section: that is the mistake then.
        if raw is not None or (not found and (proxy_required or "vrrp" not in tree)):
            found.append(_no_section(raw))
        return Structured(None, tuple(found))
    raw = dict(raw)
    advertise = _own_advertise(raw, found)
    tables = _tables(base)
    proxy, wrong = tables.try_read(raw, Proxy, ("proxy",))
    found += wrong
    bad = {finding.at[1] for finding in wrong}
    if proxy is None:  # what can be read is compared all the same, so that all mistakes are told at once
        left = {key: value for key, value in raw.items() if key not in bad}
        proxy = tables.read(_STAND_INS | left, Proxy)
    if raw.get("listen") == []:
        found.append(Finding(("proxy", "listen"), "names no address", NO_LISTENER))
    found += findings(proxy, advertise)
    found += section_findings(proxy, sections)
    if sections.vrrp is not None and "listen" not in bad:
        found += listening_findings(sections.vrrp, [listener.address for listener in proxy.listen])
    proxy = _advertised(proxy, advertise)
    list_path = None if "list" in bad else proxy.list_path
    if any(finding.severity == "error" for finding in found):
        return Structured(None, tuple(found), list_path)
    return Structured(proxy, tuple(found), list_path, sections)


# --------------------------------------------------------------------------------------------------------------------
# Sections


def unknown_sections(tree: Mapping[str, Any]) -> Iterator[Finding]:
    """What stands in the file beside the sections that there are."""
    for key, value in tree.items():
        if key in KNOWN:
            continue
        if key in SECTIONS_TO_COME:
            yield Finding((key,), "this version has no such section", "leave it out", of_key=True)
        elif key == "route":
            yield Finding((key,), "rules belong to the proxy", "write [[proxy.route]] above each of them", of_key=True)
        elif key == "limits":
            yield Finding((key,), "limits belong to the proxy", "write the line [proxy.limits] above them", of_key=True)
        elif key in PROXY_KEYS and not isinstance(value, dict):
            yield Finding((key,), "the key stands outside its section", "put the line [proxy] above it", of_key=True)
        else:
            close = get_close_matches(key.lower(), KNOWN, n=1)
            names = ", ".join(f"[[{name}]]" if name in LISTS else f"[{name}]" for name in KNOWN)
            hint = f"did you mean {close[0]}?" if close else f"leave it out: the sections are {names}"
            yield Finding((key,), "there is no such section", hint, of_key=True)


def _no_section(raw: object) -> Finding:
    if raw is None:
        return Finding((), "there is no section [proxy]", f"write the line [proxy], and below it {NO_LISTENER[6:]}")
    return Finding(("proxy",), f"must be a table, not {readers.kind(raw)}", "write the line [proxy] above its keys")


def _own_advertise(raw: dict[str, Any], found: list[Finding]) -> tuple[str, int | None] | None:
    """Take `advertise` out of the section: it is a short way to write that of the one listener."""
    if "advertise" not in raw:
        return None
    try:
        return address_readers.read_advertise(raw.pop("advertise"))
    except BadValueError as error:
        found.append(Finding(("proxy", "advertise"), error.message, error.hint))
        return None


def _advertised(proxy: Proxy, advertise: tuple[str, int | None] | None) -> Proxy:
    if advertise is None or len(proxy.listen) != 1:
        return proxy
    return attrs.evolve(proxy, listen=(_with_advertise(proxy.listen[0], advertise),))


def _with_advertise(listener: Listener, advertise: tuple[str, int | None] | None) -> Listener:
    """The listener under another name; without a port the name has the listener's."""
    if advertise is None:
        return listener
    host, port = advertise
    return attrs.evolve(listener, advertise=(host, listener.address[1] if port is None else port))


# --------------------------------------------------------------------------------------------------------------------
# The section of the proxy


def _tables(base: Path) -> Tables:
    tables = Tables()
    tables.teach(
        Table(
            cls=_ListenTable,
            reads={"address": address_readers.read_listener, "advertise": address_readers.read_advertise},
            hint=_LISTEN_HINT,
            missing={"address": 'write { address = "udp:192.0.2.10:5060", ... }'},
            meant=_MEANT,
        )
    )
    tables.teach(_rule_table())
    tables.teach(_limits_table())
    tables.teach(_proxy_table(tables, base))
    return tables


_LISTEN_HINT: Final = 'write "udp:192.0.2.10:5060" or { address = "...", advertise = "..." }'
_SET_ID: Final = readers.read_int(0, readers.SET_MAXIMUM, "the number of a set")


def _rule_table() -> Table:
    one_or_many = partial(many, may_be_empty=False)
    return Table(
        cls=Rule,
        reads={
            "methods": one_or_many(readers.read_method, frozenset),
            "user_prefixes": one_or_many(readers.read_user_prefix, tuple),
            "user_regex": readers.read_user_regex,
            "hosts": one_or_many(address_readers.read_domain, frozenset),
            "sources": one_or_many(address_readers.read_network, tuple),
            "listeners": one_or_many(address_readers.read_rule_listener, frozenset),
            "set_id": _SET_ID,
            "algorithm": readers.read_algorithm,
        },
        hint="write [[proxy.route]] above its keys",
        names={
            "methods": "method",
            "user_prefixes": "user_prefix",
            "hosts": "host",
            "sources": "source",
            "listeners": "listener",
            "set_id": "set",
        },
        meant=_MEANT,
    )


def _limits_table() -> Table:
    return Table(
        cls=LimitPolicy,
        reads={
            "rate": readers.read_int(1, readers.RATE_MAXIMUM, "messages a second"),
            "burst": readers.read_int(1, readers.RATE_MAXIMUM, "messages"),
            "ban_after": readers.read_limit_duration(readers.BAN_AFTER_MAXIMUM_H),
            "ban_for": readers.read_limit_duration(readers.BAN_MAXIMUM_H),
            "allow": many(address_readers.read_limited_network, tuple),
        },
        hint="write the line [proxy.limits] above its keys",
        meant={
            "reqs_density_per_unit": "write rate, in messages a second",
            "sampling_time_unit": "write rate, in messages a second",
            "remove_latency": "write ban_for",
            "autoexpire": "write ban_for",
            "limit": "write rate",
            "whitelist": "write allow",
            "exempt": "write allow",
            "ban": "a ban is no setting: write sipdispatch limits ban ADDRESS while the proxy runs",
        },
    )


def _proxy_table(tables: Tables, base: Path) -> Table:
    return Table(
        cls=Proxy,
        reads={
            "listen": many(partial(_listen, tables), tuple),
            "list_path": readers.read_path(base),
            "secret_file": readers.read_path(base),
            "state_dir": readers.read_path(base),
            "algorithm": readers.read_algorithm,
            "set_id": _SET_ID,
            "aor_domain": readers.read_bool,
            "domains": many(address_readers.read_domain, tuple),
            "core_networks": many(address_readers.read_core_network, tuple),
            "rewrite_host": readers.read_bool,
            "force_rport": readers.read_word(get_args(ForceRport)),
            "no_destination": readers.read_no_destination,
            "retry_after": readers.read_int(0, readers.RETRY_AFTER_MAXIMUM_S, "seconds"),
            "recent_choices": readers.read_int(0, readers.RECENT_CHOICES_MAXIMUM, "a number of calls"),
            "receive_buffer": readers.read_size,
            "send_buffer": readers.read_size,
            "server_header": readers.read_server_header,
            "log_level": readers.read_word(get_args(LogLevel)),
            "log_format": readers.read_word(get_args(LogFormat)),
            "fastpath": readers.read_word(get_args(Wish)),
            "workers": readers.read_int(1, readers.WORKERS_MAXIMUM, "a number of threads"),
            "routes": partial(_routes, tables),
            "limits": lambda value: tables.read(value, LimitPolicy),
        },
        hint="write the line [proxy] above its keys",
        names={"list_path": "list", "set_id": "set", "routes": "route"},
        extra=("advertise",),
        missing=_MISSING,
        meant=_MEANT,
    )


def _listen(tables: Tables, value: object) -> Listener:
    if isinstance(value, str):
        return address_readers.read_listener(value)
    if not isinstance(value, dict):
        raise BadValueError(f"must be text or a table, not {readers.kind(value)}", _LISTEN_HINT)
    table = tables.read(value, _ListenTable)
    return _with_advertise(table.address, table.advertise)


def _routes(tables: Tables, value: object) -> tuple[Rule, ...]:
    if not isinstance(value, list):
        raise BadValueError("must be a list of tables", "write [[proxy.route]], with two brackets, above each rule")
    return many(lambda rule: tables.read(rule, Rule), tuple)(value)  # type: ignore[no-any-return]


PROXY_KEYS: Final = _proxy_table(Tables(), Path("/")).keys
RULE_KEYS: Final = _rule_table().keys
LIMIT_KEYS: Final = _limits_table().keys
LISTEN_KEYS: Final = tuple(field.name for field in attrs.fields(_ListenTable))
