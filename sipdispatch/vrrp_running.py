"""What can be told and asked of the VRRP agent that runs in this process?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
import trio

from sipdispatch.chronicle import Chronicle
from sipdispatch.happening import Happening
from sipdispatch.servicemanager import tell
from sipdispatch.version import version_number
from vrrp.cause import KEEPALIVED_NAMES
from vrrp.service import Agent, Transition
from vrrp.status import Status

HISTORY: Final = 1_000
"""Changes of the role that are remembered."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RunningAgent:
    """The status, the happenings, and what an operator may do."""

    def __init__(self, interface: str, realtime: str) -> None:
        self.chronicle = Chronicle(capacity=HISTORY)
        self._interface = interface
        self._realtime = realtime
        self._version = version_number()
        self._agent: Agent | None = None

    def begin(self, agent: Agent) -> None:
        """From now on it is this agent that is told of."""
        self._agent = agent

    @property
    def agent(self) -> Agent:
        """The agent; it is there before anybody asks."""
        assert self._agent is not None  # noqa: S101 - begin comes before the control socket
        return self._agent

    def changed(self, transition: Transition) -> None:
        """The role has changed."""
        self.chronicle.record("vrrp", transition.before, transition.after, transition.cause, transition.at)
        tell(f"STATUS={KEEPALIVED_NAMES[transition.after]} ({transition.after}): {transition.cause}")

    def claimed(self, address: str, hardware: str) -> None:
        """Somebody else says on the network that an address which this node owns is its own."""
        self.agent.claimed(address, hardware)

    def contested(self, text: str) -> None:
        """Somebody else takes the addresses away again and again where an API moves them."""
        if self.agent.ledger.raise_alarm("owner", "API", text, time.time()) is not None:
            log.warning("the addresses are taken again and again", reason=text)

    def status(self) -> Status:
        """Everything that can be told, as of now."""
        return self.agent.status(version=self._version, interface=self._interface, realtime=self._realtime)

    def release(self, seconds: float, *, by: str) -> Status:
        """Hand the address over, if somebody takes it."""
        self._note("release", by, None if math.isinf(seconds) else seconds)
        return self._after(lambda: self.agent.release(seconds))

    def hold(self, *, by: str) -> Status:
        """Keep the address away from this node."""
        self._note("hold", by)
        return self._after(self.agent.hold)

    def resume(self, *, by: str) -> Status:
        """Take part as usual again."""
        self._note("resume", by)
        return self._after(self.agent.resume)

    def _after(self, act: Callable[[], None]) -> Status:
        act()
        return self.status()

    def _note(self, what: str, by: str, seconds: float | None = None) -> None:
        log.info("an operator steers", what=what, by=by, **({} if seconds is None else {"seconds": seconds}))

    def history(self) -> Sequence[Happening]:
        """The last happenings, oldest first."""
        return self.chronicle.history()

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on; a follower that is too slow loses some and sees a gap in `sequence`."""
        return self.chronicle.follow()
