"""How much of the compiled packet path is run by the tests that hold it to Python's decisions?

Those tests, or what the arguments select (pytest's), run in a copy of the tree whose module counts what it executes.
A `const fn` that never ran is the compiler's own, for its tables, and does not count.  Needs LLVM's tools of the
version that rustc is built on; they are installed by rustup or, as root on Debian, as a package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
CRATE = ROOT / "fastpath"
WORK = CRATE / "target" / "counted"
LEAST_PERCENT = 90.0
TESTS = ("tests/dispatcher", "tests/health/test_unanswered.py", "tests/health/test_latency.py")
CHOSEN = ("-k", "fastpath or compiled or engine or test_service")
"""The tests of the compiled path by name, of a test or of its file."""


class CoverageError(Exception):
    """It cannot be measured; the message says what to do."""


@attrs.frozen(order=True)
class Count:
    """What was run of one source file: how many lines of code it has, and the numbers of those that were not run."""

    file: str
    lines: int
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        return 100.0 * (1 - len(self.missed) / max(self.lines, 1))

    @property
    def spans(self) -> str:
        """The missed lines as in "7-9, 12"."""
        runs = groupby(enumerate(self.missed), key=lambda each: each[1] - each[0])
        ends = [[number for _, number in run] for _, run in runs]
        return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in ends)


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command to its end; returns what it printed, and raises CoverageError when it fails."""
    line = [str(part) for part in command]
    done = subprocess.run(
        line, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise CoverageError(f"{' '.join(line[:3])} ended with {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def tool(name: str) -> str:
    """LLVM's program of this name, of rustc's own version."""
    found = re.search(r"LLVM version: (\d+)", run("rustc", "-vV"))
    major = found[1] if found else ""
    beside = Path(run("rustc", "--print", "sysroot").strip()) / "lib" / "rustlib"
    # Debian has no LLVM as new as the newest rustc's for long.
    rustup = ["rustup", "component", "add", "llvm-tools"]
    installs: list[tuple[list[str], ...]] = [(rustup,)] if shutil.which("rustup") else []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", f"llvm-{major}"]
        installs.append((["apt-get", "-qq", "update"], apt))
    for commands in ((), *installs):
        for command in commands:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for path in (*map(str, beside.glob(f"*/bin/{name}")), shutil.which(f"{name}-{major}")):
            if path:
                return path
    raise CoverageError(
        f"there is no {name} of LLVM {major}: rustup component add llvm-tools, or apt-get install llvm-{major}"
    )


def build() -> Path:
    """The module with counters, without optimisation; its path."""
    python = {"PYO3_PYTHON": sys.executable, "RUSTFLAGS": "-C instrument-coverage"}
    python["LLVM_PROFILE_FILE"] = os.devnull  # the programs that only build count too
    options = ["--quiet", "--locked", "--lib", "--features", "python", "--target-dir", str(WORK)]
    run("cargo", "build", *options, cwd=CRATE, **python)
    return WORK / "debug" / "lib_fastpath.so"


def copy_tree(module: Path) -> Path:
    """A copy of what git knows or would add, with this module in it; its path."""
    copy = WORK / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        source = ROOT / name
        if name and source.is_file() and not source.is_symlink():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for name in (".venv", ".peers"):
        if (ROOT / name).exists():
            (copy / name).symlink_to(ROOT / name)
    shutil.copy2(module, copy / "dispatcher" / "_fastpath.abi3.so")
    return copy


def counts(report: str) -> Iterator[Count]:
    """From what `llvm-cov export --format=lcov` prints: a file's name, then a line of code a line, with its count."""
    for part in report.split("end_of_record\n"):
        named = re.search("(?m)^SF:(.*)$", part)
        if named and Path(named[1]).is_relative_to(CRATE / "src"):
            found = {int(line): int(count) for line, count in re.findall(r"(?m)^DA:(\d+),(\d+)", part)}
            for lines in const_functions(Path(named[1]).read_text()):
                if not any(found.get(line) for line in lines):
                    found = {line: count for line, count in found.items() if line not in lines}
            missed = tuple(sorted(line for line, count in found.items() if not count))
            yield Count(str(Path(named[1]).relative_to(CRATE / "src")), len(found), missed)


def const_functions(source: str) -> Iterator[range]:
    """The lines of each `const fn` of a file that rustfmt has laid out, from 1."""
    lines = source.split("\n")
    for start, line in enumerate(lines):
        if begin := re.match(r"( *)(pub(\(\w+\))? )?const fn ", line):
            end = start if line.endswith("}") else lines.index(f"{begin[1]}}}", start)
            yield range(start + 1, end + 2)


def share(rows: Sequence[Count]) -> float:
    """Of all files together, in percent."""
    return 100.0 * (1 - sum(len(row.missed) for row in rows) / max(sum(row.lines for row in rows), 1))


def table(rows: Sequence[Count]) -> str:
    """A line a file, and the whole."""
    files = [f"{row.file:<24}{row.lines:>6}{row.percent:>8.1f} %   {row.spans}".rstrip() for row in sorted(rows)]
    return "\n".join((*files, f"{'whole':<24}{sum(row.lines for row in rows):>6}{share(rows):>8.1f} %"))


def measure(arguments: Sequence[str]) -> list[Count]:
    """Build, run the tests, and read the counters."""
    profdata, cov = tool("llvm-profdata"), tool("llvm-cov")
    module = build()
    tree = copy_tree(module)
    raw = WORK / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", *(arguments or (*TESTS, *CHOSEN))]
    environment = {**os.environ, "LLVM_PROFILE_FILE": str(raw / "%p.profraw"), "PYTHONPATH": str(tree)}
    if subprocess.run(command, cwd=tree, env=environment, check=False).returncode:
        raise CoverageError("tests have failed, see above")
    profile = WORK / "profile"
    run(profdata, "merge", "--sparse", *raw.iterdir(), "-o", profile)
    return list(counts(run(cov, "export", "--format=lcov", f"--instr-profile={profile}", module)))


def main(arguments: Sequence[str]) -> int:
    try:
        rows = measure(arguments)
    except CoverageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    print(f"\nlines of fastpath/src that these tests run (at least {LEAST_PERCENT:g} %)\n{table(rows)}")
    return int(share(rows) < LEAST_PERCENT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
