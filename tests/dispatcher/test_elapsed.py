"""Does our Via bring back how long a reply took, and nothing from what others write?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.elapsed import LONGEST_S, moment, since


@given(st.floats(0, 1e9), st.integers(0, int(LONGEST_S * 1000) - 1))
def test_a_moment_that_comes_back_says_how_long_ago_it_was(now: float, milliseconds: int) -> None:
    left = moment(now)
    assert len(left) == 4
    elapsed = since(left, now + milliseconds / 1000)
    assert elapsed is not None
    assert elapsed == pytest.approx(milliseconds / 1000, abs=0.0011)


@pytest.mark.parametrize(
    ("now", "left"),
    [(0, b"0000"), (0.0359, b"000z"), (1.296, b"0100"), (1048.575, b"mh33"), (1048.576, b"0000"), (1048.6, b"000o")],
)
def test_milliseconds_are_counted_to_two_to_the_twentieth_in_base_36(now: float, left: bytes) -> None:
    assert moment(now) == left
    assert int(left, 36) == int(now * 1000) % 2**20


def test_what_is_too_long_was_counted_by_another_clock() -> None:
    assert since(moment(5.0), 184.999) == 179.999
    assert since(moment(5.0), 185.0) is None
    assert since(moment(5.0), 4.999) is None


@pytest.mark.parametrize(
    "left", [b"", b"0", b"000", b"00000", b"1_00", b"+100", b" 100", b"1.00", b"\xb20\xb20", b"-001"]
)
def test_what_we_have_not_written_says_nothing(left: bytes) -> None:
    assert since(left, 10.0) is None


def test_any_four_digits_are_some_moment() -> None:
    assert since(b"zzzz", (36**4 - 1) % 2**20 / 1000 + 0.0001) == 0
    assert since(b"000A", 0.0101) == 0
