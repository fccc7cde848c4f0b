"""What is wrong in a file that people write, where, and what should stand there instead?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

Severity = Literal["error", "warning"]


@attrs.frozen(order=True)
class Problem:
    """One thing that is wrong (error: the file is refused) or doubtful (warning: it is used) at one place of a file.

    `line` and `column` count from 1, columns in characters.  `message` says what is wrong, `hint` what to write
    instead; the hint may be empty.  Problems sort by place.
    """

    path: str
    line: int
    column: int
    severity: Severity = attrs.field(kw_only=True)
    message: str = attrs.field(kw_only=True)
    hint: str = attrs.field(default="", kw_only=True)

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}:{self.column}: {self.severity}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def to_json(self) -> dict[str, str | int]:
        """The same facts as plain values for a JSON encoder, all six keys always there."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }


def refuses(problems: Iterable[Problem]) -> bool:
    """Whether the file must not be used: one error is enough."""
    return any(problem.severity == "error" for problem in problems)
