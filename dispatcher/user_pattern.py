"""Is this regular expression safe to run on what a stranger sends?

A backtracking matcher takes exponential time on patterns such as `(a+)+$`, and the user part of a Request-URI comes
from outside.  So a pattern is accepted only when the number of ways in which it can be tried on the longest user part
is small, whatever the user part says.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterable
from typing import Any

USER_LENGTH_LIMIT = 256
"""Bytes of the user part; a longer one matches no pattern.  The longest telephone number has 15 digits (E.164)."""

WAYS_LIMIT = 1 << 17
"""Ways in which one pattern may be tried, a quarter of a millisecond to some milliseconds of matching at worst.

It allows two unbounded repetitions, the missing `^` counting as one: 257 * 257 ways.
"""

_TRIES = USER_LENGTH_LIMIT + 1

# The parser behind `re` has no public name; its tree of (operation, argument) pairs is the same in 3.11 to 3.14.
_parser: Any = importlib.import_module("re._parser")


class PatternError(ValueError):
    """The pattern cannot be used; `args` are what is wrong and what to write instead."""


def compile_user_pattern(text: str) -> re.Pattern[str]:
    r"""Compile a pattern that is searched for in an unescaped user part; raises PatternError.

    Classes such as `\d` and `\w` mean ASCII only.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # "[[a]": legal today, something else one day
            pattern = re.compile(text, re.ASCII)
            tree = _parser.parse(text, re.ASCII)
        ways = _ways(tree) * (1 if _is_anchored(tree, pattern) else _TRIES)
    except re.error as error:
        at = "" if error.pos is None else f" at character {error.pos + 1}"
        raise PatternError(f"it is no regular expression: {error.msg}{at}", _quoting_hint(text)) from None
    except (ValueError, FutureWarning) as error:  # flags that exclude each other
        raise PatternError(f"it is no regular expression: {error}", _quoting_hint(text)) from None
    except (RecursionError, OverflowError):
        raise PatternError("it is nested too deeply or repeats too often", "write a simpler pattern") from None
    if ways > WAYS_LIMIT:
        raise PatternError(
            "it could take seconds to match a user part made for that purpose",
            "begin it with ^, write [...] for (a|b)*, \\d{1,15} for \\d+, and repeat nothing that repeats",
        )
    return pattern


def matches(pattern: re.Pattern[str], user: bytes) -> bool:
    """Whether the pattern is found in an unescaped user part; one that is too long matches nothing."""
    return len(user) <= USER_LENGTH_LIMIT and pattern.search(user.decode("utf-8", "surrogateescape")) is not None


def _quoting_hint(text: str) -> str:
    if text.startswith(("+", "*", "?")):
        return f"put a backslash before the first character, and the pattern in single quotes: '^\\{text}'"
    return "write it in single quotes, with a backslash before any of . + * ? ( ) [ ] that stands for itself"


def _is_anchored(tree: Any, pattern: re.Pattern[str]) -> bool:
    """Whether the pattern can only match at the start, so that one position is tried in earnest."""
    if not tree or pattern.flags & re.MULTILINE:
        return False
    operation, argument = tree[0]
    return operation.name == "AT" and argument.name in {"AT_BEGINNING", "AT_BEGINNING_STRING"}


def _ways(sequence: Iterable[tuple[Any, Any]]) -> int:
    """An upper bound of the paths that backtracking may follow through a sequence of parsed operations.

    Paths multiply along a sequence, add up over alternatives, and a repetition has one choice of the number of rounds
    with the body's choices in each.
    """
    product = 1
    for operation, argument in sequence:
        product *= _ways_of(operation.name, argument)
        if product > WAYS_LIMIT:
            break  # big enough to refuse, before the number itself becomes a burden
    return product


def _ways_of(operation: str, argument: Any) -> int:
    match operation:
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high, body = argument
            return _ways_of_rounds(min(low, _TRIES), min(high, _TRIES), _ways(body))
        case "POSSESSIVE_REPEAT":  # never gives back: the rounds add up
            return int(min(argument[1], _TRIES)) * _ways(argument[2]) + 1
        case "BRANCH":
            return sum(_ways(alternative) for alternative in argument[1])
        case "SUBPATTERN":
            return _ways(argument[3])
        case "ATOMIC_GROUP":
            return _ways(argument)
        case "ASSERT" | "ASSERT_NOT":
            return _ways(argument[1])
        case "GROUPREF_EXISTS":
            _, present, absent = argument
            return _ways(present) + (_ways(absent) if absent is not None else 1)
        case _:  # one character, one class, one position, or what a group has matched before
            return 1


def _ways_of_rounds(low: int, high: int, body: int) -> int:
    if body == 1:
        return int(high - low + 1)
    total = 0
    for rounds in range(low, high + 1):
        total += body**rounds
        if total > WAYS_LIMIT:
            break
    return total
