"""Does a running agent take another configuration over in the right order, or leave everything as it is?"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from sipdispatch import vrrp_run
from sipdispatch.config import VrrpConfig, VrrpFlags
from sipdispatch.errors import CommandError
from sipdispatch.vrrp_build import Secrets, read_secrets
from sipdispatch.vrrp_load import load_agent
from sipdispatch.vrrp_settings import Vrrp, VrrpTrack
from sipdispatch.vrrp_tracks import Report
from vrrp.address import VirtualAddress
from vrrp.lastingwire import Way

WRONG = "the changed configuration is wrong; what is in force stays"
CONFIG = """\
[vrrp]
interface = "lo"
vrid = 51
addresses = ["192.0.2.100/24"]
{more}
"""


@attrs.define(eq=False)
class Parts:
    """In place of the wire, the movers, the tracking, the agent and who runs it: what each was told, in order."""

    told: list[tuple[str, Any]] = attrs.field(factory=list)
    source: str = "127.0.0.1"

    def part(self, name: str) -> Any:
        parts = self

        class Part:
            source = property(lambda _: parts.source)
            agent = property(lambda _: parts.part("agent"))

            def change(self, *what: Any) -> None:
                parts.told.append((name, what))

            def report(self, track: str, *, ok: bool, detail: str) -> None:
                parts.told.append((name, (track, ok, detail)))

        return Part()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@attrs.define(eq=False)
class Reloading:
    """An agent of which only the configuration is real."""

    path: Path
    plant: vrrp_run._Plant
    parts: Parts

    async def reload(self, text: str) -> list[Any]:
        """What is logged while this is read in place of what was there."""
        self.path.write_text(text)
        with structlog.testing.capture_logs() as logged:
            await self.plant.reload()
        return list(logged)


Begin = Callable[..., Reloading]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    def make(more: str = "", after: str = "") -> Reloading:
        path = tmp_path / "sipdispatch.toml"
        path.write_text(CONFIG.format(more=more) + after)
        loaded = load_agent(path)
        assert isinstance(loaded, VrrpConfig)
        parts = Parts()
        plant = vrrp_run._Plant(
            config=loaded,
            secrets=read_secrets(loaded.vrrp),
            wire=parts.part("wire"),
            movers=parts.part("movers"),
            tracking=parts.part("tracking"),
            running=parts.part("running"),
        )
        return Reloading(path, plant, parts)

    return make


async def test_the_wire_is_the_last_to_change(begin: Begin) -> None:
    case = begin()
    text = CONFIG.format(more="priority = 200\npeers = ['127.0.0.2']").replace("2.100/24", "2.101/24")
    (line,) = await case.reload(text)
    assert line["event"] == "the configuration was read again"
    assert set(line["changed"]) == {"priority", "addresses", "peers"}
    assert case.parts.names == ["tracking", "movers", "agent", "wire"]
    ((way,),) = [what for name, what in case.parts.told if name == "wire"]
    assert way == Way(interface="lo", virtual=("192.0.2.101",), peers=("127.0.0.2",), multicast=False)


async def test_addresses_that_stay_are_nothing_to_move(begin: Begin) -> None:
    case = begin()
    (line,) = await case.reload(CONFIG.format(more=""))
    assert line["changed"] == "nothing"
    assert case.parts.names == ["tracking", "agent", "wire"]


async def test_another_secret_is_told(begin: Begin, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"1 hex:{bytes(range(32)).hex()}\n")
    case = begin("keys_file = 'keys'")
    before = case.plant.secrets
    keys.write_text(f"2 hex:{bytes(range(32)).hex()}\n")
    (line,) = await case.reload(case.path.read_text())
    assert line["changed"] == ["secrets"]
    assert before != case.plant.secrets != Secrets()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            CONFIG.format(more="").replace(
                "/24", '/24", { address = "192.0.2.101/24", interface = "none0" }, "192.0.2.102'
            ),
            [("there is no interface none0", "vrrp.addresses")],
        ),
        (CONFIG.format(more="").replace('"lo"', '"none0"'), [("there is no interface none0", "vrrp.interface")]),
        (
            CONFIG.format(more="source = '192.0.2.99'\n[vrrp.track]\ninterfaces = ['none1', 'lo', 'none0']"),
            [
                ("there is no interface none0", "vrrp.track.interfaces"),
                ("there is no interface none1", "vrrp.track.interfaces"),
                ("lo has no address 192.0.2.99", "vrrp.source"),
            ],
        ),
    ],
    ids=["of an address", "of the adverts", "of a track, and a source"],
)
async def test_what_this_node_does_not_have_is_not_taken_over(
    begin: Begin, text: str, told: list[tuple[str, str]]
) -> None:
    """The same slip on both nodes would leave the address on neither."""
    case = begin()
    before = case.plant.config
    logged = await case.reload(text)
    assert [line["event"] for line in logged] == [WRONG] * len(told)
    for line, (what, where) in zip(logged, told, strict=True):
        assert f"error: {what}\n  where: {where}\n" in line["reason"]
    assert case.plant.config is before
    assert case.parts.told == []


async def test_what_was_waited_for_all_along_keeps_nobody_from_changing_something_else(begin: Begin) -> None:
    case = begin("source = '192.0.2.99'\n[vrrp.track]\ninterfaces = ['none1']")
    carrier = VirtualAddress.of("192.0.2.101/24", "none0")
    vrrp = case.plant.config.vrrp
    before = attrs.evolve(vrrp, addresses=(*vrrp.addresses, carrier))
    vrrp_run._require_here(before, attrs.evolve(before, priority=200))
    with pytest.raises(CommandError, match="there is no interface none0"):
        vrrp_run._require_here(vrrp, before)
    (line,) = await case.reload(case.path.read_text().replace("vrid = 51", "vrid = 51\npriority = 200"))
    assert line["changed"] == ["priority"]
    # And what is new and there is no slip.
    elsewhere = attrs.evolve(vrrp, interface="none2", addresses=())
    vrrp_run._require_here(elsewhere, attrs.evolve(elsewhere, track=VrrpTrack(interfaces=("lo",))))


async def test_hooks_need_a_restart(begin: Begin) -> None:
    case = begin()
    hook = '[[hook]]\ncommand = ["/bin/true"]\non = ["vrrp"]\n'
    (line,) = await case.reload(CONFIG.format(more="realtime = false") + hook)
    assert line["event"] == "the agent has to be restarted for this change; what is in force stays"
    assert line["keys"] == ["realtime", "hook and notify"]
    assert case.parts.told == []


async def test_without_a_file_there_is_nothing_to_read(begin: Begin) -> None:
    case = begin()
    flags = VrrpFlags(interface="lo", vrid=51, addresses=("192.0.2.100/24",))
    loaded = load_agent(None, flags)
    assert isinstance(loaded, VrrpConfig)
    case.plant.config = loaded
    (line,) = await case.reload("")
    assert line["event"] == "there is no file to read again: everything stood in the options"


async def test_a_mistake_of_ours_costs_a_reload(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    case = begin()
    monkeypatch.setattr(vrrp_run, "_read_again", lambda _: 1 // 0)
    with structlog.testing.capture_logs() as logged:
        await vrrp_run._surviving(case.plant.reload)
    (line,) = logged
    assert line["event"] == "a reload failed by a mistake in this program; what is in force stays"


async def test_new_tracks_do_not_wait_for_the_end_of_the_old_ones(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """A command that ignores SIGTERM takes 3.2 s to end, and meanwhile the proxy may die."""
    del autojump_clock
    asked: list[tuple[float, bool]] = []

    async def run_tracks(vrrp: Vrrp, report: Report, *, proxy_socket: Path) -> None:
        del proxy_socket
        asked.append((round(trio.current_time() - start, 1), vrrp.track.control is True))
        report("control", ok=True, detail=f"{len(asked)}")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3.2)
            report("control", ok=False, detail="of the old one")

    monkeypatch.setattr(vrrp_run, "run_tracks", run_tracks)
    case, start = begin(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.plant.follow_tracks)
        await trio.sleep(1.0)
        # In trio's thread: time does not jump while a thread of another kind reads.
        for more in ("priority = 200", "[vrrp.track]\ncontrol = true"):
            case.path.write_text(CONFIG.format(more=more))
            read = vrrp_run._read_again(case.plant.config)
            assert read is not None
            case.plant._take_over(*read)
        await trio.sleep(10.0)
        assert asked == [(0.0, False), (1.0, True)]
        told = [what for name, what in case.parts.told if name == "agent" and len(what) == 3]
        assert told == [("control", True, "1"), ("control", True, "2")], "nobody listens to the old ones"
        nursery.cancel_scope.cancel()


# --------------------------------------------------------------------------------------------------------------------
# The control socket, and what is needed at all


async def serve(case: Reloading) -> list[Any]:
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            await vrrp_run._serve_control(case.plant, nursery)
            nursery.cancel_scope.cancel()
    return list(logged)


async def test_without_a_control_socket_nothing_is_opened(begin: Begin, tmp_path: Path) -> None:
    case = begin("[vrrp.control]\nenabled = false\nsocket = 'vrrp.sock'")
    assert await serve(case) == []
    assert not (tmp_path / "vrrp.sock").exists()


async def test_a_default_place_that_cannot_be_made_is_no_reason_not_to_run(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file" / "folder"))
    (line,) = await serve(begin())
    assert (line["event"], line["log_level"]) == ("there is no control socket", "warning")
    assert line["path"].endswith("/file/folder/vrrp.sock")
    with pytest.RaisesGroup(CommandError):
        await serve(begin("[vrrp.control]\nsocket = 'file/vrrp.sock'"))


def test_whoever_may_not_open_a_raw_socket_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(CommandError, match="CAP_NET_RAW"):
        vrrp_run.require_privileges()
