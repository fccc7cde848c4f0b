"""Does the manual page of `sipdispatch vrrp` say what the agent and its commands do?"""

from __future__ import annotations

import re
import time
from pathlib import Path

import attrs
import pytest

from sipdispatch.config import Config, VrrpConfig
from sipdispatch.load import read_config
from sipdispatch.vrrp_load import load_agent
from sipdispatch.vrrp_methods import METHODS
from sipdispatch.vrrp_metrics import FAMILIES
from sipdispatch.vrrp_section import VRRP_KEYS
from sipdispatch.vrrp_settings import TrackCommand, Vrrp, VrrpTrack
from tests.sipdispatch.manual import blocks, sessions
from tests.sipdispatch.manual_agent import run_agent_session

PAGE = (Path(__file__).parents[2] / "docs" / "sipdispatch-vrrp.md").read_text(encoding="utf-8")
CONFIGURATION = PAGE.partition("## Configuration\n")[2].partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, heads left out."""
    section = re.split(r"^#", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in found if row[0].startswith("`")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def test_every_key_is_in_the_manual_and_no_other() -> None:
    entries = "\n".join(re.findall(r"^(`.*)\n:", CONFIGURATION, re.MULTILINE))
    described = set(re.findall(r"`([a-z_]+)`", entries))
    assert described == {key for keys in VRRP_KEYS.values() for key in keys} - {"track", "mover", "http"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priority", f"{attrs.fields(Vrrp).priority.default}."),
        ("version", f"{attrs.fields(Vrrp).version.default}."),
        ("preempt", '`"always"`'),
        ("checksum", '`"pseudo-header"`'),
        ("least_ttl", f"{attrs.fields(Vrrp).least_ttl.default}."),
        ("keys_enforced", "true"),
        ("announce_every", f'`"{attrs.fields(Vrrp).announce_every.default:g}s"`'),
        ("realtime", "true"),
        ("serving", "false"),
        ("control", "false"),
    ],
)
def test_the_defaults_in_the_manual_are_those_of_the_tree(key: str, value: str) -> None:
    entry = re.search(rf"^`{key}`\n:(.*?)\n\n", CONFIGURATION, re.DOTALL | re.MULTILINE)
    assert entry is not None, key
    assert f"Default: {value}" in " ".join(entry[1].split())


def test_the_defaults_of_tracks_in_the_manual_are_those_of_the_tree() -> None:
    track, command = VrrpTrack(), TrackCommand(command=("/bin/true",))
    assert (track.interval, track.timeout, track.rise, track.fall) == (0.2, 0.2, 3, 2)
    assert (command.interval, command.timeout, command.rise, command.fall) == (1.0, 1.0, 2, 2)


@pytest.mark.parametrize("text", [text for _, text in blocks(PAGE, "toml")])
def test_every_configuration_in_the_manual_is_right(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sipdispatch.toml"
    whole = (
        text if "[vrrp]" in text else f'[vrrp]\ninterface = "eth0"\nvrid = 51\naddresses = ["192.0.2.100/24"]\n{text}'
    )
    path.write_text(whole)
    loaded = load_agent(path)
    assert isinstance(loaded, VrrpConfig), loaded
    assert loaded.warnings == ()
    both = read_config(path, environ={}, uid=0, proxy_required=False)
    assert both.problems == ()
    assert isinstance(both.config, Config) is ("[proxy]" in whole)


def test_every_method_is_in_the_manual_with_its_parameters_and_no_other() -> None:
    told = {names(row[0])[0]: names(row[1]) for row in rows("Output")}
    assert told == {
        name: [parameter.name if parameter.required else f"[{parameter.name}]" for parameter in method.parameters]
        for name, method in METHODS.items()
    }


def test_every_metric_is_in_the_manual_and_no_other() -> None:
    told = [(names(row[0])[0], row[1], names(row[2]), row[3]) for row in rows("Metrics")]
    assert told == [(family.name, family.kind, list(family.labels), family.text) for family in FAMILIES]


@pytest.mark.parametrize("session", sessions(PAGE))
def test_every_session_goes_as_it_says(
    session: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("v")  # a socket's path is short
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(folder)
    assert run_agent_session(session, folder, capsys) == session
