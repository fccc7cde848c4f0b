"""What is said of a wrong or doubtful configuration?  The table is wrong_configurations.txt beside this file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipdispatch.config import Config
from sipdispatch.load import load


def read_table() -> list[tuple[str, str, list[str]]]:
    """Name, text and expected lines of each case."""
    text = Path(__file__).with_name("wrong_configurations.txt").read_text(encoding="utf-8")
    rows = []
    for case in text.split("=== ")[1:]:
        name, _, rest = case.partition("\n")
        configuration, _, said = rest.partition("--- said\n")
        rows.append((name, configuration, said.strip().split("\n")))
    return rows


TABLE = read_table()


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_said(tmp_path: Path, text: str, said: list[str]) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(text, encoding="utf-8")
    loaded = load(path, environ={}, uid=0)
    problems = loaded.warnings if isinstance(loaded, Config) else loaded
    assert [str(problem).removeprefix(f"{path}:") for problem in problems] == said
    assert isinstance(loaded, tuple) == any(problem.severity == "error" for problem in problems)


def test_the_table_is_long_and_has_no_row_twice() -> None:
    assert len({row[0] for row in TABLE}) == len({row[1] for row in TABLE}) == len(TABLE) > 140
