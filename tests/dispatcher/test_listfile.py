"""Does reading a list name every problem, keep every entry, and never raise?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.destination import Entry
from dispatcher.listfile import KAMAILIO_LINE_BYTES, parse_list
from dispatcher.problem import refuses
from tests.dispatcher.bad_lists import BAD_LISTS, BadList

ROOT = Path(__file__).parents[2]
PATH = "dispatcher.list"


def entries_of(text: str) -> tuple[Entry, ...]:
    entries, problems = parse_list(text.encode(), PATH)
    assert problems == ()
    return entries


def problems_of(text: bytes) -> list[str]:
    return [str(problem).removeprefix(f"{PATH}:") for problem in parse_list(text, PATH)[1]]


@pytest.mark.parametrize("case", BAD_LISTS, ids=lambda case: case.title)
def test_every_problem_is_named_with_its_place_and_what_to_write(case: BadList) -> None:
    entries, problems = parse_list(case.text, PATH)
    assert [str(problem).removeprefix(f"{PATH}:") for problem in problems] == list(case.problems)
    assert bool(entries) == (not refuses(problems) and "no destination in the list" not in case.problems[0])


def test_the_table_of_bad_lists_is_long_and_every_title_is_its_own() -> None:
    assert len(BAD_LISTS) >= 60
    assert len({case.title for case in BAD_LISTS}) == len(BAD_LISTS)
    assert all(case.problems for case in BAD_LISTS)


@pytest.mark.parametrize("case", BAD_LISTS, ids=lambda case: case.title)
def test_a_line_that_the_hint_writes_out_is_a_line_of_a_list(case: BadList) -> None:
    """Only the first of several problems is corrected, so the rest may still be there."""
    for problem in parse_list(case.text, PATH)[1]:
        if problem.hint.startswith("write: ") and not problem.hint.endswith("...") and problem.hint[7].isdigit():
            again = parse_list(problem.hint.removeprefix("write: ").encode(), PATH)[1]
            assert problem.message not in [other.message for other in again]


def test_the_lines_of_the_article() -> None:
    first, second = entries_of("1 sip:192.168.0.1 0 1 weight=50\n1 sip:192.168.0.2 0 1 weight=50\n")
    assert (first.set_id, first.uri, first.flags, first.priority, first.weight) == (1, "sip:192.168.0.1", 0, 1, 50)
    assert (second.target.host, second.target.port, second.line) == ("192.168.0.2", None, 2)
    assert dict(second.attributes) == {"weight": "50"}


def test_the_example_at_top_level_is_clean_and_teaches_the_article() -> None:
    text = (ROOT / "dispatcher.list.example").read_bytes()
    entries, problems = parse_list(text, PATH)
    assert problems == ()
    lines = text.decode().splitlines()
    assert [lines[entry.line - 1] for entry in entries] == [
        "1 sip:192.168.0.1 0 1 weight=50",
        "1 sip:192.168.0.2 0 1 weight=50",
    ]


def test_every_attribute_is_typed() -> None:
    line = (
        "7 SIP:pbx@PBX1.Example.COM:5070;transport=UDP 8 3 "
        "Weight=0050;rweight=20;duid='a;b';maxload=200;socket=udp:192.0.2.9:5062;ping_from=sip:probe@edge;"
        'probe_interval=2m;probe_timeout=250ms;rise=3;fall=1;reply_codes="code=404;class=3"'
    )
    (entry,) = parse_list(line.encode(), PATH)[0]
    assert (entry.set_id, entry.flags, entry.priority) == (7, 8, 3)
    assert (entry.target.host, entry.target.port, entry.target.user) == ("pbx1.example.com", 5070, b"pbx")
    assert entry.uri == "SIP:pbx@PBX1.Example.COM:5070;transport=UDP"
    assert (entry.weight, entry.rweight, entry.duid, entry.maxload) == (50, 20, "a;b", 200)
    assert (entry.socket, entry.ping_from) == (("192.0.2.9", 5062), "sip:probe@edge")
    assert (entry.probe_interval, entry.probe_timeout, entry.rise, entry.fall) == (120.0, 0.25, 3, 1)
    assert entry.reply_codes == frozenset({*range(200, 300), *range(300, 400), 404})
    assert entry.attributes["weight"] == "0050"
    assert entry.attributes["reply_codes"] == "code=404;class=3"
    assert list(entry.attributes)[:3] == ["weight", "rweight", "duid"]


def test_what_a_line_leaves_out_has_its_default() -> None:
    (entry,) = entries_of("0 sip:pbx")
    assert (entry.set_id, entry.flags, entry.priority, entry.maxload) == (0, 0, 0, 0)
    given_by_attribute = (entry.weight, entry.rweight, entry.duid, entry.socket, entry.ping_from, entry.reply_codes)
    assert given_by_attribute == (None,) * 6
    assert (entry.probe_interval, entry.probe_timeout, entry.rise, entry.fall) == (None,) * 4
    assert dict(entry.attributes) == {}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1", 1.0), ("0.5", 0.5), ("500ms", 0.5), ("1s", 1.0), ("1.5s", 1.5), ("2m", 120.0), ("60m", 3600.0)],
)
def test_durations(written: str, seconds: float) -> None:
    (entry,) = entries_of(f"1 sip:pbx 0 0 probe_interval={written}")
    assert entry.probe_interval == seconds


def test_priority_may_stand_in_the_column_or_in_the_attributes() -> None:
    for line in ("1 sip:pbx 0 7", "1 sip:pbx 0 0 priority=7", "1 sip:pbx 0 7 priority=7"):
        assert entries_of(line)[0].priority == 7


def test_an_ipv6_socket_loses_its_brackets() -> None:
    assert entries_of("1 sip:[2001:db8::1] 0 0 socket=udp:[2001:DB8:0::9]:5060")[0].socket == ("2001:db8::9", 5060)
    assert entries_of("1 sip:pbx 0 0 socket=udp:[2001:db8::9]:5060")[0].socket == ("2001:db8::9", 5060)


def test_entries_stand_in_file_order_whatever_their_set_and_priority() -> None:
    text = "2 sip:192.0.2.3 0 1\n1 sip:192.0.2.1 0 5\n2 sip:192.0.2.1 0 9\n1 sip:192.0.2.2 0 7\n"
    assert [(entry.set_id, entry.uri[-1]) for entry in entries_of(text)] == [(2, "3"), (1, "1"), (2, "1"), (1, "2")]


@pytest.mark.parametrize(
    "text",
    [
        b"1 sip:192.0.2.1\n2 sip:192.0.2.1",
        b"1 sip:192.0.2.1\r\n2 sip:192.0.2.1\r\n",
        b"\t1\t \tsip:192.0.2.1\t\n  2 sip:192.0.2.1  \n",
        "# Büro, Erdgeschoß \u2014 \xa0\n1 sip:192.0.2.1 # 电话\n2 sip:192.0.2.1 0 0 #\ufeff\n".encode(),
        b"\n\n1 sip:192.0.2.1 # caf\xe9 in Latin-1\n#\xff\n\n   \n2 sip:192.0.2.1 0 # comment\n",
        b"#1 sip:192.0.2.9\n1 sip:192.0.2.1 0 0 # comment\n2 sip:192.0.2.1 0 0\n\n\n",
        b"0001 sip:192.0.2.1 000 00\n" + b"0" * 500 + b"2 sip:192.0.2.1\n",
    ],
    ids=["no end of line", "CRLF", "tabs", "UTF-8 in comments", "Latin-1 in comments", "comments", "zeros in front"],
)
def test_good_spellings(text: bytes) -> None:
    entries, problems = parse_list(text, PATH)
    assert problems == ()
    assert [(entry.set_id, entry.uri) for entry in entries] == [(1, "sip:192.0.2.1"), (2, "sip:192.0.2.1")]
    assert all(dict(entry.attributes) == {} for entry in entries)


@pytest.mark.parametrize(
    "line",
    [
        "1 sip:192.0.2.1",
        "1 sip:192.0.2.1:5060 8",
        "1 sip:192.0.2.1 37 0",
        "1 sip:192.0.2.1 4 2147483647",
        "2147483647 sip:[2001:db8::1]:65535;lr 32 0",
        "1 sip:localhost 0 0 rweight=1;maxload=0",
        '1 sip:127.0.0.1:1 0 0 duid="it\'s;here#"',
        "1 sip:a-b_c.1a.example.:5060 0 0",
        "1 sip:s:secret@192.0.2.1;user=phone 0 0",
        "1 sip:12%233@192.0.2.1 0 0",
        "1 sip:169.254.1.1 0 0 weight=100",
        "1 sip:pbx;transport=udp 0 0 probe_timeout=10ms;probe_interval=0.1",
    ],
)
def test_good_lines_are_clean(line: str) -> None:
    assert len(entries_of(line)) == 1


def test_the_same_destination_in_two_sets_and_on_two_ports_is_fine() -> None:
    assert len(entries_of("1 sip:192.0.2.1\n2 sip:192.0.2.1\n1 sip:192.0.2.1:5070\n1 sip:pbx\n")) == 4


def test_equal_priorities_are_clean_where_all_are_equal_or_weights_decide() -> None:
    entries_of("1 sip:a 0 5\n1 sip:b 0 5\n2 sip:a 0 1\n")
    entries_of("1 sip:a 0 5 weight=50\n1 sip:b 0 5 weight=50\n2 sip:a 0 1\n")
    entries_of("1 sip:a 0 5 weight=50\n1 sip:b 0 5 weight=25\n1 sip:c 0 1 weight=25\n")


def test_weights_beyond_kamailio_are_one_warning_a_set_and_do_not_refuse() -> None:
    text = b"".join(b"%d sip:192.0.2.%d 0 0 weight=30\n" % (set_id, n) for n in (1, 2, 3) for set_id in (1, 2))
    entries, problems = parse_list(text, PATH)
    assert len(entries) == 6
    assert [problem.severity for problem in problems] == ["warning", "warning"]


def test_a_line_of_a_megabyte_is_read_whole() -> None:
    words = ";".join(f"note{n}={'x' * 90}" for n in range(10_000))
    text = f"1 sip:192.0.2.1 0 0 {words};duid=end\n1 sip:192.0.2.2 0 0 duid=next\n"
    entries, problems = parse_list(text.encode(), PATH)
    assert [entry.duid for entry in entries] == ["end", "next"]
    (long_line,) = (problem for problem in problems if problem.column == KAMAILIO_LINE_BYTES + 1)
    assert long_line.message == (
        f"line of {len(text.splitlines()[0])} bytes: Kamailio cuts it after 1023 and reads the rest as a new line"
    )


@pytest.mark.parametrize(
    "line",
    [
        "1 sip:" + "a" * 1_000_000,
        "1 sip:" + "a:" * 500_000,
        "1 sip:" + "a@" * 500_000,
        "1 sip:" + "a." * 500_000,
        "1 sip:h" + ";a" * 500_000,
        "1 sip:[" + ":" * 1_000_000,
        "1 sip:h 0 0 " + "'" * 999_999,
        "1 sip:h 0 0 weight=" + "9" * 1_000_000,
        "1 sip:h 0 0 probe_interval=" + "9" * 1_000_000,
        "1 sip:h 0 0 socket=udp:" + "9" * 1_000_000,
        "1 sip:h 0 0 reply_codes=" + "9" * 1_000_000,
        "1 sip:h 0 " + "9" * 1_000_000,
        "9" * 1_000_000,
        "x" * 1_000_000 + " sip:h",
        "1 " + "sip:h " * 50_000,
        "\x01" * 1_000_000,
    ],
    ids=lambda line: line[:20],
)
def test_a_bad_line_of_a_megabyte_is_refused_with_messages_that_fit_a_terminal(line: str) -> None:
    entries, problems = parse_list(line.encode(), PATH)
    assert entries == ()
    assert refuses(problems)
    assert len(problems) < 10
    assert max(len(str(problem)) for problem in problems) < 400


def test_columns_count_characters_and_kamailios_limit_counts_bytes() -> None:
    comment = "# " + "ü" * 600
    assert len(comment) < KAMAILIO_LINE_BYTES < len(comment.encode())
    message = "line of 1210 bytes: Kamailio cuts it after 1023 and reads the rest as a new line"
    hint = "write a shorter line if both read this list"
    assert problems_of(f"1 sip:h {comment}".encode()) == [f"1:517: warning: {message}; {hint}"]
    assert problems_of(b"1 sip:h " + b" " * 5000 + b"\r\n") == []


def test_an_error_refuses_the_whole_list() -> None:
    entries, problems = parse_list(b"1 sip:192.0.2.1\n1 sip:192.0.2.2:0\n", PATH)
    assert entries == ()
    assert [problem.line for problem in problems] == [2]


def test_the_path_is_only_a_name() -> None:
    (problem,) = parse_list(b"1", "/etc/no/such/file: list")[1]
    assert str(problem).startswith("/etc/no/such/file: list:1:1: error: ")


FRAGMENTS = ["1 ", "6", "0x", "-", "sip:", "sips:", "192.0.2.1", "[2001:db8::1]", "[", "]", ":", ":5060", "h", "@", "%"]
FRAGMENTS += [
    ";",
    "=",
    ";transport=",
    "?",
    "#",
    '"',
    "'",
    ".",
    " ",
    " 0 0 ",
    "\t",
    "\r",
    "\0",
    "\xa0",
    "\ufeff",
    "\x1b",
    "\n",
]
FRAGMENTS += [
    "weight=",
    "socket=udp:",
    "reply_codes=code=",
    "class=",
    "duid=",
    "probe_interval=",
    "priority=",
    "ping_from=",
]
lists = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)


@given(st.binary() | lists)
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b"1 sip:h 0 0 \xed\xa0\x80")
def test_no_bytes_ever_raise(text: bytes) -> None:
    entries, problems = parse_list(text, PATH)
    assert entries == () or not refuses(problems)
    assert list(problems) == sorted(problems)
    rows = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for problem in problems:
        assert re.fullmatch(r"[^\n]+", str(problem))
        assert 1 <= problem.line <= len(rows)
        assert 1 <= problem.column <= len(rows[problem.line - 1].decode("utf-8", "surrogateescape")) + 1
