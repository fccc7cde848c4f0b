"""What does a reload print about two lists?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.destination import Entry
from dispatcher.listdiff import Change, diff_lists
from dispatcher.listfile import parse_list

BEFORE = "1 sip:192.0.2.1 0 0 weight=50\n1 sip:192.0.2.2 0 0 weight=50\n"


def entries_of(text: str) -> tuple[Entry, ...]:
    entries, _ = parse_list(text.encode(), "dispatcher.list")
    assert entries or not text
    return entries


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (BEFORE, "no change"),
        (f"# comment\n\n{BEFORE}# end\n", "no change"),
        (
            "1 sip:192.0.2.1 0 0 weight=60\n1 sip:192.0.2.2 0 0 weight=50\n",
            "1 changed (sip:192.0.2.1: weight 50 -> 60)",
        ),
        (
            "1 sip:192.0.2.1 4 0\n1 sip:192.0.2.2 0 0 weight=50",
            "1 changed (sip:192.0.2.1: flags 0 -> 4, weight 50 -> none)",
        ),
        (
            "1 sip:192.0.2.1 0 0 weight=50;duid=a\n1 sip:192.0.2.2 0 0 weight=50",
            "1 changed (sip:192.0.2.1: duid none -> a)",
        ),
        (
            "1 sip:192.0.2.1 0 9 weight=50\n1 SIP:192.0.2.2:5060 0 0 weight=50",
            "2 changed (sip:192.0.2.1: priority 0 -> 9; SIP:192.0.2.2:5060: uri sip:192.0.2.2 -> SIP:192.0.2.2:5060)",
        ),
        ("1 sip:192.0.2.2 0 0 weight=50\n1 sip:192.0.2.1 0 0 weight=50\n", "order changed"),
        ("1 sip:192.0.2.3\n1 sip:192.0.2.4\n1 sip:192.0.2.2 0 0 weight=50", "2 added, 1 removed"),
        ("2 sip:192.0.2.1 0 0 weight=50\n1 sip:192.0.2.2 0 0 weight=50\n", "1 added, 1 removed"),
        ("1 sip:192.0.2.1:5070 0 0 weight=50\n1 sip:192.0.2.2 0 0 weight=50\n", "1 added, 1 removed"),
        (
            "1 sip:192.0.2.9\n1 sip:192.0.2.8\n1 sip:192.0.2.1 0 0 weight=60",
            "2 added, 1 removed, 1 changed (sip:192.0.2.1: weight 50 -> 60)",
        ),
        ("", "2 removed"),
    ],
)
def test_the_line_that_a_reload_prints(after: str, line: str) -> None:
    diff = diff_lists(entries_of(BEFORE), entries_of(after))
    assert str(diff) == line
    assert bool(diff) == (line != "no change")


def test_many_changes_are_counted() -> None:
    before, after = ("".join(f"1 sip:192.0.2.{n} 0 0 weight={weight}\n" for n in range(1, 9)) for weight in (10, 20))
    diff = diff_lists(entries_of(before), entries_of(after))
    assert len(diff.changed) == 8
    assert str(diff).startswith("8 changed (sip:192.0.2.1: weight 10 -> 20; sip:192.0.2.2: ")
    assert str(diff).endswith("sip:192.0.2.5: weight 10 -> 20; and 3 more)")


def test_every_part_stands_in_file_order() -> None:
    before = entries_of("1 sip:a\n1 sip:b\n1 sip:c\n1 sip:d\n")
    after = entries_of("1 sip:z\n1 sip:d 1\n1 sip:b 1\n1 sip:y\n")
    diff = diff_lists(before, after)
    assert [entry.uri for entry in diff.added] == ["sip:z", "sip:y"]
    assert [entry.uri for entry in diff.removed] == ["sip:a", "sip:c"]
    assert diff.changed == (Change(before[3], after[1]), Change(before[1], after[2]))
    assert diff.reordered


hosts = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2)), unique_by=lambda pair: pair[0])


@given(hosts, hosts)
def test_a_diff_back_and_forth_mirrors(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    old, new = (entries_of("".join(f"1 sip:{h} 0 {n}\n" for h, n in pairs)) for pairs in (before, after))
    there, back = diff_lists(old, new), diff_lists(new, old)
    assert there.added == back.removed
    assert there.removed == back.added
    assert {(change.before, change.after) for change in there.changed} == {
        (change.after, change.before) for change in back.changed
    }
    assert there.reordered == back.reordered
    assert bool(there) == (old != new)
