"""Does the manual say of the tracks what they do?"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import attrs

from sipdispatch import command_run, vrrp_track_file, vrrp_track_sip
from sipdispatch.vrrp_section import read_vrrp_section
from sipdispatch.vrrp_settings import TrackCommand, VrrpTrack
from sipdispatch.vrrp_tracks import tracks_of
from vrrp.machine import FIRST_VERDICTS_S
from vrrp.parameters import FIT
from vrrp.tracking import RECOVERY_S

PAGE = (Path(__file__).parents[2] / "docs" / "sipdispatch-vrrp.md").read_text(encoding="utf-8")
SECTION = re.split(r"^## ", PAGE.split("## Tracks\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
PLAIN = (
    'interface = "eth0"\nvrid = 51\naddresses = ["192.0.2.100/24", { address = "198.51.100.1", interface = "eth2" }]\n'
)


def test_the_example_is_right_and_has_every_track() -> None:
    example = SECTION.split("```toml\n")[1].split("```")[0]
    tree = tomllib.loads(f"[vrrp]\n{PLAIN}\n{example}")
    vrrp, found = read_vrrp_section(tree["vrrp"], Path("/etc/sipdispatch"))
    assert found == []
    assert vrrp is not None
    rows = [row.split("|")[1:-1] for row in SECTION.splitlines() if row.startswith("| `")]
    told = [(row[0].split("`")[1].split()[0], row[3].strip() == "yes") for row in rows]
    assert sorted({(track.name.split()[0], track.fault) for track in tracks_of(vrrp)}) == sorted(set(told))
    command = next(each.name for each in tracks_of(vrrp) if each.name.startswith("command"))
    assert command == "command disk"


def test_the_numbers_are_those_of_the_program() -> None:
    text = " ".join(SECTION.split())
    assert RECOVERY_S == 10
    assert "after ten more seconds" in text
    assert FIRST_VERDICTS_S == 5
    assert "after five seconds at the latest" in text
    assert f"less than {FIT}:" in text
    assert f"| {1000 * vrrp_track_file.EVERY_S:g} ms |" in text
    assert vrrp_track_sip.SOONER == 1 / 4
    assert "a quarter of `interval`" in text
    assert command_run.TERM_S == 2
    assert "two seconds later SIGKILL" in text


def test_the_keys_are_those_of_the_program() -> None:
    keys = {each.name for cls in (VrrpTrack, TrackCommand) for each in attrs.fields(cls)}
    example = SECTION.split("```toml\n")[1].split("```")[0]
    used = set(re.findall(r"^([a-z]+) =", example, flags=re.MULTILINE))
    assert used <= keys
    assert {"serving", "fall", "interval", "timeout"} <= keys & set(re.findall(r"`([a-z]+)(?: = true)?`", SECTION))
