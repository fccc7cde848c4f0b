"""How do addresses move where an API moves them: which command of the operator's is to run now, and what did it say?

Three commands: `acquire` brings the addresses to this node, from whoever has them; `release` gives them up, and lets
those be that are elsewhere; `verify` asks who has them.  One runs at a time.  What was asked for last counts: a wish
that has changed meanwhile is not tried again, and never seen through.

Two nodes that do not hear each other but both reach the API take the addresses from each other.  Whoever finds them
elsewhere again, and has heard no peer meanwhile, takes them back and looks after them twice as late as the last time.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import attrs
import structlog
import trio

from vrrp.event import AddressesLost, MoveFailed
from vrrp.mover import Report

ELSEWHERE: Final = 1
"""Exit status of `verify`: the addresses are not here.  Any other but 0 is that it cannot tell, as with grep."""
PAUSE_S: Final = 1.0
"""Before a command that has failed is tried again."""
SETTLED_S: Final = 5.0
"""After an `acquire`: APIs go on telling the old owner for a while."""
LONGEST: Final = 10
"""Times `every`: for how long addresses that somebody else takes again and again are let be after an `acquire`."""
TOLD_AGAIN_S: Final = 20.0
"""That somebody takes them is told again before anybody thinks that it is over."""

Verb = Literal["acquire", "release", "verify"]

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen
class Outcome:
    """How a command has ended: its exit status, None if it has none, and a text for people."""

    status: int | None
    text: str


Command = Callable[[Verb], Awaitable[Outcome]]
"""Runs a command to its end, `timeout` at most, and raises nothing; cancelled, it leaves no process behind."""
Heard = Callable[[], int]
"""How many adverts of peers were heard so far."""
Contested = Callable[[str], None]
"""Somebody else takes the addresses again and again; a text for people."""


@attrs.frozen(kw_only=True)
class Orders:
    """What the operator has said about the commands; times in seconds.

    `timeout`: for how long each may run; `retries`: how often it is tried again; `every`: when it is looked again
    whether the addresses are here, by `verify`, or by one more `acquire` where there is none.  `ending`: what it takes
    at most to end one that hangs.
    """

    verifies: bool
    timeout: float
    retries: int
    every: float
    ending: float = 0.0

    @property
    def patience(self) -> float:
        """What a stop may take: the command that runs then, and `release`, and to end both."""
        return self.timeout + self.ending + self.last_words + self.ending

    @property
    def last_words(self) -> float:
        """What a stop leaves for `release`."""
        return self.timeout + PAUSE_S

    @property
    def first_look(self) -> float:
        """After an `acquire` it is looked whether the addresses are here."""
        return min(self.every, max(self.timeout, SETTLED_S))

    def longer(self, pause: float) -> float:
        """The pause after an `acquire` when the addresses were taken again after one of `pause`, 0 the first time."""
        usual = max(self.first_look, SETTLED_S)
        return min(2 * max(pause, usual), max(LONGEST * self.every, usual))


class ExecMover:
    """Moves addresses by commands."""

    def __init__(
        self,
        orders: Orders,
        command: Command,
        *,
        heard: Heard = lambda: 0,
        contested: Contested = lambda _: None,
    ) -> None:
        self._orders = orders
        self._command = command
        self._heard = heard
        self._contested = contested
        self._report: Report = _to_nobody
        self._finishes = False
        self._wanted: bool | None = None
        """None: nothing was asked for yet, or it was given up."""
        self._here: bool | None = None
        """None: not known."""
        self._asked = trio.Event()
        self._check_at = math.inf
        self._check_from = -math.inf
        self._check_again_at = -math.inf
        self._acquired_at = -math.inf
        self._losses = 0
        """How often the addresses were found elsewhere since a peer was heard, or since they were safe here."""
        self._heard_then = 0
        self._pause = 0.0
        """For how long they are let be after an `acquire`; 0: nobody takes them again and again."""
        self._told_at = -math.inf

    def add(self, lease: float) -> None:  # noqa: ARG002 - no API has leases
        """The addresses are wanted here, until `remove` is called."""
        self._want(here=True)
        if self._pause and trio.current_time() >= self._told_at + TOLD_AGAIN_S:
            self._tell()

    def remove(self) -> None:
        """The addresses are not wanted here; those that this node has given up already are not given up again."""
        self._want(here=False)
        self._forget()

    def _want(self, *, here: bool) -> None:
        if self._wanted is not here:
            self._wanted = here
            self._asked.set()

    def announce(self) -> None:
        """Look whether the addresses are here, and once more when all that the other node may still run has ended.

        After a partition whoever ran `acquire` last has them, and that may be the one that had to step down.
        """
        self._forget_if_heard()
        now = trio.current_time()
        self._check_at = min(self._check_at, now)
        self._check_again_at = now + self._orders.timeout
        self._asked.set()

    async def run(self, report: Report) -> None:
        """Run what is asked for; cancelled, it ends after the command that runs."""
        self._report, self._finishes = report, True
        try:
            while True:
                await self._catch_up()
                with trio.move_on_at(self._due() if self._wanted else math.inf):
                    await self._asked.wait()
        finally:
            self._finishes = False

    async def settle(self) -> None:
        """Return when what was asked for last was done or given up: what takes longer than one command is."""
        with trio.move_on_after(self._orders.last_words):
            await self._catch_up()
            return
        log.error("there was no time left to release the addresses; the other node takes them")

    def _due(self) -> float:
        return max(self._check_at, self._check_from)

    async def _catch_up(self) -> None:
        """Run commands until nothing is left to do for now."""
        while True:
            self._asked = trio.Event()
            if self._wanted is None or (self._wanted is self._here and not self._is_check_due()):
                return
            if not self._wanted:
                await self._release()
            elif self._here:
                await self._check()
            else:
                await self._acquire()
            # What the shield of the command has kept away: from here on it is `settle` that has the time it takes.
            await trio.lowlevel.checkpoint_if_cancelled()

    def _is_check_due(self) -> bool:
        return self._wanted is True and trio.current_time() >= self._due()

    async def _acquire(self) -> None:
        outcome = await self._try("acquire")
        if outcome.status == 0:
            now = trio.current_time()
            self._here, self._acquired_at = True, now
            self._check_from = now + max(self._pause, SETTLED_S)
            self._check_at = now + self._orders.first_look
        elif self._wanted:
            self._wanted = None  # until it is asked for anew
            self._report(MoveFailed(f"acquire: {outcome.text}"))

    async def _release(self) -> None:
        outcome = await self._try("release")
        if outcome.status == 0:
            self._here = False
        elif not self._wanted:
            self._wanted = None
            log.error("the addresses cannot be released; the other node takes them", reason=outcome.text)

    async def _try(self, verb: Verb) -> Outcome:
        """Run it, and again while it fails, tries are left and nothing else is asked for."""
        wanted, self._here = self._wanted, None
        outcome = await self._run(verb)
        for _ in range(self._orders.retries):
            if outcome.status == 0 or self._wanted is not wanted:
                break
            log.warning("a command has failed and is tried again", verb=verb, reason=outcome.text)
            with trio.move_on_after(PAUSE_S):
                while self._wanted is wanted:
                    self._asked = trio.Event()
                    await self._asked.wait()
            if self._wanted is wanted:
                outcome = await self._run(verb)
        return outcome

    async def _check(self) -> None:
        outcome = await self._run("verify" if self._orders.verifies else "acquire")
        now = trio.current_time()
        again = self._check_again_at if self._check_again_at > now else math.inf
        self._check_at = min(again, now + self._orders.every)
        if outcome.status == 0 and now >= self._acquired_at + LONGEST * self._orders.every:
            self._forget()
        if outcome.status == 0 or not self._wanted:
            return
        if self._orders.verifies and outcome.status == ELSEWHERE:
            self._wanted = self._here = None
            self._note_loss()
            self._report(AddressesLost(by_lease=False))
        else:  # An API that is down is no reason to move: the addresses are where they were.
            log.warning("it cannot be told whether the addresses are here", reason=outcome.text)

    def _note_loss(self) -> None:
        self._forget_if_heard()
        self._losses += 1
        if self._losses > 1:
            self._pause = self._orders.longer(self._pause)
            self._tell()

    def _tell(self) -> None:
        self._told_at = trio.current_time()
        self._contested(
            f"somebody else has taken the addresses {self._losses} times; "
            f"the next time they are taken back after {self._pause:g} s at the earliest"
        )

    def _forget_if_heard(self) -> None:
        """Peers that hear each other agree on who has them: what was taken meanwhile comes back at once."""
        heard = self._heard()
        if heard != self._heard_then:
            self._heard_then = heard
            self._forget()

    def _forget(self) -> None:
        self._losses, self._pause = 0, 0.0
        self._check_from = min(self._check_from, self._acquired_at + SETTLED_S)

    async def _run(self, verb: Verb) -> Outcome:
        with trio.CancelScope(shield=self._finishes):
            outcome = await self._command(verb)
        log.debug("a command has ended", verb=verb, result=outcome.text)
        return outcome


def _to_nobody(event: AddressesLost | MoveFailed) -> None:
    """Nobody listens yet."""
