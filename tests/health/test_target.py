"""What a target may be, and what answers it counts as good."""

from __future__ import annotations

from typing import Any

import pytest

from tests.health.farm import target


@pytest.mark.parametrize(
    ("source", "from_uri"),
    [
        (None, "sip:sipdispatch@invalid"),
        (("192.0.2.1", 0), "sip:sipdispatch@192.0.2.1"),
        (("2001:db8::1", 5070), "sip:sipdispatch@[2001:db8::1]"),
    ],
)
def test_a_probe_says_who_asks(source: tuple[str, int] | None, from_uri: str) -> None:
    assert target(source=source).from_uri == from_uri
    assert target(source=source, from_uri="sip:probe@example.com").from_uri == "sip:probe@example.com"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"uri": "192.0.2.1"}, "uri '192.0.2.1'"),
        ({"uri": "sip:a b"}, "uri 'sip:a b'"),
        ({"from_uri": "sip:"}, "from_uri 'sip:'"),
        ({"interval": 0.0}, "interval"),
        ({"timeout": -1.0}, "timeout"),
        ({"rise": 0}, "rise"),
        ({"fall": 0}, "fall"),
    ],
)
def test_what_cannot_be_probed_is_no_target(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        target(**wrong)


def test_any_final_answer_is_good_but_those_that_say_not_now() -> None:
    bad = {status for status in range(200, 700) if not target().is_good(status)}
    assert bad == {408, 500, 502, 503, 504}


def test_the_list_may_say_which_answers_are_good() -> None:
    only = target(reply_codes=frozenset((200, 503)))
    assert {status for status in range(200, 700) if only.is_good(status)} == {200, 503}
