"""Did the last test run cover enough?  Every pure core whole (lines and branches), the whole tree by 95 %.

The cores are all modules of the four rooms but the shells that the import contract `pure` excepts in pyproject.toml.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("sip", "health", "dispatcher", "vrrp")
CORES_PERCENT = 100
WHOLE_PERCENT = 95


def shells(pyproject: Path) -> set[str]:
    """The modules, by dotted name, that the contract `pure` lets do I/O."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    excepted = next(contract["ignore_imports"] for contract in contracts if contract["id"] == "pure")
    return {line.split("->")[0].strip() for line in excepted}


def cores() -> list[str]:
    """The pure cores' files, relative to the root."""
    excepted = shells(ROOT / "pyproject.toml")
    files = sorted(file.relative_to(ROOT) for room in ROOMS for file in (ROOT / room).rglob("*.py"))
    return [str(file) for file in files if ".".join(file.with_suffix("").parts) not in excepted]


def coverage(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def main() -> int:
    if list(ROOT.glob(".coverage.*")):
        coverage("combine", "--quiet", "--append")
    print(f"\ncoverage of the pure cores (at least {CORES_PERCENT} %)")
    pure = coverage("report", f"--include={','.join(cores())}", f"--fail-under={CORES_PERCENT}")
    print(f"\ncoverage of the whole tree (at least {WHOLE_PERCENT} %)")
    whole = coverage("report", f"--fail-under={WHOLE_PERCENT}")
    return pure or whole


if __name__ == "__main__":
    sys.exit(main())
