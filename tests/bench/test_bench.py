"""Are the bench's figures read, summed up and laid out right?"""

from __future__ import annotations

import os
import subprocess
import sys

import attrs
import pytest

from bench import layout
from bench.load import Load, Shares
from bench.processes import cpu_seconds, memory_mib
from bench.proxies import KAMAILIO, NULL, Proxy
from bench.table import Figures, comparison, markdown, medians

LINE = (
    "sent=100 got=90 late=6 bad=0 lost=4 seconds=0.500000 gap_us=1500 delay_us=2500 p50_us=90 p99_us=400 p999_us=2400\n"
)


def figures(rate: float, cpu_us: float, lost: float = 0) -> Figures:
    return Figures(messages_per_second=rate, cpu_us=cpu_us, lost=lost, bad=0, evenness=1, memory_mib=10)


def test_a_transaction_is_two_messages_and_late_answers_cost_but_do_not_count() -> None:
    load = Load.parse(LINE)
    assert load.messages_per_second == 360
    assert load.messages == 192
    assert (load.lost, load.gap_us, load.delay_us) == (4, 1500.0, 2500.0)
    assert (load.p50_us, load.p99_us, load.p999_us) == (90.0, 400.0, 2400.0)


def test_the_destinations_tell_who_got_how_many() -> None:
    said = "first=50 busiest=52 reached=2 requests=102 probes=4 again=1 answered=106\n"
    assert Shares.parse(said) == Shares(first=50, busiest=52, reached=2, requests=102, probes=4, again=1, answered=106)


def test_medians_hide_no_loss() -> None:
    settled = medians([figures(100, 5), figures(300, 4, lost=7), figures(200, 6)])
    assert (settled.messages_per_second, settled.cpu_us, settled.lost) == (200, 5, 7)


def test_each_row_is_compared_with_the_same_number_of_destinations() -> None:
    table = comparison(
        {(NULL, 2): [figures(400, 2)], (KAMAILIO, 2): [figures(100, 8)], (KAMAILIO, 20): [figures(50, 16)]}
    )
    _, _, null, kamailio, other = (row.split("|") for row in table.splitlines())
    assert [cell.strip() for cell in null[-3:-1]] == ["1.00", "4.00"]
    assert [cell.strip() for cell in kamailio[-3:-1]] == ["4.00", "1.00"]
    assert [cell.strip() for cell in other[-3:-1]] == ["", "1.00"]


def test_with_a_rate_the_table_says_how_long_they_took() -> None:
    slow = attrs.evolve(figures(100, 8), p50_us=1200.0, p99_us=2000.0, p999_us=9000.0)
    heading, _, row = comparison({(NULL, 2): [slow]}, waits=True).splitlines()
    assert [cell.strip() for cell in heading.split("|")[-4:-1]] == ["p50 us", "p99 us", "p99.9 us"]
    assert [cell.strip() for cell in row.split("|")[-4:-1]] == ["1,200", "2,000", "9,000"]


def test_tables_are_markdown() -> None:
    assert markdown(("a", "long"), [["wide", "1"]]) == "| a    | long |\n|------|-----:|\n| wide |    1 |"


def test_a_list_begins_where_it_is_told() -> None:
    assert layout.dispatcher_list(2, first=255).splitlines() == [
        "1 sip:127.1.0.255:7000 0 1 weight=50",
        "1 sip:127.1.1.0:7000 0 1 weight=50",
    ]


def test_a_proxy_is_a_name_and_a_command() -> None:
    assert Proxy.parse("mine=run --x=1") == Proxy("mine", "run --x=1")
    for wrong in ("mine", "=run", "mine="):
        with pytest.raises(ValueError, match=wrong):
            Proxy.parse(wrong)


def test_the_children_of_a_process_count() -> None:
    burn = "import os\nn = 0\nwhile sum(os.times()[:2]) < 0.2: n += 1\nprint(flush=True)\ninput()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(process.pid) >= 0.2
        assert memory_mib(process.pid) > 1
        process.communicate(b"\n")
    assert memory_mib(os.getpid()) > 1
