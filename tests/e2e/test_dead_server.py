"""Does a server that is not there harm the calls of the one that is?"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.calls import Callers, Farm, check
from tests.e2e.proxy import Proxy
from tests.e2e.traffic import Servers, Traffic, line_of, udp, uri_of
from tests.peers.ports import free_port
from tests.peers.program import wait_until

pytestmark = pytest.mark.usefixtures("on_either_path")

PROXY = "127.0.0.10"
EDGE = "127.0.0.31"
LIVE, DEAD = "127.0.0.21", "127.0.0.22"

IDLE_SECONDS = 1.0
IDLE_CPU_SECONDS = 0.5  # a loop that spins takes all of it


def test_no_message_of_the_live_server_is_lost_to_the_network_errors_of_the_dead_one(tmp_path: Path) -> None:
    """A server asks for both in turn, so that every second datagram that leaves the socket brings an error back."""
    address = PROXY, free_port(PROXY)
    listen = f"udp:{address[0]}:{address[1]}"
    with udp(LIVE) as client, udp(LIVE) as live:
        closed = f"sip:bob@{DEAD}:{free_port(DEAD)}"
        dispatched = f"sip:bob@{address[0]}:{address[1]}"
        with Proxy([listen], line_of(live), directory=tmp_path) as proxy:
            with (
                Servers(live) as servers,
                Traffic(client, address, [uri_of(live), closed, dispatched], rate=800) as traffic,
            ):
                traffic.after(2000)
                count = traffic.finish(servers, [number for number in range(traffic.sent) if number % 3 != 1])
            # A socket that stays readable for an error nobody takes would keep the loop spinning.
            before, begun = proxy.cpu_seconds(), time.monotonic()
            wait_until(lambda: time.monotonic() > begun + IDLE_SECONDS, "an idle second")
            used = proxy.cpu_seconds() - before
            last = proxy.stop()
    print(
        f"{count} requests of the live server, none lost; {used:.2f} s of processor time in {IDLE_SECONDS:.0f} s idle"
    )
    assert used < IDLE_CPU_SECONDS
    assert last["received"] > 2000


@pytest.mark.peers
def test_calls_whose_invite_met_the_dead_server_succeed_when_it_comes_again(tmp_path: Path) -> None:
    target = PROXY, free_port(PROXY)
    count = 100
    with Farm(tmp_path / "farm", (LIVE,)) as farm:
        dead = f"sip:{DEAD}:{free_port(DEAD)}"
        list_text = f"{farm.line(0)}1 {dead} 0 0 duid=dead;weight=50\n"
        with (
            Proxy([f"udp:{target[0]}:{target[1]}"], list_text, directory=tmp_path / "proxy") as proxy,
            Callers(tmp_path / "callers") as callers,
        ):
            callers.start("retried", ["plain"], target, address=EDGE, calls=count, rate=100)
            callers.finish()
            again = callers.retransmissions()
            warnings = [event for event in proxy.log() if event["level"] == "warning"]
        check(farm, "retried", count)
    print(f"{again} of {count} calls met the dead server and came again")
    assert any(dead in str(event) for event in warnings)
    assert again
