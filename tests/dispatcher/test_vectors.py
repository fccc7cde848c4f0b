"""Are the answers that the compiled twins are held to those of today?"""

from __future__ import annotations

from pathlib import Path

from tests.dispatcher.vectors import lines

VECTORS = Path(__file__).parents[2] / "fastpath" / "tests" / "vectors.txt"


def test_the_vectors_are_those_of_today() -> None:
    assert VECTORS.read_text(encoding="ascii").splitlines() == list(lines()), (
        "run: python -m tests.dispatcher.vectors > fastpath/tests/vectors.txt"
    )
