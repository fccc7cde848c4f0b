"""Are the tables of the destinations whole and legible on every terminal?"""

from __future__ import annotations

from typing import Any

import pytest

from sipdispatch import screen
from sipdispatch.ds_tables import compact, list_text
from sipdispatch.screen import Screen, standard_output
from sipdispatch.time_words import span
from tests.sipdispatch.fake_operations import EMPTY, destination, sets_json, with_these
from tests.sipdispatch.manual_proxy import NOW, facts


def shown(*destinations: Any) -> dict[str, Any]:
    return {"now": NOW} | sets_json(with_these(*destinations) if destinations else facts())


def test_every_line_has_80_columns_at_most_and_no_word_is_cut() -> None:
    everything = dict.fromkeys(range(1, 7), 123456789)
    crowded = [destination(number, replies=everything, calls_active=99_999, rtt=1.2345) for number in range(1, 4)]
    for told in (shown(), shown(*crowded)):
        text = list_text(told, Screen(width=80))
        assert max(map(len, text.splitlines())) <= 80
        headings = "# state destination since why weight share calls calls/s msgs/s RTT 2xx"
        assert set(headings.split()) <= set(text.split())
        words = {
            word
            for one in told["sets"]
            for each in one["destinations"]
            for word in (*each["uri"].split(), *each["cause"].split())
        }
        assert words <= set(text.split())
        assert "…" not in text


def test_on_a_wide_terminal_and_in_a_file_a_destination_is_one_line() -> None:
    text = list_text(shown(), Screen())
    assert list_text(shown(), Screen(width=160)) == text
    (line,) = [line for line in text.splitlines() if "192.0.2.22" in line]
    who, load = "IP down sip:192.0.2.22 2 min", "50 0.0 % 0 0.0 0.0 -"
    assert line.split() == f"{who} {load} 60.1k 57.7k 2811 3 no answer in 500 ms".split()


def test_a_narrow_terminal_gets_tables_joined_by_numbers() -> None:
    one = "\n".join(list_text(shown(), Screen(width=80)).split("\n\nset 2")[0].splitlines())
    assert one.splitlines()[:7] == [
        "set 1: weight, 1 of 3 take new work",
        "#  state        destination     since  why",
        "1  AP up        sip:192.0.2.21    3 d  the list",
        "2  IP down      sip:192.0.2.22  2 min  no answer in 500 ms",
        "3  DP draining  sip:192.0.2.23    1 h  operator: drain (control: uid 0, pid",
        "                                       4242)",
        "",
    ]
    assert one.splitlines()[7].startswith("#  weight ")


def test_colours_only_where_they_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = list_text(shown(), Screen(width=160, colours="standard"))
    assert "\x1b[31m" in coloured
    assert "\x1b" not in list_text(shown(), Screen(width=160))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in list_text(shown(), Screen(width=160, colours="standard"))


def test_what_comes_from_outside_is_shown_as_text() -> None:
    text = list_text(shown(destination(1, cause="\x1b[31m [bold]x[/bold] :smile:", uri="sip:a\nb")), Screen())
    assert "\\x1b[31m [bold]x[/bold] :smile:" in text
    assert "sip:a\\x0ab" in text


def test_who_wants_to_be_left_alone_is_said_to_be() -> None:
    avoided = shown(destination(1, cause="answered 200 OK", avoided_until=NOW + 120))
    assert "answered 200 OK; avoided for 2 min" in list_text(avoided, Screen(width=200))


def test_an_empty_list_is_said() -> None:
    assert list_text({"now": NOW} | sets_json(EMPTY), Screen()) == "the list is empty"
    quiet = list_text(shown(destination(1, replies={}, cause="")), Screen(width=80))
    assert "xx" not in quiet


def test_the_screen_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert standard_output() == Screen()

    class Terminal:
        is_terminal, is_dumb_terminal, width, color_system = True, False, 60, "truecolor"

    monkeypatch.setattr(screen, "Console", lambda **_: Terminal())
    assert standard_output() == Screen(width=80, colours="truecolor", can_clear=True)


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0"), (9999, "9999"), (10_000, "10.0k"), (999_949, "999.9k"), (4_500_000, "4.5M"), (12_000_000_000, "12.0G")],
)
def test_counts_are_short(count: int, words: str) -> None:
    assert compact(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words
