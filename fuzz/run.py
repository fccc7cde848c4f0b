"""Is there an input that breaks what the targets promise?  Runs them for a time and says what was found.

    fuzz/run.py [--target parser|pipeline|compiled|fastpath] [--seconds 60] [--keep]
    fuzz/run.py --target NAME --replay FILE ...

Ends with 0 when nothing was found, 1 with a finding, 2 on a wrong option, 3 where there is no fuzzer for this Python,
130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
CASES = ROOT / "fuzz" / "cases"
TORTURE = ROOT / "tests" / "torture"
"""RFC 4475's messages: the parser starts from them too."""
WORK = ROOT / "build" / "fuzz"
"""Where each run goes on with what the last one has found interesting."""

COMPILED = ("compiled", "fastpath")
"""They need the compiled path, and are left out where it cannot be built."""
TARGETS = ("parser", "pipeline", *COMPILED)
FOUND, NO_FUZZER, INTERRUPTED = 1, 3, 130
MAX_BYTES = 4096
"""Of an input: the limits of the parser have tests of their own, and short inputs run more often."""
SLOW_SECONDS = 10
"""An input that takes longer is a finding; the usual one takes 0.6 ms, so that a loaded machine raises no alarm."""
MAX_FILES = 240
MAX_FILE_BYTES = 4096
"""Of the committed corpus of one target: all of it stays below 2 MB."""

_FOLDER = {"compiled": "fastpath"}
"""Where a target's inputs are kept that has no folder of its own: these two read an input alike, as `pipeline` does."""

_HASH_NAME = re.compile(r"[0-9a-f]{40}")
"""libFuzzer's names; what was written by hand has a name that says what it is."""
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    targets: tuple[str, ...] = (options.target,) if options.target else TARGETS
    if options.replay:
        sys.path.insert(0, str(ROOT))
        if not options.target and importlib.util.find_spec("dispatcher._fastpath") is None:
            targets = tuple(target for target in targets if target not in COMPILED)
        return max(_replay(target, file) for target in targets for file in options.replay)
    if importlib.util.find_spec("atheris") is None:
        return _no_fuzzer()
    targets = _buildable(targets)
    found = [_run(target, options.seconds) for target in targets]
    if options.keep:
        for target in targets:
            _keep(target)
    return FOUND if any(found) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz/run.py", description="Feed the targets with mutated messages.")
    parser.add_argument("--target", choices=TARGETS, help="only this one (default: one after the other)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="take what has reached new code into the committed corpus")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="run only these inputs, no fuzzer")
    return parser.parse_args(arguments)


def _buildable(targets: Sequence[str]) -> tuple[str, ...]:
    """The targets without those whose code this machine cannot build; where CI=true there are none of these."""
    if not any(target in COMPILED for target in targets):
        return tuple(targets)
    built = subprocess.run(
        [sys.executable, "-m", "fuzz.instrumented"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if not built.returncode:
        return tuple(targets)
    why_not = built.stderr.strip()
    if os.environ.get("CI") == "true":
        sys.exit(f"fuzz: the compiled path is to be fuzzed too: {why_not}")
    print(f"fuzz: the compiled path is left out: {why_not}", file=sys.stderr)
    return tuple(target for target in targets if target not in COMPILED)


def _no_fuzzer() -> int:
    version = ".".join(map(str, sys.version_info[:2]))
    print(
        f"fuzz: nothing was run: atheris is not installed for this Python ({version})\n"
        f"  to install it:       {sys.executable} -m pip install --group fuzz\n"
        "  to run what is kept: pytest tests/test_fuzz_cases.py",
        file=sys.stderr,
    )
    return NO_FUZZER


def _run(target: str, seconds: int) -> bool:
    """Run one target; whether there was a finding."""
    work = WORK / target
    work.mkdir(parents=True, exist_ok=True)
    print(f"{target}: {seconds} s, from {_size(_seeds(target))}", flush=True)
    output = _engine(
        target,
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={SLOW_SECONDS}",
        f"-dict={ROOT / 'fuzz' / 'sip.dict'}",
        f"-artifact_prefix={WORK / target}-",
        "-print_final_stats=1",
        work,
        *_seeds(target),
    )
    log = WORK / f"{target}.log"
    log.write_text(output, errors="backslashreplace")
    figures = {name: int(number) for name, number in _STATISTIC.findall(output)}
    print(
        f"{target}: {figures.get('number_of_executed_units', 0):,} executions, "
        f"{figures.get('average_exec_per_sec', 0):,} a second, corpus {_size((work,))}",
        flush=True,
    )
    artifact = _ARTIFACT.search(output)
    if artifact is None and "run interrupted" in output:
        print(f"{target}: interrupted before its time was over", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if artifact is None:
        if not figures:
            print(f"{target}: the fuzzer did not run: {log}\n{output[-2000:]}", file=sys.stderr)
        return not figures
    print(
        f"{target}: FOUND {artifact[1]}\n"
        f"  {_last_error(output)}\n"
        f"  again:   {sys.executable} fuzz/run.py --target {target} --replay {artifact[1]}\n"
        f"  keep it: cp {artifact[1]} fuzz/cases/{_folder(target)}/NAME   (pytest tests/test_fuzz_cases.py runs it)",
        flush=True,
    )
    return True


def _engine(target: str, *arguments: str | Path) -> str:
    argv = [sys.executable, "-m", "fuzz.engine", target, *map(str, arguments)]
    ended = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return ended.stdout.decode(errors="backslashreplace")


def _seeds(target: str) -> tuple[Path, ...]:
    others = {"parser": (TORTURE,), **dict.fromkeys(COMPILED, (CORPUS / "pipeline", CASES / "pipeline"))}
    return CORPUS / _folder(target), CASES / _folder(target), *others.get(target, ())


def _folder(target: str) -> str:
    return _FOLDER.get(target, target)


def _size(folders: Sequence[Path]) -> str:
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    return f"{len(files)} files, {sum(file.stat().st_size for file in files):,} bytes"


def _last_error(output: str) -> str:
    lines = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*|^SUMMARY.*", output, re.MULTILINE)
    return lines[0] if lines else "see the log"


def _keep(target: str) -> None:
    """Add to the committed corpus what reaches code that it does not reach; the largest go when it grows too much."""
    corpus, *others = _seeds(target)
    if target in COMPILED:  # what `pipeline` keeps need not be kept twice
        others = others[:1]
    _engine(target, "-set_cover_merge=1", f"-max_len={MAX_FILE_BYTES}", corpus, *others, WORK / target)
    files = list(corpus.iterdir())
    found = sorted((file for file in files if _HASH_NAME.fullmatch(file.name)), key=lambda file: file.stat().st_size)
    for file in found[max(0, MAX_FILES - (len(files) - len(found))) :]:
        file.unlink()
    print(f"{target}: committed corpus {_size((corpus,))}")


def _replay(target: str, file: Path) -> int:
    check: Callable[[bytes], None] = importlib.import_module(f"fuzz.{target}").check
    try:
        check(file.read_bytes())
    except Exception:  # noqa: BLE001 - whatever escapes is the finding
        traceback.print_exc()
        return FOUND
    print(f"{target}: {file}: nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
