"""Does the program know which one it is?"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError

import pytest

from dispatcher.fastpath import PacketPath
from sipdispatch import version


def test_a_tree_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)
    assert version.version_number() == "unknown"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (PacketPath(compiled=True, why_not=""), "fast path,"),
        (PacketPath(compiled=False, why_not="the fast path is not built"), "pure Python: the fast path is not built;"),
    ],
)
def test_the_version_is_that_of_the_package_and_names_the_path(
    monkeypatch: pytest.MonkeyPatch, path: PacketPath, said: str
) -> None:
    monkeypatch.setattr(version, "version", {"sipdispatch": "1.2.3"}.__getitem__)
    monkeypatch.setattr(version, "packet_path", lambda: path)
    assert version.version_line() == f"sipdispatch 1.2.3 ({said} Python {platform.python_version()})"
