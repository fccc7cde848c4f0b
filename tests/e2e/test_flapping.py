"""Does a server that comes and goes make no more noise than it must?"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from tests.e2e.operator import Operator
from tests.e2e.proxy import Proxy
from tests.health.answerer import Answerer, reply
from tests.peers.ports import free_port
from tests.peers.program import wait_until
from tests.sipdispatch.notice_servers import HttpServer, listening

PROXY = "127.0.0.10"
RISE, FALL = 2, 3
EVERY_SECONDS = 6.0
"""In place of 60: at most one notice in this time."""
GATHER_SECONDS = 0.5

Answer = Literal["good", "bad", "silent"]

_BRANCH = re.compile(rb"branch=([^;\s]+)")


@attrs.define
class Flapping:
    """Answers each probe, however often it is sent, as `script` says; those after its end with 200."""

    script: Sequence[Answer]
    known: dict[bytes, int] = attrs.field(factory=dict)

    def __call__(self, request: bytes, _number: int) -> Sequence[bytes]:
        found = _BRANCH.search(request)
        assert found is not None
        place = self.known.setdefault(found[1], len(self.known))
        match self.script[place] if place < len(self.script) else "good":
            case "good":
                return [reply(request)]
            case "bad":
                return [reply(request, 503, "Service Unavailable")]
            case "silent":
                return []


def flips(script: Sequence[Answer]) -> list[tuple[str, str]]:
    """The changes of the verdict that follow from these answers and good ones after them, by the manual's words."""
    verdict, run = "up", 0
    found: list[tuple[str, str]] = []

    def become(now: str) -> None:
        nonlocal verdict, run
        found.append((verdict, now))
        verdict, run = now, 0

    for answer in (*script, *["good"] * RISE):
        good = answer == "good"
        if verdict == "down":
            run = run + 1 if good else 0
            if run == RISE:
                become("up")
        elif good:
            if verdict == "suspect":
                become("up")
            run = 0
        else:
            if verdict == "up":
                become("suspect")
            run += 1
            if run == FALL:
                become("down")
    return found


def script_of(rng: random.Random) -> list[Answer]:
    """Turns that are too short to count, and runs, mixed."""
    script: list[Answer] = ["good", "bad", "good", "bad", "bad", "good"]
    while len(script) < 70:
        alive = rng.random() < 0.5
        script += ["good" if alive else rng.choice(("bad", "bad", "bad", "silent"))] * rng.randint(1, 4)
    return script


@pytest.mark.slow
def test_a_flapping_server_flips_once_a_run_and_is_told_of_once_in_a_while(tmp_path: Path) -> None:
    script = script_of(random.Random(11))
    operator = Operator(tmp_path / "control.sock")
    receiver = HttpServer()
    arrived: list[float] = []

    def serve(connection: Any) -> None:
        receiver.serve(connection)
        arrived.append(time.time())

    with listening(serve) as port, Answerer(Flapping(script), "127.0.0.21") as server:
        settings = (
            f'[health]\ninterval = "150ms"\ntimeout = "150ms"\nrise = {RISE}\nfall = {FALL}\n{operator.settings}'
            f'[[notify]]\nname = "noc"\nurl = "http://127.0.0.1:{port}/"\non = ["verdict"]\n'
            f'every = "{EVERY_SECONDS:.0f}s"\n'
        )
        with Proxy(
            [f"udp:{PROXY}:{free_port(PROXY)}"],
            f"1 sip:{server.place}\n",
            directory=tmp_path / "proxy",
            settings=settings,
            probing=True,
        ):
            expected = flips(script)
            wait_until(lambda: len(operator.events("verdict")) >= len(expected), "the last flip", seconds=30.0)
            events = operator.events("verdict")
            wait_until(
                lambda: bool(arrived) and arrived[-1] > events[-1]["at"] and _items(receiver)[-1]["state"] == "up",
                "the end of the trouble is told",
            )
    had = [(event["before"], event["after"]) for event in events]
    items = _items(receiver)
    print(
        f"{len(script)} answers, {len(had)} changes, {had.count(('suspect', 'down'))} outages; told: "
        + "; ".join(json.loads(each.body)["text"].partition(": ")[2] for each in receiver.requests)
    )
    assert had == expected
    assert had.count(("suspect", "down")) > len(items) > 1, "it flapped more often than it was told of"
    assert items[0]["state"] == "down"
    assert arrived[0] - next(event["at"] for event in events if event["after"] == "down") < GATHER_SECONDS + 1.0
    assert all(after - before > EVERY_SECONDS for before, after in pairwise(arrived))
    assert [item["state"] for item in items] == ["down", "up"] * (len(items) // 2), "what was told has its end"
    assert len(receiver.requests) == len(items)


def _items(receiver: HttpServer) -> list[dict[str, Any]]:
    return [item for each in receiver.requests for item in json.loads(each.body)["items"]]
