"""The VRRP agent of the examples in the manual: what it tells, and how its examples are run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import pytest
import structlog
import trio

from sipdispatch.chronicle import Chronicle
from sipdispatch.cli import main
from sipdispatch.control_path import AGENT_NAME
from sipdispatch.happening import Happening
from sipdispatch.vrrp_methods import METHODS
from tests.sipdispatch.control_world import running
from tests.sipdispatch.manual import replay
from vrrp.refusal import Refusal
from vrrp.status import Alarm, Lateness, PeerStatus, Status, TrackStatus

NOW = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""


def agent_status() -> Status:
    """An active node that is well."""
    return Status(
        version="0.1.0",
        pid=4711,
        started=NOW - 200,
        now=NOW,
        state="active",
        since=NOW - 199,
        cause="nobody else has the address",
        vrid=51,
        vrrp_version=3,
        interface="eth0",
        source="192.0.2.11",
        destinations=("224.0.0.18",),
        addresses=("192.0.2.100",),
        priority=250,
        effective_priority=250,
        interval=0.1,
        preempt="always",
        held=False,
        released_until=None,
        waits_until=None,
        lease=2.0,
        leases_lost=0,
        addresses_taken=0,
        transitions={"backup": 1, "active": 1},
        sent=1990,
        sent_zero=0,
        unsent=0,
        received=2,
        received_zero=1,
        refused={refusal.label: 0 for refusal in Refusal} | {"vrid": 12},
        announced=8,
        peers=(
            PeerStatus(
                address="192.0.2.12",
                priority=240,
                interval=0.1,
                version=3,
                checksum="pseudo-header",
                heard=NOW - 190,
                adverts=2,
            ),
        ),
        alarms=(),
        tracks=(
            track("interface eth0", "up", fault=True),
            track("control", "connected"),
            track("sip", "200 OK in 0.8 ms"),
        ),
        lateness=Lateness(
            last=0.0001,
            worst=0.0021,
            worst_at=NOW - 100,
            worst_of_minute=0.0004,
            step_downs=0,
            realtime="SCHED_RR 50, memory locked",
        ),
    )


def track(name: str, detail: str, *, fault: bool = False, ok: bool | None = True) -> TrackStatus:
    """A track of the status."""
    since = None if ok is None else NOW - 199
    at = None if ok is None else NOW - 0.1
    return TrackStatus(name=name, ok=ok, fault=fault, since=since, detail=detail, at=at, results=990, failures=0)


def trouble() -> Status:
    """All that a status can have to say."""
    return attrs.evolve(
        agent_status(),
        state="backup",
        effective_priority=97,
        released_until=float("inf"),
        leases_lost=1,
        addresses_taken=2,
        sent_zero=3,
        unsent=4,
        peers=(),
        tracks=(track("sip", "no answer", ok=False), track("file", "no result yet", ok=None)),
        alarms=(
            Alarm(
                field="interval",
                peer="192.0.2.12",
                text="interval: here 0.1 s, at 192.0.2.12 1 s",
                since=NOW - 70,
                last=NOW,
                count=71,
            ),
        ),
        lateness=attrs.evolve(agent_status().lateness, step_downs=1, worst=1.5),
    )


@attrs.define(slots=False)
class ManualAgent:
    """Answers as `sipdispatch.vrrp_running.RunningAgent` does."""

    told: Status = attrs.field(factory=agent_status)
    done: list[tuple[str, float | None]] = attrs.field(factory=list)
    chronicle: Chronicle = attrs.field(factory=Chronicle)

    def __attrs_post_init__(self) -> None:
        self.chronicle.record("vrrp", "initialize", "backup", "started", NOW - 200)
        self.chronicle.record("vrrp", "backup", "active", "nobody else has the address", NOW - 199)

    def status(self) -> Status:
        return self.told

    def release(self, seconds: float, *, by: str) -> Status:
        self.done.append((f"release {by.partition(':')[0]}", seconds))
        self.told = attrs.evolve(self.told, state="backup", released_until=NOW + seconds)
        return self.told

    def hold(self, *, by: str) -> Status:
        self.done.append((f"hold {by.partition(':')[0]}", None))
        self.told = attrs.evolve(self.told, state="fault", held=True)
        return self.told

    def resume(self, *, by: str) -> Status:
        self.done.append((f"resume {by.partition(':')[0]}", None))
        self.told = attrs.evolve(self.told, state="active", held=False, released_until=None)
        return self.told

    def history(self) -> Sequence[Happening]:
        return self.chronicle.history()

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        return self.chronicle.follow()


def run_agent_session(session: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The session as it really goes, with an agent that has its socket in this folder."""

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        status = main(arguments)
        told = capsys.readouterr()
        return status, told.out + told.err

    with structlog.testing.capture_logs(), running(folder / AGENT_NAME, ManualAgent(), methods=METHODS):
        return replay(session, run).replace(f"{folder}/", "/run/sipdispatch-vrrp/")
