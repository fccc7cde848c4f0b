"""Which frozen tree does the plain tree of a TOML file stand for, and which of its keys and values are wrong?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import attrs
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from dispatcher.listener import Listener
from dispatcher.rules import Rule
from sipdispatch import readers
from sipdispatch.config import ForceRport, LogFormat, LogLevel, Proxy
from sipdispatch.consistency import Finding, findings
from sipdispatch.readers import BadValueError
from sipdispatch.toml_positions import KeyPath

T = TypeVar("T")
Read = Callable[[Any], Any]

SECTIONS_TO_COME: Final = ("health", "vrrp", "control", "http", "log")
"""Known by name and refused, so that nobody believes they work."""

NO_LISTENER: Final = 'write listen = ["udp:192.0.2.10:5060"] with an address of this node or the virtual IP'

_MISSING: Final = {
    "listen": NO_LISTENER,
    "address": 'write { address = "udp:192.0.2.10:5060", ... }',
    "state_dir": 'write state_dir = "/var/lib/sipdispatch": this process has no home directory',
}
"""Keys that have no default, and what to write for them."""

_STAND_INS: Final[dict[str, Any]] = {
    "listen": [],
    "list": "dispatcher.list",
    "state_dir": "state",
    "secret_file": "key",
}
"""Instead of keys that must be there and are wrong, so that the others can be compared with each other."""

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
    """The tree as far as it can be read; `proxy` is None when there is a finding of severity error.

    `list_path` is told whenever it can be, so that the list can be checked beside a wrong configuration.
    """

    proxy: Proxy | None
    findings: tuple[Finding, ...]
    list_path: Path | None = None


def structure(tree: Mapping[str, Any], base: Path) -> Structured:
    """Read the tree of a whole file; relative paths start at `base`, an absolute folder.

    `list`, `state_dir` and `secret_file` must be there: their defaults depend on where the process runs.
    """
    found = list(_other_sections(tree))
    raw = tree.get("proxy")
    if not isinstance(raw, dict):
        if raw is not None or not found:  # a key outside, a misspelt section: that is the mistake then
            found.append(_no_section(raw))
        return Structured(None, tuple(found))
    raw = dict(raw)
    advertise = _own_advertise(raw, found)
    converter = _converter(base)
    proxy, wrong = _proxy(converter, raw)
    found += wrong
    bad = {finding.at[1] for finding in wrong}
    if proxy is None:  # what can be read is compared all the same, so that all mistakes are told at once
        rest = {key: value for key, value in raw.items() if key not in bad}
        proxy = converter.structure(_STAND_INS | rest, Proxy)
    if raw.get("listen") == []:
        found.append(Finding(("proxy", "listen"), "names no address", NO_LISTENER))
    found += findings(proxy, advertise)
    proxy = _advertised(proxy, advertise)
    list_path = None if "list" in bad else proxy.list_path
    refused = any(finding.severity == "error" for finding in found)
    return Structured(None if refused else proxy, tuple(found), list_path)


# --------------------------------------------------------------------------------------------------------------------
# Sections


def _other_sections(tree: Mapping[str, Any]) -> Iterator[Finding]:
    for key, value in tree.items():
        if key == "proxy":
            continue
        if key in SECTIONS_TO_COME:
            yield Finding((key,), "this version has no such section", "leave it out", of_key=True)
        elif key == "route":
            yield Finding((key,), "rules belong to the proxy", "write [[proxy.route]] above each of them", of_key=True)
        elif key in _keys(Proxy) and not isinstance(value, dict):
            yield Finding((key,), "the key stands outside its section", "put the line [proxy] above it", of_key=True)
        else:
            close = get_close_matches(key.lower(), ("proxy",), n=1)
            hint = "did you mean proxy?" if close else "leave it out: the only section is [proxy]"
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
        return readers.read_advertise(raw.pop("advertise"))
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
# Values


def _proxy(converter: Converter, raw: dict[str, Any]) -> tuple[Proxy | None, list[Finding]]:
    try:
        return converter.structure(raw, Proxy), []
    except BaseValidationError as error:
        return None, list(_flatten(error, ("proxy",)))


def _converter(base: Path) -> Converter:
    converter = Converter()
    one_or_many = partial(_many, may_be_empty=False)
    set_id = readers.read_int(0, readers.SET_MAXIMUM, "the number of a set")
    _teach(converter, _ListenTable, {"address": readers.read_listener, "advertise": readers.read_advertise})
    _teach(
        converter,
        Rule,
        {
            "methods": one_or_many(readers.read_method, frozenset),
            "user_prefixes": one_or_many(readers.read_user_prefix, tuple),
            "user_regex": readers.read_user_regex,
            "hosts": one_or_many(readers.read_domain, frozenset),
            "sources": one_or_many(readers.read_network, tuple),
            "listeners": one_or_many(readers.read_rule_listener, frozenset),
            "set_id": set_id,
            "algorithm": readers.read_algorithm,
        },
    )
    _teach(
        converter,
        Proxy,
        {
            "listen": _many(partial(_listen, converter), tuple),
            "list_path": readers.read_path(base),
            "secret_file": readers.read_path(base),
            "state_dir": readers.read_path(base),
            "algorithm": readers.read_algorithm,
            "set_id": set_id,
            "aor_domain": readers.read_bool,
            "domains": _many(readers.read_domain, tuple),
            "core_networks": _many(readers.read_core_network, tuple),
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
            "routes": partial(_routes, converter),
        },
    )
    return converter


_TOML_NAMES: Final[dict[type, dict[str, str]]] = {
    Proxy: {"list_path": "list", "set_id": "set", "routes": "route"},
    Rule: {
        "methods": "method",
        "user_prefixes": "user_prefix",
        "hosts": "host",
        "sources": "source",
        "listeners": "listener",
        "set_id": "set",
    },
}
"""Names in the file that differ from those of the tree."""

_TABLE_HINT: Final = {
    Proxy: "write the line [proxy] above its keys",
    Rule: "write [[proxy.route]] above its keys",
    _ListenTable: 'write "udp:192.0.2.10:5060" or { address = "...", advertise = "..." }',
}


def _toml_name(cls: type, name: str) -> str:
    return _TOML_NAMES.get(cls, {}).get(name, name)


def _keys(cls: type) -> tuple[str, ...]:
    """The keys that a table may have."""
    names = tuple(_toml_name(cls, field.name) for field in attrs.fields(cls) if field.init)
    return (*names, "advertise") if cls is Proxy else names


def _teach(converter: Converter, cls: type, reads: Mapping[str, Read]) -> None:
    """Let the converter read a table as a value of `cls`, each of its keys by a function of its own."""
    overrides = {
        name: override(rename=_toml_name(cls, name), struct_hook=_ignoring_type(read)) for name, read in reads.items()
    }
    make: Any = make_dict_structure_fn  # its keyword arguments are flags and overrides both, which no type tells
    read_table = make(cls, converter, _cattrs_forbid_extra_keys=True, **overrides)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise BadValueError(f"must be a table, not {readers.kind(value)}", _TABLE_HINT[cls])
        return read_table(value, cls)

    converter.register_structure_hook(cls, read)


def _ignoring_type(read: Read) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _listen(converter: Converter, value: object) -> Listener:
    if isinstance(value, str):
        return readers.read_listener(value)
    if not isinstance(value, dict):
        raise BadValueError(f"must be text or a table, not {readers.kind(value)}", _TABLE_HINT[_ListenTable])
    table = converter.structure(value, _ListenTable)
    return _with_advertise(table.address, table.advertise)


def _routes(converter: Converter, value: object) -> tuple[Rule, ...]:
    if not isinstance(value, list):
        raise BadValueError("must be a list of tables", "write [[proxy.route]], with two brackets, above each rule")
    return _many(lambda rule: converter.structure(rule, Rule), tuple)(value)  # type: ignore[no-any-return]


def _many(read: Read, collect: Callable[[list[Any]], Any], *, may_be_empty: bool = True) -> Read:
    """A reader of a list, or of one value in place of a list of one; every wrong element is told."""

    def read_all(value: object) -> Any:
        if value == [] and not may_be_empty:
            raise BadValueError("is empty", "write at least one value, or leave the key out")
        values: list[Any] = []
        wrong: list[Exception] = []
        for index, element in enumerate(value if isinstance(value, list) else [value]):
            try:
                values.append(read(element))
            except (BadValueError, BaseValidationError) as error:
                if isinstance(value, list):
                    error.add_note(IterableValidationNote("", index, object))
                wrong.append(error)
        if wrong:
            raise IterableValidationError("", wrong, list)
        return collect(values)

    return read_all


# --------------------------------------------------------------------------------------------------------------------
# What was wrong


def _flatten(error: Exception, at: KeyPath) -> Iterator[Finding]:
    """The findings in what cattrs raised; `at` is the way to the value that it was raised for."""
    match error:
        case BaseValidationError():
            for inner in error.exceptions:
                yield from _flatten(inner, (*at, *_step(inner, error.cl)))
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                hint = _MEANT.get(key) or readers.suggestion(key, _keys(error.cl))
                yield Finding((*at, key), "there is no such key", hint, of_key=True)
        case BadValueError():
            yield Finding(at, error.message, error.hint)
        case KeyError():
            yield Finding(at, "is missing", _MISSING[str(at[-1])])
        case _:
            raise error


def _step(error: Exception, cls: type) -> KeyPath:
    """The key or index that cattrs noted on an error while it passed through a table or a list."""
    note = error.__notes__[-1] if getattr(error, "__notes__", None) else None
    match note:
        case AttributeValidationNote():
            return (_toml_name(cls, note.name),)
        case IterableValidationNote():
            return (note.index,)
        case _:
            return ()
