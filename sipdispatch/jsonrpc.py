"""Which requests stand in these bytes, and how is an answer written (JSON-RPC 2.0, one document a line)?

Any bytes end in requests and failures; nothing raises.  The specification is https://www.jsonrpc.org/specification,
its sections are named where they decide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

MAX_REQUEST_BYTES: Final = 1 << 20
"""Of one document: the longest SIP message in the wordiest JSON has less than half of it."""
MAX_VALUES: Final = 10_000
"""Commas, colons and brackets in one document, those in texts too: more would take the reader more than 2 ms."""
MAX_DIGITS: Final = 40
"""Of a number: reading a mebibyte of long ones takes 20 ms."""
MAX_DEPTH: Final = 32
"""Arrays and objects inside each other; ours have five."""
MAX_BATCH: Final = 100

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Id = str | int | float | None
Params = Sequence[Any] | Mapping[str, Any]


@attrs.frozen
class Request:
    """One call.  A notification, which nobody answers, has no id at all; `id` is None then, and for an id of null."""

    method: str
    params: Params = ()
    id: Id = None
    is_notification: bool = False


@attrs.frozen
class Failure:
    """What is answered instead of a result; `details` becomes `data`, where it is not None."""

    code: int
    message: str
    id: Id = None
    details: Mapping[str, Any] | None = None


@attrs.frozen
class Document:
    """What one line asks for, in its order; a batch is answered with an array."""

    calls: tuple[Request | Failure, ...]
    is_batch: bool = False


def refuse(code: int, message: str, what: str, remedy: str, where: str = "the request", of: Id = None) -> Failure:
    """A failure that says what is wrong, where, and what to do instead."""
    return Failure(code, message, of, {"what": what, "where": where, "to_do": remedy})


# --------------------------------------------------------------------------------------------------------------------
# Lines


@attrs.define
class Lines:
    """Cuts a stream into lines.  A line that is too long comes out as None, once; what is left of it is dropped."""

    limit: int = MAX_REQUEST_BYTES
    _pending: bytearray = attrs.field(factory=bytearray, init=False)
    _dropping: bool = attrs.field(default=False, init=False)

    @property
    def waiting(self) -> int:
        """Bytes that are kept because their line has no end yet."""
        return len(self._pending)

    def receive(self, chunk: bytes) -> list[bytes | None]:
        """The lines that end in this chunk; empty ones are left out."""
        lines: list[bytes | None] = []
        *ended, rest = chunk.split(b"\n")
        if ended:
            self._put(ended[0], lines)
            self._end(lines)
            for part in filter(None, ended[1:]):
                self._put(part, lines)
                self._end(lines)
        self._put(rest, lines)
        return lines

    def drop(self) -> None:
        """Keep nothing more of the line that has no end yet, and drop what is left of it."""
        self._pending.clear()
        self._dropping = True

    def finish(self) -> list[bytes | None]:
        """The stream has ended: the last line needs no line end."""
        lines: list[bytes | None] = []
        self._end(lines)
        return lines

    def _put(self, part: bytes, lines: list[bytes | None]) -> None:
        if self._dropping:
            return
        self._pending += part
        if len(self._pending) > self.limit:
            self._pending.clear()
            self._dropping = True
            lines.append(None)

    def _end(self, lines: list[bytes | None]) -> None:
        if line := bytes(self._pending.strip()):
            lines.append(line)
        self._pending.clear()
        self._dropping = False


# --------------------------------------------------------------------------------------------------------------------
# Reading


def read(line: bytes | None) -> Document:
    """What a line asks for; None is a line that was too long."""
    if line is None:
        return _refused("the request is too long", f"write at most {MAX_REQUEST_BYTES} bytes in a line")
    if sum(map(line.count, (b",", b":", b"[", b"{"))) > MAX_VALUES:
        return _refused("the request has too many values", f"write at most {MAX_VALUES} commas, colons and brackets")
    try:
        text = line.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        return Document((_unreadable(error),))
    if _depth(value) > MAX_DEPTH:
        return _refused("the request is nested too deep", f"write at most {MAX_DEPTH} levels of arrays and objects")
    if not isinstance(value, list):
        return Document((_request(value),))
    if not value:
        return _refused("the batch is empty", "write at least one request in it")  # section 6
    if len(value) > MAX_BATCH:
        return _refused("the batch is too long", f"write at most {MAX_BATCH} requests in it")
    return Document(tuple(map(_request, value)), is_batch=True)


def _refused(what: str, remedy: str) -> Document:
    return Document((refuse(INVALID_REQUEST, "Invalid Request", what, remedy),))


def _unreadable(error: ValueError | RecursionError) -> Failure:
    match error:
        case json.JSONDecodeError():
            what = f"this is no JSON: {error.msg} at character {error.pos + 1}"
        case UnicodeDecodeError():
            what = f"byte {error.start + 1} is not UTF-8"
        case UnicodeEncodeError():
            what = "a text has half of a surrogate pair"
        case RecursionError():
            what = "the request is nested too deep"
        case _:
            what = f"a number cannot be read: {error}"
    return refuse(PARSE_ERROR, "Parse error", what, "write one JSON document in one line, in UTF-8")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _integer(text: str) -> int:
    return int(_short(text))


def _finite(text: str) -> float:
    number = float(_short(text))
    if not math.isfinite(number):
        raise ValueError("it is too large")
    return number


def _short(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise ValueError("it is too long")
    return digits


def _depth(value: Any) -> int:
    """How many arrays and objects stand inside each other; 0 for a plain value."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, list | dict)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _request(value: Any) -> Request | Failure:
    """Section 4; `params` null, as some libraries write it where there are none, is none."""
    if not isinstance(value, dict):
        return _invalid("a request is an object", 'write {"jsonrpc": "2.0", "method": ..., "params": ..., "id": ...}')
    identity = value.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int | float | None):
        return _invalid("the id is neither a text nor a number", "write a text, a number or null")
    if value.get("jsonrpc") != "2.0":
        return _invalid("the version of JSON-RPC is missing", 'write "jsonrpc": "2.0"', identity)
    method, params = value.get("method"), value.get("params")
    if not isinstance(method, str):
        return _invalid("the method is missing", 'write its name, as in "method": "dispatcher.list"', identity)
    if params is None:
        params = ()
    if not isinstance(params, list | dict | tuple):
        return _invalid("params is neither an array nor an object", "write an array or an object", identity)
    return Request(method, params, identity, is_notification="id" not in value)


def _invalid(what: str, remedy: str, identity: Id = None) -> Failure:
    return refuse(INVALID_REQUEST, "Invalid Request", what, remedy, of=identity)


# --------------------------------------------------------------------------------------------------------------------
# Writing


def head_of_result(identity: Id) -> str:
    """What stands before a result; after it follows TAIL."""
    return f'{{"jsonrpc": "2.0", "id": {json.dumps(identity)}, "result": '


TAIL: Final = "}"


def failure_text(failure: Failure) -> str:
    """A failure as JSON, without a line end (section 5.1)."""
    error: dict[str, Any] = {"code": failure.code, "message": failure.message}
    if failure.details is not None:
        error["data"] = failure.details
    return json.dumps({"jsonrpc": "2.0", "id": failure.id, "error": error})


def notification_text(method: str, params: Params) -> str:
    """A notification as JSON, without a line end."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params})
