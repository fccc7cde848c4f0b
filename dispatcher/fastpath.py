"""Is the compiled packet path there, and if not, why?

Nothing needs it: without `dispatcher._fastpath` Python decides and passes on every message by itself, only slower.  It
is looked for once, when this module is imported; whether a proxy takes it is `[proxy] fastpath`.
"""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path
from typing import Final, Literal

import attrs

VERSION: Final = "0.1.0"
"""Of this program.  A module that was built from another version's sources is not asked for anything."""

Wish = Literal["auto", "on", "off"]
"""`[proxy] fastpath`: take it if it is there, do not run without it, do not take it."""

SLOWER: Final = "forwards less than a tenth as much"
"""What is lost without it; bench/ has the figures."""


@attrs.frozen
class PacketPath:
    """Which path the packets take; `why_not` the compiled one, or empty."""

    compiled: bool
    why_not: str

    def __str__(self) -> str:
        return "fast path" if self.compiled else "pure Python"


def look() -> str:
    """Why the module cannot be used; empty when it can."""
    try:
        module = importlib.import_module("dispatcher._fastpath")
    except ModuleNotFoundError:
        return "the fast path is not built"
    except ImportError as error:  # built for another machine or interpreter
        return f"the fast path cannot be loaded: {error}"
    version = getattr(module, "__version__", "unknown")
    if version != VERSION:
        return f"the fast path is of version {version}, not {VERSION}"
    # With the same version a module may be left from a build of older sources.
    stub = Path(__file__).with_name("_fastpath.pyi")
    if stub.exists() and zlib.crc32(stub.read_bytes()) != getattr(module, "STUB_CRC32", None):
        return "the fast path was built from other sources"
    return ""


WHY_NOT: Final = look()
"""Why it is not there; empty when it is."""


def packet_path(wish: Wish = "auto") -> PacketPath:
    """The path that a proxy takes with this setting; with "on" and no module it is for the caller to refuse."""
    if wish == "off":
        return PacketPath(compiled=False, why_not="the configuration says so")
    return PacketPath(compiled=not WHY_NOT, why_not=WHY_NOT)
