"""How do Kamailio's words for a dispatcher match ours: the states, and what `dispatcher.list` answers?

The shape and the texts are those of Kamailio 5.6.3, recorded from it, so that what reads it reads us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from health.board import Word
from sip.errors import SipError
from sip.uri import parse_uri
from sipdispatch.facts import DestinationFacts, ProxyFacts, SetFacts

Detail = Literal["short", "normal", "full"]

STATES: Final = {
    "a": Word.ENABLED,
    "1": Word.ENABLED,
    "t": Word.ENABLED,
    "3": Word.ENABLED,
    "i": Word.DRAINING,
    "0": Word.DRAINING,
    "d": Word.DISABLED,
    "2": Word.DISABLED,
    "enabled": Word.ENABLED,
    "draining": Word.DRAINING,
    "disabled": Word.DISABLED,
}
"""Kamailio's state, by letter and by number, or our own word, to the operator's word.

`t`: Kamailio goes on using a destination that it is trying, and so do we; whether it is well the probes say.
`i`: gets no new work and is probed on, as with us one that drains; that a good probe brings it back, as in Kamailio,
would be the opposite of what an operator wants who takes a server out, so it stays out until `a`.
"""

_STATE = re.compile(r"([aitd0123])[px]?", re.IGNORECASE)
_BEST: Final = "ATID"
"""First letters, from the best state to the worst."""
_PROTOCOLS: Final = {"udp": 1, "tcp": 2, "tls": 3, "sctp": 4, "ws": 5, "wss": 6}
"""Kamailio's numbers."""


def word_of(state: str) -> Word | None:
    """The word that a state stands for: `a`, `IP`, `1`, `disabled` ...; None for what is no state.

    A second letter p or x, which in Kamailio says whether to probe, has no effect: the list and [health] say that.
    """
    matched = _STATE.fullmatch(state)
    return STATES.get(matched[1].lower() if matched else state.lower())


def list_text(facts: ProxyFacts, detail: Detail) -> Iterator[str]:
    """The result of `dispatcher.list` as JSON, in pieces of one destination; sets and lines in the list's order."""
    yield f'{{"NRSETS": {len(facts.sets)}, "RECORDS": ['
    for place, one in enumerate(facts.sets):
        yield f'{", " if place else ""}{{"SET": {{"ID": {one.set_id}, "TARGETS": ['
        for number, addresses in enumerate(_lines(one)):
            yield f"{', ' if number else ''}{json.dumps({'DEST': _destination(addresses, detail)})}"
        yield "]}}"
    yield "]}"


def _lines(one: SetFacts) -> list[list[DestinationFacts]]:
    """The addresses of each line: Kamailio has one entry for a URI, and a program that reads it expects one."""
    lines: dict[str, list[DestinationFacts]] = {}
    for destination in one.destinations:
        lines.setdefault(destination.uri, []).append(destination)
    return list(lines.values())


def _destination(addresses: Sequence[DestinationFacts], detail: Detail) -> dict[str, Any]:
    """One line: its state is that of its best address, its load that of all."""
    best = min(addresses, key=lambda each: _BEST.find(each.letters[:1]))
    told: dict[str, Any] = {"URI": best.uri, "FLAGS": best.letters, "PRIORITY": best.priority}
    if detail == "full":
        told |= _host(best)
    if best.attributes and detail != "short":
        told["ATTRS"] = _attributes(best)
    if best.latency is not None:
        told["LATENCY"] = {
            "AVG": _milliseconds(best.latency),
            "STD": 0.0,
            "EST": _milliseconds(best.latency),
            "MAX": _milliseconds(max(best.latency, best.rtt or 0.0)),
            "TIMEOUT": best.probe_failures,
        }
    told["RUNTIME"] = {"DLGLOAD": sum(each.calls_active for each in addresses)}
    return told


def _host(destination: DestinationFacts) -> dict[str, Any]:
    host, transport = destination.address[0], "udp"
    try:
        target = parse_uri(destination.uri.encode())
        host, transport = target.host, target.transport
    except SipError:  # the list has taken it, so it can be read; if not, its address is its host
        pass
    return {
        "HOST": host,
        "IPADDR": destination.address[0],
        "PORT": destination.address[1],
        "PROTOID": _PROTOCOLS.get(transport, 0),
        "DNSTIME_SEC": 0,
        "DNSTIME_USEC": 0,
    }


def _attributes(destination: DestinationFacts) -> dict[str, Any]:
    named = destination.attributes
    return {
        "BODY": ";".join(f"{name}={value}" for name, value in named.items()),
        "DUID": named.get("duid"),
        "MAXLOAD": _number(named.get("maxload")),
        "WEIGHT": _number(named.get("weight")),
        "RWEIGHT": _number(named.get("rweight")),
        "SOCKET": named.get("socket"),
        "SOCKNAME": named.get("sockname"),
        "OBPROXY": named.get("obproxy"),
    }


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)
