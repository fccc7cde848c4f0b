"""Do the places found in a TOML file match what its reader finds?"""

from __future__ import annotations

import string
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdispatch.toml_positions import KeyPath, positions

EVERYTHING = '''\
# a comment = not a key
title = "x # not a comment"   # a comment
'single quoted' = 1
"double \\"quoted\\u00e9" = 2

[proxy]   # the table
listen = [
    "udp:192.0.2.1:5060",  # the first
    { address = "udp:[2001:db8::1]:5060", advertise = 'a]b' },
    [1, [2, 3]],
]
text = """
[not.a.table]
key = "no"
five""\\"""""
raw = \'\'\'
[nor.this]
it's\'\'\'\'
when = 1979-05-27 07:32:00Z
a . b."c.d" = { x.y = 1, z = [] }
[[proxy.route]]
set = 1
[[ proxy.route ]]
set = 2
[proxy.route.inner]
k = 1
[proxy.deep.er]
k = -1.5e3
'''


def leaves(tree: object, path: KeyPath = ()) -> set[KeyPath]:
    found = {path} if path else set()
    if isinstance(tree, dict):
        return found.union(*(leaves(value, (*path, key)) for key, value in tree.items()))
    if isinstance(tree, list):
        return found.union(*(leaves(value, (*path, index)) for index, value in enumerate(tree)))
    return found


def test_every_key_and_value_of_a_file_with_everything_has_its_place() -> None:
    found = positions(EVERYTHING)
    assert found.keys.keys() | found.values.keys() == leaves(tomllib.loads(EVERYTHING))
    assert found.value(("title",)) == (2, 9)
    assert found.key(("single quoted",)) == (3, 1)
    assert found.key(('double "quotedé',)) == (4, 1)
    assert found.key(("proxy",)) == (6, 1)
    assert found.value(("proxy", "listen", 0)) == (8, 5)
    assert found.value(("proxy", "listen", 1, "advertise")) == (9, 55)
    assert found.key(("proxy", "listen", 1, "advertise")) == (9, 43)
    assert found.value(("proxy", "listen", 2, 1, 1)) == (10, 13)
    assert found.value(("proxy", "when")) == (19, 8)
    assert found.value(("proxy", "a", "b", "c.d", "x", "y")) == (20, 23)
    assert found.key(("proxy", "route", 1)) == (23, 1)
    assert found.value(("proxy", "route", 1, "set")) == (24, 7)
    assert found.value(("proxy", "route", 1, "inner", "k")) == (26, 5)
    assert found.key(("proxy", "deep")) == (27, 1)


def test_a_key_that_is_not_there_stands_where_its_table_does() -> None:
    found = positions("\n[proxy]\nset = 1\n")
    assert found.key(("proxy", "listen")) == (2, 1)
    assert found.value(("proxy", "set", 3)) == (3, 7)
    assert found.key(("elsewhere",)) == (1, 1)


def test_lines_end_as_windows_ends_them_too() -> None:
    found = positions("[proxy]\r\nset = 1\r\nlist = 'x'\r\n")
    assert found.value(("proxy", "list")) == (3, 8)


@pytest.mark.parametrize("text", ["a = 'x", "? = 1"])
def test_what_the_reader_has_not_accepted_is_the_callers_mistake(text: str) -> None:
    with pytest.raises(AssertionError, match="tomllib accepted"):
        positions(text)


NAMES = st.text(string.ascii_letters + string.digits + "_- .\"'\\é", min_size=0, max_size=6)
VALUES = st.recursive(
    st.integers(-9, 99) | st.booleans() | st.text("ab#=[],{}\"'\\\\ \né", max_size=8) | st.floats(0, 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def quote(text: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


def dump(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quote(value)
        case list():
            return "[ " + ", ".join(dump(item) for item in value) + " ]"
        case dict():
            return "{ " + ", ".join(f"{quote(key)} = {dump(item)}" for key, item in value.items()) + " }"
        case _:
            return repr(value)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
def test_the_places_found_are_the_keys_that_the_reader_finds(tree: dict[str, dict[str, object]]) -> None:
    text = "".join(
        f"[{quote(table)}]\n" + "".join(f"  {quote(key)} = {dump(value)}\n" for key, value in pairs.items())
        for table, pairs in tree.items()
    )
    found = positions(text)
    assert found.keys.keys() | found.values.keys() == leaves(tomllib.loads(text))
    lines = text.split("\n")
    for path, (line, column) in found.values.items():
        value: object = tree
        for step in path:
            value = value[step]  # type: ignore[index]
        assert lines[line - 1][column - 1 :].startswith(dump(value))
