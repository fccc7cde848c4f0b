"""Is a peer that is configured differently an alarm that names the field, and who has the address then?

The peer is a real keepalived 2.2.  All pairs live at the same time, each on hosts of its own.  This node obeys a better
peer whatever differs, so there is one owner.  Where this node is the better one, keepalived throws its adverts away for
most of the differences, and takes the address too: nothing that this node is told to send could keep it from that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.peers.keepalived import Instance, Keepalived
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require, require_root
from tests.peers.program import PeerError, wait_until
from tests.sipdispatch.vrrp_pair import ROOT, VIP, Node

pytestmark = [pytest.mark.peers, pytest.mark.slow]

OURS, THEIRS = "192.0.2.11", "192.0.2.12"
OUR_PRIORITY = 150
BETTER, WORSE = 200, 110
PATIENCE_S = 40.0
PASSWORD = "version = 2\ninterval = '1s'\npassword_file = 'password'"


@attrs.frozen(kw_only=True)
class Difference:
    """`more` is what our configuration has besides; `deaf`: keepalived throws away what we send."""

    more: str
    theirs: Mapping[str, Any]
    ours_told: str
    theirs_told: str
    deaf: bool


DIFFERENCES = {
    "addresses": Difference(
        more="",
        theirs={"addresses": (f"{VIP}/24", "192.0.2.101/24")},
        ours_told=VIP,
        theirs_told=f"{VIP} 192.0.2.101",
        deaf=True,
    ),
    # An Active that obeys is heard once before at least: it sends more often than a Backup waits.
    "interval": Difference(more="", theirs={"interval": 0.2}, ours_told="0.1 s", theirs_told="0.2 s", deaf=False),
    "interval-2": Difference(
        more="version = 2\ninterval = '1s'",
        theirs={"version": 2, "interval": 2},
        ours_told="1 s",
        theirs_told="2 s",
        deaf=True,
    ),
    "version": Difference(
        more="interval = '1s'",
        theirs={"version": 2, "interval": 1},
        ours_told="3",
        theirs_told="2",
        deaf=True,
    ),
    "password": Difference(
        more=PASSWORD,
        theirs={"version": 2, "interval": 1, "password": "1111"},
        ours_told="one",
        theirs_told="another",
        deaf=True,
    ),
}
CASES = [(name, better) for name in DIFFERENCES for better in ("keepalived", "sipdispatch")]


@attrs.frozen(kw_only=True)
class End:
    """Who has the address at last, what our agent tells, and what keepalived says it is."""

    owners: str
    status: dict[str, Any]
    theirs: str


def live(name: str, better: str, folder: Path) -> End:
    """Start the peer, then us, and wait until nothing changes any more."""
    folder.mkdir()
    (folder / "password").write_text("secret\n")
    difference = DIFFERENCES[name]
    with Network() as network:
        one, other = network.host("a"), network.host("b")
        network.wire(one, f"{OURS}/24", other, f"{THEIRS}/24")
        node = Node(one, folder, OUR_PRIORITY, difference.more)
        plain: dict[str, Any] = {"addresses": (f"{VIP}/24",)}
        instance = Instance(
            interface="eth0",
            priority=BETTER if better == "keepalived" else WORSE,
            **(plain | dict(difference.theirs)),
        )
        with Keepalived(instance, namespace=other, directory=folder / "keepalived") as peer:
            peer.until_state("MASTER", seconds=PATIENCE_S)
            with node.start() as agent:
                agent.until(lambda: bool(_alarms(node)), "an alarm", seconds=PATIENCE_S)
                expected = expected_owners(difference, better)
                wait_until(
                    lambda: owners(one, other) == expected,
                    f"{name}: the address is at {expected}",
                    seconds=PATIENCE_S,
                    failure=agent.failure,
                )
                # Nobody's timer runs for longer than three of their adverts and a bit.
                time.sleep(4 * float(instance.interval))
                status = subprocess.run(
                    [sys.executable, "-m", "sipdispatch", "vrrp", "status", "--json", "-c", str(node.config)],
                    cwd=ROOT,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                return End(owners=owners(one, other), status=json.loads(status.stdout)["vrrp"], theirs=peer.state)


def _alarms(node: Node) -> list[dict[str, Any]]:
    try:
        alarms: list[dict[str, Any]] = node.status()["alarms"]
    except Exception:  # noqa: BLE001 - it is not there yet
        return []
    return alarms


def owners(one: Namespace, other: Namespace) -> str:
    """Who has the address: both at the same time are a place too."""
    return " and ".join(
        name
        for name, host in (("sipdispatch", one), ("keepalived", other))
        if f" {VIP}/" in host.run("ip", "-4", "address", "show")
    )


def expected_owners(difference: Difference, better: str) -> str:
    """Who must have the address."""
    if better == "keepalived":
        return "keepalived"
    return "sipdispatch and keepalived" if difference.deaf else "sipdispatch"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[tuple[str, str], Future[End]]]:
    require("keepalived")
    require_root("a network namespace")
    folder = tmp_path_factory.mktemp("m")
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {case: pool.submit(live, *case, folder / f"{number}") for number, case in enumerate(CASES)}


@pytest.mark.parametrize(("name", "better"), CASES)
def test_a_difference_is_told_with_its_field(
    ends: Mapping[tuple[str, str], Future[End]], name: str, better: str
) -> None:
    try:
        end = ends[name, better].result()
    except PeerError as error:
        pytest.fail(str(error), pytrace=False)
    difference, field = DIFFERENCES[name], name.partition("-")[0]
    (alarm,) = [alarm for alarm in end.status["alarms"] if alarm["field"] != "owner"]
    assert (alarm["field"], alarm["peer"]) == (field, THEIRS)
    assert alarm["text"] == f"{field}: here {difference.ours_told}, at {THEIRS} {difference.theirs_told}"
    assert "1111" not in json.dumps(end.status)
    assert not end.status["well"]
    # All of its adverts are heard, none is refused.
    assert sum(end.status["adverts"]["refused"].values()) == 0
    assert end.owners == expected_owners(difference, better)
    assert end.status["state"] == ("backup" if better == "keepalived" else "active")
    assert end.theirs == ("MASTER" if "keepalived" in end.owners else "BACKUP")
