"""Is what others have written fit to be shown?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdispatch.vrrp_track import DETAIL_LENGTH, first_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("\n \r\n", ""),
        ("disk full\nmore", "disk full"),
        ("\n\n  last line", "last line"),
        ("a\tb\x1b[31m", "a\\x09b\\x1b[31m"),
        ("x" * 201, "x" * 200),
        ("\x00" * 200, "\\x00" * 49 + "\\..."),
    ],
)
def test_the_first_line(text: str, shown: str) -> None:
    assert first_line(text) == shown


@given(st.text())
def test_it_is_always_one_short_printable_line(text: str) -> None:
    shown = first_line(text)
    assert shown.isprintable()
    assert len(shown) <= DETAIL_LENGTH
