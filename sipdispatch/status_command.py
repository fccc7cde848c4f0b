"""How is the running proxy, in a few lines?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Unpack

import click

from dispatcher.fastpath import SLOWER
from sipdispatch.control_options import FORMAT_VERSION, ControlOptions, connect, control_options
from sipdispatch.limit_words import rate_words
from sipdispatch.output import say
from sipdispatch.printable import printable
from sipdispatch.time_words import span

NOT_SERVING: Final = 1
"""Exit status when the proxy runs and takes no new calls."""

_COUNTS: Final = ("answered", "refused", "dropped", "unsent", "network_errors")


@click.command(name="status")
@control_options
def command(**options: Unpack[ControlOptions]) -> int:
    """Say how the running proxy is.

    Exit status: 0 it serves, 1 it runs and no destination takes new work, 2 it cannot be asked.
    """
    with connect(options) as proxy:
        status = proxy.call("status")
    document = {"version": FORMAT_VERSION, "proxy": status}
    say(json.dumps(document, indent=2) if options["json_wanted"] else as_text(status))
    return 0 if status["serving"] else NOT_SERVING


def as_text(status: Mapping[str, Any]) -> str:
    """A line for each fact."""
    return "\n".join(f"{label:<12}{printable(words)}".rstrip() for label, words in _facts(status))


def _facts(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    now = status["now"]
    yield "serving", "yes" if status["serving"] else "no: no destination takes new work"
    yield "version", f"sipdispatch {status['version']} ({status['packet_path']})"
    if status["packet_path_why"]:
        yield "", f"{status['packet_path_why']}; pure Python {SLOWER}"
    yield "process", f"{status['pid']}, for {span(status['uptime'])}"
    for place, one in enumerate(status["listeners"]):
        known = "" if one["address"].endswith(one["advertised"]) else f", known as {one['advertised']}"
        yield "" if place else "listeners", f"{one['address']}{known}, receive buffer {_size(one['receive_buffer'])}"
    yield "list", status["list"]["path"]
    yield "", f"fingerprint {status['list']['fingerprint']}, snapshot {status['snapshot_version']}"
    if status["reload"] is not None:
        reload = status["reload"]
        how = "done" if reload["done"] else "refused"
        yield "last reload", f"{how} {span(now - reload['at'])} ago: {reload['text']}"
    yield "secret", f"fingerprint {status['secret']['fingerprint']}"
    states = ", ".join(f"{count} {state}" for state, count in status["destinations"].items() if count)
    yield "sets", f"{status['sets']}; destinations: {states or 'none'}"
    limits = status["limits"]
    if limits["rate"] is not None or limits["banned"]:
        yield "limits", f"{rate_words(limits)}; {limits['over']:,} over it, {limits['banned']:,} banned"
    counters = status["counters"]
    yield "messages", f"{counters['received']:,} received ({_size(counters['received_bytes'])})"
    yield "", f"{counters['forwarded']:,} forwarded"
    if counters["by_fast_path"]:
        yield "", f"{counters['by_fast_path']:,} by the fast path, the others by Python"
    for name in _COUNTS:
        if counters[name]:
            counts = ", ".join(f"{label} {count:,}" for label, count in counters[name].items())
            yield name.replace("_errors", ""), counts


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
