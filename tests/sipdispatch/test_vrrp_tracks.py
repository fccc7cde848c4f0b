"""Are all configured tracks there, asked, and none of them in the way of the others?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio

from sipdispatch import vrrp_tracks
from sipdispatch.vrrp_settings import TrackCommand, Vrrp, VrrpTrack
from sipdispatch.vrrp_track import Say
from sipdispatch.vrrp_tracks import link_name, run_tracks, tracks_of
from vrrp.address import VirtualAddress
from vrrp.tracking import Track

PLAIN = Vrrp(interface="eth0", vrid=51, addresses=(VirtualAddress.of("192.0.2.100/24", "eth0"),))
FULL = attrs.evolve(
    PLAIN,
    addresses=(*PLAIN.addresses, VirtualAddress.of("198.51.100.1", "eth1"), VirtualAddress.of("198.51.100.2", "eth1")),
    track=VrrpTrack(
        sip=("192.0.2.11", 5060),
        rise=4,
        fall=5,
        control=True,
        interfaces=("eth0", "eth2", "eth1"),
        file=Path("/run/maintenance"),
        commands=(TrackCommand(command=("/bin/true",), name="disk", rise=6, fall=7),),
    ),
)
PROXY = Path("/run/control.sock")


def test_without_tracks_there_are_none() -> None:
    assert tracks_of(PLAIN) == ()


def test_the_tracks() -> None:
    assert tracks_of(FULL) == (
        Track(name="interface eth2"),
        Track(name="interface eth1", fault=True),
        Track(name="control", vital=True),
        Track(name="sip", rise=4, fall=5),
        Track(name="file"),
        Track(name="command disk", rise=6, fall=7),
    )
    assert link_name("eth0") == "interface eth0"


class Asked:
    """What was asked in place of all that asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Any, ...]] = []
        for name in ("watch_link", "attend_proxy", "ask_sip", "watch_file", "ask_command"):
            monkeypatch.setattr(vrrp_tracks, name, partial(self.ask, name))

    async def ask(self, name: str, what: object, say: Say) -> None:
        self.asked.append((name, what))
        say(ok=True, detail=name)
        await trio.sleep_forever()


class Reports:
    """What the agent was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool, str]] = []

    def __call__(self, name: str, *, ok: bool, detail: str) -> None:
        self.told.append((name, ok, detail))


async def test_each_track_is_asked_under_its_name(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> None:
    asked, reports = Asked(monkeypatch), Reports()
    await nursery.start(partial(run_tracks, FULL, reports, proxy_socket=PROXY))
    await trio.testing.wait_all_tasks_blocked()
    track = FULL.track
    assert sorted(asked.asked, key=str) == sorted(
        [
            ("watch_link", "eth2"),
            ("watch_link", "eth1"),
            ("attend_proxy", PROXY),
            ("ask_sip", track),
            ("watch_file", track.file),
            ("ask_command", track.commands[0]),
        ],
        key=str,
    )
    assert {(name, detail) for name, _, detail in reports.told} == {
        ("interface eth2", "watch_link"),
        ("interface eth1", "watch_link"),
        ("control", "attend_proxy"),
        ("sip", "ask_sip"),
        ("file", "watch_file"),
        ("command disk", "ask_command"),
    }
    assert {name for name, _, _ in reports.told} == {track.name for track in tracks_of(FULL)}


async def test_another_socket_of_the_proxy(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> None:
    asked = Asked(monkeypatch)
    vrrp = attrs.evolve(PLAIN, track=VrrpTrack(control=Path("/else.sock")))
    await nursery.start(partial(run_tracks, vrrp, Reports(), proxy_socket=PROXY))
    await trio.testing.wait_all_tasks_blocked()
    assert asked.asked == [("attend_proxy", Path("/else.sock"))]


async def test_a_mistake_of_ours_costs_one_track(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: object
) -> None:
    del autojump_clock
    reports = Reports()
    tries = 0

    async def ask_sip(_: object, say: Say) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError
        say(ok=True, detail="well")
        await trio.sleep_forever()

    Asked(monkeypatch)
    monkeypatch.setattr(vrrp_tracks, "ask_sip", ask_sip)
    with structlog.testing.capture_logs() as logged:
        await nursery.start(partial(run_tracks, FULL, reports, proxy_socket=PROXY))
        await trio.sleep(10)
    assert [entry for entry in reports.told if entry[0] == "sip"] == [
        ("sip", False, "it cannot be asked, by a mistake in this program"),
        ("sip", True, "well"),
    ]
    assert len(reports.told) == 7
    assert [(line["track"], line["log_level"]) for line in logged] == [("sip", "error")]
