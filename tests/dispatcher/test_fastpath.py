"""Is the compiled path found, refused or missed for the right reason, and does its stub say what it has?"""

from __future__ import annotations

import importlib
import os
import platform
import struct
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


def elf(*, bits: int, order: str, size: int) -> bytes:
    """A file of this size whose table of three sections ends at 1,000 bytes."""
    entry = 64 if bits == 64 else 40
    ident = bytes((0x7F, *b"ELF", bits // 32, 1 if order == "<" else 2, 1)).ljust(16, b"\0")
    kind = struct.pack(f"{order}HHI", 3, 62, 1)
    places = struct.pack(f"{order}{'QQQ' if bits == 64 else 'III'}", 0, 0, 1000 - 3 * entry)
    rest = struct.pack(f"{order}IHHHHHH", 0, 64, 56, 1, entry, 3, 2)
    return (ident + kind + places + rest).ljust(size, b"\0")[:size]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize(("size", "cut"), [(40, True), (999, True), (1000, False), (1001, False)])
def test_a_file_that_is_cut_is_known_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, order: str, size: int, *, cut: bool
) -> None:
    found(monkeypatch, VERSION)
    monkeypatch.setattr(fastpath, "__file__", str(tmp_path / "fastpath.py"))
    file = tmp_path / "_fastpath.abi3.so"
    file.write_bytes(elf(bits=bits, order=order, size=size))
    assert look() == (f"the fast path cannot be loaded: {file} is not whole" if cut else "")


def in_a_process_of_its_own(folder: Path, module: bytes) -> str:
    """What is said of this module where nothing else is; loading one that is cut might end the process."""
    package = folder / "dispatcher"
    package.mkdir()
    for name in ("__init__.py", "fastpath.py"):
        (package / name).write_bytes((ROOT / "dispatcher" / name).read_bytes())
    (package / "_fastpath.abi3.so").write_bytes(module)
    code = "from dispatcher.fastpath import WHY_NOT; print(WHY_NOT)"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout.strip()


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_module_that_was_copied_in_part_is_left_alone_and_kills_nobody(tmp_path: Path, share: float) -> None:
    require_module()
    whole = (ROOT / "dispatcher/_fastpath.abi3.so").read_bytes()
    assert in_a_process_of_its_own(tmp_path, whole[: int(share * len(whole))]).endswith(
        "_fastpath.abi3.so is not whole"
    )


@pytest.mark.parametrize("module", [b"", b"\x7fEL", b"#!/bin/sh\n" * 100])
def test_what_is_no_module_at_all_is_left_alone(tmp_path: Path, module: bytes) -> None:
    assert in_a_process_of_its_own(tmp_path, module).startswith("the fast path cannot be loaded: ")


def test_a_module_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    require_module()
    module = bytearray((ROOT / "dispatcher/_fastpath.abi3.so").read_bytes())
    module[18:20] = b"\xf3\x00" if platform.machine() != "riscv64" else b"\x3e\x00"  # e_machine
    assert in_a_process_of_its_own(tmp_path, bytes(module)).startswith("the fast path cannot be loaded: ")


def test_a_file_that_may_not_be_read_is_the_loaders_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost(monkeypatch, ImportError("Is a directory"))
    monkeypatch.setattr(fastpath, "__file__", str(tmp_path / "fastpath.py"))
    (tmp_path / "_fastpath.abi3.so").mkdir()
    assert look() == "the fast path cannot be loaded: Is a directory"


def test_it_is_taken_when_it_is_there_and_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "WHY_NOT", "")
    assert packet_path() == packet_path("on") == PacketPath(compiled=True, why_not="")
    assert str(packet_path()) == "fast path"
    assert packet_path("off") == PacketPath(compiled=False, why_not="the configuration says so")


def test_without_it_the_packets_take_python_and_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "WHY_NOT", "the fast path is not built")
    assert packet_path("auto") == PacketPath(compiled=False, why_not="the fast path is not built")
    assert str(packet_path()) == "pure Python"
