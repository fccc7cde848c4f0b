"""What do the methods about limits and bans take, and what do they refuse?"""

from __future__ import annotations

from typing import Any

import pytest

from sipdispatch.control_limits import LIMIT_METHODS, MOST_SOURCES
from sipdispatch.control_methods import METHODS, Asking, call
from sipdispatch.control_params import MethodError
from sipdispatch.jsonrpc import Request
from tests.sipdispatch.control_world import Steered


async def nothing() -> None:
    raise AssertionError


def nobody() -> None:
    raise AssertionError


async def ask(method: str, **named: Any) -> Any:
    operations = Steered()
    asking = Asking(operations=operations, by="me", follow=nothing, attend=nobody)
    return await call(Request(method, named, 1), asking), operations.limiting


def test_they_are_among_the_methods_of_the_proxy() -> None:
    assert set(LIMIT_METHODS) <= set(METHODS)
    assert MOST_SOURCES == 20


async def test_zero_is_none_for_all_but_the_length_of_a_ban() -> None:
    _, limiting = await ask("limits.set", rate=0, burst="0", ban_after=0)
    assert limiting.asked == [{"rate": 0, "burst": 0, "ban_after": 0.0, "ban_for": None}]


async def test_a_ban_lasts_as_long_as_is_said() -> None:
    done, _ = await ask("limits.ban", source="203.0.113.9", **{"for": 1})
    assert done["until"] - done["since"] == 1


@pytest.mark.parametrize(
    ("method", "named", "what"),
    [
        ("limits.set", {"rate": 1_000_001}, "1000001 is out of range"),
        ("limits.set", {"burst": -1}, "-1 is no whole number"),
        ("limits.set", {"ban_after": 0.5}, "0.5 s is out of range"),
        ("limits.set", {"ban_after": 3601}, "3601 s is out of range"),
        ("limits.set", {"ban_for": 0}, "a ban of no time is none"),
        ("limits.ban", {"source": "203.0.113.9", "for": 0}, "a ban of no time is none"),
        ("limits.ban", {"source": "203.0.113.9", "for": 720 * 3600 + 1}, "2.592e+06 s is out of range"),
        ("limits.ban", {"for": 1}, "source is missing"),
        ("limits.top", {"limit": "many"}, '"many" is no whole number'),
    ],
)
async def test_what_cannot_be_meant_is_refused(method: str, named: dict[str, Any], what: str) -> None:
    with pytest.raises(MethodError) as caught:
        await ask(method, **named)
    assert caught.value.details["what"] == what
