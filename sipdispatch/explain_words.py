"""How is an account told to a person?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, assert_never

import attrs

from dispatcher.algorithm import Algorithm, Kind, Ranking
from dispatcher.destination import Destination
from dispatcher.outcome import Drop, Forward, Reply, Resolve
from dispatcher.slots import SLOTS
from dispatcher.snapshot import Snapshot
from dispatcher.token import Claims
from health.board import State, Verdict, Word
from sip.message import unfold
from sip.uri import host_port
from sipdispatch.explain import Account, Candidate, Choice, RouteSeen, Side, Way, destination_of
from sipdispatch.explain_layout import lay_out
from sipdispatch.printable import printable

MOST_CANDIDATES: Final = 10
"""Shown to a person; the document has all."""

_FOLDED: Final = ("outcome", "note", "Route", "way")

_KEYS: Final[Mapping[Kind, str]] = {
    Kind.CALL_ID: "the Call-ID",
    Kind.WEIGHT: "the Call-ID",
    Kind.RELATIVE_WEIGHT: "the Call-ID",
    Kind.TIERS: "the Call-ID",
    Kind.LATENCY: "the Call-ID, which names the two that are compared",
    Kind.CALL_LOAD: "the Call-ID, which decides between equals",
    Kind.PRIORITY: "the Call-ID, which decides nothing here",
    Kind.FROM: "user and host of From",
    Kind.TO: "user and host of To",
    Kind.REQUEST_URI: "user and host of the Request-URI",
    Kind.AUTH_USER: "the user of the credentials, without them that of From",
    Kind.AOR: "the address of record in the Request-URI",
}
"""What a key is made of."""


@attrs.frozen(kw_only=True)
class Setting:
    """What is told beside the account; `notes` are what the reader should know of the answer."""

    listeners: Sequence[str]
    assumed: Mapping[str, str]
    """What nobody has said, and what was taken for it: source, listener, call_id ..."""
    secret_path: str
    fingerprint: str | None
    """Of the secret; None when it is a throw-away one."""
    looked_up: Mapping[str, Sequence[str]]
    """The addresses of the next hops that had to be looked up."""
    notes: Sequence[str]


def as_text(snapshot: Snapshot, account: Account, setting: Setting) -> str:
    """A line for each fact, in the order in which the pipeline asks."""
    lines = [("message", first_line(account))]
    if account.message is not None and (call_id := account.message.value(b"call-id")) is not None:
        lines.append(("Call-ID", text(call_id) + _assumed(setting, "call_id")))
    if account.fault:
        lines.append(("fault", account.fault))
    lines.append(("source", host_port(account.source) + _assumed(setting, "source")))
    lines.append(("listener", setting.listeners[account.arrival] + _assumed(setting, "listener")))
    if account.side is not None:
        lines.append(("side", f"{'core' if account.side.is_core else 'edge'}: {side_words(account.side)}"))
    lines += [("" if seen.is_request_uri else "Route", route_words(seen)) for seen in account.routes]
    if account.way is not None:
        lines.append(("way", way_words(account.way, account)))
    if account.choice is not None:
        lines += _choice_lines(account.choice, snapshot)
    lines += [("looked up", f"{name}: {', '.join(found) or 'no address'}") for name, found in setting.looked_up.items()]
    lines.append(("outcome", outcome_words(snapshot, account, setting)))
    if setting.fingerprint is not None:
        lines.append(("secret", f"{setting.fingerprint}, of {setting.secret_path}"))
    lines += [("note", note) for note in setting.notes]
    return lay_out(lines, _FOLDED)


def first_line(account: Account) -> str:
    """The start line, or what there is in its place."""
    if account.message is not None:
        return text(account.message.start)
    line = account.datagram.lstrip(b"\r\n").partition(b"\n")[0].strip()
    return text(line[:100]) if line else "an empty line"


def text(raw: bytes) -> str:
    """Bytes of a message for a person's terminal."""
    return printable(unfold(raw).decode("utf-8", "backslashreplace"))


def _assumed(setting: Setting, what: str) -> str:
    return f" ({setting.assumed[what]})" if what in setting.assumed else ""


def side_words(side: Side) -> str:
    """By what the source is on its side."""
    if side.destinations:
        uris = dict.fromkeys(printable(destination.entry.uri) for destination in side.destinations)
        return f"the address of {', '.join(uris)}"
    return (
        f"in {side.network} of core_networks"
        if side.is_core
        else "neither a destination's address nor in core_networks"
    )


def route_words(seen: RouteSeen) -> str:
    """What a Route is to us."""
    if seen.is_request_uri:
        return f"{text(seen.uri)}: the Request-URI is ours, from a strict router; the last Route takes its place"
    if not seen.is_ours:
        return f"{text(seen.uri)}: not ours, kept"
    if seen.claims is not None:
        return f"{text(seen.uri)}: ours, taken off; its token is valid: {claims_words(seen.claims)}"
    if seen.has_user:
        return f"{text(seen.uri)}: ours, taken off; its token is not valid and counts for nothing"
    return f"{text(seen.uri)}: ours, taken off; it has no token"


def claims_words(claims: Claims) -> str:
    """What a token says."""
    edge = f"edge end {host_port(claims.edge)}" + (", behind a NAT" if claims.behind_nat else "")
    kind = "of a registration" if claims.is_path else f"begun by the {'core' if claims.creator_is_core else 'edge'}"
    return f"{edge}; core end {host_port(claims.core)}; {kind}"


def way_words(way: Way, account: Account) -> str:
    """The law that gives the next hop, and why it is this one."""
    match way:
        case Way.OURS:
            return "it asks for the proxy itself"
        case Way.TOKEN_TO_EDGE:
            return f"by the token, to its edge end: {_edge_words(account)}"
        case Way.TOKEN_TO_CORE:
            there = account.hop is not None and account.hop.destination is not None
            what = "the destination that the Request-URI names" if there else "the address that the token has"
            return f"by the token, to its core end: {what}"
        case Way.ONWARD:
            along = account.hop is not None and account.hop.along_route
            return f"a request from the core goes where its {'Route' if along else 'Request-URI'} says"
        case Way.NAMED:
            return f"its Request-URI names the destination {uri_of(account.named)}"
        case Way.DISPATCHED:
            return _dispatched_words(account)
    assert_never(way)


def _edge_words(account: Account) -> str:
    if account.hop is None or account.claims is None:
        return "only the core and the token's own core end may use it in this direction"
    if account.claims.behind_nat:
        return "the address that it was last seen at, for it is behind a NAT"
    if account.hop.address == account.claims.edge:
        return "the address that the token has"
    return "the next Route" if account.hop.along_route else "the Request-URI, its Contact"


def _dispatched_words(account: Account) -> str:
    if account.named is not None:
        return f"dispatched: its Request-URI names the destination {uri_of(account.named)}, which takes nothing now"
    if account.side is not None and account.side.is_core:
        return "dispatched: its Request-URI is ours"
    return "dispatched: a request from the edge goes to a destination of the list"


def uri_of(destination: Destination | None) -> str:
    """The URI as the list has it."""
    return "" if destination is None else printable(destination.entry.uri)


def _choice_lines(choice: Choice, snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    if choice.rule is not None:
        yield (
            "rule",
            f"proxy.route[{choice.rule}] matches, the {_ordinal(choice.rule + 1)} of {len(snapshot.policy.rules)}",
        )
    elif snapshot.policy.rules:
        yield "rule", f"none of {len(snapshot.policy.rules)} matches: set and algorithm of [proxy]"
    count = len(choice.candidates)
    yield "set", f"{choice.set_id}: {count or 'no'} destination{'s' if count != 1 else ''}"
    used = "" if choice.used == choice.algorithm else f"; a REGISTER is chosen by {choice.used}"
    yield "algorithm", f"{choice.algorithm}{used}"
    yield "key", key_words(choice)
    if choice.slot is not None:
        yield "slot", f"{choice.slot} of {SLOTS}"
    if choice.panic:
        yield "panic", "no destination takes new work, so the choice is made as if all enabled ones did"
    yield from _candidate_lines(choice)


def key_words(choice: Choice) -> str:
    """The key, and what it is."""
    if choice.used.kind is Kind.ROUND_ROBIN:
        return "none: each call takes the next turn of the running proxy; this is the first turn of a new one"
    if choice.used.kind is Kind.RANDOM:
        return "none: drawn for each call; this is one draw"
    shown = text(choice.key or b"") or "(empty)"
    if choice.is_register:
        return f"{shown} (the address of record of a REGISTER, in To)"
    if choice.used.kind is Kind.HEADER:
        return f"{shown} ({choice.used.header}, without it the Call-ID)"
    return f"{shown} ({_KEYS[choice.used.kind]})"


def _candidate_lines(choice: Choice) -> Iterable[tuple[str, str]]:
    shown = choice.candidates[:MOST_CANDIDATES]
    columns = [
        (
            _name(each.destination),
            state_word(each.state),
            _measure(choice.used, each),
            each.reason.value,
        )
        for each in shown
    ]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for number, cells in enumerate(columns, 1):
        padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield ("candidates" if number == 1 else "", f"{number:>2}. {padded}")
    if len(choice.candidates) > len(shown):
        yield "", f"    and {len(choice.candidates) - len(shown)} more (all with --json)"


def _name(destination: Destination) -> str:
    uri = printable(destination.entry.uri)
    is_numeric = destination.entry.target.numeric_host is not None
    return uri if is_numeric else f"{uri} at {host_port(destination.address)}"


def state_word(found: State) -> str:
    """Whether it takes new work, in a word."""
    if found.word is not Word.ENABLED:
        return found.word.name.lower()
    return {Verdict.UP: "up", Verdict.SUSPECT: "suspect", Verdict.DOWN: "down"}[found.verdict]


def _measure(used: Algorithm, candidate: Candidate) -> str:
    """What puts it where it is."""
    entry = candidate.destination.entry
    if used.kind is Kind.LATENCY:
        known = f"{candidate.latency * 1000:.1f} ms" if candidate.latency else "latency unknown"
        return f"{_weight(entry.weight)}, {known}"
    if used.kind is Kind.CALL_LOAD:
        most = f" of {entry.maxload}" if entry.maxload else ""
        return f"{_weight(entry.weight)}, calls: {candidate.calls}{most}"
    match used.ranking:
        case Ranking.PRIORITY:
            return f"priority {entry.priority}"
        case Ranking.RELATIVE_WEIGHT if entry.rweight is not None:
            return f"rweight {entry.rweight}"
        case Ranking.TIERS:
            return f"priority {entry.priority}, {_weight(entry.weight)}"
        case _:
            return _weight(entry.weight)


def _weight(weight: int | None) -> str:
    return "no weight" if weight is None else f"weight {weight}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def outcome_words(snapshot: Snapshot, account: Account, setting: Setting) -> str:
    """What leaves, or why nothing does."""
    outcome = account.outcome
    match outcome:
        case Forward():
            there = destination_of(snapshot, outcome)
            name = f" ({uri_of(there)})" if there is not None and not outcome.status else ""
            return f"forwarded to {host_port(outcome.address)}{name}, from {setting.listeners[outcome.listener]}"
        case Reply():
            answer = text(outcome.payload.partition(b"\r\n")[0].partition(b" ")[2])
            why = f": {outcome.refusal.sentence}" if outcome.refusal is not None else ""
            return f"answered with {answer}, to {host_port(outcome.address)}{why}"
        case Drop():
            why = f": {account.refusal.sentence}" if account.refusal is not None else ""
            return f"dropped, {outcome.reason.label}: {outcome.reason.sentence}{why}"
        case Resolve():
            return f"dropped: its next hop {printable(outcome.host)} cannot be looked up now"
    assert_never(outcome)
