"""Does the running proxy do as the manual says when it is stopped, killed and changed under load?"""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from sip.uri import Address
from tests.e2e.proxy import NOT_RELOADED, RELOADED, Proxy
from tests.e2e.traffic import Servers, Traffic, address_of, answer, line_of, number_of, read_all, request, udp
from tests.peers.ports import free_port
from tests.peers.program import wait_until

PROXY = "127.0.0.10"
ANYBODY = "sip:bob@example.com"
RATE = 500
"""Requests a second; their answers are as many messages again."""


@attrs.frozen
class Stage:
    """A proxy with a configuration file, a client and two servers behind it."""

    proxy: Proxy
    address: Address
    client: socket.socket
    one: socket.socket
    other: socket.socket

    def list_text(self, weight: int = 50) -> str:
        return line_of(self.one) + line_of(self.other, f"weight={weight}")


@pytest.fixture(scope="module")
def stage(on_either_path: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    address = PROXY, free_port(PROXY)
    with udp("127.0.0.31") as client, udp("127.0.0.21") as one, udp("127.0.0.22") as other:
        directory = tmp_path_factory.mktemp("service")
        with Proxy(
            [listen(address)], line_of(one) + line_of(other), directory=directory, settings="retry_after = 7"
        ) as proxy:
            yield Stage(proxy, address, client, one, other)


def listen(address: Address) -> str:
    return f"udp:{address[0]}:{address[1]}"


def test_no_message_is_lost_while_the_list_is_read_again(stage: Stage) -> None:
    proxy = stage.proxy
    with (
        Servers(stage.one, stage.other) as servers,
        Traffic(stage.client, stage.address, [ANYBODY], rate=RATE) as traffic,
    ):
        traffic.after(100)
        assert proxy.reload()["event"] == RELOADED
        before = len(proxy.log(RELOADED))
        proxy.write_list(stage.list_text(weight=10))
        changed = proxy.wait_for(RELOADED, beyond=before)
        traffic.after(100)
        proxy.write_list(stage.list_text())
        assert proxy.reload()["event"] == RELOADED
        traffic.after(100)
        count = traffic.finish(servers)
    assert "1 changed" in changed["change"]
    assert {place for place, _ in servers.heard} == {0, 1}
    print(f"{count} requests and as many answers, none lost")


def test_a_bad_list_leaves_the_old_one_in_force_and_the_log_says_where_it_is_wrong(stage: Stage) -> None:
    proxy = stage.proxy
    told = len(proxy.log())
    proxy.write_list(f"{stage.list_text()}1 sip:127.0.0.23 0 0 weight=ten\n\nsip:127.0.0.24\n")
    before = len(proxy.log(NOT_RELOADED))
    proxy.reload()
    refused = proxy.wait_for(NOT_RELOADED, beyond=before)  # the watcher may have told of the list before it
    with (
        Servers(stage.one, stage.other) as servers,
        Traffic(stage.client, stage.address, [ANYBODY], rate=RATE) as traffic,
    ):
        traffic.after(100)
        traffic.finish(servers)
    errors = [event["event"] for event in proxy.log()[told:] if event["level"] == "error"]
    proxy.write_list(stage.list_text())
    assert proxy.reload()["event"] == RELOADED

    assert refused["event"] == NOT_RELOADED
    assert refused["errors"] == 2
    assert refused["hint"] == f"see: sipdispatch check {proxy.list_file}"
    assert errors[0].startswith(f"{proxy.list_file}:3:29: error: weight is a whole number")
    assert errors[1].startswith(f"{proxy.list_file}:5:1: error: set id is missing")


def test_a_changed_configuration_is_checked_and_needs_a_restart(stage: Stage) -> None:
    proxy = stage.proxy
    right, wrong = "the configuration has changed: restart", "the changed configuration is wrong: a restart would fail"
    proxy.write_config("retry_after = 8")
    assert proxy.wait_for(right)["path"] == str(proxy.config_file)
    told = len(proxy.log())
    proxy.write_config('retry_after = "8"\nalgorythm = "weight"')
    proxy.wait_for(wrong)
    errors = [event["event"] for event in proxy.log()[told:] if event["level"] == "error"]
    proxy.write_config("retry_after = 7")

    assert errors[0].startswith(f"{proxy.config_file}:5:15: error: proxy.retry_after: must be a whole number")
    assert errors[1].startswith(f"{proxy.config_file}:6:1: error: proxy.algorythm: there is no such key")


def test_calls_outlive_a_killed_proxy_that_is_started_again_at_once(stage: Stage) -> None:
    """Nothing is left to wait for, and what it knew of the calls is in their messages."""
    invites = [request(number, address_of(stage.client), ANYBODY, method="INVITE") for number in range(20)]
    first = _exchange(stage, invites)
    stage.proxy.kill()
    stage.proxy.start()
    again = _exchange(stage, invites)
    byes = [_bye(invite, as_it_came) for invite, (_, as_it_came) in zip(invites, first, strict=True)]
    last = _exchange(stage, byes)
    assert _timeless(again) == _timeless(first)
    assert [place for place, _ in last] == [place for place, _ in first]
    assert {place for place, _ in first} == {0, 1}


@pytest.mark.usefixtures("on_either_path")
def test_a_burst_before_sigterm_is_finished(tmp_path: Path) -> None:
    """Also when the network refuses most of what is sent, so that reads fail in between."""
    address = PROXY, free_port(PROXY)
    with udp("127.0.0.21") as client, udp("127.0.0.21") as server:
        closed = f"sip:bob@127.0.0.22:{free_port('127.0.0.22')}"
        with Proxy([listen(address)], line_of(server), directory=tmp_path) as proxy:
            # Without root the kernel gives less room, of which a short datagram takes 1,280 bytes.
            count = min(500, 2 * proxy.log("ready")[0]["receive_buffer_bytes"][0] // 1536)
            proxy.program.signal(signal.SIGSTOP)  # so that all of them are there before it sees the signal
            for number in range(count):
                uri = closed if number % 4 else f"sip:bob@{address[0]}:{address[1]}"
                client.sendto(request(number, address_of(client), uri), address)
            proxy.program.signal(signal.SIGTERM)
            proxy.program.signal(signal.SIGCONT)
            last = proxy.stop()
        arrived = [number_of(raw) for raw, _ in read_all(server)]
    assert last["received"] == count
    # Several threads keep no order within a burst.
    assert (arrived if Proxy.fastpath == "off" else sorted(arrived)) == [*range(0, count, 4)]


def _timeless(had: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Without the moment that each request left, which our Via tells."""
    return [(place, re.sub(rb";t=[0-9a-z]{4}", b"", raw)) for place, raw in had]


def _exchange(stage: Stage, requests: list[bytes]) -> list[tuple[int, bytes]]:
    """Send the requests; the place of the server that had each of them, and the request as it came."""
    had: dict[int, tuple[int, bytes]] = {}
    answered: set[int] = set()
    for raw in requests:
        stage.client.sendto(raw, stage.address)

    def all_answered() -> bool:
        for place, server in enumerate((stage.one, stage.other)):
            for raw, source in read_all(server):
                had[number_of(raw)] = place, raw
                server.sendto(answer(raw), source)
        answered.update(number_of(raw) for raw, _ in read_all(stage.client))
        return len(answered) == len(requests)

    wait_until(all_answered, "every request is answered")
    return [had[number] for number in range(len(requests))]


def _bye(invite: bytes, as_it_came: bytes) -> bytes:
    """The caller's BYE, by the route that the server has seen."""
    route = next(line for line in as_it_came.split(b"\r\n") if line.startswith(b"Record-Route: "))
    bye = invite.replace(b"INVITE", b"BYE").replace(b"CSeq: 1", b"CSeq: 2")
    return bye.replace(b"Max-Forwards", route.removeprefix(b"Record-") + b"\r\nMax-Forwards")
