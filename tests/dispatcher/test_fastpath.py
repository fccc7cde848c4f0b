"""Is the compiled path found, refused or missed for the right reason, and does its stub say what it has?"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from dispatcher import fastpath
from dispatcher.fastpath import VERSION, WHY_NOT, PacketPath, look, packet_path
from tests.peers.need import missing

ROOT = Path(__file__).resolve().parents[2]


def require_module() -> None:
    """Skip the running test where the module is not built, or fail it where CI=true: there it must be."""
    if WHY_NOT:
        missing(f"{WHY_NOT}: make fastpath")


def test_it_is_built_where_it_must_be() -> None:
    require_module()
    assert importlib.import_module("dispatcher._fastpath").__version__ == VERSION


def test_the_stub_says_what_the_module_has() -> None:
    require_module()
    command = [sys.executable, "-m", "mypy.stubtest", "--concise", "dispatcher._fastpath"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_program_and_crate_are_of_one_version() -> None:
    program = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    crate = tomllib.loads((ROOT / "fastpath/Cargo.toml").read_text())["package"]["version"]
    assert program == crate == VERSION


STUB_CRC32 = zlib.crc32((ROOT / "dispatcher/_fastpath.pyi").read_bytes())


def found(monkeypatch: pytest.MonkeyPatch, version: str, stub: int | None = STUB_CRC32) -> None:
    module = ModuleType("dispatcher._fastpath")
    module.__dict__.update({"__version__": version} if stub is None else {"__version__": version, "STUB_CRC32": stub})
    monkeypatch.setattr(importlib, "import_module", {"dispatcher._fastpath": module}.__getitem__)


def lost(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def search(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", search)


def test_a_module_of_this_version_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, VERSION)
    assert look() == ""


def test_a_module_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, "0.0.9")
    assert look() == f"the fast path is of version 0.0.9, not {VERSION}"


@pytest.mark.parametrize("stub", [None, STUB_CRC32 ^ 1])
def test_a_module_that_was_left_from_older_sources_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, stub: int | None
) -> None:
    found(monkeypatch, VERSION, stub)
    assert look() == "the fast path was built from other sources"


def test_where_there_is_no_stub_the_version_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, VERSION, None)
    monkeypatch.setattr(fastpath, "__file__", str(tmp_path / "fastpath.py"))
    assert look() == ""


def test_a_module_that_is_not_there_and_one_that_cannot_be_loaded_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost(monkeypatch, ModuleNotFoundError("No module named 'dispatcher._fastpath'"))
    assert look() == "the fast path is not built"
    lost(monkeypatch, ImportError("wrong ELF class"))
    assert look() == "the fast path cannot be loaded: wrong ELF class"


def test_it_is_taken_when_it_is_there_and_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "WHY_NOT", "")
    assert packet_path() == packet_path("on") == PacketPath(compiled=True, why_not="")
    assert str(packet_path()) == "fast path"
    assert packet_path("off") == PacketPath(compiled=False, why_not="the configuration says so")


def test_without_it_the_packets_take_python_and_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "WHY_NOT", "the fast path is not built")
    assert packet_path("auto") == PacketPath(compiled=False, why_not="the fast path is not built")
    assert str(packet_path()) == "pure Python"
