"""How are the facts about the running proxy told to a program?  One shape for the control socket and for HTTP.

Moments are Unix time, durations seconds, sizes bytes; what is not known is null.  Keys may come, none changes its
meaning.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from health.board import Verdict, Word
from sip.uri import host_port
from sipdispatch.facts import DestinationFacts, Histogram, LimitFacts, ProxyFacts, SetFacts

REPLY_CLASSES = {digit: f"{digit}xx" for digit in range(1, 7)}
"""The first digit of a reply's status to the label of its class."""
_VERDICTS = {verdict: verdict.name.lower() for verdict in Verdict}
_WORDS = {word: word.name.lower() for word in Word if word is not Word.ENABLED}
STATES = (*_VERDICTS.values(), *_WORDS.values())
"""Every word that `state_of` gives."""


def state_of(destination: DestinationFacts) -> str:
    """Word and verdict in one word, the one that decides: the operator's unless it is `enabled`, else the verdict."""
    return _VERDICTS[destination.verdict] if destination.word is Word.ENABLED else _WORDS[destination.word]


def destination_json(destination: DestinationFacts) -> dict[str, Any]:
    """One destination, under the names of `DestinationFacts`; `set` is its set, `state` what `state_of` says."""
    return {
        "number": destination.number,
        "set": destination.set_id,
        "uri": destination.uri,
        "address": host_port(destination.address),
        "state": state_of(destination),
        "word": destination.word.name.lower(),
        "verdict": destination.verdict.name.lower(),
        "letters": destination.letters,
        "since": destination.since,
        "cause": destination.cause,
        "avoided_until": destination.avoided_until,
        "weight": destination.weight,
        "priority": destination.priority,
        "share": destination.share,
        "attributes": dict(destination.attributes),
        "requests": destination.requests,
        "replies": {label: destination.replies.get(digit, 0) for digit, label in REPLY_CLASSES.items()},
        "calls_begun": destination.calls_begun,
        "calls_active": destination.calls_active,
        "last_seen": destination.last_seen,
        "messages_per_second": destination.messages_per_second,
        "calls_per_second": destination.calls_per_second,
        "probes": destination.probes,
        "probe_failures": destination.probe_failures,
        "rtt": destination.rtt,
        "latency": destination.latency,
        "answer_times": None if destination.answer_times is None else _histogram_json(destination.answer_times),
    }


def _histogram_json(histogram: Histogram) -> dict[str, Any]:
    return {"bounds": list(histogram.bounds), "counts": list(histogram.counts), "total": histogram.total}


def sets_text(sets: Iterable[SetFacts], **head: object) -> Iterator[str]:
    """`{"sets": [...]}` with `head` before it: the result of `dispatcher.show` and the body of /api/v1/destinations.

    It comes in pieces of one destination, so that nobody waits for the whole of a long list.
    """
    return _with_list(head, "sets", map(set_text, sets))


def set_text(one: SetFacts) -> Iterator[str]:
    """One set with its destinations in the list's order, in pieces of one destination."""
    each = ((json.dumps(destination_json(destination)),) for destination in one.destinations)
    return _with_list({"set": one.set_id, "algorithm": one.algorithm}, "destinations", each)


def _with_list(head: Mapping[str, object], name: str, items: Iterable[Iterable[str]]) -> Iterator[str]:
    yield json.dumps({**head, name: []}).removesuffix("]}")
    for place, item in enumerate(items):
        yield ", " if place else ""
        yield from item
    yield "]}"


def status_json(facts: ProxyFacts) -> dict[str, Any]:
    """Everything but the destinations, which are counted by state: the body of /api/v1/status."""
    return {
        "version": facts.version,
        "packet_path": facts.packet_path,
        "packet_path_why": facts.packet_path_why,
        "pid": facts.pid,
        "started": facts.started,
        "now": facts.now,
        "uptime": facts.now - facts.started,
        "serving": facts.serving,
        "listeners": [
            {"address": one.address, "advertised": one.advertised, "receive_buffer": one.receive_buffer}
            for one in facts.listeners
        ],
        "list": {"path": facts.list_path, "fingerprint": facts.list_fingerprint},
        "secret": {"fingerprint": facts.secret_fingerprint},
        "snapshot_version": facts.snapshot_version,
        "reload": None
        if facts.reload is None
        else {"at": facts.reload.at, "done": facts.reload.done, "text": facts.reload.text},
        "sets": len(facts.sets),
        "destinations": counts_by_state(facts),
        "limits": limits_json(facts.limits),
        "counters": {
            "received": facts.received,
            "received_bytes": facts.received_bytes,
            "by_fast_path": facts.by_fast_path,
            "forwarded": facts.forwarded,
            "lookups": facts.lookups,
            "answered": _seen(facts.answered),
            "refused": _seen(facts.refused),
            "dropped": _seen(facts.dropped),
            "unsent": _seen(facts.unsent),
            "network_errors": _seen(facts.network_errors),
        },
    }


def limits_json(limits: LimitFacts) -> dict[str, Any]:
    """The limits in force and whom they hit, under the names of `LimitFacts`."""
    return {**attrs.asdict(limits), "allow": list(limits.allow)}


def _seen(counts: Mapping[str, int]) -> dict[str, int]:
    return {label: count for label, count in sorted(counts.items()) if count}


def counts_by_state(facts: ProxyFacts) -> dict[str, int]:
    """How many destinations are in each state; every state is there."""
    counts = Counter(map(state_of, facts.destinations))
    return {state: counts[state] for state in STATES}
