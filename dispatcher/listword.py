"""Where does a piece of the list stand, and what was found wrong with it?"""

from __future__ import annotations

import attrs

from dispatcher.problem import Problem

SHOWN_CHARACTERS = 100
"""What a message quotes is cut here: lines may be of any length, messages are read on a terminal."""


@attrs.frozen
class Word:
    """A run of characters of the file and where it starts; line and column count from 1."""

    text: str
    line: int
    column: int

    def part(self, start: int, end: int | None = None) -> Word:
        """A piece of this word that knows its own place."""
        return Word(self.text[start:end], self.line, self.column + start)


@attrs.define
class Findings:
    """The problems of one file, gathered while it is read."""

    path: str
    problems: list[Problem] = attrs.Factory(list)

    def error(self, at: Word, message: str, hint: str) -> None:
        self.problems.append(Problem(self.path, at.line, at.column, severity="error", message=message, hint=hint))

    def warning(self, at: Word, message: str, hint: str) -> None:
        self.problems.append(Problem(self.path, at.line, at.column, severity="warning", message=message, hint=hint))


def shown(text: str) -> str:
    """The text as a message shows it: long ones cut."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
