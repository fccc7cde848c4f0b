"""Do any bytes end in requests and failures, as the specification of JSON-RPC 2.0 says?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdispatch.jsonrpc import (
    INVALID_REQUEST,
    MAX_BATCH,
    MAX_DEPTH,
    MAX_REQUEST_BYTES,
    MAX_VALUES,
    PARSE_ERROR,
    TAIL,
    Document,
    Failure,
    Lines,
    Request,
    failure_text,
    head_of_result,
    notification_text,
    read,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**38), 10**38)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]),
        "method": st.text(max_size=8) | st.integers(),
        "params": JSON,
        "id": JSON,
    },
)


def line(**parts: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m"} | parts).encode()


def only(document: Document) -> Request | Failure:
    assert not document.is_batch
    (one,) = document.calls
    return one


def told(text: bytes | None) -> tuple[int, str]:
    failure = only(read(text))
    assert isinstance(failure, Failure)
    assert failure.details is not None
    assert set(failure.details) == {"what", "where", "to_do"}
    return failure.code, failure.details["what"]


# --------------------------------------------------------------------------------------------------------------------
# Requests


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, Request("m", (), 1)),
        ({"params": [1, "a"]}, Request("m", [1, "a"], 1)),
        ({"params": {"a": 1}}, Request("m", {"a": 1}, 1)),
        ({"params": None}, Request("m", (), 1)),
        ({"id": "x"}, Request("m", (), "x")),
        ({"id": 1.5}, Request("m", (), 1.5)),
        ({"id": None}, Request("m", (), None)),
    ],
)
def test_a_request(parts: dict[str, Any], expected: Request) -> None:
    assert only(read(line(**parts))) == expected


def test_a_request_without_an_id_is_a_notification() -> None:
    assert only(read(b'{"jsonrpc":"2.0","method":"m"}')) == Request("m", is_notification=True)


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert only(read(b"\xef\xbb\xbf" + line())) == Request("m", (), 1)


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        (b"{", PARSE_ERROR, "this is no JSON: Expecting property name enclosed in double quotes at character 2"),
        (b"GET / HTTP/1.1", PARSE_ERROR, "this is no JSON: Expecting value at character 1"),
        (b'{"a": "\xff"}', PARSE_ERROR, "byte 8 is not UTF-8"),
        (b'{"a": "\\ud800"}', PARSE_ERROR, "a text has half of a surrogate pair"),
        (b"[NaN]", PARSE_ERROR, "a number cannot be read: NaN is no JSON"),
        (b"1e999", PARSE_ERROR, "a number cannot be read: it is too large"),
        (b"[" * (MAX_VALUES // 2), PARSE_ERROR, "the request is nested too deep"),
        (b"[" * MAX_DEPTH + b"[]" + b"]" * MAX_DEPTH, INVALID_REQUEST, "the request is nested too deep"),
        (b"[" + b"1," * MAX_VALUES + b"1]", INVALID_REQUEST, "the request has too many values"),
        (None, INVALID_REQUEST, "the request is too long"),
        (b"[]", INVALID_REQUEST, "the batch is empty"),
        (b"[" + b"1," * MAX_BATCH + b"1]", INVALID_REQUEST, "the batch is too long"),
        (b"1", INVALID_REQUEST, "a request is an object"),
        (line(id=[]), INVALID_REQUEST, "the id is neither a text nor a number"),
        (line(id=True), INVALID_REQUEST, "the id is neither a text nor a number"),
        (line(jsonrpc="1.0"), INVALID_REQUEST, "the version of JSON-RPC is missing"),
        (line(method=1), INVALID_REQUEST, "the method is missing"),
        (line(params="x"), INVALID_REQUEST, "params is neither an array nor an object"),
    ],
)
def test_what_is_no_request(text: bytes | None, code: int, what: str) -> None:
    assert told(text) == (code, what)


@pytest.mark.parametrize("digits", [b"1" * 41, b"-" + b"1" * 40, b"1." + b"0" * 39, b"1" * 5000])
def test_a_number_has_40_digits(digits: bytes) -> None:
    assert told(digits) == (PARSE_ERROR, "a number cannot be read: it is too long")
    assert told(digits[:40])[0] == INVALID_REQUEST


def test_a_failure_carries_the_id_where_it_is_known() -> None:
    for text in (line(id=7, method=1), line(id=7, jsonrpc=1), line(id=7, params=1)):
        failure = only(read(text))
        assert isinstance(failure, Failure)
        assert failure.id == 7


def test_the_deepest_and_longest_that_are_taken() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert only(read(line(params=deep))) == Request("m", deep, 1)
    batch = read(b"[" + b",".join([line()] * MAX_BATCH) + b"]")
    assert len(batch.calls) == MAX_BATCH


def test_a_batch_is_read_one_by_one() -> None:
    batch = read(b"[" + line() + b", 1, " + line(id=2) + b"]")
    assert batch.is_batch
    assert [type(one) for one in batch.calls] == [Request, Failure, Request]


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | NEARLY.map(lambda v: json.dumps(v).encode()))
def test_no_bytes_raise(text: bytes) -> None:
    document = read(text)
    assert document.calls
    for each in document.calls:
        if isinstance(each, Failure):
            again = json.loads(failure_text(each))
            assert again["error"]["code"] == each.code
        else:
            json.dumps([each.params, each.id], allow_nan=False)


@given(st.lists(NEARLY, min_size=1, max_size=5))
def test_a_batch_has_as_many_calls_as_values(values: list[Any]) -> None:
    assert len(read(json.dumps(values).encode()).calls) == len(values)


# --------------------------------------------------------------------------------------------------------------------
# Lines


@given(st.binary(max_size=200), st.integers(1, 20))
def test_lines_are_the_same_however_the_stream_is_cut(stream: bytes, size: int) -> None:
    lines = Lines()
    found: list[bytes | None] = []
    for start in range(0, len(stream), size):
        found += lines.receive(stream[start : start + size])
    found += lines.finish()
    assert found == [part.strip() for part in stream.split(b"\n") if part.strip()]
    assert lines.waiting == 0


@given(st.lists(st.binary(max_size=30).map(lambda part: part.replace(b"\n", b"x")), max_size=6), st.integers(1, 40))
def test_a_line_that_is_too_long_is_told_once_and_the_next_is_read(parts: list[bytes], size: int) -> None:
    limit = 12
    stream = b"\n".join(parts)
    lines = Lines(limit)
    found: list[bytes | None] = []
    for start in range(0, len(stream), size):
        found += lines.receive(stream[start : start + size])
        assert lines.waiting <= limit
    found += lines.finish()
    expected = [None if len(part) > limit else part.strip() for part in parts if len(part) > limit or part.strip()]
    assert found == expected


def test_a_mebibyte_is_taken_and_a_byte_more_is_not() -> None:
    assert Lines().receive(b"x" * MAX_REQUEST_BYTES + b"\n") == [b"x" * MAX_REQUEST_BYTES]
    assert Lines().receive(b"x" * (MAX_REQUEST_BYTES + 1) + b"\ny\n") == [None, b"y"]


# --------------------------------------------------------------------------------------------------------------------
# Answers


@given(JSON, st.none() | st.text() | st.integers())
def test_answers_are_one_line_of_json(value: Any, identity: Any) -> None:
    texts = (
        head_of_result(identity) + json.dumps(value) + TAIL,
        failure_text(Failure(1, "no", identity, {"what": "\n"})),
        failure_text(Failure(1, "no", identity)),
        notification_text("event", {"a": value}),
    )
    for text in texts:
        assert "\n" not in text
        assert json.loads(text)["jsonrpc"] == "2.0"
    assert json.loads(texts[0])["result"] == value
    assert json.loads(texts[0])["id"] == identity
