"""Nobody makes the log grow without bounds."""

import pytest

from dispatcher.logbudget import INTERVAL_S, LINES_AN_INTERVAL, MAX_SOURCES, LogBudget


def test_a_source_is_written_about_once_an_interval() -> None:
    budget = LogBudget()
    assert budget.spend("203.0.113.9", 0.0) == 0
    assert budget.spend("203.0.113.9", INTERVAL_S - 0.1) is None
    assert budget.spend("203.0.113.9", INTERVAL_S) == 1
    assert budget.spend("203.0.113.10", INTERVAL_S) == 0


def test_all_sources_together_have_a_budget() -> None:
    budget = LogBudget()
    said = [budget.spend(f"203.0.113.{last}", 0.0) for last in range(100)]
    assert said[:LINES_AN_INTERVAL] == [0] * LINES_AN_INTERVAL
    assert set(said[LINES_AN_INTERVAL:]) == {None}
    assert budget.spend("203.0.113.200", INTERVAL_S) == 100 - LINES_AN_INTERVAL


def test_an_ipv6_customer_is_one_source() -> None:
    budget = LogBudget()
    assert budget.spend("2001:db8::1", 0.0) == 0
    assert budget.spend("2001:db8::ffff", 0.0) is None
    assert budget.spend("2001:db8:0:1::1", 0.0) == 1


def test_only_so_many_sources_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.logbudget.MAX_SOURCES", 2)
    budget = LogBudget()
    for last in range(5):
        budget.spend(f"203.0.113.{last}", float(last))
    assert list(budget._last) == ["203.0.113.3", "203.0.113.4"]
    assert MAX_SOURCES > 2
