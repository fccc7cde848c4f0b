"""A prober with its targets, under simulated time."""

from __future__ import annotations

import random

from health.prober import Prober, ProbeResult
from health.target import Target
from tests.health.farm import Farm, Reply


def prober() -> Prober:
    return Prober(random.Random(1))


def farm(*targets: Target, **settings: object) -> Farm:
    """A farm whose prober has just been given these targets."""
    core = prober()
    made = Farm(core, **settings)  # type: ignore[arg-type]
    for each in targets:
        core.set_target(each, made.now)
    return made


def results(made: Farm) -> list[ProbeResult]:
    assert isinstance(made.core, Prober)
    found = []
    while (result := made.core.next_event()) is not None:
        found.append(result)
    return found


def silent(_target: Target, _request: bytes, _now: float) -> Reply:
    return None


def core_of(made: Farm) -> Prober:
    assert isinstance(made.core, Prober)
    return made.core
