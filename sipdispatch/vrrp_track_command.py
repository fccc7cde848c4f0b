"""Does a command of the operator's say that this node can do the work?

It runs with the agent's privileges, so nobody else may be able to change it; one that could be changed keeps the agent
from starting, for a track that is left out in silence is found out too late.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio

from sipdispatch.command_run import PLAIN_ENVIRONMENT, run_command
from sipdispatch.errors import CommandError, Fault
from sipdispatch.vrrp_settings import TrackCommand
from sipdispatch.vrrp_track import Say, first_line


async def ask_command(settings: TrackCommand, say: Say) -> None:
    """Run it every interval until cancelled, never while it still runs."""
    environment = {**PLAIN_ENVIRONMENT, "SIPDISPATCH_TRACK": settings.name}
    due = trio.current_time()
    while True:
        told = False

        def too_late(text: str) -> None:
            nonlocal told
            told = True
            say(ok=False, detail=text)

        run = await run_command(
            settings.command, timeout=settings.timeout, environment=environment, on_timeout=too_late
        )
        if not told:
            said = first_line(run.output)
            words = said or run.text
            say(ok=run.succeeded, detail=words if run.succeeded or not said else f"{said} ({run.text})")
        missed = (trio.current_time() - due) // settings.interval
        due += settings.interval * (missed + 1)
        await trio.sleep_until(due)


def require_safe(commands: Sequence[TrackCommand]) -> None:
    """Raise CommandError, with all that is wrong, unless each can be run, and changed by none but root and this user.

    As keepalived's script security: each folder on the way counts, through symbolic links too.
    """
    faults = [
        Fault(what, f"vrrp.track.command {each.name}: {each.command[0]}", remedy)
        for each in commands
        for what, remedy in _dangers(Path(each.command[0]))
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
