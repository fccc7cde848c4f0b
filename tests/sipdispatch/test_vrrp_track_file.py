"""Does the switch for maintenance work, whatever stands in its place?"""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path

import pytest

from sipdispatch import vrrp_track_file
from sipdispatch.vrrp_track_file import watch_file
from tests.sipdispatch.vrrp_said import asking


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vrrp_track_file, "EVERY_S", 0.005)


async def test_it_comes_changes_and_goes(tmp_path: Path) -> None:
    file = tmp_path / "maintenance"
    async with asking(partial(watch_file, file)) as said:
        assert await said.next() == (True, f"there is no {file}")
        file.touch()
        assert await said.until(ok=False) == f"there is {file}"
        file.write_text("\nnew kernel, back at 4\nsee the wiki\n")
        while await said.until(ok=False) != "new kernel, back at 4":
            pass
        file.unlink()
        assert await said.until(ok=True) == f"there is no {file}"


async def test_its_first_line_is_fit_to_be_shown(tmp_path: Path) -> None:
    file = tmp_path / "maintenance"
    file.write_bytes(b"\x1b[2J\xff" + b"x" * 5000)
    async with asking(partial(watch_file, file)) as said:
        _, detail = await said.next()
        assert detail.startswith("\\x1b[2J�xxx")
        assert len(detail) == 200


def put(kind: str, file: Path) -> None:
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(file))
        case _:
            file.symlink_to("nowhere")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "dangling"])
async def test_anything_of_that_name_counts(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("maintenance")
    put(kind, file)
    async with asking(partial(watch_file, file)) as said:
        assert await said.next() == (False, f"there is {file}")


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for file in (tmp_path / "b" / "maintenance", tmp_path / "a" / "maintenance"):
        async with asking(partial(watch_file, file)) as said:
            assert await said.next() == (True, f"there is no {file}")


async def test_a_switch_that_cannot_be_looked_for_is_told(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 300)
    async with asking(partial(watch_file, file)) as said:
        assert await said.next() == (False, f"file name too long: {file}")
