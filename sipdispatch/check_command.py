"""Are these lists and configuration files right, before anything reads them in earnest?"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import attrs
import click

from dispatcher.destination import Entry
from dispatcher.fastpath import MAKE_IT, packet_path
from dispatcher.listfile import parse_list
from dispatcher.problem import Problem
from sipdispatch import secret
from sipdispatch.config import Config, ConfigProblem
from sipdispatch.consistency import Finding
from sipdispatch.load import read_config
from sipdispatch.output import say
from sipdispatch.preflight import Misfits, find_misfits
from sipdispatch.printable import printable

CLEAN: Final = 0
DOUBTFUL: Final = 1
WRONG: Final = 2

FORMAT_VERSION: Final = 1
"""Of the JSON document: rises when a key changes its meaning or goes."""

_LOOKS_LIKE_TOML: Final = re.compile(rb"\s*(?:\[\[?\s*[A-Za-z\"']|[A-Za-z0-9_.\"'-]+\s*=)")


@attrs.frozen
class Checked:
    """One file and what was found in it; `destinations` counts those of a list that can be used."""

    path: str
    kind: Literal["list", "toml"]
    problems: tuple[Problem | ConfigProblem, ...]
    destinations: int = 0

    def count(self, severity: str) -> int:
        """How many problems of this severity there are."""
        return sum(problem.severity == severity for problem in self.problems)


def check(paths: Iterable[Path]) -> tuple[Checked, ...]:
    """Check each file, and after a TOML file the list that it names; no file twice."""
    examined = _Round()
    for path in paths:
        if _is_toml(path):
            examined.toml(path)
        else:
            examined.list(path)
    return tuple(examined.done.values())


class _Round:
    """The files of one call, by what they really are."""

    def __init__(self) -> None:
        self.done: dict[str, Checked] = {}
        self.entries: dict[str, tuple[Entry, ...]] = {}

    def toml(self, path: Path) -> None:
        file = os.path.realpath(path)
        if file in self.done:
            return
        loaded = read_config(path, proxy_required=False)
        self.done[file] = Checked(str(path), "toml", loaded.problems)
        if loaded.list_path is not None:
            self.list(loaded.list_path)
        if loaded.config is None:
            return
        list_file = os.path.realpath(loaded.config.proxy.list_path)
        misfits = Misfits((), ())
        if self.entries[list_file]:
            misfits = find_misfits(loaded.config.proxy, self.entries[list_file])
        findings = (*misfits.settings, *_packet_path(loaded.config))
        self._add(file, (*map(loaded.placed, findings), *_secret(loaded.config)))
        self._add(list_file, misfits.lines)

    def list(self, path: Path) -> None:
        file = os.path.realpath(path)
        if file in self.done:
            return
        problems: tuple[Problem | ConfigProblem, ...]
        try:
            entries, problems = parse_list(path.read_bytes(), str(path))
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            entries = ()
            problems = (ConfigProblem(path=str(path), message=message, hint="name a file that can be read"),)
        self.entries[file] = entries
        self.done[file] = Checked(str(path), "list", problems, len(entries))

    def _add(self, file: str, problems: tuple[Problem | ConfigProblem, ...]) -> None:
        checked = self.done[file]
        together = sorted((*checked.problems, *problems), key=lambda problem: (problem.line, problem.column))
        self.done[file] = attrs.evolve(checked, problems=tuple(together))


def _secret(config: Config) -> tuple[ConfigProblem, ...]:
    """What would keep the proxy from starting.

    Nothing is said of a secret that is still to be made, or that only the proxy's own user may read.
    """
    path = config.proxy.secret_file
    if not os.access(path, os.R_OK):
        return ()
    try:
        secret.read(path)
    except secret.SecretError as error:
        (fault,) = error.faults
        return (ConfigProblem(path=fault.where, message=fault.what, hint=fault.remedy),)
    return ()


def _packet_path(config: Config) -> Iterator[Finding]:
    """What would keep the proxy from starting here; it may be meant for another machine."""
    path = packet_path(config.proxy.fastpath)
    if config.proxy.fastpath == "on" and not path.compiled:
        message = f"on this machine the proxy would not start: {path.why_not}"
        yield Finding(("proxy", "fastpath"), message, MAKE_IT, "warning")


def _is_toml(path: Path) -> bool:
    """By the name; a file of another name by its first line that is not a comment."""
    if path.suffix in {".toml", ".list"}:
        return path.suffix == ".toml"
    try:
        with path.open("rb") as file:
            if not file.seekable():  # a pipe can be read once
                return False
            for line in file:
                if line.strip() and not line.lstrip().startswith(b"#"):
                    return _LOOKS_LIKE_TOML.match(line) is not None
    except OSError:
        pass  # told by whoever reads it
    return False


# --------------------------------------------------------------------------------------------------------------------
# Told


def exit_status(checked: Sequence[Checked]) -> int:
    """0 when nothing is wrong, 1 when something is doubtful, 2 when something would be refused."""
    if any(file.count("error") for file in checked):
        return WRONG
    return DOUBTFUL if any(file.count("warning") for file in checked) else CLEAN


def as_text(checked: Sequence[Checked]) -> str:
    """A line for each problem, and one for the whole."""
    lines = [printable(str(problem)) for file in checked for problem in file.problems]
    errors, warnings = (sum(file.count(severity) for file in checked) for severity in ("error", "warning"))
    found = ", ".join(_counted(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)
    lines.append(f"{_counted(len(checked), 'file')} checked: {found or 'no problems'}")
    return "\n".join(lines)


def as_json(checked: Sequence[Checked]) -> str:
    """One document; every problem has all of its keys, `key` is "" where there is none."""
    document = {
        "version": FORMAT_VERSION,
        "status": exit_status(checked),
        "errors": sum(file.count("error") for file in checked),
        "warnings": sum(file.count("warning") for file in checked),
        "files": [
            {
                "path": file.path,
                "kind": file.kind,
                "destinations": file.destinations,
                "errors": file.count("error"),
                "warnings": file.count("warning"),
                "problems": [{"key": "", **problem.to_json()} for problem in file.problems],
            }
            for file in checked
        ],
    }
    return json.dumps(document, indent=2)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


@click.command(name="check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False, path_type=Path))
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document instead of lines.")
@click.pass_context
def command(ctx: click.Context, *, files: tuple[Path, ...], json_wanted: bool) -> None:
    """Check dispatcher lists and configuration files.

    A TOML file is known by its name or its contents; the list that it names is checked too.

    Exit status: 0 nothing wrong, 1 warnings only, 2 errors.
    """
    checked = check(files)
    say(as_json(checked) if json_wanted else as_text(checked))
    ctx.exit(exit_status(checked))
