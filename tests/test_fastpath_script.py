"""Does `.ci/fastpath` say what can be built, leave a machine without Rust alone, and insist on it in CI?"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = "bash cat cut dirname env find head rm sed sort touch".split()


@attrs.frozen
class Tree:
    """The script with the sources that it looks at, and a machine with its tools and what `cargo` a test gives it."""

    root: Path

    @property
    def module(self) -> Path:
        return self.root / "dispatcher/_fastpath.abi3.so"

    def cargo(self, version: str) -> None:
        program = self.root / "bin/cargo"
        program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "cargo {version} (abc 2026-01-01)"\n')
        program.chmod(0o755)

    def run(self, word: str, **environment: str) -> tuple[int, str]:
        command = [str(self.root / ".ci/fastpath"), word]
        clean = {"PATH": str(self.root / "bin"), **environment}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=30)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for folder in (".ci", "bin", "dispatcher", "fastpath/src", ".venv"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci/fastpath", tmp_path / ".ci")
    shutil.copy(ROOT / "fastpath/Cargo.toml", tmp_path / "fastpath")
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    return Tree(tmp_path)


def test_without_rust_nothing_is_built_and_it_is_said_why(tree: Tree) -> None:
    status, why = tree.run("build")
    assert status == 0
    assert why.startswith("there is no cargo (Rust 1.")
    status, said = tree.run("say")
    assert (status, said.count("\n")) == (0, 1)
    assert said.startswith("packet path: pure Python, for there is no cargo")
    assert "forwards" in said


def test_a_toolchain_that_is_too_old_is_none(tree: Tree) -> None:
    tree.cargo("1.63.0")
    assert tree.run("build")[1].startswith("cargo is 1.63.0, and 1.")


def test_what_has_not_been_built_yet_is_offered(tree: Tree) -> None:
    tree.cargo("9.0.0")
    assert "not compiled yet" in tree.run("say")[1]
    (tree.root / ".venv/.fastpath").write_text("cargo cannot fetch\n")
    assert "pure Python, for cargo cannot fetch" in tree.run("say")[1]


def test_in_ci_a_missing_toolchain_is_an_error(tree: Tree) -> None:
    for word in ("build", "lint", "test"):
        status, said = tree.run(word, CI="true")
        assert status == 2
        assert said.startswith("error: the fast path cannot be built: there is no cargo")


def test_a_module_of_older_sources_is_taken_away_where_it_cannot_be_built_again(tree: Tree) -> None:
    tree.module.touch()
    os.utime(tree.root / "fastpath/Cargo.toml", (1, 1))
    os.utime(tree.root / "fastpath/src", (1, 1))
    tree.run("build")
    assert tree.module.exists()
    (tree.root / "fastpath/src/scan.rs").touch()
    os.utime(tree.module, (2, 2))
    tree.run("build")
    assert not tree.module.exists()
