"""Does a command of the operator's say that this node can do the work?

One that others could change (`sipdispatch.program_safety`) keeps the agent from starting: a track that is left out in
silence is found out too late.
"""

from __future__ import annotations

import trio

from sipdispatch.command_run import PLAIN_ENVIRONMENT, run_command
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
