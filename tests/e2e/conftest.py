"""What several end-to-end tests are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.fastpath import WHY_NOT
from tests.e2e.proxy import Proxy
from tests.peers.need import missing


@pytest.fixture(scope="module", params=["off", "on"], ids=["python", "compiled"])
def on_either_path(request: pytest.FixtureRequest) -> Iterator[None]:
    """The proxies of the module take Python's path in one run, the compiled one in another; else what is there.

    A test that does not ask for it must not stand between those that do: it would have the path of its neighbours.
    """
    if WHY_NOT and request.param == "on":
        missing(WHY_NOT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Proxy, "fastpath", request.param)
        yield
