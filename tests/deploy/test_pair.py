"""Is the example pair whole, and do its files agree with each other?"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from dispatcher.listfile import parse_list
from sipdispatch.config import Config, VrrpConfig
from sipdispatch.load import load
from sipdispatch.vrrp_load import load_agent

DEPLOY = Path(__file__).parents[2] / "deploy"
PAIR = DEPLOY / "pair"
LIST = PAIR / "dispatcher.list"
NODES = ("edge-a", "edge-b")
MIRROR = {"192.168.0.101": "192.168.0.102", "192.168.0.102": "192.168.0.101", "250": "240"}


@pytest.fixture(params=NODES)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The configuration of one node, with the list beside it."""
    return install(request.param, tmp_path)


def install(node: str, folder: Path) -> Path:
    (folder / "dispatcher.list").write_bytes(LIST.read_bytes())
    path = folder / f"{node}.toml"
    path.write_bytes((PAIR / node / "sipdispatch.toml").read_bytes())
    return path


def read(path: Path) -> tuple[Config, VrrpConfig]:
    loaded, agent = load(path, environ={}, uid=0), load_agent(path)
    assert isinstance(loaded, Config), loaded
    assert isinstance(agent, VrrpConfig), agent
    return loaded, agent


def test_both_programs_take_it_without_a_word(installed: Path) -> None:
    loaded, agent = read(installed)
    assert loaded.warnings == ()
    assert agent.warnings == ()


def test_the_list_is_right_and_both_nodes_have_it(installed: Path) -> None:
    entries, problems = parse_list(LIST.read_bytes(), str(LIST))
    assert (len(entries), problems) == (2, ())
    assert read(installed)[0].proxy.list_path.name == LIST.name


def test_the_nodes_differ_where_they_must_and_nowhere_else(tmp_path: Path) -> None:
    texts = [(PAIR / node / "sipdispatch.toml").read_text().splitlines()[1:] for node in NODES]
    mirrored = [
        re.sub(r"192\.168\.0\.10[12]|250", lambda found: MIRROR[found[0]], line) if line != other else line
        for line, other in zip(*texts, strict=True)
    ]
    assert mirrored == texts[1]
    # Each of them is marked, on its own line or on the one above.
    for index, (mine, theirs) in enumerate(zip(*texts, strict=True)):
        above = texts[0][index - 1]
        assert (mine != theirs) <= ("differs" in mine or "differs" in above), mine
    (_, a), (_, b) = (read(install(node, tmp_path)) for node in NODES)
    own = ("priority", "peers", "source", "track")
    assert attrs.evolve(a.vrrp, **{key: getattr(b.vrrp, key) for key in own}) == b.vrrp
    assert (a.vrrp.priority, b.vrrp.priority) == (250, 240), "high ones hand over fast"
    assert a.vrrp.track.sip is not None
    assert b.vrrp.track.sip is not None
    assert a.vrrp.peers == (b.vrrp.track.sip[0],)
    assert b.vrrp.peers == (a.vrrp.track.sip[0],)


def test_the_sockets_are_where_the_units_make_room_for_them(installed: Path) -> None:
    loaded, agent = read(installed)
    for unit, path in (
        ("sipdispatch", loaded.sections.control.socket),
        ("sipdispatch-vrrp", agent.vrrp.control.socket),
    ):
        text = (DEPLOY / "systemd" / f"{unit}.service").read_text()
        (folder,) = re.findall(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE)
        assert path is not None
        assert path.parent == Path("/run", folder)
    assert agent.vrrp.track.control is True


def test_asterisk_knows_the_pair(installed: Path) -> None:
    """The files that deploy/README.md sends the operator to."""
    pjsip = (DEPLOY / "asterisk" / "pjsip.conf.example").read_text()
    loaded, agent = read(installed)
    matched = re.search(r"^match=(.*)$", pjsip, re.MULTILINE)
    assert matched is not None
    known = set(matched[1].split(","))
    assert {listener.address[0] for listener in loaded.proxy.listen} <= known
    assert {*agent.vrrp.peers, *(each.address for each in agent.vrrp.addresses)} <= known
    bound = re.search(r"^bind=(.*)$", pjsip, re.MULTILINE)
    assert bound is not None
    assert f"sip:{bound[1]}" in LIST.read_text()


def test_the_readme_names_every_file_of_the_folder() -> None:
    readme = (DEPLOY / "README.md").read_text()
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.name != "README.md" and "debian" not in file.parts:
            name = file.name.removesuffix(".service") if file.suffix == ".service" else file.name
            assert name in readme, file


def test_the_pair_in_the_first_page_is_right(tmp_path: Path) -> None:
    page = (DEPLOY.parent / "README.md").read_text()
    for kind, name in (("list", "dispatcher.list"), ("toml", "sipdispatch.toml")):
        (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(block)
    loaded, agent = read(tmp_path / "sipdispatch.toml")
    assert (loaded.warnings, agent.warnings) == ((), ())
    assert parse_list((tmp_path / "dispatcher.list").read_bytes(), "list")[1] == ()
