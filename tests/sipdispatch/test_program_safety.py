"""Is a program that others than root could change, or that cannot be run, refused?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipdispatch.errors import CommandError
from sipdispatch.program_safety import require_safe

SOMEBODY = 12345


def program(folder: Path, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "check"
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def refused(*paths: Path) -> list[tuple[str, str]]:
    """What is wrong, and what to do."""
    try:
        require_safe((f"command {index}", str(path)) for index, path in enumerate(paths))
    except CommandError as error:
        return [(fault.what, fault.remedy) for fault in error.faults]
    return []


def test_one_that_only_root_can_change_is_taken(tmp_path: Path) -> None:
    inside = program(tmp_path / "bin")
    (tmp_path / "link").symlink_to(inside)
    (tmp_path / "relative").symlink_to("bin")
    assert refused(inside, tmp_path / "link", tmp_path / "relative" / "check", tmp_path / "bin" / ".." / "link") == []


def test_where_it_stands_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        require_safe([("vrrp.mover.acquire", f"{tmp_path}/no")])
    assert [(fault.what, fault.where) for fault in caught.value.faults] == [
        ("it cannot be found: no such file or directory", f"vrrp.mover.acquire: {tmp_path}/no")
    ]


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    plain = program(tmp_path / "bin", 0o644)
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path, plain) == [
        ("it is not a file", "write the path of a program"),
        ("it is not executable", f"chmod 755 {plain}"),
    ]
    assert refused(tmp_path / "loop")[0][0].startswith("it cannot be found: ")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
def test_one_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = program(tmp_path / "bin", mode)
    os.chown(path, 0, SOMEBODY)
    text = f"{path} can be changed by others (mode {mode:04o})"
    assert refused(path) == [(text, f"chmod go-w {path}")]


def test_the_group_of_root_may_write(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", 0o775)
    os.chown(path, 0, 0)
    assert refused(path) == []


def test_one_that_belongs_to_somebody_is_refused(tmp_path: Path) -> None:
    path = program(tmp_path / "bin")
    os.chown(path, SOMEBODY, 0)
    assert refused(path) == [
        (f"{path} belongs to user {SOMEBODY}, who could change what runs here", f"chown root {path}")
    ]


def test_a_folder_on_the_way_counts(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    path = program(outer / "bin")
    outer.chmod(0o777)
    assert refused(path) == [(f"{outer} can be changed by others (mode 0777)", f"chmod go-w {outer}")]
    outer.chmod(0o1777)
    assert refused(path) == []
    outer.chmod(0o755)
    os.chown(outer, SOMEBODY, 0)
    assert refused(path)[0][0].startswith(f"{outer} belongs to user {SOMEBODY}")


def test_a_folder_with_a_link_on_the_way_counts(tmp_path: Path) -> None:
    path = program(tmp_path / "bin")
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "check").symlink_to(path)
    (loose / "bin").symlink_to("../bin")
    loose.chmod(0o777)
    text = f"{loose} can be changed by others (mode 0777)"
    assert [what for what, _ in refused(loose / "check", loose / "bin" / "check")] == [text, text]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    assert len(refused(tmp_path, tmp_path / "no", Path("/bin/true"))) == 2
