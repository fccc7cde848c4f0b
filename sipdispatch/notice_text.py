"""What does a notice say to people?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Final

import attrs

from sipdispatch.damping import Item, Notice
from sipdispatch.printable import printable

CAUSE_LENGTH: Final = 160
"""A cause may quote what a server has answered; more of it says no more."""
SETS: Final = 3
"""Sets whose remainder is told."""

FORMAT_VERSION: Final = 1
"""Of the JSON document."""

Left = Mapping[int, tuple[int, int]]
"""By set: how many of its destinations may be chosen for new work, and how many there are."""
NOT_KNOWN: Final[Left] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Message:
    """A notice in words: `subject` is one line without the program's name, `text` one or several lines."""

    node: str
    at: float
    subject: str
    text: str
    document: Mapping[str, object]
    """The same for programs, as plain values."""


def compose(notice: Notice, node: str, *, at: float, zone: tzinfo | None = None, left: Left = NOT_KNOWN) -> Message:
    """The words of a notice that is sent at this Unix time; moments are told in `zone`, by default the machine's."""
    clock = _Clock(at, zone)
    remaining = [
        f"{usable} of {count} {'destination' if count == 1 else 'destinations'} of set {number} left."
        for number, (usable, count) in _of_sets(notice, left)
    ]
    match notice.items:
        case ():
            subject = "test notice"
            lines = ["this is a test notice; nothing has happened."]
        case (item,) if not notice.more:
            subject = _short(item)
            lines = [" ".join((_sentence(item, clock), *remaining))]
        case items:
            subject = _heading(notice)
            lines = [f"{subject}:", *(f"- {_sentence(item, clock)}" for item in items)]
            if notice.more:
                lines.append(f"and {notice.more} more.")
            if remaining:
                lines.append(" ".join(remaining))
    text = "\n".join((f"sipdispatch on {node}: {lines[0]}", *lines[1:]))
    return Message(
        node=node,
        at=at,
        subject=f"{node}: {subject}",
        text=text,
        document=_document(notice, node, at=at, text=text, left=left),
    )


def _of_sets(notice: Notice, left: Left) -> list[tuple[int, tuple[int, int]]]:
    return [(number, left[number]) for number in notice.sets if number in left][:SETS]


def _document(notice: Notice, node: str, *, at: float, text: str, left: Left) -> dict[str, object]:
    return {
        "version": FORMAT_VERSION,
        "node": node,
        "at": at,
        "test": not notice.items,
        "text": text,
        "counts": dict(notice.counts),
        "items": [item.to_json() for item in notice.items],
        "more": notice.more,
        "sets": [
            {"set": number, "left": usable, "destinations": count} for number, (usable, count) in _of_sets(notice, left)
        ],
    }


# --------------------------------------------------------------------------------------------------------------------
# One thing


def _sentence(item: Item, clock: _Clock) -> str:
    name, when, why = _name(item), clock.told(item.since), _because(item)
    lasted = "" if item.lasted is None else f" after {duration(item.lasted)}"
    flapped = f"flapped {item.changes} times" if item.changes > 1 else ""
    match item.state:
        case "down":
            return f"{name} {flapped}; now down since {when}{why}." if flapped else f"{name} is down since {when}{why}."
        case "up":
            meanwhile = f"; it {flapped}" if flapped else ""
            return f"resolved: {name} is up{' again' if lasted else ''}{lasted}{meanwhile}."
        case "removed":
            return f"resolved: {name}, which was down, has left the list{lasted}{why}."
        case "refused":
            return f"the list was refused at {when}, and the old one stays in force{why}."
        case "reloaded":
            return f"resolved: the list is in force again{lasted}."
        case "started" | "stopped":
            return f"the proxy has {item.state} at {when}{why}."
        case "free" | "banned":
            return f"{_short(item)} since {when}{why}."
        case "active" | "backup" | "fault":
            changes = f", after {item.changes} changes" if item.changes > 1 else ""
            return f"this node {_ROLES[item.state]}; since {when}{changes}{why}."
        case _:
            return f"{name} is {item.state} since {when}{why}."


def _short(item: Item) -> str:
    match item.state:
        case "up":
            return f"resolved: {_name(item)} is up again"
        case "removed":
            return f"resolved: {_name(item)} has left the list"
        case "refused":
            return "the list was refused"
        case "reloaded":
            return "resolved: the list is in force again"
        case "started" | "stopped":
            return f"the proxy has {item.state}"
        case "free":
            return f"{item.address} is free again"
        case "banned":
            return f"{item.address} is banned"
        case "active" | "backup" | "fault":
            return f"this node {_ROLES[item.state]}"
        case _:
            return f"{_name(item)} is {item.state}"


def _name(item: Item) -> str:
    """The URI of the list; with its address where that is another, as for a name."""
    uri = printable(item.uri)
    host = item.address.rpartition(":")[0]
    where = f" at {item.address}" if host and host not in uri else ""
    return f"{uri}{where} (set {item.set_id})"


def _because(item: Item) -> str:
    cause = printable(" ".join(item.cause.split())).rstrip(".")
    if len(cause) > CAUSE_LENGTH:
        cause = cause[: CAUSE_LENGTH - 3] + "..."
    return f": {cause}" if cause else ""


# --------------------------------------------------------------------------------------------------------------------
# Several


_GROUPS: Final = {
    "down": ("is down", "are down"),
    "disabled": ("is disabled", "are disabled"),
    "draining": ("is draining", "are draining"),
    "enabled": ("is enabled", "are enabled"),
    "removed": ("has left the list", "have left the list"),
    "up": ("is up again", "are up again"),
}
_SOURCES: Final = {
    "banned": ("source is banned", "sources are banned"),
    "free": ("source is free again", "sources are free again"),
}
_ROLES: Final = {
    "active": "is active: it has the virtual IP",
    "backup": "is backup: it does not have the virtual IP",
    "fault": "is in fault: it cannot have the virtual IP",
}
_ALONE: Final = {
    "active": "this node is active",
    "backup": "this node is backup",
    "fault": "this node is in fault",
    "refused": "the list was refused",
    "reloaded": "the list is in force again",
    "started": "the proxy has started",
    "stopped": "the proxy has stopped",
}


def _heading(notice: Notice) -> str:
    """`39 destinations are down, 2 are up again`."""
    parts = []
    noun = True
    for state, count in notice.counts.items():
        if state in _ALONE:
            parts.append(_ALONE[state])
            continue
        if state in _SOURCES:
            parts.append(f"{count} {_SOURCES[state][count != 1]}")
            continue
        counted = f"{count} {'destination' if count == 1 else 'destinations'}" if noun else f"{count}"
        noun = False
        parts.append(f"{counted} {_GROUPS[state][count != 1]}")
    return ", ".join(parts)


# --------------------------------------------------------------------------------------------------------------------
# Time


@attrs.frozen
class _Clock:
    """How moments are told by somebody who speaks at `at`."""

    at: float
    zone: tzinfo | None

    def told(self, moment: float) -> str:
        """The time of day; with the date where that is another."""
        then, now = (datetime.fromtimestamp(each, self.zone) for each in (moment, self.at))
        return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """`3 min 12 s`: the two largest units, without what is nothing."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    left = round(seconds)
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    return " ".join(part for part in parts[:2] if part)
