"""How can one function be both: called for its result, and done a little at a time?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Steps = Generator[None, None, Result]
"""A computation that yields after every few microseconds of work, and returns its result."""


class stepwise(Generic[Arguments, Result]):  # noqa: N801 - a decorator
    """Makes a function of a generator: a call returns the generator's result, `steps` the generator itself."""

    def __init__(self, steps: Callable[Arguments, Steps[Result]]) -> None:
        self.steps = steps
        update_wrapper(self, steps)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return in_one_go(self.steps(*args, **kwargs))


def in_one_go(steps: Steps[Result]) -> Result:
    """The result of steps, without a pause between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
