"""How does a problem print, sort and travel as JSON?"""

from __future__ import annotations

from dispatcher.problem import Problem, refuses


def test_a_problem_prints_place_severity_message_and_hint() -> None:
    problem = Problem("dispatcher.list", 3, 7, severity="error", message="port is missing", hint="write 5060")
    assert str(problem) == "dispatcher.list:3:7: error: port is missing; write 5060"


def test_a_problem_without_hint_ends_with_its_message() -> None:
    assert str(Problem("a", 1, 1, severity="warning", message="no destination")) == "a:1:1: warning: no destination"


def test_problems_sort_by_place() -> None:
    places = [("b", 1, 1), ("a", 10, 1), ("a", 2, 10), ("a", 2, 9)]
    problems = [Problem(*place, severity="error", message="m") for place in places]
    assert [(p.path, p.line, p.column) for p in sorted(problems)] == sorted(places)


def test_json_has_every_fact_as_a_plain_value() -> None:
    assert Problem("a", 1, 2, severity="warning", message="m").to_json() == {
        "path": "a",
        "line": 1,
        "column": 2,
        "severity": "warning",
        "message": "m",
        "hint": "",
    }


def test_one_error_refuses_and_warnings_do_not() -> None:
    warning = Problem("a", 1, 1, severity="warning", message="m")
    error = Problem("a", 1, 1, severity="error", message="m")
    assert not refuses([])
    assert not refuses([warning])
    assert refuses([warning, error])
