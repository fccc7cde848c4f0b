"""Do our agent and a real keepalived share an address: who has it, and after what, is agreed on by both?

Several pairs at a time live through the same story, each on hosts of its own; then the tests ask.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from bench.failover_agents import Pair, keepalived, ours
from bench.failover_scene import Scene, other
from tests.peers.need import require, require_root
from tests.peers.program import PeerError

pytestmark = [pytest.mark.peers, pytest.mark.slow]

PATIENCE_S = 60.0
AT_ONCE = 8
INTERVALS = {2: 1.0, 3: 0.1}
OUTBID, STAYS = "preempt", "nopreempt"

STORY = ("start", "stop", "return", "kill", "restart", "reload", "second stop")


@attrs.frozen
class Variant:
    """A is the node of higher priority."""

    version: int
    unicast: bool
    ours_is: str
    preempt: bool

    @property
    def name(self) -> str:
        way = "unicast" if self.unicast else "multicast"
        return f"v{self.version}-{way}-ours-{self.ours_is}-{OUTBID if self.preempt else STAYS}"

    @property
    def returning(self) -> str:
        """Who has the address when A has come back to B."""
        return "A" if self.preempt else "B"

    def expected(self) -> dict[str, str]:
        """Who has the address after each step."""
        struck = self.returning
        survivor = other(struck)
        # Of two that are started again beside each other, the better one preempts.
        after = "A" if self.preempt else survivor
        owners = ("A", "B", self.returning, survivor, after, after, other(after))
        return dict(zip(STORY, owners, strict=True))


VARIANTS = {
    variant.name: variant
    for variant in itertools.starmap(Variant, itertools.product((2, 3), (False, True), ("A", "B"), (True, False)))
}


def live(variant: Variant, directory: Path) -> dict[str, str]:
    """Let a pair go through the story; who had the address alone after each step."""
    interval = INTERVALS[variant.version]
    pair = Pair(
        interval=interval,
        version=variant.version,
        unicast=variant.unicast,
        preempt=variant.preempt,
        priorities=(200, 150),
    )
    agents = {variant.ours_is: ours, other(variant.ours_is): keepalived}
    owners: dict[str, str] = {}
    with Scene(pair, agents, directory, pace=None) as scene:

        def settled(step: str, expected: str) -> None:
            stays = expected == scene.watch.owners()
            scene.until_owner(expected, seconds=PATIENCE_S)
            # Where nothing is to change, it must be so for longer than anybody's timer runs.
            time.sleep(4 * interval if stays else 0.2)
            owners[step] = scene.watch.owners()
            assert owners[step] == expected, f"{step}: the address is at {owners[step] or 'no node'}"

        def start(node: str) -> None:
            scene.start(node)
            scene.until_listening(node)

        expected = variant.expected()
        scene.begin()
        settled("start", expected["start"])
        scene.ask_to_end("A")
        scene.programs["A"].wait(PATIENCE_S)
        settled("stop", expected["stop"])
        start("A")
        settled("return", expected["return"])
        struck = expected["return"]
        scene.kill(struck)
        if agents[struck] is keepalived:
            # Its address stays behind, so both have it until it is started again and takes it away.
            scene.until(lambda: scene.watch.owners() == "AB", "the survivor takes over", seconds=PATIENCE_S)
            owners["kill"] = expected["kill"]
        else:
            settled("kill", expected["kill"])
        start(struck)
        settled("restart", expected["restart"])
        moves = len(scene.watch.moves)
        for program in scene.programs.values():
            program.signal(signal.SIGHUP)
        settled("reload", expected["reload"])
        assert len(scene.watch.moves) == moves, "a reload moves nothing"
        scene.ask_to_end(expected["reload"])
        settled("second stop", expected["second stop"])
    return owners


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[dict[str, str]]]]:
    require("keepalived")
    require_root("a network namespace")
    folder = tmp_path_factory.mktemp("interoperation")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Those with adverts once a second take longest and come first.
        yield {name: pool.submit(live, variant, folder / name) for name, variant in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_there_is_always_one_owner_and_the_right_one(stories: Mapping[str, Future[dict[str, str]]], name: str) -> None:
    try:
        owners = stories[name].result()
    except PeerError as error:
        pytest.fail(str(error), pytrace=False)
    assert owners == VARIANTS[name].expected()
