"""What exists twice is tested twice: the table of Python, and its compiled twin where that has been built."""

from __future__ import annotations

from contextlib import suppress

import pytest


def both(ours: type) -> pytest.MarkDecorator:
    """Runs a test with `table` as either class."""
    tables = [ours]
    with suppress(ImportError):
        from dispatcher import _fastpath  # noqa: PLC0415 - it may not be there

        tables.append(getattr(_fastpath, ours.__name__))
    return pytest.mark.parametrize("table", tables, ids=["python", "compiled"][: len(tables)])
