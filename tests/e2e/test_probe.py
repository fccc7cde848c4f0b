"""Does `sipdispatch probe` say of a running proxy what sipsak says, in its own words and in sipsak's?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.proxy import RELOADED, Proxy
from tests.e2e.traffic import Servers, line_of, udp
from tests.peers.ports import free_port
from tests.peers.sipsak import sipsak
from tests.sipdispatch.probing import probe

pytestmark = pytest.mark.peers

PROXY = "127.0.0.11"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Proxy, str, str]]:
    host = f"{PROXY}:{free_port(PROXY)}"
    with udp("127.0.0.23") as server, Servers(server):
        line = line_of(server)
        with Proxy([f"udp:{host}"], line, directory=tmp_path) as proxy:
            yield proxy, host, line


def test_a_proxy_with_and_without_servers(stage: tuple[Proxy, str, str]) -> None:
    proxy, host, line = stage
    uri = f"sip:s@{host}"
    good = probe(host)
    assert (good.code, good.err) == (0, "")
    assert good.shape.startswith(f"200 OK  from={host} seq=1 rtt=N ms")
    assert probe("--sipsak", "-s", uri).code == sipsak("-s", uri).code == 0
    proxy.write_list(line.replace(" 0 0 ", " 4 0 "))
    assert proxy.reload()["event"] == RELOADED
    bad = probe(host)
    assert bad.code == 1
    assert bad.shape.startswith(f"503 Service Unavailable  from={host} ")
    assert probe("--any-reply", host).code == 0
    assert probe("--sipsak", "-N", "-s", uri).out == "SIP failure\n" == sipsak("-N", "-s", uri).output
    assert probe("--sipsak", "-s", uri).code == sipsak("-s", uri).code == 1


def test_the_way_through_the_proxy(stage: tuple[Proxy, str, str]) -> None:
    _, host, _ = stage
    ours = probe("--sipsak", "-T", "-s", f"sip:bob@{host}")
    theirs = sipsak("-T", "-s", f"sip:bob@{host}")
    hops = [line.partition(") ")[2] for line in ours.out.splitlines()]
    assert hops == [line.partition(") ")[2] for line in theirs.output.splitlines() if line[0].isdigit()]
    assert hops == ["SIP/2.0 483 Too Many Hops", "SIP/2.0 200 OK"]
    assert ours.code == theirs.code == 0
