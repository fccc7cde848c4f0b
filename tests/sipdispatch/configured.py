"""What does a configuration that a test writes come to: the section of the proxy, or which complaints?"""

from __future__ import annotations

from pathlib import Path

from sipdispatch.config import Config, Flags, Proxy
from sipdispatch.load import load

LISTEN = '[proxy]\nlisten = ["udp:192.0.2.10:5060"]\n'


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "sipdispatch.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def good(folder: Path, text: str | bytes, flags: Flags | None = None) -> Proxy:
    loaded = load(written(folder, text), flags, environ={}, uid=0)
    assert isinstance(loaded, Config), loaded
    return loaded.proxy


def said(path: Path | None, flags: Flags | None = None) -> list[str]:
    loaded = load(path, flags, environ={}, uid=0)
    assert isinstance(loaded, tuple)
    return [str(problem) for problem in loaded]
