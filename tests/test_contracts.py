"""Are the import contracts written so that they guard what they say?"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def pure_contract() -> dict[str, Any]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == "pure")


def test_every_shell_may_do_io_and_is_closed_to_the_cores() -> None:
    contract = pure_contract()
    free = {line.split(" -> ")[0] for line in contract["ignore_imports"]}
    closed = {name for name in contract["forbidden_modules"] if "." in name}
    assert free == closed


def test_no_exception_is_narrower_or_wider_than_one_shell() -> None:
    assert all(line.endswith(" -> **") and "*" not in line[:-2] for line in pure_contract()["ignore_imports"])
