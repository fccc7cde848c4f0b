"""Which destinations does the list name, and can this proxy use them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import trio

from dispatcher.destination import Entry
from dispatcher.listfile import parse_list
from dispatcher.problem import Problem
from dispatcher.slots import MOST_DESTINATIONS
from sipdispatch.config import Proxy
from sipdispatch.preflight import find_misfits


async def read_list(path: Path, settings: Proxy) -> tuple[tuple[Entry, ...] | None, tuple[Problem, ...]]:
    """The entries of a list, None when something is wrong with it, and all its problems; read in a thread."""
    return await trio.to_thread.run_sync(_read_list, path, settings)


def _read_list(path: Path, settings: Proxy) -> tuple[tuple[Entry, ...] | None, tuple[Problem, ...]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        hint = "name a readable file with list in [proxy] or with --list"
        message = f"the list cannot be read: {error.strerror}"
        return None, (Problem(str(path), 0, 0, severity="error", message=message, hint=hint),)
    return check_list(text, settings)


def check_list(text: bytes, settings: Proxy) -> tuple[tuple[Entry, ...] | None, tuple[Problem, ...]]:
    """The same for the text of the list."""
    path = settings.list_path
    entries, problems = parse_list(text, str(path))
    misfits = find_misfits(settings, entries)
    problems += misfits.lines
    problems += tuple(
        Problem(str(path), 0, 0, severity="warning", message=finding.message, hint=finding.hint)
        for finding in misfits.settings
    )
    problems += _too_many(entries, str(path))
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    return entries, problems


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
