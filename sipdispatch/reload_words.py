"""What does a reload change, in words?"""

from __future__ import annotations

from dispatcher.listdiff import ListDiff
from dispatcher.problem import Problem
from dispatcher.steps import Steps
from sipdispatch.operations import ReloadReport


def report_of(difference: ListDiff, problems: tuple[Problem, ...]) -> Steps[ReloadReport]:
    """The difference for people, a line for each destination that it concerns."""
    changed = []
    for change in difference.changed:
        changed.append(f"{change.after.set_id} {change}")
        yield
    return ReloadReport(
        done=False,
        added=[f"{entry.set_id} {entry.uri}" for entry in difference.added],
        removed=[f"{entry.set_id} {entry.uri}" for entry in difference.removed],
        changed=[*changed, *(["the order"] if difference.reordered else [])],
        problems=problems,
    )
