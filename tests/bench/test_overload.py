"""Does the bench of overload hold the proxy back, count what arrives and hide no growth?"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from bench import held as holding
from bench.held import held
from bench.load import Load, Shares
from bench.overload import HEADINGS, Offered, Round, arguments, rows
from bench.processes import cpu_seconds, tree
from tests.peers.need import require, require_root

ROOT = Path(__file__).resolve().parents[2]
LINE = "sent=400 got=90 late=6 bad=0 lost=304 seconds=2.0 gap_us=1 delay_us=1 p50_us=1 p99_us=1 p999_us=1"
SHARES = Shares(first=5, busiest=6, reached=20, requests=110, probes=0, again=0, answered=110)
OFFERED = Offered.of(Load.parse(LINE), SHARES, before_mib=10, after_mib=11)


def test_what_counts_is_what_arrived_at_both_ends() -> None:
    assert (OFFERED.offered, OFFERED.through, OFFERED.sent, OFFERED.answered) == (200, 100, 400, 96)


def test_each_load_is_a_part_of_its_rounds_maximum_and_the_worst_growth_is_told() -> None:
    grown = attrs.evolve(OFFERED, before_mib=10, after_mib=30)
    first, second = rows("mine", [Round(200, {"2": OFFERED}), Round(200, {"2": grown})])
    assert dict(zip(HEADINGS, first, strict=True))["messages/s through"] == "200"
    told = dict(zip(HEADINGS, second, strict=True))
    assert (told["times its maximum"], told["of its maximum"], told["answered"]) == ("2", "50%", "24.0%")
    assert told["MiB before, after"] == "10.0, 30.0"


@pytest.mark.parametrize("part", ["0", "1", "-0.5", "much"])
def test_a_part_is_less_than_the_whole_and_more_than_nothing(part: str) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments([f"--part={part}"])
    assert ended.value.code == 2


TWO_AT_WORK = """
import os
first = os.getpid()
os.fork()
while first in (os.getpid(), os.getppid()):
    pass
"""


@contextlib.contextmanager
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process and its child, as Kamailio is."""
    with subprocess.Popen([sys.executable, "-c", TWO_AT_WORK]) as process:
        try:
            while len(tree(process.pid)) < 2:
                time.sleep(0.001)
            yield process
        finally:
            process.kill()


def test_where_no_group_can_be_made_the_process_is_stopped_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "CGROUPS", tmp_path)
    with busy() as process:
        with held(process.pid, 0.2) as how:
            began, before = time.monotonic(), cpu_seconds(process.pid)
            while time.monotonic() < began + 0.5:
                time.sleep(0.01)
            used = cpu_seconds(process.pid) - before
        assert how.startswith(holding.BY_STOPPING)
        assert used < 0.8 * 0.5
        assert not list(tmp_path.iterdir())
        assert (Path("/proc") / str(process.pid) / "stat").read_text().split()[2] in "RS"


def test_a_child_that_ends_while_it_is_held_leaves_its_parent_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "CGROUPS", tmp_path)
    ending = (
        "import os, time\nif os.fork(): os.wait()\nelse: time.sleep(0.05); os._exit(0)\nwhile os.getppid() != 1: pass"
    )
    with subprocess.Popen([sys.executable, "-c", ending]) as process:
        try:
            while len(tree(process.pid)) < 2:
                time.sleep(0.001)
            with held(process.pid, 0.2):
                while len(tree(process.pid)) > 1:
                    time.sleep(0.01)
                began = cpu_seconds(process.pid)
                until = time.monotonic() + 10
                while cpu_seconds(process.pid) < began + 0.05:
                    assert time.monotonic() < until, "it was left stopped"
                    time.sleep(0.01)
        finally:
            process.kill()


def test_a_held_process_leaves_no_group() -> None:
    require_root("a control group")
    with busy() as process:
        with held(process.pid, 0.2) as how:
            assert "2000 of each 10000 us" in how
        assert not list(Path("/sys/fs/cgroup").glob("**/sipdispatch-bench-*"))


def test_a_short_run_works() -> None:
    require("gcc")
    require("ip")
    require_root("a network namespace")
    inside = f"ip link set lo up && exec {sys.executable} -m bench.overload --smoke --only 'null forwarder'"
    argv = ["unshare", "-n", "sh", "-c", inside]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "| null forwarder |               all |" in done.stdout
