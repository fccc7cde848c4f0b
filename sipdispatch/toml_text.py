"""How is a tree of tables written as TOML, with the keys in their order?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import attrs

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]

WIDEST = 100
"""Columns; a longer list has a line for each element."""


@attrs.frozen
class TextTable:
    """One table: `name` as in `vrrp.track`, `is_one_of_many` for `[[name]]`."""

    name: str
    keys: Mapping[str, Value]
    is_one_of_many: bool = False

    def __str__(self) -> str:
        header = f"[[{self.name}]]" if self.is_one_of_many else f"[{self.name}]"
        return "\n".join((header, *(_line(key, value) for key, value in self.keys.items())))


def toml_text(tables: Sequence[TextTable]) -> str:
    """The whole file, with a line break at its end."""
    return "\n\n".join(map(str, tables)) + "\n"


def _line(key: str, value: Value) -> str:
    line = f"{key} = {toml_value(value)}"
    if len(line) <= WIDEST or not isinstance(value, Sequence) or isinstance(value, str):
        return line
    return "\n".join((f"{key} = [", *(f"    {toml_value(each)}," for each in value), "]"))


def toml_value(value: Value) -> str:
    """On one line; text is a basic string, whose escapes are those of JSON but for DEL (TOML 1.0, String)."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return str(value)
        case Mapping():
            inside = ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items())
            return f"{{ {inside} }}"
        case _:
            return f"[{', '.join(map(toml_value, value))}]"


def toml_time(seconds: float) -> str:
    """A time as readers of durations take it: `100ms`, `2.5s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.10g}s"
    return f"{milliseconds // 1000}s"
