"""What befalls the node that has the address, how is that mended, and what comes of it?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from bench.failover_story import Moments, ownership
from bench.pair_scene import Scene
from bench.pair_story import Blow, Toll, beats_of, calls_of, sent_by, toll_of
from tests.peers.program import PeerError

FROZEN_S: Final = 4.0
"""Twice as long as an address lives without its agent."""
BLINK_S: Final = 1.0
"""Half as long."""
SETTLING_S: Final = 1.5
"""Who had no answer has asked again: 500 ms and a second after the first time (RFC 3261 17.1.1.2)."""
APART_S: Final = 0.1
"""So long before the address comes back nothing of that has begun."""


def _kill_proxy(scene: Scene, node: str) -> None:
    scene.edges[node].proxy.kill()


def _start_proxy(scene: Scene, node: str) -> None:
    scene.edges[node].proxy.start()


def _kill_agent(scene: Scene, node: str) -> None:
    scene.edges[node].kill_agent()


def _start_agent(scene: Scene, node: str) -> None:
    scene.edges[node].start_agent()


def _cut(scene: Scene, node: str) -> None:
    scene.cut(node)


def _mend(scene: Scene, node: str) -> None:
    scene.mend(node)


def _freeze(scene: Scene, node: str) -> None:
    scene.edges[node].freeze()


def _thaw(scene: Scene, node: str) -> None:
    scene.edges[node].thaw()


def _release(scene: Scene, node: str) -> None:
    scene.edges[node].ask("vrrp.release")


def _resume(scene: Scene, node: str) -> None:
    scene.edges[node].ask("vrrp.resume")


@attrs.frozen
class Fault:
    """How a node is struck and mended; it `lasts` until the calls that it has hit are over."""

    label: str
    strike: Callable[[Scene, str], None]
    repair: Callable[[Scene, str], None]
    lasts: float | None = None
    """Or for so many seconds."""


FAULTS: Final[Mapping[str, Fault]] = {
    "proxy": Fault("kill -9 of the proxy", _kill_proxy, _start_proxy),
    "agent": Fault("kill -9 of the agent", _kill_agent, _start_agent),
    "link": Fault("link cut", _cut, _mend),
    "freeze": Fault("node frozen for 4 s", _freeze, _thaw, FROZEN_S),
    "blink": Fault("node frozen for 1 s", _freeze, _thaw, BLINK_S),
    "release": Fault("vrrp release", _release, _resume),
}


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a try."""

    fault: Toll
    failback: Toll
    both: float
    """How long both nodes had the address after the fault, in seconds."""
    stray: int
    """Messages that the mended node has sent in the address's name before it had it again."""
    complaints: Sequence[str]
    """What should not have been."""


def attempt(fault: Fault, directory: Path, *, interval: float, rate: float, talk: float) -> Outcome:
    """One fault from beginning to end; PeerError when it cannot be told what happened."""
    with Scene(directory, interval=interval, rate=rate, talk=talk) as scene:
        scene.call()
        struck_at = time.monotonic()
        fault.strike(scene, "A")
        complaints = _meanwhile(scene, fault, struck_at)
        mended_at = time.monotonic()
        fault.repair(scene, "A")
        scene.until_owner("A")
        back_at = max(move.at for move in scene.watch.moves if move.node == "A" and move.there)
        complaints += _phones(scene, "after the failback")
        _until(back_at + 2 * talk + SETTLING_S)
        owners = scene.watch.owners()
        left = scene.finish()
        record, ended_at = scene.watch.record(), time.monotonic()
        offset = time.time() - ended_at
    if owners != "A":
        complaints.append(f"at the end the address is at {owners or 'no node'}")
    if left:
        complaints.append(f"{left} channels are left at the servers")
    crossings, cast = scene.crossings(), scene.cast
    calls, beats = calls_of(crossings, cast), beats_of(crossings, cast)
    blow = Blow(at=struck_at + offset, heir="B", until=back_at + offset - APART_S)
    back = Blow(at=back_at + offset, heir="A", until=ended_at + offset)
    moments = Moments(fault_at=struck_at, until=back_at - APART_S, heir="B")
    return Outcome(
        fault=toll_of(calls, beats, blow),
        failback=toll_of(calls, beats, back),
        both=sum(lasted for lasted, who in ownership(record, moments) if len(who) > 1),
        stray=len(sent_by(crossings, cast, "A", mended_at + offset, back.at - APART_S)),
        complaints=complaints,
    )


def _meanwhile(scene: Scene, fault: Fault, struck_at: float) -> list[str]:
    """Let B take over, and what was hit end, before the fault is mended."""
    complaints: list[str] = []
    scene.until(lambda: "B" in scene.watch.owners(), "B has the address")
    if fault.lasts is None or fault.lasts > SETTLING_S:
        time.sleep(SETTLING_S)
        complaints += _phones(scene, "after the fault")
    if fault.lasts is not None:
        _until(struck_at + fault.lasts)
        return complaints
    _until(struck_at + 2 * scene.talk + SETTLING_S)
    if (owners := scene.watch.owners()) != "B":
        complaints.append(f"after the fault the address is at {owners or 'no node'}")
    return complaints


def _phones(scene: Scene, when: str) -> list[str]:
    try:
        scene.phones_go_on()
    except PeerError as error:
        return [f"the phones {when}: {str(error).splitlines()[0]}"]
    return []


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
