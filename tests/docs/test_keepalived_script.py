"""Does each test that the page on the script names exist?"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / "docs" / "keepalived-script.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| there |")
]
NAMED = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")


def test_every_weakness_has_a_test_or_cannot_come_up() -> None:
    assert len(ROWS) == 19
    for there, here, tests in ROWS:
        assert NAMED.search(tests) or here.startswith("Cannot come up"), there


def test_the_tests_are_there() -> None:
    named = [found for _, _, tests in ROWS for found in NAMED.findall(tests)]
    assert len(named) >= 20
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name
