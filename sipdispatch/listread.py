"""Which destinations does the list name, and can this proxy use them?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog
import trio

from dispatcher.destination import Entry
from dispatcher.listfile import parse_list
from dispatcher.problem import Problem
from dispatcher.slices import in_slices
from dispatcher.slots import MOST_DESTINATIONS
from dispatcher.steps import Steps, stepwise
from sipdispatch.config import Proxy
from sipdispatch.preflight import find_misfits

log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def read_list(path: Path, settings: Proxy) -> tuple[tuple[Entry, ...] | None, tuple[Problem, ...]]:
    """The entries of a list, None when something is wrong with it, and all its problems."""
    try:
        text = await trio.to_thread.run_sync(path.read_bytes)
    except OSError as error:
        hint = "name a readable file with list in [proxy] or with --list"
        message = f"the list cannot be read: {error.strerror}"
        return None, (Problem(str(path), 0, 0, severity="error", message=message, hint=hint),)
    return await in_slices(check_list.steps(text, settings))


@stepwise
def check_list(text: bytes, settings: Proxy) -> Steps[tuple[tuple[Entry, ...] | None, tuple[Problem, ...]]]:
    """The same for the text of the list."""
    path = settings.list_path
    entries, problems = yield from parse_list.steps(text, str(path))
    misfits = yield from find_misfits.steps(settings, entries)
    problems += misfits.lines
    problems += tuple(
        Problem(str(path), 0, 0, severity="warning", message=finding.message, hint=finding.hint)
        for finding in misfits.settings
    )
    problems += _too_many(entries, str(path))
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    return entries, problems


@stepwise
def fingerprint_of(entries: Iterable[Entry]) -> Steps[str]:
    """Of what the lines say, in their order; comments and spaces do not count."""
    lines = []
    for entry in entries:
        lines.append(f"{entry.set_id} {entry.uri} {entry.flags} {entry.priority} {sorted(entry.attributes.items())}")
        yield
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


@stepwise
def tell(problems: Sequence[Problem]) -> Steps[None]:
    """Log each problem of a list."""
    for problem in problems:
        (log.error if problem.severity == "error" else log.warning)(str(problem))
        yield


def _too_many(entries: Sequence[Entry], path: str) -> tuple[Problem, ...]:
    """Sets that have more destinations than a slot table can name."""
    return tuple(
        Problem(
            path,
            0,
            0,
            severity="error",
            message=f"set {set_id} has {count} destinations; {MOST_DESTINATIONS} is the most",
            hint="divide it into several sets",
        )
        for set_id, count in sorted(Counter(entry.set_id for entry in entries).items())
        if count > MOST_DESTINATIONS
    )
