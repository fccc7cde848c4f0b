"""Is an interface there, up and with carrier?"""

from __future__ import annotations

import contextlib
from typing import Final

import trio

from sipdispatch.vrrp_track import Say
from vrrp.link import LinkEvents, facts_of

AUDIT_S: Final = 1.0
"""How often it is looked at even if the kernel has told nothing."""


async def watch_link(interface: str, say: Say) -> None:
    """Tell how it is, at once when that changes, until cancelled."""
    events = LinkEvents()
    try:
        while True:
            with contextlib.suppress(OSError):  # no more files, no memory: what was seen last stays
                facts = facts_of(interface)
                say(ok=facts.running, detail=facts.detail)
            with trio.move_on_after(AUDIT_S):
                await events.wait()
    finally:
        events.close()
