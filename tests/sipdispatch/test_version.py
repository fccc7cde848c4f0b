"""Does the program know which one it is?"""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError

import pytest

from sipdispatch import version


def test_a_tree_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)
    assert version.version_number() == "unknown"


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "version", {"sipdispatch": "1.2.3"}.__getitem__)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert version.version_line() == f"sipdispatch 1.2.3 (pure Python, Python {platform.python_version()})"


def test_the_compiled_path_is_named_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert version.packet_path() == "fast path"
