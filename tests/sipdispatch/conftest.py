"""What several test files ask for by name."""

from __future__ import annotations

import pytest
import trio

from dispatcher.slots import TABLE_SIZE


@pytest.fixture
def without_slot_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a table takes a third of a second; choices without one are as sound."""

    async def empty(_groups: object) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"\xff" * TABLE_SIZE

    monkeypatch.setattr("dispatcher.slotbuild.build_apart", empty)
