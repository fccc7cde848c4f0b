"""Is the compiled packet path there, and if not, why?

Nothing needs it: without `dispatcher._fastpath` Python decides and passes on every message by itself, only slower.  It
is looked for once, when this module is imported; whether a proxy takes it is `[proxy] fastpath`.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final, Literal

import attrs

VERSION: Final = "0.1.0"
"""Of this program.  A module that was built from another version's sources is not asked for anything."""

Wish = Literal["auto", "on", "off"]
"""`[proxy] fastpath`: take it if it is there, do not run without it, do not take it."""

SLOWER: Final = "forwards less than a tenth as much"
"""What is lost without it; bench/ has the figures."""


MAKE_IT: Final = 'install a Rust toolchain and build it, or write "auto"'
"""What to do where it is wanted and cannot be used."""


@attrs.frozen
class PacketPath:
    """Which path the packets take; `why_not` the compiled one, or empty."""

    compiled: bool
    why_not: str

    def __str__(self) -> str:
        return "fast path" if self.compiled else "pure Python"


def look() -> str:
    """Why the module cannot be used; empty when it can."""
    file = _file()
    if file is not None and _is_cut(file):
        return f"the fast path cannot be loaded: {file} is not whole"
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


def _file() -> Path | None:
    """The file that the interpreter would take: the first that is there, by suffixes in its order."""
    names = (Path(__file__).with_name(f"_fastpath{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((name for name in names if name.exists()), None)


def _is_cut(file: Path) -> bool:
    """Whether an ELF file ends before its table of sections does, which linkers put last (elf(5)).

    To load one kills the process (SIGBUS).  What is no ELF file at all the system's loader refuses with a reason.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(64)
            size = opened.seek(0, 2)
    except OSError:
        return False  # told by who loads it
    if not header.startswith(b"\x7fELF"):
        return False
    is_long, order = header[4:5] == b"\x02", ">" if header[5:6] == b"\x02" else "<"
    # e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum
    layout = struct.Struct(f"{order}{'Q' if is_long else 'I'}IHHHHH")
    try:
        at, _, _, _, _, entry, count = layout.unpack_from(header, 40 if is_long else 32)
    except struct.error:
        return True
    return bool(size < at + entry * count)


WHY_NOT: Final = look()
"""Why it is not there; empty when it is."""


def packet_path(wish: Wish = "auto") -> PacketPath:
    """The path that a proxy takes with this setting; with "on" and no module it is for the caller to refuse."""
    if wish == "off":
        return PacketPath(compiled=False, why_not="the configuration says so")
    return PacketPath(compiled=not WHY_NOT, why_not=WHY_NOT)
