"""Does the bench of whole calls compare what it says?"""

from __future__ import annotations

from bench.calls import HEADINGS, Run, row


def run(cpu_us: float, *, failed: int = 0) -> Run:
    return Run(successful=100, failed=failed, retransmissions=1, cpu_us=cpu_us, memory_mib=40)


def test_the_cost_is_the_median_and_every_failed_call_is_told() -> None:
    told = dict(zip(HEADINGS, row("mine", [run(4), run(9, failed=2), run(5)], [run(10)]), strict=True))
    assert (told["CPU us/message"], told["Kamailio's CPU/its"]) == ("5.00", "2.00")
    assert (told["calls"], told["failed"], told["sent again"]) == ("300", "2", "3")


def test_without_kamailio_nothing_is_compared() -> None:
    assert row("mine", [run(4)], [])[-1] == ""
