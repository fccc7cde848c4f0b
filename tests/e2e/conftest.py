"""What several end-to-end tests are given."""

from __future__ import annotations

import pytest

from dispatcher.fastpath import WHY_NOT
from tests.e2e.proxy import Proxy
from tests.peers.need import missing


@pytest.fixture(params=["off", "on"], ids=["python", "compiled"])
def on_either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of the test take Python's path in one run, the compiled one in another; else what is there."""
    if WHY_NOT and request.param == "on":
        missing(WHY_NOT)
    monkeypatch.setattr(Proxy, "fastpath", request.param)
