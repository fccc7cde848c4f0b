"""Is a keepalived.conf read as keepalived reads it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdispatch.keepalived_read import (
    LONGEST_SHOWN,
    MOST_SUBSTITUTIONS,
    Fate,
    Statement,
    UnreadableError,
    find_all,
    find_last,
    read_keepalived,
)

WORDS = [*"a{}\n\"'#!\\ ", "b c", "$X", "${X}", "$X=", "@n ", "@^n ", "include f", "~SEQ("]


def words(text: str, node: str | None = None) -> list[tuple[str, ...]]:
    return [each.words for each in read_keepalived(text, node=node).statements]


@pytest.mark.parametrize(
    "text",
    [
        "a x {\n b y\n}\n",
        "a x{\nb y\n}",
        "a x\n{\n b y\n}",
        "a x\n\n# between\n{ b y }",
        "a x { b y }",
        "a x {b y}",
        "a x { b y\r\n}\r\n",
        "! first\na x { # here\n b y ! there\n} # end",
    ],
)
def test_a_block_is_the_same_in_every_form(text: str) -> None:
    (statement,) = read_keepalived(text).statements
    assert statement.words == ("a", "x")
    assert [each.words for each in statement.inside] == [("b", "y")]


def test_a_statement_says_its_line() -> None:
    (block,) = read_keepalived("\n\na {\n\n b\n c {\n }\n}").statements
    assert block.line == 3
    assert [(each.keyword, each.line) for each in block.inside] == [("b", 5), ("c", 6)]
    assert block.inside[0].block is None
    assert block.inside[1].block == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a "b c"', ("a", "b c")),
        ("a 'b c' d", ("a", "b c", "d")),
        ("a x\"b c\"y'd e'", ("a", "xb cyd e")),
        ("a \"b 'c d'\"", ("a", "b 'c d'")),
        ('a "b # c ! d" # e', ("a", "b # c ! d")),
        ('a "b \\" c"', ("a", 'b " c')),
        ('a "b\\tc\\qd"', ("a", "b\tcqd")),
        ("a b\\#c", ("a", "b#c")),
        ("a b\\", ("a", "b\\")),
        ('a ""', ("a", "")),
        ('a "{" b', ("a", "{", "b")),
        ("a ${X}y", ("a", "${X}y")),
        ("a pass#word", ("a", "pass")),
    ],
)
def test_words_part_at_spaces_and_quotes_hold_them_together(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == [expected]


def test_definitions_are_put_in() -> None:
    text = "$A=1\n$B=${A}0 $A\na $B ${B}x $Bx\n$A=2\na ${A}.\n$LOOP=$LOOP x\na $LOOP\nb ${_HASH}"
    assert words(text)[:2] == [("a", "10", "1", "10", "$Ax", "$Bx"), ("a", "2.")]
    assert len(words(text)[2]) == MOST_SUBSTITUTIONS + 2
    assert words(text)[3] == ("b", "#")


def test_a_definition_that_grows_has_an_end() -> None:
    assert words("$A=${A}${A}${A}${A}${A}${A}${A}${A}${A}${A}${A}${A}\na $A")


TWO_NODES = "@one a 1\n@two a 2\n@^one b 1\n@^two b 2\n$C=@one c\n$C\n@one @two never\n@two $D=4\nd $D"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("one", [("a", "1"), ("b", "2"), ("c",), ("d", "$D")]),
        ("two", [("a", "2"), ("b", "1"), ("d", "4")]),
        (None, [("d", "$D")]),
    ],
)
def test_lines_for_one_node_count_there(node: str | None, expected: list[tuple[str, ...]]) -> None:
    assert words(TWO_NODES, node) == expected


def test_without_a_node_its_lines_are_remarked_upon() -> None:
    remarks = read_keepalived(TWO_NODES).remarks
    assert [remark.line for remark in remarks] == [1, 2, 3, 4, 6, 7, 8]
    assert {remark.fate for remark in remarks} == {Fate.LEFT_OUT}
    assert "--node" in remarks[0].why
    assert not read_keepalived(TWO_NODES, node="one").remarks


def test_the_name_of_the_node_can_be_used() -> None:
    assert words("router_id ${_INSTANCE}", "edge1") == [("router_id", "edge1")]


def test_what_is_not_followed_is_remarked_upon() -> None:
    text = "include /etc/keepalived/conf.d/*\nincluder more\n~SEQ(X, 1, 3) a $X\n~LST(X, 1, 3) a $X\n"
    text += "$M= \\\n a b \\\n c\nd"
    document = read_keepalived(text)
    assert [(remark.line, remark.what) for remark in document.remarks] == [
        (1, "include /etc/keepalived/conf.d/*"),
        (2, "includer more"),
        (3, "~SEQ(X, 1, 3) a $X"),
        (4, "~LST(X, 1, 3) a $X"),
        (5, "$M"),
    ]
    assert [each.words for each in document.statements] == [("d",)]


def test_a_remark_shows_no_password_and_is_not_long() -> None:
    document = read_keepalived(f"@a auth_pass s3cret\n@a {'x' * 200}")
    assert "s3cret" not in str(document.remarks)
    assert all(len(remark.what) <= LONGEST_SHOWN for remark in document.remarks)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a {\n b {\n }\n", 1, "the block a is not closed"),
        ("a\n}\n", 2, "this } closes nothing"),
        ("{\n}", 1, "there is no keyword before the {"),
        ("a {\n} {\n}", 2, "there is no keyword before the {"),
        ('a\nb "c\n', 2, 'the quote " has no end on its line'),
        ("a it's", 1, "the quote ' has no end on its line"),
        ("a {\n" * 20, 17, "there are more than 16 blocks within each other"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(UnreadableError) as error:
        read_keepalived(text)
    assert (error.value.line, error.value.message) == (line, message)
    assert error.value.hint


def test_the_last_of_several_counts() -> None:
    statements = read_keepalived("a 1\nb 2\na 3").statements
    assert find_last(statements, "a") == Statement(("a", "3"), 3)
    assert find_last(statements, "c") is None
    assert [each.value for each in find_all(statements, "a", "b")] == ["1", "2", "3"]
    assert Statement(("a",), 1).value == ""


@given(st.text() | st.lists(st.sampled_from(WORDS)).map("".join), st.sampled_from([None, "n"]))
def test_any_text_is_read_or_refused(text: str, node: str | None) -> None:
    try:
        document = read_keepalived(text, node=node)
    except UnreadableError as error:
        found = error.line
    else:
        found = 1
        assert all(statement.words for statement in document.statements)
    assert 1 <= found <= text.count("\n") + 1
