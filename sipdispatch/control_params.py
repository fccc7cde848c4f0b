"""Do the parameters of a request suit its method, and what do they say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from sipdispatch.jsonrpc import INVALID_PARAMS, Params

REQUIRED: Final = object()
"""In place of the default of a parameter that must be given."""

MAX_TEXT: Final = 2048
"""Characters of a name; a line of the list has fewer."""
MAX_NUMBER: Final = (1 << 31) - 1


class MethodError(Exception):
    """A request that is answered with an error; `details` is its `data`."""

    def __init__(self, code: int, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class BadValueError(Exception):
    """A value that a parameter cannot have: what it is instead, and what to write."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@attrs.frozen
class Parameter:
    """One parameter of a method: its name, how its value is read, and what it is when nobody gives it."""

    name: str
    read: Callable[[Any], Any]
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


def bind(method: str, parameters: tuple[Parameter, ...], given: Params) -> dict[str, Any]:
    """The value of each parameter, given by name or by position; raises MethodError.  null is not given."""
    if isinstance(given, Mapping):
        by_name = dict(given)
    else:
        if len(given) > len(parameters):
            raise _invalid(
                f"{method} has {_counted(len(parameters))}, and {len(given)} are given", method, _form(parameters)
            )
        by_name = {parameter.name: value for parameter, value in zip(parameters, given, strict=False)}
    known = {parameter.name for parameter in parameters}
    for name in by_name:
        if name not in known:
            raise _invalid(f"{method} has no parameter {name[:100]}", method, _form(parameters))
    return {parameter.name: _value(method, parameter, by_name.get(parameter.name)) for parameter in parameters}


def _value(method: str, parameter: Parameter, given: Any) -> Any:
    where = f"{method}, parameter {parameter.name}"
    if given is None:
        if parameter.required:
            raise _invalid(f"{parameter.name} is missing", where, f"give {parameter.name}")
        return parameter.default
    try:
        return parameter.read(given)
    except BadValueError as error:
        raise _invalid(error.what, where, error.remedy) from error


def _invalid(what: str, where: str, remedy: str) -> MethodError:
    return MethodError(INVALID_PARAMS, "Invalid Parameters", {"what": what, "where": where, "to_do": remedy})


def _form(parameters: tuple[Parameter, ...]) -> str:
    names = [parameter.name if parameter.required else f"[{parameter.name}]" for parameter in parameters]
    return f"give {' '.join(names)}" if names else "give none"


def _counted(number: int) -> str:
    return {0: "no parameters", 1: "one parameter"}.get(number, f"{number} parameters")


# --------------------------------------------------------------------------------------------------------------------
# How values are read


def read_text(value: Any) -> str:
    """One line of text."""
    if not isinstance(value, str):
        raise BadValueError(f"{_shown(value)} is no text", "write a text in quotes")
    if not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        raise BadValueError("this text cannot be meant", f"write one line of at most {MAX_TEXT} characters")
    return value.strip()


def read_number(value: Any) -> int:
    """A whole number from 0; as a text too, since `kamcli` and shell scripts write it so."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER)) and int(text) <= MAX_NUMBER:
        return int(text)
    raise BadValueError(f"{_shown(value)} is no whole number", f"write a number from 0 to {MAX_NUMBER}")


def read_flag(value: Any) -> bool:
    """Yes or no; 1 and 0 too."""
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise BadValueError(f"{_shown(value)} is neither true nor false", "write true or false")


def read_seconds(value: Any) -> float:
    """A duration."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMBER:
        raise BadValueError(f"{_shown(value)} is no duration", "write seconds, as in 30 or 0.5")
    return float(value)


def _shown(value: Any) -> str:
    """A value for an error's text, and not the whole of a long one."""
    match value:
        case dict() | list():
            return "this"
        case str():
            shown = f'"{value}"'
        case _:
            shown = str(value).lower()
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
