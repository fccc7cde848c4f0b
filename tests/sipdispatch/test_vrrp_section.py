"""Does the section [vrrp] warn of what is allowed and goes wrong?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipdispatch.vrrp_section import read_vrrp_section

COMMANDS = {"acquire": ["/bin/true"], "release": ["/bin/true"]}


def said(of_ipv4: int, of_ipv6: int, interval: str, **more: Any) -> list[str]:
    """The warnings about the interval of a pair with so many addresses."""
    addresses = [f"198.51.100.{number}/32" for number in range(of_ipv4)]
    addresses += [f"2001:db8::1:{number:x}/128" for number in range(of_ipv6)]
    raw = {"interface": "eth0", "vrid": 51, "addresses": addresses, "interval": interval, **more}
    vrrp, found = read_vrrp_section(raw, Path("/"))
    assert vrrp is not None
    assert {(each.at, each.severity) for each in found} <= {(("vrrp", "interval"), "warning")}
    return [f"{each.message}; {each.hint}" for each in found]


@pytest.mark.parametrize(
    ("of_ipv4", "of_ipv6", "interval", "needed"),
    [
        (255, 0, "10ms", "20ms"),
        (1, 255, "10ms", "80ms"),
        (1, 120, "10ms", "20ms"),
        (100, 60, "10ms", "20ms"),
    ],
)
def test_more_addresses_than_can_be_prolonged_between_two_adverts_are_told(
    of_ipv4: int, of_ipv6: int, interval: str, needed: str
) -> None:
    (told,) = said(of_ipv4, of_ipv6, interval)
    assert told == (
        f"to prolong {of_ipv4 + of_ipv6} addresses may take longer than the 10 ms between two adverts;"
        f' write "{needed}" or more on both nodes, or fewer addresses'
    )
    assert said(of_ipv4, of_ipv6, needed) == []


@pytest.mark.parametrize(("of_ipv4", "of_ipv6"), [(1, 0), (120, 0), (1, 80)])
def test_few_addresses_allow_every_interval(of_ipv4: int, of_ipv6: int) -> None:
    assert said(of_ipv4, of_ipv6, "10ms") == []


def test_addresses_that_commands_move_take_no_time_of_the_agent() -> None:
    assert said(255, 255, "10ms", mover={"driver": "exec", **COMMANDS}) == []
    assert said(255, 255, "10ms", mover={"driver": "both", **COMMANDS}) != []
