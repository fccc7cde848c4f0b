"""What comes of a test of hooks and notifiers?"""

from __future__ import annotations

import time
from functools import partial

import attrs
import trio

from sipdispatch.damping import Notice
from sipdispatch.happening import Happening
from sipdispatch.hooks import run_hook
from sipdispatch.notice_sections import NoticeSections
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.notice_shapes import shortened
from sipdispatch.notice_text import compose
from sipdispatch.notices import Sender


@attrs.frozen
class Trial:
    """What has come of the test of one hook or notifier."""

    name: str
    succeeded: bool
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {'ok' if self.succeeded else 'failed'}: {self.text}"


async def try_all(sections: NoticeSections, node: str) -> list[Trial]:
    """Run each hook and send each notice once, all together; in the order of the file, hooks first."""
    results: dict[int, Trial] = {}
    tests = [
        *(partial(_try_hook, hook, node) for hook in sections.hooks),
        *(partial(_try_notifier, notify, node) for notify in sections.notifiers),
    ]

    async def run(index: int) -> None:
        results[index] = await tests[index]()

    async with trio.open_nursery() as nursery:
        for index in range(len(tests)):
            nursery.start_soon(run, index)
    return [results[index] for index in range(len(tests))]


async def _try_hook(hook: Hook, node: str) -> Trial:
    happening = Happening(
        sequence=0, at=time.time(), kind="proxy", before="", after="test", cause="sipdispatch notify test"
    )
    run = await run_hook(hook, happening, node)
    output = shortened(run.output)
    return Trial(hook.name, run.succeeded, run.text if run.succeeded or not output else f"{run.text}: {output}")


async def _try_notifier(notify: Notify, node: str) -> Trial:
    delivery = await Sender(notify).send(compose(Notice(), node, at=time.time()), retries=0)
    return Trial(notify.name, delivery.delivered, f"{notify.where}: {delivery.text}")
