"""Which tracks and hooks stand for what a virtual router of keepalived's watches and runs?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from sip.uri import host_port
from sipdispatch.keepalived_read import Document, Fate, Remark, Statement, find_all, find_last, shown
from sipdispatch.keepalived_scripts import SHELL, process_asked_for, program_of, sipsak_target, split_script
from sipdispatch.toml_text import TextTable, Value, toml_time

MOST_RUNS: Final = 1000
LEAST_S: Final = 0.01
MOST_S: Final = 3600.0

STATES: Final[Mapping[str, str]] = {
    "notify_master": "active",
    "notify_backup": "backup",
    "notify_fault": "fault",
    "notify_stop": "initialize",
}
"""keepalived's keyword, and what SIPDISPATCH_AFTER says when its state has been entered."""
_ONE_STATE: Final = 'test "$SIPDISPATCH_AFTER" = {} || exit 0; exec "$@"'
_EVERY_STATE: Final = (
    'case "$SIPDISPATCH_AFTER" in active) now=MASTER;; backup) now=BACKUP;; fault) now=FAULT;; '
    'initialize) now=STOP;; *) exit 0;; esac; priority=$1; shift; exec "$@" "$now" "$priority"'
)
"""keepalived adds INSTANCE or GROUP, the name, the state and the priority to what stands in notify."""
_FILE: Final = 'read -r number 2>/dev/null < "$1" || test -n "$number" || number=0; test "$number" -{} 0'

_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,9}")
_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def seconds_of(text: str) -> float | None:
    """A time of keepalived's, which has no unit; None: it is none."""
    return float(text) if _NUMBER.fullmatch(text) else None


def whole_of(text: str) -> int | None:
    """A whole number, with or without a sign; None: it is none."""
    return int(text) if _WHOLE.fullmatch(text) else None


class Names:
    """Names that a configuration may have, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, text: str) -> str:
        """One that is near `text`."""
        plain = _ODD.sub("-", text).strip("-.")[:28] or "unnamed"
        free, number = plain, 1
        while free in self._taken:
            number += 1
            free = f"{plain}-{number}"
        self._taken.add(free)
        return free


@attrs.define
class Tracks:
    """The tables below [vrrp.track] while they are made; `virtual` are the addresses that move."""

    document: Document
    interfaces: frozenset[str]
    """Those that are watched anyway."""
    virtual: frozenset[str]
    source: str | None
    remarks: list[Remark]
    keys: dict[str, Value] = attrs.field(factory=dict)
    commands: list[TextTable] = attrs.field(factory=list)
    names: Names = attrs.field(factory=Names)
    seen: set[tuple[str, str]] = attrs.field(factory=set)

    def tables(self) -> list[TextTable]:
        """What has come together."""
        return [*([TextTable("vrrp.track", self.keys)] if self.keys else []), *self.commands]

    def add(self, statement: Statement) -> None:
        """Take over one block track_interface, track_script or track_file of an instance or a group."""
        kind = statement.keyword
        for entry in statement.inside:
            if (kind, entry.keyword) in self.seen:
                continue
            self.seen.add((kind, entry.keyword))
            if "reverse" in entry.values:
                self._remark(entry, Fate.LEFT_OUT, "what is better when it fails cannot be said here")
            elif kind == "track_interface":
                self.watch_interface(entry.keyword)
                self._weight(entry, entry)
            elif kind == "track_script":
                self._script(entry)
            else:
                self._file(entry)

    def watch_interface(self, name: str) -> None:
        """Let the carrier of an interface count."""
        known = self.keys.get("interfaces", ())
        interfaces = [*known] if isinstance(known, Sequence) and not isinstance(known, str) else []
        if name not in self.interfaces and name not in interfaces:
            self.keys["interfaces"] = [*interfaces, name]

    def _weight(self, entry: Statement, definition: Statement) -> int:
        """The weight of a track, of which nothing is left: a failed track counts for more than any priority."""
        at, words = entry, entry.values
        if "weight" not in words:
            found = find_last(definition.inside, "weight")
            at, words = (entry, ()) if found is None else (found, found.words)
        text = words[words.index("weight") + 1] if "weight" in words[:-1] else "0"
        if text != "0":
            self._remark(
                at,
                Fate.CHANGED,
                "there are no weights: a node whose track fails is worse than every healthy one, whatever its priority",
            )
        return whole_of(text) or 0

    def _script(self, entry: Statement) -> None:
        definition = next(
            (each for each in find_all(self.document.statements, "vrrp_script") if each.value == entry.keyword), None
        )
        script = None if definition is None else find_last(definition.inside, "script")
        if definition is None or script is None:
            self._remark(entry, Fate.LEFT_OUT, "there is no vrrp_script of this name with a script in it")
            return
        weight = find_last(definition.inside, "weight")
        if weight is not None and "reverse" in weight.values:
            self._remark(entry, Fate.LEFT_OUT, "what is better when it fails cannot be said here")
            return
        command = split_script(" ".join(script.values))
        if not command:
            self._remark(script, Fate.LEFT_OUT, "there is no command in it")
            return
        self._weight(entry, definition)
        if not self._sip(script, command):
            self._command(entry.keyword, definition, script, command)

    def _sip(self, script: Statement, command: Sequence[str]) -> bool:
        """Whether the command is a question that the agent asks by itself."""
        target = sipsak_target(command)
        if target is None or "sip" in self.keys:
            return False
        if target[0] in self.virtual:
            why = f"{target[0]} is the address that moves: on the backup it is the other node that answers there"
            if self.source is None or (":" in self.source) is not (":" in target[0]):
                advice = "write sip below [vrrp.track] with this node's own address"
                self._remark(script, Fate.LEFT_OUT, f"{why}; {advice}")
                return True
            self._remark(script, Fate.CHANGED, f"{why}; this node's own is asked, and the proxy has to listen there")
            target = (self.source, target[1])
        self._remark(
            script,
            Fate.CHANGED,
            "the agent asks by itself, every 200 ms; two missing answers in a row are a no, three answers a yes",
        )
        self.keys["sip"] = host_port(target)
        return True

    def _command(self, name: str, definition: Statement, script: Statement, command: tuple[str, ...]) -> None:
        interval = self._time(definition, "interval", 1.0)
        self._add_command(
            name,
            command,
            interval=interval,
            timeout=self._time(definition, "timeout", interval),
            rise=self._runs(definition, "rise"),
            fall=self._runs(definition, "fall"),
        )
        process = process_asked_for(command)
        if process is not None:
            self._remark(
                script,
                Fate.CHANGED,
                f"it asks whether {process} is there: if sipdispatch proxy takes its place, write control = true and "
                "sip below [vrrp.track] instead, or the track fails for ever",
            )
        elif program_of(command) == "sipsak":
            self._remark(
                script,
                Fate.CHANGED,
                "it stays a command: only OPTIONS over UDP to a numeric address become sip, and only one of them",
            )
        user = find_last(definition.inside, "user")
        if user is not None:
            self._remark(user, Fate.CHANGED, "commands run as the user of the agent")

    def _file(self, entry: Statement) -> None:
        files = find_all(self.document.statements, "track_file", "vrrp_track_file")
        definition = next((each for each in files if each.value == entry.keyword), None)
        path = None if definition is None else find_last(definition.inside, "file")
        if definition is None or path is None or not path.value:
            self._remark(entry, Fate.LEFT_OUT, "there is no track_file of this name with a file in it")
            return
        words = [*entry.values, *(word for each in find_all(definition.inside, "weight") for word in each.words)]
        if "reverse" in words:
            self._remark(entry, Fate.LEFT_OUT, "what is better when it fails cannot be said here")
            return
        weight = self._weight(entry, definition) if "weight" in words else 1
        good = "eq" if weight == 0 else "ge" if weight > 0 else "le"
        self._add_command(
            entry.keyword,
            (SHELL, "-c", _FILE.format(good), "sh", path.value),
            interval=1.0,
            timeout=1.0,
            rise=1,
            fall=1,
        )
        self._remark(
            path,
            Fate.CHANGED,
            "the number in it is looked at each second; with file below [vrrp.track] it would be the file's being "
            "there that counts",
        )

    def _add_command(
        self, name: str, command: tuple[str, ...], *, interval: float, timeout: float, rise: int, fall: int
    ) -> None:
        keys: dict[str, Value] = {
            "name": self.names.take(name),
            "command": command,
            "interval": toml_time(interval),
            "timeout": toml_time(timeout),
            "rise": rise,
            "fall": fall,
        }
        self.commands.append(TextTable("vrrp.track.command", keys, is_one_of_many=True))

    def _time(self, definition: Statement, keyword: str, default: float) -> float:
        found = find_last(definition.inside, keyword)
        if found is None:
            return default
        seconds = seconds_of(found.value)
        wanted = default if seconds is None else min(MOST_S, max(LEAST_S, seconds))
        if seconds != wanted:
            self._remark(found, Fate.CHANGED, f"it becomes {toml_time(wanted)}")
        return wanted

    def _runs(self, definition: Statement, keyword: str) -> int:
        found = find_last(definition.inside, keyword)
        if found is None:
            return 1
        runs = whole_of(found.value)
        wanted = 1 if runs is None else min(MOST_RUNS, max(1, runs))
        if runs != wanted:
            self._remark(found, Fate.CHANGED, f"it becomes {wanted}")
        return wanted

    def _remark(self, statement: Statement, fate: Fate, why: str) -> None:
        self.remarks.append(Remark(statement.line, fate, shown(" ".join(statement.words)), why))


# --------------------------------------------------------------------------------------------------------------------
# Hooks


def hook_of(
    statement: Statement, kind: str, router: str, priority: int, *, names: Names, remarks: list[Remark]
) -> TextTable | None:
    """The hook for a notify, notify_master ... of an instance (`kind` INSTANCE) or a group (GROUP)."""
    what = shown(" ".join(statement.words))
    command = split_script(statement.value)
    if not command:
        remarks.append(Remark(statement.line, Fate.LEFT_OUT, what, "there is no command in it"))
        return None
    if statement.values[1:]:
        remarks.append(Remark(statement.line, Fate.CHANGED, what, "hooks run as the user of the agent"))
    if statement.keyword == "notify":
        wrapped = (SHELL, "-c", _EVERY_STATE, "sh", str(priority), *command, kind, router)
        remarks.append(
            Remark(
                statement.line,
                Fate.CHANGED,
                what,
                "it gets the configured priority, whatever the tracks say; the facts are in the environment too",
            )
        )
    else:
        wrapped = (SHELL, "-c", _ONE_STATE.format(STATES[statement.keyword]), "sh", *command)
    return TextTable(
        "hook",
        {"name": names.take(f"{statement.keyword.replace('_', '-')}"), "on": ["vrrp"], "command": wrapped},
        is_one_of_many=True,
    )
