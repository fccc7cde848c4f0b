"""How wide and how colourful is what a command prints?

On a terminal as wide as that and in colours; elsewhere as wide as it needs to be and plain, one thing a line, for
grep and for files.
"""

from __future__ import annotations

import io
import os

import attrs
from rich.console import Console, RenderableType

ENDLESS = 100_000
"""The width of what is no terminal."""
NARROWEST = 80
"""A terminal that is narrower breaks the lines itself."""
CLEAR = "\x1b[H\x1b[2J"
"""Begins the screen anew (ECMA-48)."""


@attrs.frozen(kw_only=True)
class Screen:
    """What is printed to; `colours` as rich names them, None for none."""

    width: int = ENDLESS
    colours: str | None = None
    can_clear: bool = False

    def text(self, *parts: RenderableType) -> str:
        """What would stand on it, without blanks at the ends of lines."""
        page = io.StringIO()
        console = Console(
            file=page,
            width=self.width,
            color_system=self.colours,  # type: ignore[arg-type]  # what rich itself has found
            force_terminal=self.colours is not None,
            no_color="NO_COLOR" in os.environ,
            highlight=False,
            markup=False,
            emoji=False,
        )
        for part in parts:
            console.print(part)
        return "\n".join(line.rstrip() for line in page.getvalue().splitlines())

    def fits(self, part: RenderableType) -> bool:
        """Whether something has the room that it would like to have."""
        if self.width == ENDLESS:
            return True
        wide = Console(file=io.StringIO(), width=ENDLESS)
        return wide.measure(part).maximum <= self.width


def standard_output() -> Screen:
    """The screen of this process."""
    console = Console(highlight=False)
    if not console.is_terminal:
        return Screen()
    return Screen(
        width=max(NARROWEST, console.width), colours=console.color_system, can_clear=not console.is_dumb_terminal
    )
