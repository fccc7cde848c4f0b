"""What becomes of the calls when one of two real Asterisks freezes or dies under load, and when it comes back?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bench.outage import ours
from bench.outage_scene import CLIENT, PORT, VICTIM, VIP, Pace, Scene, Strike
from bench.outage_story import Story, calls_of
from tests.e2e.proxy import Proxy

pytestmark = [pytest.mark.peers, pytest.mark.slow]

RATE = 50.0
LAST_CALL_SECONDS = 5.0
"""Who has heard 100 from the server that was killed, and nothing else, would wait for ever."""
ROOM_SECONDS = 0.5
"""A snapshot follows its verdict within 20 ms; the rest is for a machine that hesitates."""
RISE = 2
DOWN = "a destination is down"


@pytest.mark.parametrize(
    ("how", "pace", "cause"),
    [
        # By then each call that met the frozen server has come again, at 3.5 s at the latest, and is over.
        pytest.param(Strike.FREEZE, Pace(steady=1.0, outage=5.0, quiet=1.0), "", id="frozen"),
        pytest.param(Strike.KILL, Pace(steady=1.0, outage=2.0, quiet=1.0), "(ICMP)", id="killed"),
    ],
)
def test_only_what_was_up_on_a_server_that_is_gone_is_lost(tmp_path: Path, how: Strike, pace: Pace, cause: str) -> None:
    with Scene(ours, tmp_path, rate=RATE, pace=pace) as scene:
        outage = scene.strike(how)
        scene.finish(LAST_CALL_SECONDS)
    story = scene.story(outage)
    print(story)
    assert (story.hit_failed, story.others_failed) == (0, 0)
    assert story.others_in_progress > RATE / 4
    assert story.good_probes == RISE
    check_what_was_up_there(how, story)
    assert isinstance(scene.balancer, Proxy)
    down, up = verdicts(scene.balancer)
    assert cause in down["cause"]
    assert up["cause"] == f"{RISE} good probes"
    told, back = moment(down), moment(up)
    assert outage.struck_at < told < outage.returned_at < back
    calls = calls_of(scene.ladder.all(), balancer=VIP, client=CLIENT).values()
    theirs = [call.begun_at for call in calls if call.server == VICTIM]
    assert not [at for at in theirs if told + ROOM_SECONDS < at < back]
    assert [at for at in theirs if at < outage.struck_at]
    assert [at for at in theirs if at > back]


def check_what_was_up_there(how: Strike, story: Story) -> None:
    assert story.held > RATE / 4
    if how is Strike.FREEZE:
        assert story.hit, "no call has met the frozen server"
        assert story.held_failed == 0  # a caller who hangs up asks again until the server goes on
    else:
        assert story.held_failed  # nobody else knows of them


def verdicts(proxy: Proxy) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The two events of the log by which the server went down and came up again: there are no others."""
    of_victim = [event for event in proxy.log("a destination") if event["address"] == f"{VICTIM}:{PORT}"]
    down, *others = proxy.log(DOWN)
    assert down in of_victim
    assert not others
    (up,) = (event for event in of_victim if event.get("before") == "down")
    return down, up


def moment(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()
