"""What an operator asks of a running proxy through its control socket, and what becomes of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog.testing
import trio

from dispatcher.listener import Listener
from dispatcher.service import Service
from dispatcher.slices import Slices
from dispatcher.watch import INTERVAL_S
from health.board import NEW_WORK
from sipdispatch import proxy, steering
from sipdispatch.config import Config, Control, Flags, Health, Sections
from sipdispatch.errors import CommandError
from sipdispatch.load import load
from tests.dispatcher.world import request

LIST = """# ours
1 sip:127.0.0.67:5062 0 0 weight=3;duid=one  # the first
1 sip:127.0.0.68 0 0 weight=1
2 sip:127.0.0.67:5062 0 0
"""


pytestmark = pytest.mark.usefixtures("without_slot_tables")


@attrs.define
class Stage:
    service: Service
    stream: trio.SocketStream
    list_file: Path

    async def ask(self, method: str, *positional: object, **named: object) -> Any:
        """The result, or the error's `what`."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": positional or named}
        await self.stream.send_all(json.dumps(question).encode() + b"\n")
        raw = b""
        while not raw.endswith(b"\n"):
            raw += await self.stream.receive_some(65536)
        answer = json.loads(raw)
        return answer["result"] if "result" in answer else (answer["error"].get("data") or answer["error"])

    def takers(self) -> list[tuple[int, str]]:
        """Set and URI of those who take new work."""
        snapshot = self.service.snapshot
        return [
            (set_id, snapshot.destinations[snapshot.starts[set_id] + place].entry.uri)
            for set_id, codes in snapshot.liveness.items()
            for place, code in enumerate(codes)
            if code & NEW_WORK
        ]

    async def until_takers(self, *uris: str) -> None:
        while [uri for set_id, uri in self.takers() if set_id == 1] != list(uris):  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.01)


def configuration(folder: Path, control: Control, set_id: int = 1) -> Config:
    (folder / "dispatcher.list").write_text(LIST)
    path = folder / "sipdispatch.toml"
    path.write_text(f'[proxy]\nlisten = "127.0.0.1:9"\nstate_dir = "{folder}"\nlist = "dispatcher.list"\n')
    loaded = load(path, Flags(set_id=set_id))
    assert isinstance(loaded, Config), loaded
    return attrs.evolve(
        loaded,
        proxy=attrs.evolve(loaded.proxy, listen=(Listener("udp", ("127.0.0.1", 0)),)),
        sections=Sections(health=Health(enabled=False), control=control),
    )


@asynccontextmanager
async def staged(folder: Path, *, set_id: int = 1) -> AsyncIterator[Stage]:
    path = folder / "run" / "control.sock"
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            service: Service = await nursery.start(proxy.serve, configuration(folder, Control(socket=path), set_id))
            async with await trio.open_unix_socket(str(path)) as stream:
                yield Stage(service, stream, folder / "dispatcher.list")
            nursery.cancel_scope.cancel()
    assert not path.exists()


ONE, OTHER = "sip:127.0.0.67:5062", "sip:127.0.0.68"


@pytest.mark.parametrize("name", [ONE, "sip:127.0.0.67:5062;transport=UDP", "127.0.0.67:5062", "one"])
async def test_a_destination_is_drained_and_comes_back_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    async with staged(tmp_path) as stage:
        assert (await stage.ask("dispatcher.drain", destination=name, set=1))["destinations"] == 1
        await stage.until_takers(OTHER)
        assert (2, ONE) in stage.takers(), "in the other set it goes on"
        assert (await stage.ask("dispatcher.wait_drained", destination=name, set=1))["drained"] is True
        assert (await stage.ask("dispatcher.undrain", destination=name, set=1))["destinations"] == 1
        await stage.until_takers(ONE, OTHER)
        (_, first, _) = (await stage.ask("dispatcher.history"))["events"]
        assert (first["kind"], first["before"], first["after"]) == ("word", "enabled", "draining")
        assert first["cause"].startswith("operator: drain (control: uid ")


async def test_all_of_a_set_are_meant_and_who_is_not_there_is_told(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await stage.ask("dispatcher.set_state", "d", 1, "all") == "Ok. Dispatcher state updated."
        await stage.until_takers()
        assert (await stage.ask("dispatcher.drain", destination="sip:gone", set=1))["what"] == (
            "no destination is called sip:gone"
        )
        assert (await stage.ask("dispatcher.drain", destination="all", set=9))["to_do"] == "the sets are 1, 2"


async def test_who_is_told_that_it_drains_sees_no_new_call(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.drain", destination=ONE, set=1)
        assert stage.takers() == [(1, OTHER), (2, ONE)]


async def test_draining_ends_soon_after_the_last_call_although_something_else_never_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "LINGER_S", 0.3)
    async with staged(tmp_path) as stage, trio.open_nursery() as nursery:
        numbers = stage.service.snapshot.numbers

        async def never_quiet() -> None:
            while True:
                stage.service._counters.last_seen |= dict.fromkeys(numbers, trio.current_time())
                await trio.sleep(0.05)

        nursery.start_soon(never_quiet)
        await trio.sleep(0.05)
        assert 0.3 <= (await stage.ask("dispatcher.wait_drained", destination=ONE, set=1))["waited"] < 2.0
        nursery.cancel_scope.cancel()


async def test_draining_waits_for_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "QUIET_S", 0.0)
    async with staged(tmp_path) as stage:
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as phone:
            await phone.bind(("127.0.0.1", 0))
            await phone.sendto(request(), stage.service.snapshot.listeners[0].address)
        while not any(stage.service.calls.active(number) for number in stage.service.snapshot.numbers):  # noqa: ASYNC110
            await trio.sleep(0.01)
        waiting = await stage.ask("dispatcher.wait_drained", destination="all", set=1, timeout=0.05)
        assert waiting["drained"] is False


async def test_a_reload_tells_its_difference_before_and_after(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.drain", destination=OTHER, set=1)
        stage.list_file.write_text(LIST.replace("weight=1", "weight=2") + "1 sip:127.0.0.69 0 0\n")
        changed = {"added": ["1 sip:127.0.0.69"], "removed": [], "changed": ["1 sip:127.0.0.68: weight 1 -> 2"]}
        before = await stage.ask("dispatcher.reload", dry_run=True)
        assert {key: before[key] for key in changed} == changed
        assert (before["done"], before["destinations"], len(stage.service.snapshot.destinations)) == (False, 4, 3)
        after = await stage.ask("dispatcher.reload", report=True, reset_state=True)
        # The watcher of the file may have been first.
        assert after["done"] is True
        assert len(stage.service.snapshot.destinations) == 4
        await stage.until_takers(ONE, OTHER, "sip:127.0.0.69")


async def test_a_list_that_is_wrong_is_not_taken_and_says_why(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.list_file.write_text("1 nonsense://x\n")
        told = await stage.ask("dispatcher.reload")
        assert told["where"].endswith("dispatcher.list:1:3")
        assert told["report"]["refused"] is True
        assert len(stage.service.snapshot.destinations) == 3


async def test_destinations_come_and_go_for_now_or_for_good(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.add", 1, "sip:127.0.0.69", 0, 0, "weight=5")
        await stage.until_takers(ONE, OTHER, "sip:127.0.0.69")
        assert stage.list_file.read_text() == LIST
        assert "already" in (await stage.ask("dispatcher.add", 1, ONE))["what"]
        await stage.ask("dispatcher.remove", 1, "sip:127.0.0.69")
        await stage.until_takers(ONE, OTHER)
        await stage.ask("dispatcher.add", group=1, address="sip:127.0.0.70", attrs="weight=5", save=True)
        await stage.until_takers(ONE, OTHER, "sip:127.0.0.70")
        assert stage.list_file.read_text().startswith(LIST + "1 sip:127.0.0.70 ")
        await stage.ask("dispatcher.remove", group=1, address="one", save=True)
        await stage.until_takers(OTHER, "sip:127.0.0.70")
        first = LIST.splitlines()[1]
        assert stage.list_file.read_text().startswith(LIST.replace(first + chr(10), ""))
        assert "not emptied" in (await stage.ask("dispatcher.remove", 1, "all"))["what"]


async def test_a_file_that_is_wrong_or_cannot_be_written_stays_as_it_is(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.list_file.write_text("1 nonsense://x\n")
        refused = await stage.ask("dispatcher.add", group=1, address="sip:127.0.0.70", save=True)
        assert refused["where"].endswith("dispatcher.list:1:3")
        assert stage.list_file.read_text() == "1 nonsense://x\n"
        stage.list_file.unlink()
        failed = await stage.ask("dispatcher.remove", group=1, address=ONE, save=True)
        assert failed["what"] == "the list cannot be saved, and nothing is changed: No such file or directory"
        assert failed["to_do"] == f"leave --save out, or see where it is: ls -la {tmp_path}"
        await stage.until_takers(ONE, OTHER)


async def test_what_was_changed_for_now_stays_so_when_something_else_is_saved(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.add", 1, "sip:127.0.0.69", 0, 0, "weight=5")
        await stage.ask("dispatcher.remove", 1, ONE)
        with structlog.testing.capture_logs() as logged:
            added = await stage.ask(
                "dispatcher.add", group=1, address="sip:127.0.0.70", attrs="weight=5", save=True, report=True
            )
            assert (added["added"], added["removed"]) == (["1 sip:127.0.0.70"], [])
            assert stage.list_file.read_text() == f"{LIST}1 sip:127.0.0.70 0 0 weight=5\n"
            await trio.sleep(2.5 * INTERVAL_S)  # the watcher has seen the file
            await stage.until_takers(OTHER, "sip:127.0.0.69", "sip:127.0.0.70")
        assert [entry["change"] for entry in logged if entry["event"] == "the list was reloaded"] == [
            f"1 added ({(await stage.ask('dispatcher.history'))['events'][-1]['cause'].partition('(')[2]}"
        ]
        again = await stage.ask(
            "dispatcher.add", group=1, address="sip:127.0.0.69", attrs="weight=7", save=True, report=True
        )
        assert again["changed"] == ["1 sip:127.0.0.69: weight 5 -> 7"], "what was for now can be made for good"
        assert stage.list_file.read_text().endswith("\n1 sip:127.0.0.69 0 0 weight=7\n")
        assert (await stage.ask("dispatcher.reload", report=True))["added"] == [f"1 {ONE}"]


async def test_who_has_edited_the_file_before_a_save_gets_all_of_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.add", 1, "sip:127.0.0.69", 0, 0, "weight=5")
        stage.list_file.write_text(LIST.replace("weight=1", "weight=2"))
        report = await stage.ask(
            "dispatcher.add", group=1, address="sip:127.0.0.70", attrs="weight=5", save=True, report=True
        )
        assert report["added"] == ["1 sip:127.0.0.70"]
        assert report["removed"] == ["1 sip:127.0.0.69"]
        assert report["changed"] == ["1 sip:127.0.0.68: weight 1 -> 2"]


@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize(
    ("method", "asked", "what"),
    [
        ("add", {"group": 1, "address": "sip:127.0.0.70:5061;transport=tcp"}, "transport tcp is not available"),
        (
            "add",
            {"group": 1, "address": "sip:127.0.0.70", "attrs": "socket=udp:127.0.0.1:7777"},
            "is not in listen: ",
        ),
        ("remove", {"group": 2, "address": ONE}, "set 2 is in use and has no destination any more"),
    ],
)
async def test_what_is_refused_is_not_written_either(
    tmp_path: Path, method: str, asked: dict[str, Any], what: str, *, save: bool
) -> None:
    async with staged(tmp_path, set_id=2) as stage:
        told = await stage.ask(f"dispatcher.{method}", **asked, save=save)
        assert what in told["what"], told
        assert stage.list_file.read_text() == LIST
        assert len(stage.service.snapshot.destinations) == 3


async def test_while_many_are_given_a_word_the_packets_have_their_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []

    class Short(Slices):
        @property
        def over(self) -> bool:
            return True

        async def turn(self) -> None:
            turns.append(1)
            await super().turn()

    monkeypatch.setattr(steering, "Slices", Short)
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.set_state", "d", 1, "all")
        assert len(turns) == 2
        await stage.ask("dispatcher.reload", reset_state=True)
        assert len(turns) == 2 + 3


async def test_of_a_dry_run_and_of_what_cannot_be_removed_only_who_asked_hears(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.remove", 1, ONE)
        refused = await stage.ask("dispatcher.remove", 1, OTHER)
        assert refused["what"] == "set 1 is in use and has no destination any more"
        assert refused["report"]["destinations"] == 2
        with structlog.testing.capture_logs() as logged:
            report = await stage.ask("dispatcher.reload", dry_run=True)
            assert (report["dry_run"], report["refused"], report["destinations"]) == (True, False, 3)
            stage.list_file.with_name("other").write_text("2 sip:127.0.0.67 0 0\n")
            stage.list_file.unlink()  # nobody else reads it again
            report = await stage.ask("dispatcher.reload", dry_run=True)
            assert (report["dry_run"], report["refused"], report["destinations"]) == (True, True, 2)
        assert logged == []
        (last,) = [each for each in (await stage.ask("dispatcher.history"))["events"] if each["after"] == "reloaded"]
        assert last["cause"].startswith("1 removed (control: uid ")
        assert (await stage.ask("status"))["reload"]["done"] is True


async def test_who_resets_is_in_the_history(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.drain", destination=OTHER, set=1)
        await stage.ask("dispatcher.reload", reset_state=True)
        (_, reset) = (await stage.ask("dispatcher.history", OTHER, 1))["events"]
        assert reset["cause"].startswith("operator: reset (control: uid ")


@pytest.mark.parametrize("save", [False, True])
async def test_of_changes_at_the_same_time_none_is_lost(tmp_path: Path, *, save: bool) -> None:
    uris = [f"sip:127.0.0.{number}" for number in range(70, 76)]
    async with staged(tmp_path) as stage:

        async def add(uri: str) -> None:
            async with await trio.open_unix_socket(str(tmp_path / "run" / "control.sock")) as stream:
                one = Stage(stage.service, stream, stage.list_file)
                added = await one.ask("dispatcher.add", group=1, address=uri, attrs="weight=5", save=save, report=True)
                assert added["done"] is True, added

        async with trio.open_nursery() as nursery:
            for uri in uris:
                nursery.start_soon(add, uri)
        found = {each.entry.uri for each in stage.service.snapshot.destinations}
        assert found == {ONE, OTHER, *uris}


async def test_a_name_without_an_address_can_be_taken_out_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ask("dispatcher.add", 1, "sip:nobody.invalid")
        assert "already" in (await stage.ask("dispatcher.add", 1, "sip:nobody.invalid"))["what"]
        assert (
            await stage.ask("dispatcher.remove", 1, "sip:nobody.invalid:5060") == "Ok. Dispatcher destination removed."
        )
        report = await stage.ask("dispatcher.reload", dry_run=True)
        assert report["removed"] == []


@pytest.mark.parametrize("name", [ONE, "sip:127.0.0.67:5062;transport=UDP", "127.0.0.67:5062", "one"])
async def test_a_history_is_found_by_any_name(tmp_path: Path, name: str) -> None:
    async with staged(tmp_path) as stage:
        assert await stage.ask("dispatcher.history", name, 1) == {"events": []}
        await stage.ask("dispatcher.drain", destination=ONE, set=1)
        await stage.ask("dispatcher.drain", destination=ONE, set=2)
        (drained,) = (await stage.ask("dispatcher.history", name, 1))["events"]
        assert drained["after"] == "draining"
        assert (await stage.ask("dispatcher.history", "sip:nobody", 1))["what"] == "no destination is called sip:nobody"
        await stage.ask("dispatcher.remove", 1, ONE)
        assert [each["after"] for each in (await stage.ask("dispatcher.history", ONE, 1))["events"]] == [
            "draining",
            "removed",
        ]


async def test_it_explains_and_tells_slots(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        account = await stage.ask("dispatcher.explain", call_id="abc")
        assert account["choice"]["slot"] == (await stage.ask("dispatcher.hash", 65536, "abc"))["slot"]
        assert account["outcome"]
        wrong = await stage.ask("dispatcher.explain", call_id="abc", source="nobody")
        assert wrong["to_do"]
        assert (await stage.ask("status"))["serving"] is True


async def test_a_control_socket_that_was_asked_for_must_be_had_the_usual_one_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    wanted = configuration(tmp_path, Control(socket=tmp_path / "file" / "control.sock"))
    with pytest.RaisesGroup(CommandError, flatten_subgroups=True, allow_unwrapped=True):
        await proxy.serve(wanted)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file"))
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve, configuration(tmp_path, Control()))
            nursery.cancel_scope.cancel()
    assert any(entry["event"] == "there is no control socket" for entry in logged)


async def test_an_operator_bans_and_limits_while_the_proxy_runs(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert (await stage.ask("limits.show"))["rate"] is None
        assert (await stage.ask("limits.set", rate=5, ban_for=30))["burst"] == 10
        assert (await stage.ask("limits.ban", source="127.0.0.67"))["what"].startswith(
            "127.0.0.67 is a server of yours"
        )
        ban = await stage.ask("limits.ban", source="127.0.0.99")
        assert round(ban["until"] - ban["since"], 3) == 30.0
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as banned:
            await banned.bind(("127.0.0.99", 0))
            await banned.sendto(request(), stage.service.snapshot.listeners[0].address)
            while not stage.service.counters.dropped:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)
        explained = await stage.ask("dispatcher.explain", source="127.0.0.99")
        assert explained["notes"][0].startswith("127.0.0.99 is banned, so that nothing of it is heard for 30 s: ")
        status = await stage.ask("status")
        assert status["counters"]["dropped"] == {"banned": 1}
        assert (status["limits"]["rate"], status["limits"]["banned"], status["limits"]["bans"]) == (5, 1, 1)
        assert (await stage.ask("limits.unban", source="127.0.0.99"))["dropped"] == 1
        events = (await stage.ask("dispatcher.history"))["events"]
        assert [(each["kind"], each["after"], each["address"]) for each in events[1:]] == [
            ("ban", "banned", "127.0.0.99"),
            ("ban", "free", "127.0.0.99"),
        ]
