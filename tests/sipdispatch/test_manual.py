"""Do the manual pages of the configuration and of `check` say what the program does?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from sipdispatch.config import Config, Health, Proxy
from sipdispatch.load import load
from sipdispatch.sections import KEYS
from sipdispatch.structure import LISTEN_KEYS, PROXY_KEYS, RULE_KEYS

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "sipdispatch.toml.md").read_text(encoding="utf-8")
CHECK = (ROOT / "docs" / "sipdispatch-check.md").read_text(encoding="utf-8")
HEADINGS = ["Name", "Synopsis", "Description", "Options", "Examples", "Exit status", "See also"]


def blocks(page: str, kind: str) -> list[tuple[str, str]]:
    """What follows the kind on the opening line, and the text, of each fenced block."""
    return re.findall(rf"^```{kind} ?([^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [CONFIGURATION, CHECK], ids=["sipdispatch.toml", "sipdispatch-check"])
def test_a_page_has_the_parts_of_a_manual_page(page: str) -> None:
    found = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


@pytest.mark.parametrize("text", [text for _, text in blocks(CONFIGURATION, "toml")])
def test_every_configuration_in_the_manual_is_right(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(text)
    loaded = load(path, environ={}, uid=0)
    assert isinstance(loaded, Config), loaded
    assert loaded.warnings == ()


def test_every_key_is_in_the_manual_and_no_other() -> None:
    described = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^(`.*)\n:", CONFIGURATION, re.MULTILINE))))
    sections = {key for keys in KEYS.values() for key in keys}
    assert described == {*PROXY_KEYS, *RULE_KEYS, *LISTEN_KEYS, *sections} - {"route", "address"}
    assert "`[[proxy.route]]`" in CONFIGURATION


def test_the_defaults_in_the_manual_are_those_of_the_tree() -> None:
    defaults = {field.name: field.default for field in attrs.fields(Proxy)}
    spoken = {
        "set": defaults["set_id"],
        "algorithm": f'`"{defaults["algorithm"]}"`',
        "aor_domain": "false",
        "rewrite_host": "false",
        "no_destination": defaults["no_destination"],
        "retry_after": defaults["retry_after"],
        "recent_choices": defaults["recent_choices"],
        "force_rport": f'`"{defaults["force_rport"]}"`',
        "server_header": f'`"{defaults["server_header"]}"`',
        "log_level": f'`"{defaults["log_level"]}"`',
        "log_format": f'`"{defaults["log_format"]}"`',
    }
    for key, value in spoken.items():
        entry = re.search(rf"^`{key}`\n:(.*?)\n\n", CONFIGURATION, re.DOTALL | re.MULTILINE)
        assert entry is not None, key
        assert f"Default: {value}" in " ".join(entry[1].split()), key
    assert (defaults["aor_domain"], defaults["rewrite_host"]) == (False, False)
    assert defaults["receive_buffer"] == defaults["send_buffer"] == 8 << 20


def test_the_defaults_of_health_in_the_manual_are_those_of_the_tree() -> None:
    health = Health()
    page = CONFIGURATION.partition("### Probes")[2].partition("### ")[0]
    spoken = {
        "enabled": "true",
        "interval": f'`"{health.interval:g}s"`',
        "timeout": f'`"{health.timeout * 1000:g}ms"`',
        "rise": f"{health.rise}.",
        "fall": f"{health.fall}.",
        "start": f'`"{health.start}"`',
        "slow_start": f'`"{health.slow_start:g}s"`',
    }
    for key, value in spoken.items():
        entry = re.search(rf"^`{key}`\n:(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
        assert entry is not None, key
        assert f"Default: {value}" in " ".join(entry[1].split()), key


def sessions() -> list[str]:
    return [text for _, text in blocks(CHECK, "console")]


@pytest.mark.parametrize("session", sessions())
def test_every_session_in_the_manual_goes_as_it_says(session: str, tmp_path: Path) -> None:
    for kind in ("text", "toml"):
        for name, text in blocks(CHECK, kind):
            (tmp_path / name).write_text(text)
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert steps
    status = 0
    for command, expected in steps:
        if command == "echo $?":
            assert f"{status}\n" == expected
            continue
        program, *arguments = command.split()
        assert program == "sipdispatch"
        done = subprocess.run(
            [sys.executable, "-m", "sipdispatch", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == (expected, "")
        status = done.returncode
