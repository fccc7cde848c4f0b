"""Are the systemd units right, and are they as narrow as they claim?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.peers.need import missing, require

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
PROXY, AGENT = FOLDER / "sipdispatch.service", FOLDER / "sipdispatch-vrrp.service"
ONE_OF_SEVERAL = FOLDER / "sipdispatch-vrrp@.service"
MOST_EXPOSED = {PROXY: 2.5, AGENT: 2.5}


def run(*argv: str | Path) -> tuple[int, str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def settings(unit: Path) -> list[tuple[str, str]]:
    """Each `Key=value` in its order."""
    return re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", MOST_EXPOSED, ids=lambda unit: unit.stem)
def test_the_unit_exposes_little(unit: Path) -> None:
    analyze = require("systemd-analyze")
    status, said = run(analyze, "security", "--offline=yes", "--no-pager", unit)
    if "Unknown" in said or "unrecognized option" in said:
        missing("this systemd-analyze is too old to look at a file")
    found = re.search(rf"Overall exposure level for {unit.name}: ([\d.]+)", said)
    assert found, said
    assert status == 0, said
    assert float(found[1]) <= MOST_EXPOSED[unit], said


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """The program and the users need not be here: the unit names what the package brings."""
    analyze = require("systemd-analyze")
    program = tmp_path / "sipdispatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = []
    for unit in (PROXY, AGENT):
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(unit.read_text().replace("/usr/bin/sipdispatch", str(program)))
    status, said = run(analyze, "verify", "--man=no", *copies)
    ours = [line for line in said.splitlines() if "sipdispatch" in line]
    assert ours == []
    assert status == 0, said


def test_a_mistake_in_a_unit_would_be_found(tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    copy = Path(shutil.copy(PROXY, tmp_path))
    copy.write_text(copy.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in run(analyze, "verify", "--man=no", copy)[1]


def test_the_two_live_and_die_without_each_other() -> None:
    binding = {"Requires", "Requisite", "BindsTo", "PartOf", "Wants", "Upholds", "Conflicts", "PropagatesStopTo"}
    for unit in (PROXY, AGENT):
        assert not {key for key, _ in settings(unit)} & binding
    assert ("After", "network.target sipdispatch.service") in settings(AGENT)


def test_the_proxy_has_no_capability_and_the_agent_two() -> None:
    assert [value for key, value in settings(PROXY) if "Capabilit" in key] == ["", ""]
    assert {value for key, value in settings(AGENT) if "Capabilit" in key} == {"CAP_NET_ADMIN CAP_NET_RAW"}
    assert dict(settings(PROXY))["User"] != dict(settings(AGENT))["User"]


def test_one_of_several_agents_differs_in_its_file_and_its_folder() -> None:
    several = [(key, value.replace("/%i.toml", "/sipdispatch.toml")) for key, value in settings(ONE_OF_SEVERAL)]
    assert [(key, re.sub(r"-%i$| \(%i\)$", "", value)) for key, value in several] == settings(AGENT)
    assert ("RuntimeDirectory", "sipdispatch-vrrp-%i") in settings(ONE_OF_SEVERAL)
