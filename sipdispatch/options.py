"""How are several options given to a command at once?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def together(*options: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """One decorator in place of these, which are click's, in the order in which the help shows them."""

    def give(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return give
