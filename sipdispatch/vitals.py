"""Which probes does the list ask for, and what makes the board of it for those who choose?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from dispatcher.assemble import state_of
from dispatcher.destination import NO_PING, Destination
from dispatcher.selection import FULL_SHARE
from dispatcher.slowstart import ramp_of
from health.board import Board, State
from health.target import Target
from sip.errors import SipError
from sip.request import read_uri
from sip.uri import Address, host_port
from sipdispatch.config import Health

_T = TypeVar("_T")


def target_of(number: int, destination: Destination, settings: Health) -> Target:
    """What is probed of a destination: its line's own attributes come before those of [health]."""
    entry = destination.entry
    # A URI that cannot be a Request-URI or in a From, as one with header fields, is no reason not to probe.
    asking = _usable(entry.ping_from or settings.from_uri)
    given: dict[str, Any] = {
        "interval": _or(entry.probe_interval, settings.interval),
        "timeout": _or(entry.probe_timeout, settings.timeout),
        "rise": _or(entry.rise, settings.rise),
        "fall": _or(entry.fall, settings.fall),
        "reply_codes": entry.reply_codes if entry.reply_codes is not None else settings.reply_codes,
    }
    if asking is not None:
        given["from_uri"] = asking
    return Target(
        number=number,
        uri=_usable(entry.uri) or f"sip:{host_port(destination.address)}",
        address=destination.address,
        source=_source(destination.address, settings.source),
        probed=settings.enabled and not entry.flags & NO_PING,
        listed=state_of(destination),
        **given,
    )


def _or(own: _T | None, general: _T) -> _T:
    return general if own is None else own


def _usable(uri: str | None) -> str | None:
    try:
        return uri if uri is not None and read_uri(uri.encode()) is not None else None
    except SipError:
        return None


def _source(address: Address, sources: Sequence[str]) -> Address | None:
    """The address of this family that probes leave from, any port."""
    is_ipv6 = ":" in address[0]
    return next(((own, 0) for own in sources if (":" in own) == is_ipv6), None)


def states_of(board: Board) -> dict[int, State]:
    """Word and verdict of each number."""
    return {number: standing.state for number, standing in board.standings.items()}


def avoided_of(board: Board) -> frozenset[int]:
    """Who has asked for no new work (503 with Retry-After)."""
    return frozenset(number for number, standing in board.standings.items() if standing.avoided_until)


def latencies_of(board: Board) -> dict[int, float]:
    """Seconds that probes of each took lately; who has not answered yet is missing."""
    return {number: each.latency for number, each in board.standings.items() if each.latency is not None}


def ramps_of(board: Board, now: float, slow_start: float) -> dict[int, int]:
    """The share, of 256, of each that has come back less than `slow_start` seconds ago."""
    if not slow_start:
        return {}
    ramps = {number: ramp_of(each.back_since, now, slow_start) for number, each in board.standings.items()}
    return {number: ramp for number, ramp in ramps.items() if ramp != FULL_SHARE}
