"""How is the compiled path built so that the fuzzer sees which of its branches an input reaches?

    python -m fuzz.instrumented


With the coverage that LLVM's sanitizers have, without a sanitizer, so that the toolchain of every day will do.  Its
counters are those of the libFuzzer within atheris, which therefore is a library that the module needs.  Numbers that
overflow and assertions are findings here.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "instrumented"
"""Cargo's, apart from that of the module that runs."""
MODULE = "dispatcher._fastpath"

_COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)


def build() -> str:
    """Build the module; why it cannot be built, or nothing."""
    if shutil.which("cargo") is None:
        return "there is no cargo"
    host = subprocess.run(["rustc", "--print", "host-tuple"], capture_output=True, text=True, check=True).stdout.strip()
    environment = os.environ | {
        "RUSTFLAGS": " ".join(_COVERAGE),
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true",
        "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true",
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        "PYO3_PYTHON": sys.executable,
    }
    # With a target the flags are not for what runs while building, which has no fuzzer.
    command = ["cargo", "rustc", "--quiet", "--locked", "--release", "--lib", "--crate-type", "cdylib"]
    command += ["--features", "python", "--manifest-path", str(ROOT / "fastpath" / "Cargo.toml")]
    command += ["--target", host, "--target-dir", str(FOLDER), "--", f"-Clink-arg={_libfuzzer()}"]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        return f"it cannot be built: {built.stderr.strip()}"
    shutil.copy(FOLDER / host / "release" / "lib_fastpath.so", _library())
    return ""


def load() -> None:
    """Make it the module that `dispatcher._fastpath` means in this process."""
    spec = importlib.util.spec_from_file_location(MODULE, _library())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[MODULE] = module


def _library() -> Path:
    return FOLDER / "_fastpath.so"


def _libfuzzer() -> Path:
    spec = importlib.util.find_spec("atheris")
    assert spec is not None
    assert spec.origin is not None
    (library,) = Path(spec.origin).parent.glob("core_with_libfuzzer*.so")
    return library


if __name__ == "__main__":
    sys.exit(build() or None)
