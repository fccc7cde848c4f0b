"""Is a link told of at once when it changes, and looked at even if nobody tells?"""

from __future__ import annotations

import errno
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from sipdispatch import vrrp_track_link
from sipdispatch.vrrp_track_link import AUDIT_S, watch_link
from tests.sipdispatch.vrrp_said import asking
from vrrp.link import InterfaceFacts

UP = InterfaceFacts(exists=True, running=True, hardware=b"", addresses=())
DOWN = InterfaceFacts(exists=True, running=False, hardware=b"", addresses=())
GONE = InterfaceFacts(exists=False, running=False, hardware=b"", addresses=())


class Kernel:
    """What it knows of the interface, and whom it tells."""

    def __init__(self) -> None:
        self.facts = UP
        self.told = trio.Event()
        self.closed = False
        self.failing = False

    def __call__(self) -> Kernel:
        return self

    async def wait(self) -> None:
        await self.told.wait()
        self.told = trio.Event()

    def facts_of(self, name: str) -> InterfaceFacts:
        assert name == "eth1"
        if self.failing:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.facts

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    monkeypatch.setattr(vrrp_track_link, "LinkEvents", fake)
    monkeypatch.setattr(vrrp_track_link, "facts_of", fake.facts_of)
    return fake


async def test_a_change_is_told_at_once(kernel: Kernel) -> None:
    async with asking(partial(watch_link, "eth1")) as said:
        assert await said.next() == (True, "up")
        for facts, detail in ((DOWN, "down, or without carrier"), (GONE, "there is no such interface")):
            kernel.facts = facts
            kernel.told.set()
            assert await said.next() == (False, detail)
    assert kernel.closed


async def test_it_is_looked_at_even_if_nobody_tells(kernel: Kernel, autojump_clock: Any) -> None:
    del autojump_clock
    async with asking(partial(watch_link, "eth1")) as said:
        began = trio.current_time()
        await said.next()
        kernel.facts = DOWN
        assert (await said.next())[0] is False
        assert trio.current_time() - began == pytest.approx(AUDIT_S)


async def test_it_stays_as_it_was_while_it_cannot_be_looked_at(kernel: Kernel, autojump_clock: Any) -> None:
    del autojump_clock
    async with asking(partial(watch_link, "eth1")) as said:
        await said.next()
        kernel.failing = True
        await trio.sleep(3 * AUDIT_S)
        kernel.failing, kernel.facts = False, DOWN
        assert (await said.next())[0] is False
