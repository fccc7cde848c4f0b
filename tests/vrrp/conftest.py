"""Which scene do the tests of the agent share?  Two hosts on one wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.namespace import Network
from tests.vrrp.two_hosts import A6, B6, A, B, Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Network() as network:
        a, b = network.host("a"), network.host("b")
        network.wire(a, f"{A}/24", b, f"{B}/24")
        for host, address in ((a, A6), (b, B6)):
            host.bring_up("eth0", f"{address}/64")
        yield Pair(a, b)
