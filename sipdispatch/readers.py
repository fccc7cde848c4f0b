"""What does one value of the configuration mean, apart from addresses and names?

Each function takes what stands in the TOML file and returns the value of `sipdispatch.config`, or raises BadValueError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from dispatcher.algorithm import Algorithm, parse_algorithm
from dispatcher.listattrs import KNOWN, UnusableValueError
from dispatcher.user_pattern import PatternError, compile_user_pattern
from sip.uri import unescape

_SHOWN_LENGTH = 60
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,7})?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?|[0-9]{1,10}")
_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # token, RFC 3261 25.1
_METHODS = tuple("INVITE BYE OPTIONS REGISTER SUBSCRIBE NOTIFY REFER INFO MESSAGE PRACK UPDATE PUBLISH".split())

BUFFER_MINIMUM = 64 << 10
"""One datagram of the largest size; the kernel would take less and lose every burst."""
BUFFER_MAXIMUM = 1 << 30
"""The kernel halves what is beyond (net/core/sock.c: the value is doubled inside an int)."""
SET_MAXIMUM = 2**31 - 1
RECENT_CHOICES_MAXIMUM = 1 << 24
RETRY_AFTER_MAXIMUM_S = 86_400
RATE_MAXIMUM = 1_000_000
BAN_AFTER_MAXIMUM_H = 1
BAN_MAXIMUM_H = 720
SERVER_HEADER_LENGTH = 128
WORKERS_MAXIMUM = 64


class BadValueError(ValueError):
    """A value that cannot stand where it stands: what is wrong with it, and what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint


# --------------------------------------------------------------------------------------------------------------------
# Kinds of value


def shown(value: object) -> str:
    """A value as a message quotes it: on one line, long ones cut."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


def kind(value: object) -> str:
    """What sort of TOML value this is, for people."""
    match value:
        case bool():
            return f"{shown(value)}"
        case str():
            return f"text ({shown(value)})"
        case int() | float():
            return f"a number ({shown(value)})"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a date or time ({shown(value)})"


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """Tell the nearest of the known words, or all of them."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(known)}"


def read_text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'write "{value}", in quotes' if is_number else "write text, in quotes"
        raise BadValueError(f"must be text, not {kind(value)}", hint)
    if not value.strip():
        raise BadValueError("is empty", "write a value, or leave the key out")
    return value


def read_bool(value: object) -> bool:
    """One of the two words of TOML, nothing that merely looks like yes."""
    if not isinstance(value, bool):
        raise BadValueError(
            f"must be true or false, not {kind(value)}", "write true or false, in lower case, without quotes"
        )
    return value


def read_int(low: int, high: int, what: str) -> Callable[[object], int]:
    """A reader of whole numbers from `low` to `high`; `what` names their unit or meaning."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            hint = f"write {value} without quotes" if is_digits(value) else f"write {what} from {low} to {high}"
            raise BadValueError(f"must be a whole number, not {kind(value)}", hint)
        if not low <= value <= high:
            raise BadValueError(f"{value} is out of range", f"write {what} from {low} to {high}")
        return value

    return read


def read_word(known: tuple[str, ...]) -> Callable[[object], Any]:
    """A reader of one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f"must be text, not {kind(value)}", suggestion("", known))
        if value not in known:
            raise BadValueError(f"{shown(value)} is not known here", suggestion(value, known))
        return value

    return read


def read_path(base: Path) -> Callable[[object], Path]:
    """A reader of paths; a relative one starts at `base`, an absolute folder."""

    def read(value: object) -> Path:
        text = read_text(value)
        if text.startswith(("~", "$")):
            raise BadValueError(f"{shown(text)} is not expanded as a shell does it", "write the whole path, from /")
        if "\0" in text:
            raise BadValueError("a path has no NUL in it", "write the whole path, from /")
        return base / text

    return read


def read_duration(low: float, high: float, words: str, example: str) -> Callable[[object], float]:
    """A reader of times, in seconds: text with a unit, or a number of seconds; `words` say the range."""

    def read(value: object) -> float:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            seconds = float(match[1]) * _SECONDS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        else:
            raise BadValueError(f"{shown(value)} is not a time", f'write a number and ms, s, m or h, as in "{example}"')
        if not low <= seconds <= high:
            raise BadValueError(f"{shown(value)} is out of range", f"write a time from {words}")
        return seconds

    return read


def read_limit_duration(longest_h: int) -> Callable[[object], float]:
    """A reader of the times of limits and bans: a second to so many hours."""
    return read_duration(1, longest_h * 3600, f'"1s" to "{longest_h}h"', "10s")


def read_as_attribute(name: str) -> Callable[[object], Any]:
    """A reader of what the attribute of this name takes in the list; a number may stand without quotes."""

    def read(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise BadValueError(f"must be text, not {kind(value)}", f'write it as in "{_plainly(KNOWN[name].example)}"')
        try:
            return KNOWN[name].read(str(value))
        except UnusableValueError as error:
            hint = f'write it as in "{_plainly(error.better)}"'
            raise BadValueError(f"{shown(value)} is no value for this key: it {error.message}", hint) from None

    return read


def _plainly(example: str) -> str:
    return example.strip('"')


def read_account(value: object) -> str:
    """The name or the number of a user or a group."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else read_text(value)
    if not _ACCOUNT.fullmatch(text):
        raise BadValueError(f"{shown(text)} is not the name of a user or group", "write a name of /etc/passwd or group")
    return text


def is_digits(value: object) -> bool:
    """Whether the value is text that is a number in decimal digits."""
    return isinstance(value, str) and value.isascii() and value.isdigit()


# --------------------------------------------------------------------------------------------------------------------
# Single keys


def read_algorithm(value: object) -> Algorithm:
    """A name or a number of Kamailio's, with or without quotes."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValueError(f"must be text, not {kind(value)}", 'write a name in quotes, as in algorithm = "weight"')
    try:
        return parse_algorithm(str(value))
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise BadValueError(message, hint or 'write algorithm = "weight" if in doubt') from None


def read_size(value: object) -> int:
    """Bytes: a number, or text such as "8MiB"."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise BadValueError(f"{shown(value)} is not a size", 'write a number and KiB, MiB or GiB, as in "8MiB"')
        size = int(found[1]) * _UNITS[found[2]]
    if not BUFFER_MINIMUM <= size <= BUFFER_MAXIMUM:
        raise BadValueError(f"{size} bytes is out of range", 'write a size from "64KiB" to "1GiB"')
    return size


def read_no_destination(value: object) -> int | Literal["panic"]:
    """The answer when no destination is usable: a status code, or "panic" for sending to all."""
    if value == "panic":
        return "panic"
    if isinstance(value, bool) or not isinstance(value, int):
        hint = f"write {value} without quotes" if is_digits(value) else 'write a status code, as 503, or "panic"'
        raise BadValueError(f'must be a status code or "panic", not {kind(value)}', hint)
    if not 400 <= value <= 699:
        raise BadValueError(f"{value} is not the code of a refusal", 'write a code from 400 to 699, or "panic"')
    return value


def read_server_header(value: object) -> str:
    """The text of the Server header; "" leaves it out."""
    if value == "":
        return ""
    text = read_text(value)
    if not text.isascii() or not text.isprintable() or text != text.strip() or len(text) > SERVER_HEADER_LENGTH:
        raise BadValueError(
            f"{shown(text)} cannot stand in a header",
            f"write at most {SERVER_HEADER_LENGTH} printable ASCII characters, without spaces at the ends",
        )
    return text


# --------------------------------------------------------------------------------------------------------------------
# Conditions of rules


def read_method(value: object) -> bytes:
    """A method that a rule may name: any but ACK and CANCEL."""
    text = read_text(value)
    if not _METHOD.fullmatch(text):
        raise BadValueError(
            f"{shown(text)} is not a method", 'write it as in "REGISTER", several as in ["INVITE", "BYE"]'
        )
    if text.upper() in {"ACK", "CANCEL"}:
        raise BadValueError(
            f"{text} has no rule of its own: it goes where its INVITE went",
            'write "INVITE", which ACK and CANCEL match too',
        )
    if text != text.upper() and text.upper() in _METHODS:
        raise BadValueError(
            f"{shown(text)} is not the method {text.upper()}: methods have capitals", f'write "{text.upper()}"'
        )
    return text.encode("ascii")


def read_user_prefix(value: object) -> bytes:
    """The beginning of an unescaped user part."""
    text = read_text(value)
    if text.lower().startswith(("sip:", "sips:", "tel:")) or "@" in text:
        raise BadValueError(f"{shown(text)} is more than a user part", 'write only its beginning, as in "+49"')
    if text.startswith("^") or ".*" in text:
        raise BadValueError(f"{shown(text)} is a pattern", "write user_regex for patterns; a prefix is plain text")
    if ";" in text:
        raise BadValueError(
            f"{shown(text)} has a parameter, and these are not looked at", "write only what stands before ;"
        )
    plain = unescape(text.encode())
    if plain != text.encode():
        raise BadValueError(
            f"{shown(text)} is escaped, and users are compared unescaped",
            f"write {shown(plain.decode('utf-8', 'replace'))}",
        )
    return plain


def read_user_regex(value: object) -> re.Pattern[str]:
    """A pattern that is searched for in an unescaped user part."""
    text = read_text(value)
    try:
        return compile_user_pattern(text)
    except PatternError as error:
        message, hint = error.args
        raise BadValueError(f"{shown(text)}: {message}", hint) from None
