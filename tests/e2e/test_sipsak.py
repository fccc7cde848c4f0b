"""Does the proxy bear all that a real sipsak does to it, and say what sipsak wants to hear?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from tests.e2e.proxy import RELOADED, Proxy
from tests.e2e.traffic import Servers, line_of, request, udp
from tests.peers.ports import free_port
from tests.peers.sipsak import sipsak

pytestmark = pytest.mark.peers

PROXY = "127.0.0.10"
FLOOD = 20_000
QUICK = ("-Z", "20")
"""T1 of 20 ms in place of 500, so that sipsak gives up on silence after 1.4 s and not after 35."""


@attrs.frozen
class Stage:
    """A proxy before one server; `host` is HOST:PORT with four digits, because sipsak cuts longer ports."""

    proxy: Proxy
    servers: Servers
    host: str
    server_line: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    host = f"{PROXY}:{free_port(PROXY)}"
    with udp("127.0.0.21") as server, Servers(server) as servers:
        line = line_of(server)
        with Proxy([f"udp:{host}"], line, directory=tmp_path_factory.mktemp("sipsak")) as proxy:
            yield Stage(proxy, servers, host, line)


def assert_alive(stage: Stage) -> None:
    asked = sipsak("-s", f"sip:s@{stage.host}")
    assert asked.code == 0, asked.output


def test_sipsak_is_content_while_a_destination_is_usable_and_not_when_none_is(stage: Stage) -> None:
    for uri in (f"sip:s@{stage.host}", f"sip:ping@{stage.host}", f"sip:{stage.host}"):
        asked = sipsak("-vv", "-s", uri)
        assert asked.code == 0, asked.output
        assert "SIP/2.0 200 OK" in asked.output
    assert not stage.servers.heard

    stage.proxy.write_list(stage.server_line.replace(" 0 0 ", " 4 0 "))
    assert stage.proxy.reload()["event"] == RELOADED
    asked = sipsak("-vv", "-s", f"sip:s@{stage.host}")
    stage.proxy.write_list(stage.server_line)
    assert stage.proxy.reload()["event"] == RELOADED
    assert asked.code == 1
    assert "SIP/2.0 503 Service Unavailable" in asked.output
    assert "Retry-After: 5" in asked.output
    assert_alive(stage)


def test_traceroute_sees_the_proxy_and_the_server_behind_it(stage: Stage) -> None:
    traced = sipsak("-T", "-s", f"sip:bob@{stage.host}")
    hops = [line for line in traced.output.splitlines() if line[0].isdigit()]
    assert "SIP/2.0 483 Too Many Hops" in hops[0]
    assert "SIP/2.0 200 OK" in hops[1]
    assert len(hops) == 2


def test_a_registration_reaches_the_server_with_a_path_back(stage: Stage) -> None:
    registered = sipsak("-i", "-U", "-C", "sip:8005@127.0.0.1:5999", "-s", f"sip:8005@{stage.host}")
    assert registered.code == 0, registered.output
    _, raw = stage.servers.heard[-1]
    assert raw.startswith(b"REGISTER ")
    assert b"\r\nPath: <sip:" in raw
    assert b"\r\nSupported: path\r\n" in raw


def files(host: str) -> Mapping[str, bytes]:
    chance = random.Random(4475)
    valid = request(0, ("127.0.0.1", 5999), f"sip:bob@{host}")
    return {
        "valid": valid,
        "bare line ends": valid.replace(b"\r\n", b"\n"),
        "no start line": valid.partition(b"\r\n")[2],
        "no colon": valid.replace(b"To:", b"To"),
        "half": valid[: len(valid) // 2],
        "binary": chance.randbytes(1500),
        "binary in a header": valid.replace(b"tag=t0", chance.randbytes(200).replace(b"\n", b"")),
        "nul": bytes(1500),
        "long": valid.replace(b"Content-Length", b"X: " + b"x" * 2000 + b"\r\nContent-Length"),
        "nothing": b"\r\n\r\n",
    }


@pytest.mark.parametrize("name", files(""))
def test_whatever_is_in_a_file_does_no_harm(stage: Stage, tmp_path: Path, name: str) -> None:
    file = tmp_path / "message"
    file.write_bytes(files(stage.host)[name])
    heard = len(stage.servers.heard)
    sent = sipsak("-vv", *QUICK, "-f", file, "-s", f"sip:bob@{stage.host}")
    print(name, sent.code)
    assert (len(stage.servers.heard) > heard) == (sent.code == 0), sent.output
    assert (sent.code == 0) == (name in {"valid", "bare line ends", "long"}), sent.output
    assert_alive(stage)


def test_random_damage_does_no_harm(stage: Stage) -> None:
    sipsak(*QUICK, "-R", "-s", f"sip:s@{stage.host}")
    assert_alive(stage)


def test_a_flood_does_no_harm(stage: Stage) -> None:
    flooded = sipsak("-F", "-e", str(FLOOD), "-s", f"sip:s@{stage.host}")
    assert flooded.code == 0, flooded.output
    assert_alive(stage)
