"""Is a server free of calls when the operator is told so, and were all of them left to end?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from sipdispatch.steering import QUIET_S
from tests.e2e.calls import Call, Callers, Farm, check
from tests.e2e.operator import Operator
from tests.e2e.proxy import Proxy
from tests.peers.ports import free_port
from tests.peers.program import wait_until

pytestmark = [pytest.mark.usefixtures("on_either_path"), pytest.mark.peers, pytest.mark.slow]

PROXY = "127.0.0.10"
EDGE = "127.0.0.31"
RATES = {"plain": 15, "again": 15, "slow": 10, "hungup": 10}
"""Calls a second: with a BYE of the caller, with a re-INVITE, with an ACK that comes late, with a BYE of the server."""
TALK_MS = 1500

SLACK_SECONDS = 0.2
"""A message may be noted by its server so long after the proxy has sent it."""
LATE_SECONDS = 2.0
"""How long the end may take to come to the operator: a look of the proxy, and the end of a Python."""


def test_a_server_is_drained_under_load_and_comes_back(tmp_path: Path) -> None:
    target = PROXY, free_port(PROXY)
    operator = Operator(tmp_path / "control.sock")
    with Farm(tmp_path / "farm") as farm:
        uri = farm.line(0).split()[1]
        with (
            Proxy(
                [f"udp:{target[0]}:{target[1]}"],
                farm.line(0) + farm.line(1),
                directory=tmp_path / "proxy",
                settings=operator.settings,
            ),
            Callers(tmp_path / "callers") as callers,
        ):
            for kind, rate in RATES.items():
                callers.start("drain", [kind], target, address=EDGE, rate=rate, talk_ms=TALK_MS)
            wait_until(lambda: _begun(farm, 0, since=0.0) > 40, "calls at the server")
            with operator.begin("ds", "drain", uri, "--wait", log=tmp_path / "drain.log") as draining:
                draining.until(lambda: "takes no new work" in draining.output(), "the server drains")
                assert draining.wait(15.0) == 0
            drained_at, said = time.time(), draining.output()
            assert operator.run("ds", "undrain", uri).out == f"{uri} in set 1: enabled\n"
            wait_until(lambda: _begun(farm, 0, since=drained_at) > 10, "new calls at the server")
            words = operator.events("word")
            count = callers.finish()
        calls = check(farm, "drain", count).values()

    assert [(event["before"], event["after"]) for event in words] == [("enabled", "draining"), ("draining", "enabled")]
    begun_at, undrained_at = (event["at"] for event in words)
    ours = [call for call in calls if call.servers == {0}]
    assert not [call for call in ours if begun_at + SLACK_SECONDS < call.begun_at < undrained_at]
    over = [call for call in ours if call.begun_at < begun_at + SLACK_SECONDS and call.ended_at > begun_at]
    within = _heard(over, since=begun_at)
    assert min(within[what] for what in ("1 ACK", "2 INVITE", "2 ACK", "9 BYE", "200 1 BYE")) > 0
    ended_at = max(call.ended_at for call in over)
    print(
        f"{count} calls, {len(over)} at the server when it began to drain; {dict(within)} came to it after that; "
        f"told {drained_at - ended_at:.2f} s after the last message, "
        f"{drained_at - begun_at:.2f} s after the word: {said}"
    )
    assert QUIET_S - SLACK_SECONDS < drained_at - ended_at < QUIET_S + LATE_SECONDS
    assert f"{uri} in set 1: draining, takes no new work\ndrained after " in said
    assert ": no call is left; but calls from before the proxy was started, " in said


def _begun(farm: Farm, place: int, *, since: float) -> int:
    """How many calls a server has been given since then."""
    return sum(call.servers == {place} and call.begun_at > since for call in farm.calls().values())


def _heard(calls: Iterable[Call], *, since: float) -> Counter[str]:
    """What has come to the servers of these calls since then."""
    return Counter(line.what for call in calls for line in call.lines if line.at > since and not line.sent)
