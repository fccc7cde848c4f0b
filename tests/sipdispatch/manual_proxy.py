"""The proxy of the examples in the manual: what it tells, and how its examples are run."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog

from dispatcher.limits import Ban, Over
from dispatcher.problem import Problem
from health.board import Verdict, Word
from sipdispatch.cli import main
from sipdispatch.control_path import NAME
from sipdispatch.facts import ProxyFacts, ReloadFacts
from sipdispatch.happening import Happening
from sipdispatch.operations import ReloadReport
from tests.sipdispatch.control_world import Steered, running
from tests.sipdispatch.fake_operations import LIMITED, FakeLimiting, destination, happening, with_these
from tests.sipdispatch.manual import blocks, replay

NOW = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""


def facts() -> ProxyFacts:
    """Two sets: three servers, one of them down and one draining; and a name with one address."""
    told = with_these(
        destination(
            1,
            uri="sip:192.0.2.21",
            address=("192.0.2.21", 5060),
            since=NOW - 3 * 86400,
            cause="the list",
            share=1.0,
            attributes={"weight": "50"},
            replies={1: 61204, 2: 58833, 4: 2907},
            requests=71000,
            calls_active=12,
            calls_per_second=1.4,
            messages_per_second=11.2,
            rtt=0.0008,
            latency=0.0009,
        ),
        destination(
            2,
            uri="sip:192.0.2.22",
            address=("192.0.2.22", 5060),
            verdict=Verdict.DOWN,
            letters="IP",
            since=NOW - 130,
            cause="no answer in 500 ms",
            share=0.0,
            attributes={"weight": "50"},
            replies={1: 60112, 2: 57720, 4: 2811, 5: 3},
            calls_active=0,
            calls_per_second=0.0,
            messages_per_second=0.0,
            rtt=None,
            latency=0.0011,
        ),
        destination(
            3,
            uri="sip:192.0.2.23",
            address=("192.0.2.23", 5060),
            word=Word.DRAINING,
            letters="DP",
            since=NOW - 3700,
            cause="operator: drain (control: uid 0, pid 4242)",
            share=0.0,
            attributes={"weight": "50"},
            replies={1: 812, 2: 790, 4: 31},
            calls_active=2,
            calls_per_second=0.0,
            messages_per_second=0.3,
            rtt=0.0007,
            latency=0.0008,
        ),
        destination(
            4,
            set_id=2,
            uri="sip:pbx.example.com:5070",
            address=("192.0.2.31", 5070),
            since=NOW - 3 * 86400,
            share=1.0,
            weight=None,
            replies={2: 40},
            calls_active=0,
            calls_per_second=0.0,
            messages_per_second=0.0,
            rtt=0.0012,
            latency=0.0013,
        ),
    )
    return attrs.evolve(
        told,
        version="0.1.0",
        packet_path="fast path",
        now=NOW,
        started=NOW - 3 * 86400,
        received=412_883,
        received_bytes=241_500_160,
        by_fast_path=411_872,
        forwarded=409_120,
        lookups=0,
        answered={"100": 3, "404": 12},
        refused={"no_destination": 12},
        dropped={"keepalive": 3748},
        network_errors={"ECONNREFUSED": 2},
        limits=LIMITED,
        list_fingerprint="6f1ed002ab5595859014ebf0951522d9",
        secret_fingerprint="486dfa69",
        reload=ReloadFacts(at=NOW - 130, done=True, text="1 added"),
    )


PAST = [
    happening(
        1, at=NOW - 3 * 86400, kind="proxy", before="", after="started", cause="version 0.1.0", set_id=None, uri="",
        address="", number=0,
    ),
    happening(
        2, at=NOW - 3700, kind="word", before="enabled", after="draining",
        cause="operator: drain (control: uid 0, pid 4242)", uri="sip:192.0.2.23", address="192.0.2.23:5060", number=3,
    ),
    happening(
        3, at=NOW - 131, before="up", after="suspect", cause="no answer in 500 ms", uri="sip:192.0.2.22",
        address="192.0.2.22:5060", number=2,
    ),
    happening(
        4, at=NOW - 130, before="suspect", after="down", cause="no answer in 500 ms", uri="sip:192.0.2.22",
        address="192.0.2.22:5060", number=2,
    ),
]  # fmt: skip

EXPLAINED: Mapping[str, Any] = {
    "version": 1,
    "message": {"kind": "request", "start": "INVITE sip:192.0.2.10 SIP/2.0", "call_id": "843817@phone", "fault": None},
    "source": {"address": "203.0.113.1:5060", "side": "edge", "reason": "neither a destination's address nor in "
               "core_networks"},
    "listener": "udp:192.0.2.10:5060",
    "routes": [],
    "way": {"kind": "dispatched", "reason": "dispatched: a request from the edge goes to a destination of the list"},
    "choice": {
        "rule": None, "set": 1, "algorithm": "weight", "used": "weight", "key": "843817@phone", "slot": 20114,
        "panic": False,
        "candidates": [
            {"uri": "sip:192.0.2.22", "state": "down", "letters": "IP", "chosen": False, "reason": "is down"},
            {"uri": "sip:192.0.2.21", "state": "up", "letters": "AP", "chosen": True, "reason": "takes it"},
            {"uri": "sip:192.0.2.23", "state": "draining", "letters": "DP", "chosen": False, "reason": "is draining"},
        ],
    },
    "outcome": {"kind": "forward", "reason": "forwarded to 192.0.2.21:5060 (sip:192.0.2.21), from udp:192.0.2.10:5060"},
    "notes": [],
}  # fmt: skip


def limiting() -> FakeLimiting:
    """Limits, who is over them and who is banned."""
    return FakeLimiting(
        banned=[
            Ban(
                source="203.0.113.9",
                since=NOW - 150,
                until=NOW + 150,
                cause="over 50 messages/s for 10 s",
                dropped=812_004,
            )
        ],
        overs=[
            Over(source="203.0.113.77", since=NOW - 4, dropped=36_118),
            Over(source="2001:db8:7:1::/64", since=NOW - 1, dropped=212),
        ],
    )


@attrs.define
class ManualProxy(Steered):
    """Knows what its list has, and what an example may add to it."""

    told: ProxyFacts = attrs.field(factory=facts)
    past: list[Happening] = attrs.field(factory=lambda: list(PAST))
    limiting: FakeLimiting = attrs.field(factory=limiting)

    async def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        return dict(EXPLAINED)

    def history(self, set_id: int | None = None, name: str | None = None) -> list[Happening]:
        return [each for each in self.past if set_id in (None, each.set_id) and name in (None, each.uri)]

    async def reload(self, *, dry_run: bool = False, reset_state: bool = False, by: str) -> ReloadReport:
        changed = ["1 sip:192.0.2.22: weight 50 -> 60"]
        if reset_state:
            return ReloadReport(done=True, destinations=4)
        return ReloadReport(
            done=not dry_run, dry_run=dry_run, destinations=4, added=["1 sip:192.0.2.24"],
            removed=["1 sip:192.0.2.23"], changed=changed,
        )  # fmt: skip

    async def add(self, line: str, *, save: bool = False, by: str) -> ReloadReport:
        uri = line.split()[1]
        if uri == "sip:192.0.2.21":
            problem = Problem(
                "1 sip:192.0.2.21 0 0", 0, 0, severity="error", message="sip:192.0.2.21 is in set 1 already",
                hint="take it out first, or change its line and reload",
            )  # fmt: skip
            return ReloadReport(done=False, destinations=4, problems=[problem])
        return ReloadReport(done=True, destinations=5, added=[f"{line.split(maxsplit=1)[0]} {uri}"])

    async def remove(self, set_id: int, name: str, *, save: bool = False, by: str) -> ReloadReport:
        self._known(set_id, name)
        return ReloadReport(done=True, destinations=3, removed=[f"{set_id} {name}"])


def run_session(session: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The session as it really goes, with a proxy that has its socket in this folder."""

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        status = main(arguments)
        told = capsys.readouterr()
        return status, told.out + told.err

    with structlog.testing.capture_logs(), running(folder / NAME, ManualProxy()):
        return replay(session, run).replace(f"{folder}/", "/run/sipdispatch/")


def exchanges(text: str) -> list[tuple[str, str]]:
    """What is sent and what comes, of the blocks that show that."""
    return [
        each for _, block in blocks(text, "rpc") for each in re.findall(r"^> (.*)\n((?:< .*\n)*)", block, re.MULTILINE)
    ]


def exchange(request: str, folder: Path) -> str:
    """The answer of the proxy, as it stands in the manual."""
    with (
        structlog.testing.capture_logs(),
        running(folder / NAME, ManualProxy()),
        closing(socket.socket(socket.AF_UNIX)) as asking,
        asking.makefile("r", encoding="utf-8") as lines,
    ):
        asking.connect(str(folder / NAME))
        asking.sendall(request.encode() + b"\n")
        return f"< {lines.readline()}"
