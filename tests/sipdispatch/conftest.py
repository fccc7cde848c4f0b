"""What several test files ask for by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from dispatcher.slots import TABLE_SIZE
from sipdispatch import notices
from sipdispatch.control_path import NAME
from tests.sipdispatch.control_world import Running, running
from tests.sipdispatch.manual_proxy import ManualProxy
from tests.sipdispatch.notice_servers import HttpServer, Trust, listening, make_trust


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that sets the logs up for its process leaves them as they were to the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def without_slot_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a table takes a third of a second; choices without one are as sound."""

    async def empty(_groups: object) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"\xff" * TABLE_SIZE

    monkeypatch.setattr("dispatcher.slotbuild.build_apart", empty)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices are tried again at once."""
    monkeypatch.setattr(notices, "BACKOFF_S", (0.001, 0.002))


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def web() -> HttpServer:
    return HttpServer()


@pytest.fixture
def web_port(web: HttpServer) -> Iterator[int]:
    with listening(web.serve) as port:
        yield port


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Running[ManualProxy]]:
    """One whose control socket is in the test's folder."""
    with structlog.testing.capture_logs(), running(tmp_path / NAME, ManualProxy()) as there:
        yield there
