"""The sockets that probes leave from, on loopback and in namespaces."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from health import sources
from health.sources import RETRY_S, ROUTE_S, SAY_AGAIN_S, OpenSource, SourceSockets, key_of
from tests.dispatcher.namespace import run_in_namespace
from tests.health.farm import target

NOWHERE = ("192.0.2.77", 0)
"""No address of any machine (RFC 5737)."""


class Opened:
    """Sockets, and those that were opened, in order."""

    def __init__(self) -> None:
        self.told: list[OpenSource] = []
        self.sockets = SourceSockets(self.told.append)


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    made = Opened()
    yield made
    made.sockets.keep(frozenset())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_one_socket_for_each_family_and_source(host: str, opened: Opened) -> None:
    first, second = (target(number, address=(host, 5060 + number), source=(host, 0)) for number in (1, 2))
    address = opened.sockets.address_for(first)
    assert address is not None
    assert address[0] == host
    assert address[1] > 0
    assert opened.sockets.address_for(second) == address
    assert opened.sockets.socket_for(first) is opened.sockets.socket_for(second)
    assert [source.address for source in opened.told] == [address]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    assert key_of(first) == (family, (host, 0))
    assert opened.sockets.socket_for(first).family is family


@pytest.mark.parametrize(("host", "bound"), [("127.0.0.1", "0.0.0.0"), ("::1", "::")])
async def test_the_routing_table_says_what_stands_in_the_via_of_an_unbound_probe(
    host: str, bound: str, opened: Opened
) -> None:
    probed = target(address=(host, 5060), source=None)
    address = opened.sockets.address_for(probed)
    sock = opened.sockets.socket_for(probed)
    assert address == (host, sock.getsockname()[1])
    assert sock.getsockname()[0] == bound


async def test_a_port_can_be_chosen(opened: Opened) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert opened.sockets.address_for(target(source=("127.0.0.1", port))) == ("127.0.0.1", port)


async def test_the_route_is_asked_for_again_after_a_while(
    opened: Opened, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = target(address=("127.0.0.1", 5060), source=None)
    assert opened.sockets.address_for(probed) is not None
    asked = []
    real = socket.socket

    def counting(*arguments: int) -> socket.socket:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(socket, "socket", counting)
    assert opened.sockets.address_for(probed) is not None
    assert asked == []
    await trio.sleep(ROUTE_S)
    assert opened.sockets.address_for(probed) is not None
    assert len(asked) == 1
    opened.sockets.keep({key_of(probed)})
    assert opened.sockets.address_for(probed) is not None
    assert len(asked) == 2, "with new targets there may be new routes"


async def test_an_address_that_is_not_here_is_said_once_a_minute_and_tried_again(
    opened: Opened, autojump_clock: trio.testing.MockClock
) -> None:
    probed, other = target(source=NOWHERE), target(2, source=("192.0.2.78", 0))
    with capture_logs() as logs:
        for _ in range(round(SAY_AGAIN_S) + 30):
            assert opened.sockets.address_for(probed) is None
            await trio.sleep(RETRY_S)
        assert opened.sockets.address_for(other) is None
    assert [entry["source"] for entry in logs] == ["192.0.2.77", "192.0.2.77", "192.0.2.78"]
    assert logs[0]["log_level"] == "warning"
    assert logs[0]["reason"] == "Cannot assign requested address"
    assert opened.told == []


async def test_a_socket_that_cannot_be_opened_is_not_tried_for_every_probe(
    opened: Opened, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(key: sources.Key) -> OpenSource:
        tried.append(key)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(sources, "_open", refuse)
    with capture_logs():
        for _ in range(100):
            opened.sockets.address_for(target())
        assert len(tried) == 1
        with pytest.raises(OSError, match="a moment ago"):
            opened.sockets.socket_for(target())
        await trio.sleep(RETRY_S)
        monkeypatch.undo()
        assert opened.sockets.address_for(target(source=("127.0.0.1", 0))) is not None


async def test_a_source_of_the_other_family_is_no_source(opened: Opened) -> None:
    with capture_logs() as logs:
        assert opened.sockets.address_for(target(address=("::1", 5060), source=("127.0.0.1", 0))) is None
    assert len(logs) == 1


async def test_sockets_that_nobody_needs_are_closed(opened: Opened) -> None:
    kept, gone = target(1, source=("127.0.0.1", 0)), target(2, source=("127.0.0.2", 0))
    for each in (kept, gone, target(3, source=NOWHERE)):
        with capture_logs():
            opened.sockets.address_for(each)
    opened.sockets.keep({key_of(kept)})
    assert [source.closed for source in opened.told] == [False, True]
    assert opened.told[1].sock.fileno() == -1
    assert opened.sockets.socket_for(kept) is opened.told[0].sock
    assert opened.sockets.socket_for(gone) is not opened.told[1].sock


IN_NAMESPACE = """
import trio
from health.sources import SourceSockets
from health.target import Target

async def main():
    sockets = SourceSockets(lambda opened: None)
    print(sockets.address_for(Target(number=1, uri="sip:a", address=({to!r}, 5060))) is None)
    print(sockets.address_for(Target(number=2, uri="sip:a", address=("127.0.0.1", 5060))) is None)

trio.run(main)
"""


@pytest.mark.parametrize("to", ["198.51.100.1", "2001:db8::1"])
def test_without_a_route_there_is_no_source(to: str) -> None:
    said = run_in_namespace(IN_NAMESPACE.format(to=to), setup="ip link set lo up")
    assert said.splitlines()[-1] == "False"
    assert "True" in said.splitlines()
    assert "Network is unreachable" in said
