"""Do the manual pages of `vrrp import` and `vrrp doctor` say what the programs do?"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from sipdispatch.vrrp_command import COMMANDS
from sipdispatch.vrrp_command import command as group

ROOT = Path(__file__).parents[2]
HEADINGS = ["Name", "Synopsis", "Description", "Options", "Examples", "Exit status", "See also"]
PAGES: dict[str, str] = {
    name: (ROOT / "docs" / f"sipdispatch-vrrp-{name}.md").read_text(encoding="utf-8")
    for name in ("import", "doctor")
    if name in COMMANDS
}


def blocks(page: str, kind: str) -> list[tuple[str, str]]:
    """What follows the kind on the opening line, and the text, of each fenced block."""
    return re.findall(rf"^```{kind} ?([^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", list(PAGES))
def test_a_page_has_the_parts_of_a_manual_page(name: str) -> None:
    found = re.findall(r"^## (.*)$", PAGES[name], re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS
    assert PAGES[name].startswith(f"# sipdispatch vrrp {name}\n\n## Name\n\nsipdispatch vrrp {name} - ")


@pytest.mark.parametrize("name", list(PAGES))
def test_every_option_is_in_the_manual_and_no_other(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    options = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    entries = "\n".join(re.findall(r"^(`.*)\n:", PAGES[name], re.MULTILINE))
    assert set(re.findall(r"`(--?[A-Za-z0-9-]+)", entries)) == options | {"-h", "--help"}


def test_the_sessions_of_import_go_as_they_say(tmp_path: Path) -> None:
    page = PAGES["import"]
    ((name, text),) = blocks(page, "conf")
    (tmp_path / name).write_text(text)
    ((_, session),) = blocks(page, "console")
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert steps
    status = 0
    for command, expected in steps:
        match shlex.split(command):
            case ["echo", "$?"]:
                assert f"{status}\n" == expected
            case ["cat", file]:
                assert (tmp_path / file).read_text() == expected
            case ["sipdispatch", *arguments]:
                done = subprocess.run(
                    [sys.executable, "-m", "sipdispatch", *arguments],
                    cwd=tmp_path,
                    env={"PYTHONPATH": str(ROOT)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.stdout + done.stderr == expected
                status = done.returncode
            case other:
                raise AssertionError(other)
