"""Does the agent see at once what becomes of a real proxy, and its return, and tell death from sleep?"""

from __future__ import annotations

import math
import signal
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from sip.uri import Address
from sipdispatch.vrrp_settings import Vrrp, VrrpTrack
from sipdispatch.vrrp_tracks import run_tracks, tracks_of
from tests.e2e.proxy import Proxy
from tests.peers.ports import free_port
from vrrp.address import VirtualAddress
from vrrp.parameters import FIT
from vrrp.tracking import RECOVERY_S, Tracking

HOST = "127.0.0.10"
KILLS = 5
PATIENCE_S = 30.0


@attrs.frozen
class Stage:
    """A proxy with a control socket."""

    proxy: Proxy
    address: Address
    socket: Path

    @property
    def vrrp(self) -> Vrrp:
        track = VrrpTrack(sip=self.address, control=self.socket)
        return Vrrp(
            interface="eth0", vrid=51, priority=250, addresses=(VirtualAddress.of("192.0.2.100", "eth0"),), track=track
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("tracks")
    address, control = (HOST, free_port(HOST)), directory / "control.sock"
    with Proxy(
        [f"udp:{HOST}:{address[1]}"],
        "1 sip:127.0.0.21:5070\n",
        directory=directory,
        settings=f'[control]\nsocket = "{control}"',
    ) as proxy:
        yield Stage(proxy, address, control)


@attrs.frozen
class Told:
    """A result as it reached the agent."""

    name: str
    ok: bool
    detail: str
    at: float


class Agent:
    """What the agent makes of the results."""

    def __init__(self, vrrp: Vrrp) -> None:
        self._tracking = Tracking(vrrp.priority, tracks_of(vrrp))
        self._came = trio.Event()
        self.told: list[Told] = []

    def report(self, name: str, *, ok: bool, detail: str) -> None:
        at = time.monotonic()
        self._tracking.report(name, ok=ok, detail=detail, now=at)
        self.told.append(Told(name, ok, detail, at))
        self._came.set()

    @property
    def cause(self) -> str:
        """Why it would not own the address, if it were not for the ten seconds of a recovery."""
        fitness = self._tracking.fitness(math.nextafter(time.monotonic() + RECOVERY_S, math.inf))
        assert bool(fitness.cause) is (fitness.priority < FIT)
        return fitness.cause

    async def until_cause(self, *beginnings: str) -> None:
        """Return when the cause begins so; without arguments, when there is none."""
        while not (self.cause.startswith(beginnings) if beginnings else not self.cause):
            self._came = trio.Event()
            await self._came.wait()

    def since(self, at: float, name: str) -> list[Told]:
        return [each for each in self.told if each.at >= at and each.name == name]


@asynccontextmanager
async def tracked(stage: Stage) -> AsyncIterator[Agent]:
    """An agent to which the proxy is well."""
    agent = Agent(stage.vrrp)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_tracks, stage.vrrp, agent.report, proxy_socket=Path("/nowhere")))
        with trio.fail_after(PATIENCE_S):
            await agent.until_cause()
            yield agent
        nursery.cancel_scope.cancel()


async def restart(stage: Stage) -> None:
    await trio.to_thread.run_sync(stage.proxy.program.wait, 10.0)
    await trio.to_thread.run_sync(stage.proxy.start)


async def test_a_proxy_that_is_killed_has_ended_at_once(stage: Stage) -> None:
    took: list[float] = []
    async with tracked(stage) as agent:
        for _ in range(KILLS):
            killed_at = time.monotonic()
            stage.proxy.program.signal(signal.SIGKILL)
            await agent.until_cause("control: the proxy has ended")
            took.append(agent.since(killed_at, "control")[0].at - killed_at)
            assert not agent.since(killed_at, "control")[0].ok
            await restart(stage)
            await agent.until_cause()
        assert agent.since(0, "control")[0].detail == "attends the proxy"
    shown = " ".join(f"{seconds * 1000:.2f}" for seconds in sorted(took))
    print(f"\nfrom kill -9 of the proxy to the agent: median {statistics.median(took) * 1000:.2f} ms ({shown})")


async def test_a_proxy_that_is_frozen_is_seen_by_its_silence(stage: Stage) -> None:
    async with tracked(stage) as agent:
        frozen_at = time.monotonic()
        stage.proxy.program.signal(signal.SIGSTOP)
        try:
            await agent.until_cause("sip: no answer in 200 ms")
            print(f"\nfrom SIGSTOP of the proxy to the agent: {(time.monotonic() - frozen_at) * 1000:.0f} ms")
            assert agent.since(frozen_at, "control") == []
        finally:
            stage.proxy.program.signal(signal.SIGCONT)
        await agent.until_cause()
        assert agent.since(frozen_at, "control") == []


async def test_a_proxy_that_is_stopped_has_ended_and_is_found_again(stage: Stage) -> None:
    async with tracked(stage) as agent:
        stopped_at = time.monotonic()
        await trio.to_thread.run_sync(stage.proxy.stop)
        await agent.until_cause("control: the proxy has ended")
        await trio.to_thread.run_sync(stage.proxy.start)
        await agent.until_cause()
        control = agent.since(stopped_at, "control")
        assert {each.detail for each in control if not each.ok} == {"the proxy has ended"}
        assert control[-1].detail == "attends the proxy"
        assert f"nobody listens on {HOST}:{stage.address[1]}" in {
            each.detail for each in agent.since(stopped_at, "sip")
        }


async def test_an_agent_that_starts_first_waits_for_the_proxy(stage: Stage) -> None:
    await trio.to_thread.run_sync(stage.proxy.stop)
    agent = Agent(stage.vrrp)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_tracks, stage.vrrp, agent.report, proxy_socket=Path("/nowhere")))
        with trio.fail_after(PATIENCE_S):
            await agent.until_cause(f"control: nobody listens on {stage.socket}")
            await trio.to_thread.run_sync(stage.proxy.start)
            await agent.until_cause()
        nursery.cancel_scope.cancel()
