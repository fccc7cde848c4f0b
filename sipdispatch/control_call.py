"""How does a request over a control socket become a call of a method, and how is it answered when it cannot?

The proxy and the VRRP agent have a table of methods each (`control_methods`, `vrrp_methods`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
import trio

from sipdispatch.control_params import MethodError, Parameter, bind
from sipdispatch.happening import Happening
from sipdispatch.jsonrpc import METHOD_NOT_FOUND, Request
from sipdispatch.operations import OperationError

FAULT: Final = 500
"""The code of what cannot be done, Kamailio's."""
ATTEND: Final = "core.attend"
"""The method of whoever wants nothing but to see the end of this process; `control_server` knows it by its name."""

_ARGUMENTS: Final = {"set": "set_id", "from": "from_", "for": "seconds"}
"""Names of parameters that are taken in Python."""


class Followed(Protocol):
    """A process whose happenings can be followed."""

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on; a follower that is too slow loses some and sees a gap in `sequence`."""


T = TypeVar("T", bound=Followed)


@attrs.frozen(kw_only=True)
class Asking(Generic[T]):
    """A client that asks: what it may ask of, who it is, and how it becomes a follower of what happens or attends."""

    operations: T
    by: str
    follow: Callable[[], Awaitable[None]]
    attend: Callable[[], None]


Answer = Callable[..., Awaitable[Any]]


@attrs.frozen
class Method:
    """`run` gets the Asking and each parameter by its name; `fault` is the message of what cannot be done.

    One that `takes_anything` gets the parameters as they came.  One that `changes` something is not broken off in the
    middle because its client has gone.
    """

    run: Answer
    parameters: tuple[Parameter, ...] = ()
    fault: str = ""
    takes_anything: bool = False
    changes: bool = False


Methods = Mapping[str, Method]


async def call_method(methods: Methods, request: Request, asking: Asking[Any]) -> Any:
    """The result of a request: a JSON value, or an iterator over the text of one.  Raises MethodError."""
    method = methods.get(request.method)
    if method is None:
        raise MethodError(
            METHOD_NOT_FOUND,
            "Method Not Found",
            details(f"there is no method {request.method[:100]}", "the request", "see system.listMethods"),
        )
    if method.takes_anything:
        return await method.run(asking, request.params)
    values = bind(request.method, method.parameters, request.params)
    try:
        return await method.run(asking, **{_ARGUMENTS.get(name, name): value for name, value in values.items()})
    except OperationError as error:
        raise MethodError(
            FAULT,
            method.fault or error.what,
            details(error.what, error.where or request.method, error.remedy or "see sipdispatch ds list"),
        ) from error


def details(what: str, where: str, remedy: str) -> dict[str, Any]:
    """The `data` of an error."""
    return {"what": what, "where": where, "to_do": remedy}


async def echo(_: Asking[Any], given: Any) -> Any:
    """`core.echo`."""
    return given if isinstance(given, dict) else list(given)


async def attend(asking: Asking[Any]) -> dict[str, Any]:
    """`core.attend`."""
    asking.attend()
    return {"attending": True}


async def follow_events(asking: Asking[Any]) -> dict[str, Any]:
    """`events`."""
    await asking.follow()
    return {"following": True}
