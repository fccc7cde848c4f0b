"""Which sipdispatch is this, and which path do its packets take?"""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version


def version_number() -> str:
    """The version of the installed package; "unknown" when it runs from a tree that is not installed."""
    try:
        return version("sipdispatch")
    except PackageNotFoundError:
        return "unknown"


def packet_path() -> str:
    """Whether the compiled path is there, in words."""
    return "pure Python" if importlib.util.find_spec("dispatcher._fastpath") is None else "fast path"


def version_line() -> str:
    """What `sipdispatch --version` prints."""
    return f"sipdispatch {version_number()} ({packet_path()}, Python {platform.python_version()})"
