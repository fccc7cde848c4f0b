"""Does the long run tell of everything that is lost, refused or counted differently, and leave nothing behind?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from bench import soak
from bench.churn import Churn, changed_list
from bench.load import BenchError, Shares
from bench.rounds import status
from bench.tally import Client, Proxy, Tally
from tests.peers.need import require, require_root

ROOT = Path(__file__).resolve().parents[2]

WELL = Tally(
    client=Client(sent=100, answered=100, bad=0),
    proxy=Proxy(received=200, forwarded=200, by_fast_path=190, left={}, probes=40, probe_failures=0),
    servers=Shares(first=5, busiest=6, reached=20, requests=100, probes=43, again=1, answered=143),
    overrun={"the proxy": 0},
    under_way=2,
)


def test_counts_that_agree_are_no_problem_and_probes_may_be_under_way() -> None:
    assert WELL.problems() == []
    assert (WELL.handed_over, WELL.probes_seen) == (10, 42)


@pytest.mark.parametrize(
    ("place", "changes", "told"),
    [
        ("client", {"answered": 99}, "answers at the client: 99, requests that it sent: 100"),
        ("client", {"answered": 99, "bad": 1}, "1 answers other than 200"),
        ("proxy", {"received": 199}, "received by the proxy: 199, sent by client and servers: 200"),
        ("proxy", {"forwarded": 199}, "forwarded by the proxy: 199, received by servers and client: 200"),
        ("proxy", {"left": {"dropped malformed": 3}}, "3 datagrams of the proxy: dropped malformed"),
        ("proxy", {"probe_failures": 1}, "1 probes failed"),
        ("proxy", {"probes": 39}, "probes at the servers: 42, known to the proxy: 39"),
        ("servers", {"requests": 99}, "requests at the servers: 99, sent by the client: 100"),
        ("servers", {"answered": 142}, "answers of the servers: 99, requests that they received: 100"),
    ],
)
def test_each_loss_and_disagreement_is_named(place: str, changes: dict[str, object], told: str) -> None:
    assert told in attrs.evolve(WELL, **{place: attrs.evolve(getattr(WELL, place), **changes)}).problems()


def test_what_the_kernel_threw_away_is_named_with_its_socket() -> None:
    told = attrs.evolve(WELL, overrun={"the proxy": 7}).problems()
    assert told == ["7 datagrams thrown away by the kernel: the proxy"]


def test_stretches_add_up() -> None:
    lossy = attrs.evolve(WELL, overrun={"the proxy": 7}, proxy=attrs.evolve(WELL.proxy, left={"unsent no_buffer": 2}))
    whole = lossy.plus(lossy)
    assert (whole.client.sent, whole.servers.requests, whole.proxy.received) == (200, 200, 400)
    assert (whole.overrun, whole.proxy.left) == ({"the proxy": 14}, {"unsent no_buffer": 4})


def test_what_the_proxy_counted_since_is_the_difference() -> None:
    before = attrs.evolve(WELL.proxy, left={"dropped stun": 1})
    later = attrs.evolve(before, received=300, left={"dropped stun": 1, "dropped malformed": 2})
    assert (later.since(before).received, later.since(before).left) == (100, {"dropped malformed": 2})


def test_each_list_differs_in_one_line_from_the_one_before() -> None:
    lists = [changed_list(3, number).splitlines() for number in range(12)]
    for before, after in pairwise(lists):
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_what_was_refused_is_told_with_its_reason(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        churn = Churn(process, work=tmp_path, control=tmp_path / "none", count=2)
        with churn.ongoing():
            until = time.monotonic() + 5
            while not churn.changes_refused and time.monotonic() < until:
                os.sched_yield()
    (told,) = churn.problems()
    assert "refused" in told
    assert "no proxy has its control socket there" in told


def test_memory_that_grows_by_a_mebibyte_a_minute_has_that_slope() -> None:
    assert soak.slope([10, 50, 51, 52], [60] * 4) == "+1024.0"
    assert soak.slope([10, 50], [60] * 2) == ""


@pytest.mark.parametrize("argv", [["--seconds", "0"], ["--destinations", "1"], ["--only", "Kamailio"], ["--stretch=x"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        soak.arguments(argv)
    assert ended.value.code == 2


def test_a_bench_ends_with_its_errors_and_on_a_signal_and_its_folder_is_gone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[Path] = []

    def failing(work: Path) -> str:
        seen.append(work)
        raise BenchError("no compiler")

    def ended(work: Path) -> str:
        seen.append(work)
        signal.raise_signal(signal.SIGTERM)
        return ""

    assert (status(failing), status(ended)) == (1, 130)
    assert not any(work.exists() for work in seen)
    assert capsys.readouterr().err == "error: no compiler\ninterrupted\n"


def smoke(*more: str) -> subprocess.CompletedProcess[str]:
    """The bench, on addresses that are nobody else's: a network namespace of its own."""
    inside = f"ip link set lo up && exec {sys.executable} -m bench.soak --smoke {' '.join(more)}"
    argv = ["unshare", "-n", "sh", "-c", inside]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_short_run_agrees_and_one_with_a_server_that_swallows_a_request_does_not() -> None:
    require("gcc")
    require("ip")
    require_root("a network namespace")
    well = smoke()
    assert (well.returncode, "error" in well.stderr) == (0, False), well.stderr
    lossy = smoke("--swallow", "400")
    assert lossy.returncode == 1
    assert "error: answers of the servers" in lossy.stderr
