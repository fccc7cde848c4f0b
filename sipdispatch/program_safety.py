"""Can a program of the operator's be run, and changed by none but root and this user?

It runs with the privileges of whoever runs it.  As keepalived's script security: each folder on the way counts, through
symbolic links too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from sipdispatch.errors import CommandError, Fault


def require_safe(programs: Iterable[tuple[str, str]]) -> None:
    """Raise CommandError, with all that is wrong.  Of each program: what it is for, as a key, and its path."""
    faults = [
        Fault(what, f"{where}: {program}", remedy)
        for where, program in programs
        for what, remedy in _dangers(Path(program))
    ]
    if faults:
        raise CommandError.of(*faults)


def _dangers(program: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with a program, and what to do about it; the first thing only."""
    try:
        resolved = program.resolve(strict=True)
        found = resolved.stat()
        way = list(_way(program))
    except (OSError, RuntimeError) as error:
        text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        yield f"it cannot be found: {text.lower()}", "write the path of a program"
        return
    if not stat.S_ISREG(found.st_mode):
        yield "it is not a file", "write the path of a program"
    elif not os.access(resolved, os.X_OK):
        yield "it is not executable", f"chmod 755 {resolved}"
    else:
        for each, facts in (*way, (resolved, found)):
            danger = _danger(each, facts)
            if danger is not None:
                yield danger
                return


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Each folder in which somebody could put another thing in place of the next part of a way that leads somewhere."""
    pending, at = list(reversed(path.parts[1:])), Path("/")
    yield at, at.stat()
    while pending:
        following = at / pending.pop()
        facts = following.lstat()
        if stat.S_ISLNK(facts.st_mode):
            target = Path(following.readlink())
            if target.is_absolute():
                at = Path("/")
            pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        elif following.name == "..":
            at = at.parent
        else:
            at = following
            if stat.S_ISDIR(facts.st_mode):
                yield at, facts


def _danger(path: Path, facts: os.stat_result) -> tuple[str, str] | None:
    mode = stat.S_IMODE(facts.st_mode)
    if facts.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {facts.st_uid}, who could change what runs here", f"chown root {path}"
    if stat.S_ISDIR(facts.st_mode) and mode & stat.S_ISVTX:
        return None  # nobody removes there what belongs to others
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and facts.st_gid != 0):
        return f"{path} can be changed by others (mode {mode:04o})", f"chmod go-w {path}"
    return None
