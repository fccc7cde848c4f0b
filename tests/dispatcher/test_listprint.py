"""Does a printed list read as what it was printed from?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.listfile import parse_list
from dispatcher.listprint import format_entry, format_list
from dispatcher.problem import refuses
from tests.dispatcher.bad_lists import BAD_LISTS, BadList

PATH = "dispatcher.list"
ACCEPTED = [case for case in BAD_LISTS if not any(": error: " in problem for problem in case.problems)]

numbers = st.integers(0, 2**31 - 1).map(str)
ipv4 = st.ip_addresses(network="10.0.0.0/8").map(str)
ipv6 = st.ip_addresses(network="2001:db8::/32").map("[{}]".format)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,4}){0,2}\.?", fullmatch=True)
uris = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["sip:", "SIP:"]),
    st.sampled_from(["", "pbx@", "12%233:x@"]),
    ipv4 | ipv6 | names,
    st.just("") | st.integers(1, 65535).map(":{}".format),
    st.sampled_from(["", ";lr", ";transport=UDP", ";user=phone;x=y"]),
)
words = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=";\"'#"), min_size=1, max_size=9)
quoted = st.builds("'{}#;\"'".format, words) | st.builds('"#{};\'"'.format, words) | st.builds("a\"'{}".format, words)
values = {
    "weight": numbers,
    "RWeight": numbers,
    "maxload": numbers,
    "duid": words | quoted,
    "ping_from": st.sampled_from(["sip:probe@edge", '"sip:probe@edge;x=y"']),
    "probe_interval": st.sampled_from(["0.1", "500ms", "7s", "1.25m"]),
    "probe_timeout": st.sampled_from(["0.01", "500ms", "1m"]),
    "rise": st.integers(1, 1000).map(str),
    "fall": st.integers(1, 1000).map(str),
    "reply_codes": st.sampled_from(["code=404", '"code=486;class=3"']),
    "cc": st.just("1"),
    "x-note": words | quoted,
}
attributes = st.fixed_dictionaries({}, optional=values).map(
    lambda chosen: ";".join([*(f"{name}={value}" for name, value in chosen.items()), "backup"])
)
columns = st.tuples(st.sampled_from(["0", "1", "4", "37", "63", "0x8"]), numbers, attributes)
tails = st.builds(lambda uri, rest, n: " ".join([uri, *rest[:n]]), uris, columns, st.integers(0, 3))


@given(st.lists(tails, max_size=5))
def test_a_list_printed_from_its_entries_reads_as_the_same_entries(lines: list[str]) -> None:
    text = "".join(f"{set_id} {line}\n" for set_id, line in enumerate(lines)).encode()
    entries, problems = parse_list(text, PATH)
    assert not refuses(problems)
    assert len(entries) == len(lines)
    assert parse_list(format_list(entries), PATH)[0] == entries


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.title)
def test_doubtful_lists_print_back_too(case: BadList) -> None:
    entries, _ = parse_list(case.text, PATH)
    assert parse_list(format_list(entries), PATH)[0] == entries


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("1 sip:192.0.2.1", "1 sip:192.0.2.1 0 0"),
        ("01\tsip:192.0.2.1 0x8 07 # comment", "1 sip:192.0.2.1 8 7"),
        ("1 SIP:PBX 0 0 Weight=050;backup", "1 SIP:PBX 0 0 weight=050;backup"),
        ("1 sip:h 0 0 duid='plain'", "1 sip:h 0 0 duid=plain"),
        ("1 sip:h 0 0 duid='a;b'", '1 sip:h 0 0 duid="a;b"'),
        ("1 sip:h 0 0 duid='a\"#'", "1 sip:h 0 0 duid='a\"#'"),
        ("1 sip:h 0 0 duid=a'b\"c#d", "1 sip:h 0 0 duid=a'b\"c#d"),
        ("1 sip:h 0 0 reply_codes='code=404;class=3'", '1 sip:h 0 0 reply_codes="code=404;class=3"'),
        ("1 sip:h 0 0 priority=4", "1 sip:h 0 4 priority=4"),
    ],
)
def test_a_line_is_printed_with_all_its_columns(line: str, printed: str) -> None:
    (entry,) = parse_list(line.encode(), PATH)[0]
    assert format_entry(entry) == printed
    assert parse_list(printed.encode(), PATH)[0] == (entry,)


def test_no_entries_print_as_an_empty_file() -> None:
    assert format_list(()) == b""
