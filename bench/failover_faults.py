"""Which faults are there, and what is each of them good for?"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from bench.failover_scene import STARTING_S, Scene
from bench.failover_story import LAST_LOOK_S, Moments

FROZEN_INTERVALS: Final = 8
CUT_INTERVALS: Final = 8
SETTLING_S: Final = 1.3
"""An address is announced once more a second after it was taken, and after a foreign advert."""

Strike = Callable[[Scene, float], Moments]
"""Strikes a scene whose address is A's, a share of an interval after A's last advert; returns when all is settled."""


@attrs.frozen(kw_only=True)
class Fault:
    """A row of the table."""

    label: str
    strike: Strike
    priorities: tuple[int, int] = (150, 100)
    tracking: bool = False
    leaves: bool = False
    """The node that is struck has to lose the address."""
    leased: bool = False
    """Only its lease takes it away there."""


def _settle(scene: Scene, seconds: float = SETTLING_S) -> float:
    time.sleep(seconds + 2 * scene.pair.interval)
    return time.monotonic()


def _until(scene: Scene, node: str) -> None:
    """Wait until a node answers, but not for ever: an agent that fails to get there has its row all the same."""
    deadline = time.monotonic() + 6 * scene.pair.interval + 3.0
    while scene.watch.answering() != node and time.monotonic() < deadline:
        time.sleep(0.005)


def crash(scene: Scene, share: float) -> Moments:
    """The node is gone: its agent killed, its link cut."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.pull_plug("A")
    scene.kill("A")
    _until(scene, "B")
    return Moments(fault_at=at, until=_settle(scene, LAST_LOOK_S), heir="B", host_died=True)


def kill(scene: Scene, share: float) -> Moments:
    """Only the agent is gone, the node lives on."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.kill("A")
    _until(scene, "B")
    # As long as our agent's address may live after it, and a little more.
    time.sleep(max(0.0, at + scene.pair.lease + 0.5 - time.monotonic()))
    return Moments(fault_at=at, until=_settle(scene, LAST_LOOK_S), heir="B")


def stop(scene: Scene, share: float) -> Moments:
    """The agent is asked to end."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.ask_to_end("A")
    _until(scene, "B")
    return Moments(fault_at=at, until=_settle(scene, LAST_LOOK_S), heir="B")


def freeze(scene: Scene, share: float) -> Moments:
    """The agent does not run for some intervals, then goes on."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.send("A", signal.SIGSTOP)
    time.sleep(FROZEN_INTERVALS * scene.pair.interval)
    healed_at = time.monotonic()
    scene.send("A", signal.SIGCONT)
    time.sleep(4 * scene.pair.interval)
    return Moments(fault_at=at, until=_settle(scene), heir="B", healed_at=healed_at)


def _cut(scene: Scene, first: str) -> Moments:
    scene.strike_at(0.5)
    at = time.monotonic()
    scene.cut()
    time.sleep(CUT_INTERVALS * scene.pair.interval)
    scene.until(lambda: scene.watch.owners() == "AB", "both have the address", seconds=3.0)
    # After an advert of the one, that of the other comes next.
    scene.watch.hear("B" if first == "A" else "A", 2 * scene.pair.interval + 1.0)
    healed_at = time.monotonic()
    scene.heal()
    time.sleep(4 * scene.pair.interval)
    return Moments(fault_at=at, until=_settle(scene), heir="B", healed_at=healed_at)


def cut_winner_first(scene: Scene, _share: float) -> Moments:
    """The adverts do not get through for some intervals; after that, the winner's is the first."""
    return _cut(scene, "A")


def cut_loser_first(scene: Scene, _share: float) -> Moments:
    """After that, the loser's is the first."""
    return _cut(scene, "B")


def failback(scene: Scene, _share: float) -> Moments:
    """The agent of the better node is there again.

    Counted from when it listens: how long a program needs to start is not what is asked.
    """
    scene.ask_to_end("A")
    scene.until_owner("B")
    scene.programs["A"].wait(STARTING_S)
    scene.start("A")
    scene.until_listening("A")
    at = time.monotonic()
    deadline = at + STARTING_S
    while scene.watch.answering() != "A" and time.monotonic() < deadline:
        time.sleep(0.005)
    return Moments(fault_at=at, until=_settle(scene), heir="A")


def reload(scene: Scene, share: float) -> Moments:
    """The Active reads its configuration again; nothing has changed."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.programs["A"].signal(signal.SIGHUP)
    time.sleep(4 * scene.pair.interval)
    return Moments(fault_at=at, until=_settle(scene), heir="A")


def hang(scene: Scene, share: float) -> Moments:
    """The service hangs: it does not answer any more."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.services["A"].hang()
    _until(scene, "B")
    return Moments(fault_at=at, until=_settle(scene), heir="B")


def die(scene: Scene, share: float) -> Moments:
    """The service dies: its control socket is closed."""
    scene.strike_at(share)
    at = time.monotonic()
    scene.services["A"].die()
    _until(scene, "B")
    return Moments(fault_at=at, until=_settle(scene), heir="B")


HIGH: Final = (254, 253)
FAULTS: Final[Mapping[str, Fault]] = {
    "crash": Fault(label="node crash", strike=crash),
    "kill": Fault(label="kill -9 of the agent", strike=kill, leaves=True, leased=True),
    "stop": Fault(label="graceful stop", strike=stop, leaves=True),
    "freeze": Fault(label="freeze and thaw", strike=freeze, leaves=True, leased=True),
    "cut-winner": Fault(label="partition, heal: winner's advert first", strike=cut_winner_first),
    "cut-loser": Fault(label="partition, heal: loser's advert first", strike=cut_loser_first),
    "cut-winner-high": Fault(label="the same, 254/253: winner's first", strike=cut_winner_first, priorities=HIGH),
    "cut-loser-high": Fault(label="the same, 254/253: loser's first", strike=cut_loser_first, priorities=HIGH),
    "failback": Fault(label="failback", strike=failback),
    "reload": Fault(label="reload", strike=reload),
    "hang": Fault(label="proxy hangs", strike=hang, tracking=True, leaves=True),
    "die": Fault(label="proxy dies", strike=die, tracking=True, leaves=True),
}
