"""What can be asked over the control socket about limits and bans?"""

from __future__ import annotations

from typing import Any, Final

import attrs

from sipdispatch.control_call import Asking, Method, Methods
from sipdispatch.control_params import BadValueError, Parameter, read_number, read_seconds, read_text
from sipdispatch.facts_json import limits_json
from sipdispatch.operations import Operations
from sipdispatch.readers import BAN_AFTER_MAXIMUM_H, BAN_MAXIMUM_H, RATE_MAXIMUM

MOST_SOURCES: Final = 20
"""How many `limits.top` tells when nobody says how many."""


async def _show(asking: Asking[Operations]) -> dict[str, Any]:
    return limits_json(asking.operations.limiting.facts())


async def _set(
    asking: Asking[Operations], rate: int | None, burst: int | None, ban_after: float | None, ban_for: float | None
) -> dict[str, Any]:
    asked = {"rate": rate, "burst": burst, "ban_after": ban_after, "ban_for": ban_for}
    return limits_json(asking.operations.limiting.change(asked, by=asking.by))


async def _top(asking: Asking[Operations], limit: int) -> dict[str, Any]:
    return {
        "now": asking.operations.limiting.now(),
        "sources": [attrs.asdict(each) for each in asking.operations.limiting.top(limit)],
    }


async def _bans(asking: Asking[Operations]) -> dict[str, Any]:
    return {
        "now": asking.operations.limiting.now(),
        "bans": [attrs.asdict(each) for each in asking.operations.limiting.bans()],
    }


async def _ban(asking: Asking[Operations], source: str, seconds: float | None) -> dict[str, Any]:
    return attrs.asdict(asking.operations.limiting.ban(source, seconds, by=asking.by))


async def _unban(asking: Asking[Operations], source: str) -> dict[str, Any]:
    return attrs.asdict(asking.operations.limiting.unban(source, by=asking.by))


def _read_count(value: Any) -> int:
    number = read_number(value)
    if number > RATE_MAXIMUM:
        raise BadValueError(f"{number} is out of range", f"write a number from 0 to {RATE_MAXIMUM}, 0 for none")
    return number


def _read_over(value: Any) -> float:
    return _up_to(read_seconds(value), BAN_AFTER_MAXIMUM_H)


def _read_ban(value: Any) -> float:
    if read_seconds(value) == 0:
        raise BadValueError("a ban of no time is none", "write seconds, as in 600")
    return _up_to(read_seconds(value), BAN_MAXIMUM_H)


def _up_to(seconds: float, hours: int) -> float:
    if 0 < seconds < 1 or seconds > hours * 3600:
        raise BadValueError(f"{seconds:g} s is out of range", f"write seconds from 1 to {hours * 3600}")
    return seconds


_SOURCE: Final = Parameter("source", read_text)

LIMIT_METHODS: Final[Methods] = {
    "limits.show": Method(_show),
    "limits.set": Method(
        _set,
        (
            Parameter("rate", _read_count, None),
            Parameter("burst", _read_count, None),
            Parameter("ban_after", _read_over, None),
            Parameter("ban_for", _read_ban, None),
        ),
        changes=True,
    ),
    "limits.top": Method(_top, (Parameter("limit", read_number, MOST_SOURCES),)),
    "limits.bans": Method(_bans),
    "limits.ban": Method(_ban, (_SOURCE, Parameter("for", _read_ban, None)), changes=True),
    "limits.unban": Method(_unban, (_SOURCE,), changes=True),
}
"""Every one of these methods; the order of its parameters is that by position."""
