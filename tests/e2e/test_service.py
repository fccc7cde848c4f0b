"""Does the running proxy do as the manual says when it is stopped, killed, reloaded and changed under load?"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.traffic import address_of, number_of, read_all, request, udp
from tests.peers.ports import free_port

PROXY = "127.0.0.10"


@pytest.mark.parametrize("refusing", [False, True])
def test_a_burst_before_sigterm_is_finished(tmp_path: Path, *, refusing: bool) -> None:
    """Also when the network refuses some of what is sent, so that reads fail in between."""
    count = 500
    address = PROXY, free_port(PROXY)
    with udp("127.0.0.21") as client, udp("127.0.0.21") as one, udp("127.0.0.22") as other:
        closed = f"sip:bob@127.0.0.22:{free_port('127.0.0.22')}"
        uris = [f"sip:bob@{host}:{port}" for host, port in map(address_of, (one, other))]
        lines = "".join(f"1 {uri.replace('bob@', '')}\n" for uri in uris)
        with Proxy([f"udp:{address[0]}:{address[1]}"], lines, directory=tmp_path / "proxy") as proxy:
            proxy.program.signal(signal.SIGSTOP)  # so that all of them are there before it sees the signal
            for number in range(count):
                uri = closed if refusing and number % 4 else uris[number % 8 // 4]
                client.sendto(request(number, address_of(client), uri), address)
            proxy.program.signal(signal.SIGTERM)
            proxy.program.signal(signal.SIGCONT)
            last = proxy.stop()
        arrived = sorted(number_of(raw) for sock in (one, other) for raw, _ in read_all(sock))
    assert last["received"] == count
    assert arrived == [number for number in range(count) if not refusing or number % 4 == 0]
