"""Does the manual page of the list say what the program does?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatcher.listattrs import KAMAILIO_ONLY, KNOWN
from dispatcher.listfile import parse_list

PAGE = (Path(__file__).parents[2] / "docs" / "dispatcher.list.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```list\n(.*?)^```\n(?:\n```problems\n(.*?)^```$)?", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("text", "problems"), EXAMPLES)
def test_every_example_says_what_the_page_says_it_does(text: str, problems: str) -> None:
    printed = [str(problem) for problem in parse_list(text.encode(), "dispatcher.list")[1]]
    assert printed == problems.splitlines()


def test_the_page_has_examples_of_good_and_of_bad_lists() -> None:
    assert len(EXAMPLES) == PAGE.count("```list") >= 8
    assert sum(bool(problems) for _, problems in EXAMPLES) == PAGE.count("```problems") >= 3


def test_the_page_has_the_sections_of_a_manual_page() -> None:
    sections = re.findall(r"^## (.*)", PAGE, flags=re.MULTILINE)
    expected = ["Name", "Synopsis", "Description", "Options", "Examples", "Exit status", "See also"]
    assert [section for section in sections if section in expected] == expected


def test_every_attribute_is_in_the_manual() -> None:
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.split("### Attributes")[1].split("## Examples")[0], re.MULTILINE))
    assert rows == set(KNOWN)
    assert all(f"`{name}`" in PAGE for name in KAMAILIO_ONLY)
