"""What does a person see of the VRRP agent?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from sipdispatch.printable import printable
from sipdispatch.screen import Screen
from sipdispatch.time_words import moment, span

_LABEL: Final = 12
_STYLES: Final = {True: "green", False: "red", None: "yellow"}
_VERDICTS: Final = {True: "well", False: "FAILS", None: "no verdict yet"}


def status_text(status: Mapping[str, Any], screen: Screen) -> str:
    """A line for each fact, and a table each for tracks, peers and alarms."""
    parts: list[Any] = [
        Text("\n".join(f"{label:<{_LABEL}}{printable(words)}".rstrip() for label, words in _facts(status)))
    ]
    for table in (_tracks(status), _peers(status), _alarms(status)):
        if table is not None:
            parts += [Text(), table]
    return screen.text(*parts)


def state_words(status: Mapping[str, Any]) -> str:
    """`MASTER (active)`, `BACKUP (backup)` is said once."""
    known, own = status["keepalived_state"], status["state"]
    return known if known.lower() == own else f"{known} ({own})"


def _facts(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    now = status["now"]
    yield "state", f"{state_words(status)} for {span(now - status['since'])}, since {moment(status['since'])}"
    yield "why", status["cause"]
    yield "addresses", ", ".join(status["addresses"])
    lowered = status["effective_priority"] != status["priority"]
    of = f", lowered from {status['priority']}" if lowered else ""
    yield "priority", f"{status['effective_priority']}{of}; preempt {status['preempt']}"
    if status["held"]:
        yield "operator", "holds the address away from this node until resume"
    elif status["released"]:
        until = status["released_until"]
        yield "operator", f"has released it until {'resume' if until is None else moment(until)}"
    if status["waits_until"] is not None:
        yield "", f"leaves the owner alone until {moment(status['waits_until'])}, then takes over from it"
    yield "router", f"VRID {status['vrid']}, version {status['vrrp_version']}, every {_seconds(status['interval'])}"
    yield "", f"on {status['interface']} from {status['source']} to {', '.join(status['destinations'])}"
    yield "lease", _lease(status)
    adverts = status["adverts"]
    yield "adverts", f"{_counted(adverts['sent'], adverts['sent_priority_0'])} out{_unsent(adverts)}"
    yield "", f"{_counted(adverts['received'], adverts['received_priority_0'])} in"
    refused = ", ".join(f"{reason} {count:,}" for reason, count in adverts["refused"].items() if count)
    if refused:
        yield "refused", refused
    yield "changes", ", ".join(f"{state} {count}" for state, count in status["transitions"].items() if count) or "none"
    yield "lateness", _lateness(status)
    yield "process", f"{status['pid']}, for {span(status['uptime'])}, sipdispatch {status['version']}"


def _lease(status: Mapping[str, Any]) -> str:
    told = f"{status['lease']:g} s"
    if status["leases_lost"]:
        told += f"; {status['leases_lost']} ran out"
    if status["addresses_taken"]:
        told += f"; the address was taken away {_times(status['addresses_taken'])}"
    return told


def _counted(count: int, zero: int) -> str:
    return f"{count:,} ({zero:,} with priority 0)" if zero else f"{count:,}"


def _unsent(adverts: Mapping[str, Any]) -> str:
    return f", {adverts['unsent']:,} could not be sent" if adverts["unsent"] else ""


def _lateness(status: Mapping[str, Any]) -> str:
    late = status["lateness"]
    told = f"worst {_seconds(late['worst_of_minute'])} in this minute, {_seconds(late['worst'])} ever"
    if late["step_downs"]:
        told += f"; gave the address up for it {_times(late['step_downs'])}"
    return f"{told}; {late['realtime']}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _ago(seconds: float) -> str:
    """Exact while it is about the interval between adverts."""
    return f"{_seconds(max(0.0, seconds)) if seconds < 10 else span(seconds)} ago"


def _seconds(value: float) -> str:
    return f"{value:.4g} s" if value >= 1 else f"{value * 1000:.3g} ms"


def _tracks(status: Mapping[str, Any]) -> Table | None:
    table = _table("track", "is", "for", "last result")
    for each in status["tracks"]:
        since = "-" if each["since"] is None else span(status["now"] - each["since"])
        verdict = Text(_VERDICTS[each["ok"]], style=_STYLES[each["ok"]])
        table.add_row(printable(each["name"]), verdict, since, printable(each["detail"]))
    return table if status["tracks"] else None


def _peers(status: Mapping[str, Any]) -> Table:
    table = _table("peer", "priority", "interval", "version", "checksum", "adverts", "last")
    for each in status["peers"]:
        table.add_row(
            each["address"],
            str(each["priority"]),
            _seconds(each["interval"]),
            str(each["version"]),
            each["checksum"],
            f"{each['adverts']:,}",
            _ago(status["now"] - each["heard"]),
        )
    if not status["peers"]:
        table.add_row("nobody was heard", *[""] * 6)
    return table


def _alarms(status: Mapping[str, Any]) -> Table | None:
    table = _table("alarm", "for", "times", "what")
    for each in status["alarms"]:
        since = span(status["now"] - each["since"])
        table.add_row(Text(each["field"], style="red"), since, f"{each['count']:,}", printable(each["text"]))
    return table if status["alarms"] else None


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
