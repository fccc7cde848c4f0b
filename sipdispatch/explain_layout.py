"""How do labelled facts stand on a terminal?"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable
from typing import Final

_INDENT: Final = 12
_WIDTH: Final = 88


def lay_out(facts: Iterable[tuple[str, str]], folded: Collection[str]) -> str:
    """A line for each label and what it is about; sentences (`folded`) take several, what people copy never does."""
    return "\n".join(
        _fold(label, words) if label in folded else f"{label:<{_INDENT}}{words}".rstrip() for label, words in facts
    )


def _fold(label: str, words: str) -> str:
    return textwrap.fill(
        words,
        width=_WIDTH,
        initial_indent=f"{label:<{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
