"""Is Kamailio's own way to share calls known well enough to warn of it?"""

from __future__ import annotations

import pytest

from dispatcher.destination import Entry
from dispatcher.listfile import parse_list
from dispatcher.listsets import kamailio_order, kamailio_shares


def entries_of(columns: str) -> tuple[Entry, ...]:
    """One entry for each `priority[:weight]`."""
    pairs = [word.partition(":") for word in columns.split()]
    lines = [f"1 sip:h{n} 0 {p} " + (f"weight={w}" if w else "") for n, (p, _, w) in enumerate(pairs)]
    return parse_list("\n".join(lines).encode(), "dispatcher.list")[0]


@pytest.mark.parametrize(
    ("columns", "shares"),
    [
        # Counted on Kamailio 5.6.3: the list loaded, 100 requests each through ds_select_dst("1", "9").
        ("0:20 0:20 0:20", [60, 20, 20]),
        ("0:80 0:80 0:80", [0, 20, 80]),
        ("0:50 0:50 0:0", [0, 0, 100]),
        ("5:50 7 0:10", [0, 100, 0]),
        ("0:150 0:50 0:30", [20, 50, 30]),
        # By the same rule, not counted.
        ("0:50 0:50", [50, 50]),
        ("0 0:100", [0, 100]),
        ("0", [100]),
        ("3:10 9:20 5:30", [50, 20, 30]),
    ],
)
def test_kamailios_shares(columns: str, shares: list[int]) -> None:
    assert kamailio_shares(entries_of(columns)) == shares


def test_kamailios_order_is_descending_priority_and_the_file_backwards() -> None:
    assert kamailio_order(entries_of("1 2 2 1 0")) == [2, 1, 3, 0, 4]
