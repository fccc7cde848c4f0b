"""Who hears of what happens in the running proxy: every hook at once, people by notices that are damped?"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog
import trio

from sipdispatch.chronicle import Chronicle
from sipdispatch.damping import Damping, Notice
from sipdispatch.happening import Happening
from sipdispatch.hooks import HookQueue
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.notice_text import SETS, Message, compose
from sipdispatch.notices import Delivery, Sender

STOP_S: Final = 5.0
"""The end takes no longer, whatever hangs."""
FOLLOWED: Final = 20_000
"""Happenings that may come between two turns of the listener: all of 10,000 destinations suspect, then down."""
PAUSE_S: Final = 1.0
"""After a mistake of this program, so that it does not fill the log."""

LeftOf = Callable[[int], tuple[int, int] | None]
"""How many destinations of a set may be chosen for new work, and how many there are; None: there is no such set."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Sends(Protocol):
    """What a notifier needs of `sipdispatch.notices.Sender`."""

    def hurry(self) -> None: ...

    async def check(self) -> str | None: ...

    async def send(self, message: Message) -> Delivery: ...


def _nobody_knows(_set_id: int) -> None:
    return None


async def run_notifiers(
    chronicle: Chronicle,
    hooks: Sequence[Hook],
    notifiers: Sequence[Notify],
    node_name: str,
    *,
    left_of: LeftOf = _nobody_knows,
    sender_of: Callable[[Notify], Sends] = Sender,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Tell hooks and notifiers of everything that is recorded once this has started; runs until it is cancelled.

    Then what was recorded before is still told, with one try for each: hooks are run, and what notices have not told
    yet is told without waiting for the end of a window.  That takes STOP_S at most.  Nothing that goes wrong with a
    hook or a notifier ends this task.
    """
    work = _Work(
        chronicle,
        [HookQueue(hook, node_name) for hook in hooks],
        [_Teller(notify, node_name, left_of, sender_of(notify)) for notify in notifiers],
    )
    async with chronicle.follow(FOLLOWED) as happenings, trio.open_nursery() as nursery:
        nursery.start_soon(work.run, happenings)
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            work.stop()


class _Work:
    """All that goes on, in a shield: the end of the process is told to it, not done to it."""

    def __init__(self, chronicle: Chronicle, hooks: Sequence[HookQueue], tellers: Sequence[_Teller]) -> None:
        self._chronicle = chronicle
        self._seen = chronicle.sequence
        self._hooks = hooks
        self._tellers = tellers
        self._all = trio.CancelScope(shield=True)
        self._listening = trio.CancelScope()

    def stop(self) -> None:
        self._listening.cancel()
        self._all.deadline = trio.current_time() + STOP_S

    async def run(self, happenings: trio.MemoryReceiveChannel[Happening]) -> None:
        with self._all:
            async with trio.open_nursery() as nursery:
                for hook in self._hooks:
                    nursery.start_soon(_surviving, hook.run)
                for teller in self._tellers:
                    nursery.start_soon(_surviving, teller.run)
                await self._listen(happenings)
        if self._all.cancelled_caught:
            log.warning("not everybody was told of everything: there was no time left")

    async def _listen(self, happenings: trio.MemoryReceiveChannel[Happening]) -> None:
        with self._listening:
            async for happening in happenings:
                self._take(happening)
        while happenings.statistics().current_buffer_used:
            self._take(happenings.receive_nowait())
        for hook in self._hooks:
            hook.stop()
        for teller in self._tellers:
            teller.stop()

    def _take(self, happening: Happening) -> None:
        missed: tuple[Happening, ...] = ()
        if happening.sequence > self._seen + 1:
            missed = self._chronicle.between(self._seen, happening.sequence)
        self._seen = happening.sequence
        for each in (*missed, happening):
            for hook in self._hooks:
                hook.put(each)
            for teller in self._tellers:
                teller.happened(each)


async def _surviving(run: Callable[[], Awaitable[None]]) -> None:
    """Run something again that has failed by a mistake of ours."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a notifier failed by a mistake in this program; please report it")
            await trio.sleep(PAUSE_S)
        else:
            return


class _Teller:
    """Tells the readers of one notifier."""

    def __init__(self, notify: Notify, node: str, left_of: LeftOf, sender: Sends) -> None:
        self._notify = notify
        self._node = node
        self._left_of = left_of
        self._sender = sender
        self._damping = Damping(notify.kinds, every=notify.every)
        self._changed = trio.Event()
        self._stopping = False

    def happened(self, happening: Happening) -> None:
        self._damping.happened(happening, trio.current_time())
        self._changed.set()

    def stop(self) -> None:
        self._stopping = True
        self._sender.hurry()
        self._changed.set()

    async def run(self) -> None:
        """Send what is due; after `stop`, once more what is left."""
        problem = await self._sender.check()
        if problem is not None:
            log.warning("a notifier cannot be used", notifier=self._notify.name, reason=problem)
        while not self._stopping:
            self._changed = trio.Event()
            timer = self._damping.get_timer()
            with trio.move_on_at(math.inf if timer is None else timer):
                await self._changed.wait()
            notice = self._damping.notice_to_send(trio.current_time())
            if notice is not None:
                await self._tell(notice)
        last = self._damping.last_notice()
        if last is not None:
            await self._tell(last)

    async def _tell(self, notice: Notice) -> None:
        delivered = False
        try:
            delivery = await self._sender.send(self._message(notice))
            delivered = delivery.delivered
        finally:
            (self._damping.delivered if delivered else self._damping.failed)(trio.current_time())
        facts = {"notifier": self._notify.name, "to": self._notify.where, "answer": delivery.text}
        if delivered:
            log.info("a notice was delivered", **facts)
        else:
            log.error("a notice was not delivered", **facts, tries=delivery.tries)

    def _message(self, notice: Notice) -> Message:
        known = {number: self._left_of(number) for number in notice.sets[:SETS]}
        left = {number: counts for number, counts in known.items() if counts is not None}
        return compose(notice, self._node, at=time.time(), left=left)
