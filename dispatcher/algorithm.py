"""Which way of choosing did the operator ask for?  Names of our own, and Kamailio's numbers for them."""

from __future__ import annotations

import enum
import re
from difflib import get_close_matches
from typing import Final

import attrs


class Ranking(enum.Enum):
    """What puts the destinations of a set in order; each is a slot table of its own."""

    WEIGHT = 0
    """Shares by `weight`; equal ones where no destination has a weight."""
    RELATIVE_WEIGHT = 1
    """Shares by `rweight`, or by `weight` where no destination has an `rweight`."""
    TIERS = 2
    """The lowest `priority` first, shares by weight inside a tier (RFC 2782)."""
    PRIORITY = 3
    """The highest `priority` first, in the order of the list inside one priority: every key has the same order."""


class Kind(enum.Enum):
    """What the choice hangs on; the value is the name in the configuration."""

    CALL_ID = "call-id"
    FROM = "from"
    TO = "to"
    REQUEST_URI = "request-uri"
    ROUND_ROBIN = "round-robin"
    AUTH_USER = "auth-user"
    RANDOM = "random"
    HEADER = "header"
    PRIORITY = "priority"
    WEIGHT = "weight"
    RELATIVE_WEIGHT = "relative-weight"
    TIERS = "tiers"
    AOR = "aor"
    LATENCY = "latency"
    CALL_LOAD = "call-load"


NUMBERS: Final = {
    0: Kind.CALL_ID,
    1: Kind.FROM,
    2: Kind.TO,
    3: Kind.REQUEST_URI,
    4: Kind.ROUND_ROBIN,
    5: Kind.AUTH_USER,
    6: Kind.RANDOM,
    7: Kind.HEADER,
    8: Kind.PRIORITY,
    9: Kind.WEIGHT,
    10: Kind.CALL_LOAD,
    11: Kind.RELATIVE_WEIGHT,
    13: Kind.LATENCY,
    15: Kind.TIERS,
}
"""Kamailio's numbers (`aor` has none)."""

_RANKINGS = {
    Kind.RELATIVE_WEIGHT: Ranking.RELATIVE_WEIGHT,
    Kind.TIERS: Ranking.TIERS,
    Kind.PRIORITY: Ranking.PRIORITY,
}
_SOFT = frozenset((Kind.ROUND_ROBIN, Kind.RANDOM, Kind.AUTH_USER, Kind.HEADER, Kind.LATENCY, Kind.CALL_LOAD))
"""`auth-user` and `header` because CANCEL and the ACK to a failure need not carry what their INVITE was keyed on."""
_NOT_IN_ORDER = frozenset((Kind.ROUND_ROBIN, Kind.LATENCY, Kind.CALL_LOAD))
_NEVER = {
    12: "parallel (12) forks, which a stateless proxy must not do (RFC 3261 16.11)",
    14: "algorithm 14 changes with the list",
    64: "overload control (64) is not available",
}
_ADVICE = {12: "write weight", 14: "write round-robin (4) or priority (8)", 64: "write round-robin (4)"}
_NUMBER = re.compile(r"[0-9]{1,9}")
_SHOWN = 40  # characters of a word that an error quotes
_HEADER_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # token, RFC 3261 25.1


@attrs.frozen
class Algorithm:
    """A way of choosing; `header` is the name of the header field that `header:NAME` is keyed on, as written."""

    kind: Kind
    header: str = ""
    ranking: Ranking = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: _RANKINGS.get(self.kind, Ranking.WEIGHT), takes_self=True),
    )
    table: int = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda self: self.ranking.value, takes_self=True)
    )
    """The place of the ranking among a pool's tables: an enum's hash is too slow for every packet."""
    in_order: bool = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: self.kind not in _NOT_IN_ORDER, takes_self=True),
    )
    """Whether the first usable destination in the order of the key is chosen, and nothing else is looked at."""

    @property
    def soft(self) -> bool:
        """Whether only memory keeps a transaction together: it may be lost when the other node takes over."""
        return self.kind in _SOFT

    @property
    def for_register(self) -> Algorithm:
        """What a REGISTER is chosen by: always keyed, for the challenge and its answer must meet the same server."""
        return Algorithm(Kind.AOR) if self.soft else self

    def __str__(self) -> str:
        return f"header:{self.header}" if self.kind is Kind.HEADER else self.kind.value


DEFAULT: Final = Algorithm(Kind.WEIGHT)


def parse_algorithm(text: str) -> Algorithm:
    """The algorithm with this name or Kamailio number; raises ValueError, "what is wrong; what to write instead"."""
    word, colon, header = text.strip().partition(":")
    word, header = word.strip().lower(), header.strip()
    kind = _numbered(int(word)) if _NUMBER.fullmatch(word) else _named(word)
    if kind is not Kind.HEADER:
        if colon:
            raise ValueError(f"{kind.value} takes nothing after a colon; write {kind.value}")
        return Algorithm(kind)
    if not header:
        raise ValueError("the header's name is missing; write header:NAME, as in header:X-Account")
    if not _HEADER_NAME.fullmatch(header):
        raise ValueError(f"{header} is not the name of a header field; write header:NAME, as in header:X-Account")
    return Algorithm(kind, header)


def _numbered(number: int) -> Kind:
    if number in _NEVER:
        raise ValueError(f"{_NEVER[number]}; {_ADVICE[number]}")
    if number not in NUMBERS:
        raise ValueError(f"there is no algorithm {number}; write a name, as weight or call-id")
    return NUMBERS[number]


def _named(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        names = ["header:NAME" if kind is Kind.HEADER else kind.value for kind in Kind]
        close = get_close_matches(word.replace("_", "-"), names, n=1)
        advice = f"did you mean {close[0]}?" if close else f"write one of {', '.join(names)}"
        raise ValueError(f"{word[:_SHOWN] or 'nothing'} is not the name of an algorithm; {advice}") from None
