"""Do calls go on undisturbed while the operator changes the list under them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.e2e.calls import Call, Callers, Farm, check
from tests.e2e.proxy import RELOADED, Proxy
from tests.e2e.scenarios import KINDS
from tests.peers.ports import free_port

pytestmark = [pytest.mark.usefixtures("on_either_path"), pytest.mark.peers, pytest.mark.slow]

PROXY = "127.0.0.10"
EDGE = "127.0.0.31"
CORE = "127.0.0.21"
DISABLED = 4

ALGORITHMS = {"weight": EDGE, "round-robin": CORE, "random": EDGE}
"""And where their callers are: at the edge, or at the address of a server."""

SLACK_SECONDS = 0.2
"""A message may be noted by its server so long after the proxy has sent it, and a change so long after it counts."""


@attrs.frozen
class Stage:
    """Three servers, of which the list begins with two, and a proxy with one listener for each algorithm."""

    farm: Farm
    proxy: Proxy
    targets: dict[str, tuple[str, int]]

    def change(self, *lines: str) -> float:
        """Give the proxy another list; when it came into force, in seconds since 1970."""
        self.proxy.write_list("".join(lines))
        event = self.proxy.reload()
        assert event["event"] == RELOADED
        return _moment(event)

    def after(self, messages: int) -> None:
        """Wait until the servers have noted so many more messages."""
        wanted = self.farm.message_count() + messages
        self.proxy.program.until(lambda: self.farm.message_count() >= wanted, f"{messages} more messages")


@pytest.fixture(scope="module")
def stage(on_either_path: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("changes")
    targets = {algorithm: (PROXY, free_port(PROXY)) for algorithm in ALGORITHMS}
    listen = {algorithm: f"udp:{host}:{port}" for algorithm, (host, port) in targets.items()}
    rules = "".join(f'[[proxy.route]]\nlistener = "{each}"\nalgorithm = "{name}"\n' for name, each in listen.items())
    with Farm(directory / "farm", ("127.0.0.21", "127.0.0.22", "127.0.0.23")) as farm:
        list_text = farm.line(0) + farm.line(1)
        with Proxy([*listen.values()], list_text, directory=directory / "proxy", settings=rules) as proxy:
            yield Stage(farm, proxy, targets)


def test_calls_outlive_that_their_server_is_disabled_or_taken_out(stage: Stage, tmp_path: Path) -> None:
    farm = stage.farm
    first, second, third = (farm.line(place) for place in range(3))
    kinds = [kind for kind in KINDS if kind != "resent"]  # a new choice is right for an INVITE that comes again
    with Callers(tmp_path) as callers:
        for algorithm, address in ALGORITHMS.items():
            callers.start(algorithm, kinds, stage.targets[algorithm], address=address, rate=6)
        stage.after(300)
        disabled = stage.change(first, farm.line(1, flags=DISABLED))
        stage.after(300)
        replaced = stage.change(first, third)
        stage.after(300)
        restored = stage.change(first, second)
        stage.after(300)
        count = callers.finish()
    calls = check(farm, "", count).values()

    with_second = [call for call in calls if call.servers == {1}]
    with_third = [call for call in calls if call.servers == {2}]
    for call in with_second:
        assert not disabled + SLACK_SECONDS < call.begun_at < restored - SLACK_SECONDS
    for call in with_third:
        assert replaced - SLACK_SECONDS < call.begun_at < restored + SLACK_SECONDS
    over_disabling = sum(call.begun_at < disabled < call.ended_at for call in with_second)
    over_removal = sum(call.begun_at < restored < call.ended_at for call in with_third)
    print(f"{count} calls; {over_disabling} while their server was disabled, {over_removal} while it left the list")
    assert over_disabling
    assert over_removal
    assert any(call.begun_at > restored for call in with_second)


def test_a_request_that_comes_again_stays_although_the_list_now_says_otherwise(stage: Stage, tmp_path: Path) -> None:
    farm = stage.farm
    stage.change(farm.line(0), farm.line(1))
    with Callers(tmp_path) as callers:
        for algorithm, address in ALGORITHMS.items():
            callers.start(f"again-{algorithm}", ["resent"], stage.targets[algorithm], address=address, rate=20)
        stage.after(50)
        changed = stage.change(farm.line(2, weight=900), farm.line(1, weight=1), farm.line(0, weight=1))
        stage.after(50)
        count = callers.finish()
    calls = check(farm, "again-", count).values()

    over = [call for call in calls if call.begun_at < changed - SLACK_SECONDS < changed < _last_invite(call)]
    print(f"{len(over)} of {count} calls had their INVITE before the change and again after it")
    assert len(over) > 3


def _last_invite(call: Call) -> float:
    return max(line.at for line in call.lines if line.what == "1 INVITE")


def _moment(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()
