"""What do the values of `sipdispatch probe` mean: durations, status codes, thresholds, patterns?"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from sipdispatch.errors import CommandError

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CODE = re.compile(r"([1-6])(?:xx|([0-9][0-9]))", re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]*)?)%?")


@attrs.frozen(kw_only=True)
class Thresholds:
    """What must not be exceeded; None is no limit."""

    rtt_s: float | None = None
    """The average round trip."""
    loss_percent: float | None = None
    retrans: int | None = None
    """Retransmissions of all probes together."""


def read_duration(text: str, where: str, *, least_s: float, most_s: float) -> float:
    """Seconds, from `2`, `0.5`, `500ms`, `2s`, `5m` or `1h`; raises CommandError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise CommandError(f"{text} is not a duration", where, "write seconds as in 0.5, or a unit as in 500ms, 5m, 1h")
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"]
    if not least_s <= seconds <= most_s:
        raise CommandError(f"{text} is out of range", where, f"write something from {least_s:g} s to {most_s:g} s")
    return seconds


def read_codes(text: str, where: str) -> frozenset[int]:
    """Status codes, from `2xx,404`; raises CommandError."""
    codes: set[int] = set()
    for word in text.split(","):
        match = _CODE.fullmatch(word.strip())
        if match is None:
            raise CommandError(f"{word} is not a status code", where, "write codes and classes as in 2xx,404")
        first = int(match[1]) * 100
        codes.update([first + int(match[2])] if match[2] else range(first, first + 100))
    if all(code < 200 for code in codes):
        raise CommandError(f"{text} are provisional codes only", where, "name final ones, as in 2xx,404")
    return frozenset(codes)


def read_thresholds(text: str, where: str) -> Thresholds:
    """Limits, from `rtt=100ms,loss=5%,retrans=0`; raises CommandError."""
    values: dict[str, float] = {}
    for word in text.split(","):
        name, equals, value = word.strip().partition("=")
        if not equals or name not in _READERS or name in values:
            raise CommandError(
                _fault_in(name, known=name in _READERS), where, "write as in rtt=100ms,loss=5%,retrans=0"
            )
        values[name] = _READERS[name](value, where)
    retrans = values.get("retrans")
    return Thresholds(
        rtt_s=values.get("rtt"),
        loss_percent=values.get("loss"),
        retrans=None if retrans is None else int(retrans),
    )


def _fault_in(name: str, *, known: bool) -> str:
    if name == "cert":
        return "certificates are not looked at: this version speaks UDP and TCP"
    return f"{name} has no value or stands twice" if known else f"there is no threshold {name}"


def _rtt(text: str, where: str) -> float:
    return read_duration(text, where, least_s=0.0, most_s=3600.0)


def _loss(text: str, where: str) -> float:
    match = _PERCENT.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise CommandError(f"{text} is not a share", where, "write a percentage as in loss=5%")
    return float(match[1])


def _retrans(text: str, where: str) -> float:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise CommandError(f"{text} is not a number", where, "write a number as in retrans=0")
    return int(text)


_READERS: dict[str, Callable[[str, str], float]] = {"rtt": _rtt, "loss": _loss, "retrans": _retrans}


def read_pattern(text: str, where: str) -> re.Pattern[str]:
    """A regular expression; raises CommandError."""
    try:
        return re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise CommandError(
            f"{text} is not a regular expression: {error}", where, "write one as Python reads it, or escape with \\"
        ) from error


def read_field_pattern(text: str, where: str) -> tuple[str, re.Pattern[str]]:
    """A field's name in lower case and what its value must match, from `Server=Asterisk`; raises CommandError."""
    name, equals, pattern = text.partition("=")
    if not equals or not name.strip():
        raise CommandError(f"{text} is not NAME=REGEX", where, "write as in --match 'Server=^Asterisk'")
    return name.strip().lower(), read_pattern(pattern, where)
