"""Which sipdispatch is this, and which path do its packets take?"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from dispatcher.fastpath import packet_path


def version_number() -> str:
    """The version of the installed package; "unknown" when it runs from a tree that is not installed."""
    try:
        return version("sipdispatch")
    except PackageNotFoundError:
        return "unknown"


def version_line() -> str:
    """What `sipdispatch --version` prints."""
    path = packet_path()
    about = f"{path}: {path.why_not};" if path.why_not else f"{path},"
    return f"sipdispatch {version_number()} ({about} Python {platform.python_version()})"
