"""How does the proxy look to a person with a browser?  One page, without a script and with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from sip.uri import host_port
from sipdispatch.facts import DestinationFacts, ProxyFacts, SetFacts
from sipdispatch.facts_json import REPLY_CLASSES, counts_by_state, state_of
from sipdispatch.happening import Happening

REFRESH_S = 5
LAST_EVENTS = 20

_STYLE = """
:root { color-scheme: light dark }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.up { color: #17803d } .suspect, .draining { color: #b45309 } .down, .no { color: #c62828 } .disabled { color: #777 }
"""
_COLUMNS = (
    *("URI", "address", "state", "since", "cause"),
    *("weight", "share", "calls", "calls/s", "messages/s", "requests", *REPLY_CLASSES.values(), "RTT", "latency"),
)
_TEXT_COLUMNS = 5
_HEAD = "<tr>{}</tr>\n".format(
    "".join(f"<th{' class=n' if at >= _TEXT_COLUMNS else ''}>{name}</th>" for at, name in enumerate(_COLUMNS))
)


def page(facts: ProxyFacts, last: Sequence[Happening]) -> Iterator[str]:
    """The page in pieces of one destination; `last` are the last happenings, oldest first."""
    yield (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>sipdispatch</title>\n'
        f'<meta http-equiv="refresh" content="{REFRESH_S}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head><body>\n'
        f"<h1>sipdispatch</h1>\n"
    )
    yield _table_of_facts(_about(facts))
    for one in facts.sets:
        yield from _set(one)
    if last:
        yield "<h2>Last events</h2>\n<table>\n<tr><th>when<th>what<th>who<th>from<th>to<th>cause</tr>\n"
        yield from map(_event, reversed(last[-LAST_EVENTS:]))
        yield "</table>\n"
    yield (
        '<p><a href="/metrics">metrics</a> · <a href="/api/v1/status">status</a> · '
        '<a href="/api/v1/destinations">destinations</a> · <a href="/api/v1/events">events</a> · '
        '<a href="/readyz">ready?</a></p>\n</body></html>\n'
    )


def _about(facts: ProxyFacts) -> Iterator[tuple[str, str]]:
    """What is said of the whole proxy, as HTML."""
    states = ", ".join(f"{count} {state}" for state, count in counts_by_state(facts).items() if count)
    yield "serving", "<b class=up>yes</b>" if facts.serving else "<b class=no>no</b>"
    yield "destinations", states or "none"
    yield "version", escape(f"{facts.version} ({facts.packet_path}), process {facts.pid}")
    yield "started", _when(facts.started)
    yield "as of", _when(facts.now)
    for listener in facts.listeners:
        yield "listens on", escape(f"{listener.address} as {listener.advertised}")
    yield "list", escape(f"{facts.list_path}, fingerprint {facts.list_fingerprint}")
    yield "secret", escape(f"fingerprint {facts.secret_fingerprint}")
    if facts.reload is not None:
        outcome = "done" if facts.reload.done else "<b class=no>refused</b>"
        yield "last reload", f"{_when(facts.reload.at)}, {outcome}: {escape(facts.reload.text)}"
    yield "datagrams", f"{facts.received} received, {facts.forwarded} forwarded, {sum(facts.dropped.values())} dropped"


def _table_of_facts(rows: Iterable[tuple[str, str]]) -> str:
    return f"<table>\n{''.join(f'<tr><th>{name}<td>{html}</tr>' + chr(10) for name, html in rows)}</table>\n"


def _set(one: SetFacts) -> Iterator[str]:
    yield f"<h2>Set {one.set_id}, {escape(one.algorithm)}</h2>\n<table>\n{_HEAD}"
    yield from map(_row, one.destinations)
    yield "</table>\n"


def _row(destination: DestinationFacts) -> str:
    state = state_of(destination)
    words = "".join(
        (
            _cell(escape(destination.uri)),
            _cell(escape(host_port(destination.address))),
            f"<td class={state}>{state} ({escape(destination.letters)})",
            _cell(_when(destination.since)),
            _cell(escape(destination.cause)),
        )
    )
    figures = (
        "" if destination.weight is None else str(destination.weight),
        f"{destination.share:.1%}",
        str(destination.calls_active),
        f"{destination.calls_per_second:.1f}",
        f"{destination.messages_per_second:.1f}",
        str(destination.requests),
        *(str(destination.replies.get(digit, 0)) for digit in REPLY_CLASSES),
        _milliseconds(destination.rtt),
        _milliseconds(destination.latency),
    )
    return f"<tr>{words}{''.join(f'<td class=n>{figure}' for figure in figures)}</tr>\n"


def _event(happened: Happening) -> str:
    who = "" if happened.set_id is None else f"set {happened.set_id} {happened.uri} {happened.address}"
    cells = (_when(happened.at), *map(escape, (happened.kind, who, happened.before, happened.after, happened.cause)))
    return f"<tr>{''.join(map(_cell, cells))}</tr>\n"


def _cell(html: str) -> str:
    return f"<td>{html}"


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"
