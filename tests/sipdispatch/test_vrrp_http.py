"""What does the agent serve over HTTP?"""

from __future__ import annotations

import json

import pytest
import structlog
import trio

from sipdispatch.vrrp_http import serve_metrics
from sipdispatch.vrrp_metrics import metrics_text
from sipdispatch.vrrp_running import RunningAgent
from tests.sipdispatch.manual_agent import ManualAgent, agent_status, trouble
from tests.vrrp.wires import Cable, station


async def get(path: str, agent: object) -> tuple[int, str]:
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve_metrics, ("127.0.0.1", 0), agent)
            stream = await trio.open_tcp_stream(*address)
            async with stream:
                await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                with trio.fail_after(10):
                    while chunk := await stream.receive_some():
                        answer += chunk
            nursery.cancel_scope.cancel()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def test_metrics_and_status_are_served() -> None:
    assert await get("/metrics", ManualAgent()) == (200, metrics_text(agent_status()))
    status, body = await get("/api/v1/vrrp", ManualAgent())
    assert (status, json.loads(body)["vrid"]) == (200, 51)
    assert await get("/healthz", ManualAgent()) == (200, '{"status":"alive"}')


@pytest.mark.parametrize(("agent", "expected"), [(ManualAgent(), 200), (ManualAgent(trouble()), 503)])
async def test_only_the_active_node_says_that_it_is(agent: ManualAgent, expected: int) -> None:
    assert (await get("/active", agent))[0] == expected


async def test_elsewhere_is_nothing() -> None:
    assert (await get("/", ManualAgent()))[0] == 404


async def test_the_running_agent_tells_of_itself(autojump_clock: object) -> None:
    a = station(Cable(), "192.0.2.11", 250)
    running = RunningAgent("eth0", "SCHED_RR 50")
    running.begin(a.agent)
    async with trio.open_nursery() as nursery:
        await nursery.start(a.agent.run)
        await trio.sleep(1)
        with structlog.testing.capture_logs() as logged:
            assert running.release(60.0, by="me").state == "backup"
            assert running.release(float("inf"), by="me").released_until == float("inf")
            assert running.hold(by="me").state == "fault"
            assert running.resume(by="me").state == "backup"
        steered = [line for line in logged if line["event"] == "an operator steers"]
        assert [(line["what"], line.get("seconds")) for line in steered] == [
            ("release", 60.0),
            ("release", None),
            ("hold", None),
            ("resume", None),
        ]
        running.claimed("192.0.2.100", "02:00:00:00:00:01")
        assert running.status().alarms == ()
        async with running.follow() as happenings:
            running.changed(a.transitions[0])
            assert (await happenings.receive()).after == "backup"
        assert [each.kind for each in running.history()] == ["vrrp"]
        nursery.cancel_scope.cancel()
