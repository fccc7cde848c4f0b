"""Is text from outside shown without obeying it?"""

from __future__ import annotations

from sipdispatch.printable import printable


def test_nothing_is_printed_that_a_terminal_obeys() -> None:
    assert printable("a\x1b\u009b\tж\r\n\u202e\udcff") == "a\\x1b\\x9b\\x09ж\\x0d\\x0a\\u202e\\udcff"
