"""Is a pattern that could be made to run for seconds refused before it runs at all?"""

from __future__ import annotations

import re

import pytest

from dispatcher.user_pattern import USER_LENGTH_LIMIT, WAYS_LIMIT, PatternError, compile_user_pattern, matches

ADVICE = "begin it with ^, write [...] for (a|b)*, \\d{1,15} for \\d+, and repeat nothing that repeats"


@pytest.mark.parametrize(
    ("pattern", "user", "found"),
    [
        (r"^\+49", "+4930", True),
        (r"^(\+49|0049|0)[1-9]\d{1,14}$", "004930123", True),
        (r"^(\+49|0049|0)[1-9]\d{1,14}$", "0049", False),
        ("49", "+49", True),  # searched for, as in Kamailio's =~
        (r"^\d{4}$", "8005", True),
        (r"^\d{4}$", "\u0668\u0660\u0660\u0665", False),  # digits of another script are none here
        (r"\Aconf-.*-\d+\Z", "conf-x-1", True),
        (r"[\w.]+$", "alice.b", True),
        ("m.ller", "müller", True),
        ("(?i)^alice", "ALICE", True),
        ("(?m)^b", "a\nb", True),
        (r"^(\d)\1{3}$", "7777", True),
        ("^(a)?b(?(1)c|d)", "abc", True),
        ("^(a)?b(?(1)c)", "b", True),
        ("^(?=.*9)[0-9]{3}$", "190", True),
        ("^(?!00)[0-9]{3}$", "001", False),
        ("(?<!0)5", "05", False),
        ("^(?>a|ab)c", "abc", False),
        ("^(?:a++b)*+c", "aabc", True),
        ("^(?:a{1,3}){2}$", "aaaa", True),
        ("^a{300}", "a" * 256, False),
        ("", "x", True),
    ],
)
def test_what_patterns_match(pattern: str, user: str, *, found: bool) -> None:
    assert matches(compile_user_pattern(pattern), user.encode()) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^(a+)+$",
        "^(a|a)*$",
        "^(a|aa)+$",
        "^(.*a){20}$",
        "^.*.*.*$",
        ".*.*x",
        "^(a?){30}a{30}$",
        r"^(\w+\.)+com$",
        "^((a{0,9}){0,9}){0,9}$",
        "^(?=(a+)+$)",
        "^(?:x(?:ab|b|c){1,20})$",
        "^(?>(a+)+)$",
        "^(?(1)(a+)+|b)$",
        "(?m)^.*.*x",
        r"\b.*.*x",
    ],
)
def test_patterns_that_can_be_made_to_run_for_long_are_refused(pattern: str) -> None:
    if pattern.startswith("^(?(1)"):
        pattern = "^(b)?" + pattern[1:]
    with pytest.raises(PatternError) as caught:
        compile_user_pattern(pattern)
    assert caught.value.args == ("it could take seconds to match a user part made for that purpose", ADVICE)


@pytest.mark.parametrize(
    ("pattern", "message", "hint"),
    [
        (
            "+49",
            "it is no regular expression: nothing to repeat at character 1",
            "put a backslash before the first character, and the pattern in single quotes: '^\\+49'",
        ),
        (
            "^(0049",
            "it is no regular expression: missing ), unterminated subpattern at character 2",
            "write it in single quotes, with a backslash before any of . + * ? ( ) [ ] that stands for itself",
        ),
        (
            "(?u)a",
            "it is no regular expression: ASCII and UNICODE flags are incompatible",
            "write it in single quotes, with a backslash before any of . + * ? ( ) [ ] that stands for itself",
        ),
        (
            "[[a]",
            "it is no regular expression: Possible nested set at position 1",
            "write it in single quotes, with a backslash before any of . + * ? ( ) [ ] that stands for itself",
        ),
        ("(" * 5000 + ")" * 5000, "it is nested too deeply or repeats too often", "write a simpler pattern"),
        ("a{99999999999}", "it is nested too deeply or repeats too often", "write a simpler pattern"),
    ],
)
def test_what_is_said_of_a_pattern_that_is_none(pattern: str, message: str, hint: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_user_pattern(pattern)
    assert caught.value.args == (message, hint)


def test_the_worst_pattern_that_is_accepted_ends_at_once() -> None:
    """Not a measurement: a matcher that took the exponential way would never come back from this."""
    worst = compile_user_pattern("^.*.*[^a]$")
    assert not matches(worst, b"a" * USER_LENGTH_LIMIT)
    assert (USER_LENGTH_LIMIT + 1) ** 2 <= WAYS_LIMIT < (USER_LENGTH_LIMIT + 1) ** 3


def test_a_compiled_pattern_is_an_ordinary_one() -> None:
    assert isinstance(compile_user_pattern("a"), re.Pattern)
