"""Do real SIPp callers complete every call, and does every call stay on the server that had its INVITE?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from sip.uri import Address
from tests.e2e.calls import SERVERS, Callers, Farm, check, shares, tolerance
from tests.e2e.proxy import Proxy
from tests.e2e.scenarios import KINDS
from tests.peers.ports import free_port

pytestmark = [pytest.mark.peers, pytest.mark.slow]

PROXY = "127.0.0.10"
EDGE = "127.0.0.31"
CORE = SERVERS[0]
"""A caller with the address of a server is on the core side, whatever its port."""

ALGORITHMS = ("weight", "round-robin", "random", "aor", "from", "to")


@attrs.frozen
class Stage:
    """Two servers and a proxy before them, with one listener for each algorithm."""

    farm: Farm
    proxy: Proxy
    targets: dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def stage(on_either_path: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("stage")
    targets = {algorithm: (PROXY, free_port(PROXY)) for algorithm in ALGORITHMS}
    rules = "".join(
        f'[[proxy.route]]\nlistener = "udp:{host}:{port}"\nalgorithm = "{algorithm}"\n'
        for algorithm, (host, port) in targets.items()
    )
    listen = [f"udp:{host}:{port}" for host, port in targets.values()]
    with Farm(directory / "farm") as farm:
        list_text = farm.line(0) + farm.line(1)
        with Proxy(listen, list_text, directory=directory / "proxy", settings=rules) as proxy:
            yield Stage(farm, proxy, targets)


def test_two_thousand_calls_at_two_hundred_a_second_are_shared_by_weight(tmp_path: Path) -> None:
    """Half of them by weights of 50 and 50, half by 70 and 30, at the same time and to the same two servers."""
    halves, seventy = (PROXY, free_port(PROXY)), (PROXY, free_port(PROXY))
    count, rate = 1000, 100  # of each
    rule = f'[[proxy.route]]\nlistener = "{listen(seventy)}"\nset = 2\n'
    with Farm(tmp_path / "farm") as farm:
        list_text = "".join(
            farm.line(place, set_id=set_id, weight=weight)
            for set_id, place, weight in ((1, 0, 50), (1, 1, 50), (2, 0, 70), (2, 1, 30))
        )
        with (
            Proxy([listen(halves), listen(seventy)], list_text, directory=tmp_path / "proxy", settings=rule),
            Callers(tmp_path / "callers") as callers,
        ):
            callers.start("halves", ["plain"], halves, address=EDGE, calls=count, rate=rate)
            callers.start("seventy", ["plain"], seventy, address=EDGE, calls=count, rate=rate)
            assert callers.finish() == 2 * count
        for name, share in (("halves", 0.5), ("seventy", 0.7)):
            had = shares(check(farm, name, count).values())
            print(name, dict(had), f"{share * count:.0f} +- {tolerance(count, share):.0f}")
            assert abs(had[0] - count * share) <= tolerance(count, share)


def listen(address: Address) -> str:
    return f"udp:{address[0]}:{address[1]}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_kind_of_call_stays_on_one_server(stage: Stage, tmp_path: Path, algorithm: str) -> None:
    target = stage.targets[algorithm]
    with Callers(tmp_path) as callers:
        for side, address in (("edge", EDGE), ("core", CORE)):
            callers.start(f"{algorithm}-{side}", KINDS, target, address=address, calls=15, rate=30)
        count = callers.finish()
    calls = check(stage.farm, f"{algorithm}-", count)

    for call in calls.values():
        if call.kind == "resent":
            assert min(call.heard["1 INVITE"], call.heard["9 BYE"]) > 1
        if call.kind == "slow":
            assert call.said["200 1 INVITE"] > 1
    had = shares(calls.values())
    print(dict(had))
    assert set(had) == {0, 1}
    if algorithm in {"weight", "random"}:
        assert abs(had[0] - count / 2) <= tolerance(count, 0.5)
    elif algorithm == "round-robin":
        assert abs(had[0] - had[1]) <= 1
    else:
        of_user: defaultdict[str, set[int]] = defaultdict(set)
        for call_id, call in calls.items():
            key = call.user if algorithm != "from" else call_id.replace(f"-{call.kind}", "")
            of_user[key] |= call.servers
        assert all(len(servers) == 1 for servers in of_user.values())
