"""The running proxy follows its list and what is known of its destinations, and what fails changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import attrs
import pytest
import structlog.testing
import trio

from dispatcher.algorithm import parse_algorithm
from dispatcher.destination import Destination
from dispatcher.listener import Listener
from dispatcher.recent import LIFETIME
from dispatcher.refresh import ListNames
from dispatcher.resolver import Resolver
from dispatcher.selection import FULL_SHARE
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.watch import Reading
from health.board import NEW_WORK, Board, Change, Verdict, Word
from health.monitor import HOLD_S
from health.verdict import Trend
from sipdispatch import statefile
from sipdispatch.config import Health, Proxy
from sipdispatch.errors import CommandError
from sipdispatch.listread import read_list
from sipdispatch.upkeep import LOOK_S, PUBLISH_S, Audience, Upkeep
from tests.dispatcher.world import KEY

VIP = Listener("udp", ("192.0.2.1", 5060))
TWO = "1 sip:192.0.2.11 0 0\n1 sip:192.0.2.12 0 0\n"


pytestmark = pytest.mark.usefixtures("without_slot_tables")


@attrs.define
class Kept:
    upkeep: Upkeep
    nursery: trio.Nursery
    path: Path

    async def change(self, text: str) -> bool:
        self.path.write_text(text)
        return (await self.upkeep.reload(self.nursery)).done

    @property
    def snapshot(self) -> Snapshot:
        assert self.upkeep.snapshot is not None
        return self.upkeep.snapshot

    def takers(self) -> list[str]:
        """The URIs of the destinations that take new work."""
        return [
            self.snapshot.destinations[self.snapshot.starts[set_id] + place].entry.uri
            for set_id, codes in self.snapshot.liveness.items()
            for place, code in enumerate(codes)
            if code & NEW_WORK
        ]

    async def until_last(self, host: str) -> None:
        """Wait until this is the address of the last destination: names and tables take real time, the clock jumps."""
        with trio.fail_after(2_000_000):
            while self.snapshot.destinations[-1].address[0] != host:  # noqa: ASYNC110 - it has no event
                await trio.sleep(1)


@asynccontextmanager
async def keeping(
    folder: Path,
    text: str = TWO,
    *,
    left: tuple[statefile.Kept, ...] = (),
    audience: Audience | None = None,
    health: Health | None = None,
    algorithm: str = "weight",
) -> AsyncIterator[Kept]:
    path = folder / "dispatcher.list"
    path.write_text(text)
    settings = Proxy(listen=(VIP,), list_path=path, secret_file=folder / "secret", state_dir=folder)
    hosts = folder / "hosts"
    hosts.write_text("192.0.2.13 named.example\n")
    resolver = Resolver(hosts=hosts, nameservers=[("127.0.0.1", 9)], timeout_s=0.1)
    upkeep = Upkeep(
        settings,
        Policy(algorithm=parse_algorithm(algorithm)),
        (KEY,),
        [VIP],
        ListNames(resolver),
        health=health or Health(enabled=False),
        kept=left,
        audience=audience,
    )
    entries, problems = await read_list(path, settings)
    assert entries is not None, problems
    async with trio.open_nursery() as nursery:
        await upkeep.follow_list(entries, nursery)
        yield Kept(upkeep, nursery, path)
        nursery.cancel_scope.cancel()


async def test_the_first_snapshot_is_there_when_the_list_is_followed(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        assert kept.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"]
        assert kept.snapshot.version == 1
        assert kept.snapshot.serving


async def test_a_reload_brings_the_new_list_and_says_the_difference(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        with structlog.testing.capture_logs() as logged:
            assert await kept.change("1 sip:192.0.2.11 0 0\n1 sip:192.0.2.14 0 0\n")
        assert kept.takers() == ["sip:192.0.2.11", "sip:192.0.2.14"]
        assert kept.snapshot.version == 2
        assert logged[-1]["change"] == "1 added, 1 removed"


@pytest.mark.parametrize("text", ["1 sip:192.0.2.11 0 0\n1 nonsense://x 0 0\n", "sip:192.0.2.11\n"])
async def test_a_bad_list_leaves_the_old_one_in_force_and_says_why(tmp_path: Path, text: str) -> None:
    async with keeping(tmp_path) as kept:
        before = kept.snapshot
        with structlog.testing.capture_logs() as logged:
            assert not await kept.change(text)
        assert kept.snapshot is before
        assert any("dispatcher.list:" in entry["event"] and entry["log_level"] == "error" for entry in logged)
        assert "sipdispatch check" in logged[-1]["hint"]


async def test_a_list_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        before = kept.snapshot
        kept.path.unlink()
        with structlog.testing.capture_logs() as logged:
            assert not (await kept.upkeep.reload(kept.nursery)).done
        assert kept.snapshot is before
        assert "cannot be read" in logged[0]["event"]


@pytest.mark.parametrize("text", ["1 sip:127.0.0.68 0 0\n", "nonsense\n"])
async def test_what_was_read_is_known_again_be_it_good_or_bad(tmp_path: Path, text: str) -> None:
    async with keeping(tmp_path) as kept:
        kept.path.write_text(text)
        await kept.upkeep.reload(kept.nursery, dry_run=True)
        assert kept.upkeep.known is None, "nothing has been done about it"
        await kept.upkeep.reload(kept.nursery)
        assert kept.upkeep.known == Reading.of(kept.path)


async def test_numbers_survive_a_reload_so_that_recent_choices_stay_true(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        before = dict(zip(kept.takers(), kept.snapshot.numbers, strict=True))
        await kept.change("1 sip:192.0.2.14 0 0\n1 sip:192.0.2.12 0 0\n1 sip:192.0.2.11 0 0\n")
        after = dict(zip(kept.takers(), kept.snapshot.numbers, strict=True))
        assert {uri: after[uri] for uri in before} == before


async def test_what_has_left_the_list_is_remembered_for_as_long_as_a_call_may_ring(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with keeping(tmp_path) as kept:
        number = kept.snapshot.numbers[1]
        await kept.change("1 sip:192.0.2.11 0 0\n")
        assert kept.snapshot.departed[number].address == ("192.0.2.12", 5060)
        await trio.sleep(LIFETIME + 1)
        await kept.change("1 sip:192.0.2.11 0 0\n1 sip:192.0.2.15 0 0\n")
        assert number not in kept.snapshot.departed


async def test_a_name_becomes_its_addresses(tmp_path: Path) -> None:
    async with keeping(tmp_path, "1 sip:named.example:5062 0 0\n") as kept:
        assert [item.address for item in kept.snapshot.destinations] == [("192.0.2.13", 5062)]


async def test_a_refusing_destination_is_avoided_and_without_probes_tried_again_after_a_while(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with keeping(tmp_path) as kept:
        kept.nursery.start_soon(kept.upkeep.follow_board)
        await kept.nursery.start(kept.upkeep.vitals.serve)
        number = kept.snapshot.numbers[0]
        with structlog.testing.capture_logs() as logged:
            kept.upkeep.vitals.refused(number)
            kept.upkeep.vitals.refused(number)
            await trio.sleep(2 * PUBLISH_S)
            assert kept.takers() == ["sip:192.0.2.12"]
            await trio.sleep(HOLD_S + 2 * PUBLISH_S)
        assert kept.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"]
        assert [(entry["log_level"], entry["destination"]) for entry in logged] == [
            ("warning", "sip:192.0.2.11"),
            ("info", "sip:192.0.2.11"),
        ]
        assert "ICMP" in logged[0]["cause"]


@pytest.mark.parametrize("text", [TWO, "".join(reversed(TWO.splitlines(keepends=True)))])
async def test_words_and_verdicts_still_arrive_after_a_reload_that_changed_none(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, text: str
) -> None:
    async with keeping(tmp_path) as kept:
        kept.nursery.start_soon(kept.upkeep.follow_board)
        await trio.sleep(2 * PUBLISH_S)
        assert await kept.change(text)
        await trio.sleep(2 * PUBLISH_S)
        number = next(
            number
            for number, destination in zip(kept.snapshot.numbers, kept.snapshot.destinations, strict=True)
            if destination.entry.uri == "sip:192.0.2.11"
        )
        kept.upkeep.vitals.set_word(number, Word.DRAINING, "asked to")
        await trio.sleep(2 * PUBLISH_S)
        assert kept.takers() == ["sip:192.0.2.12"]


async def test_many_refusals_make_one_snapshot(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    text = "".join(f"1 sip:192.0.2.{last} 0 0\n" for last in range(11, 31))
    async with keeping(tmp_path, text) as kept:
        kept.nursery.start_soon(kept.upkeep.follow_board)
        await trio.sleep(2 * PUBLISH_S)
        made = 0

        class Counting:
            def swap(self, _snapshot: Snapshot) -> None:
                nonlocal made
                made += 1

        kept.upkeep.service = Counting()  # type: ignore[assignment]  # all that is used of it
        for number in kept.snapshot.numbers[1:]:
            kept.upkeep.vitals.refused(number)
        await trio.sleep(2 * PUBLISH_S)
        assert kept.takers() == ["sip:192.0.2.11"]
        assert made == 1


async def test_what_is_known_of_a_destination_outlives_a_reload(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.upkeep.vitals.refused(kept.snapshot.numbers[0])
        await kept.change(TWO + "1 sip:192.0.2.14 0 0\n")
        assert kept.takers() == ["sip:192.0.2.12", "sip:192.0.2.14"]


async def test_words_and_verdicts_outlive_the_process(tmp_path: Path) -> None:
    async with keeping(tmp_path) as first:
        first.upkeep.vitals.set_word(first.snapshot.numbers[1], Word.DRAINING, "operator: drain")
        left = tuple(first.upkeep.kept())
    async with keeping(tmp_path, left=left) as second:
        assert second.takers() == ["sip:192.0.2.11"]
        await second.change("1 sip:192.0.2.11 0 0\n1 sip:192.0.2.14 0 0\n")
        await second.change(TWO)
        assert second.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"], "it had left the list"


async def test_that_nobody_is_left_is_an_error_in_the_log_and_its_end_is_told(tmp_path: Path) -> None:
    async with keeping(tmp_path, "1 sip:192.0.2.11 0 0\n") as kept:
        with structlog.testing.capture_logs() as logged:
            kept.nursery.start_soon(kept.upkeep.follow_board)
            kept.upkeep.vitals.set_word(kept.snapshot.numbers[0], Word.DISABLED, "operator: disable")
            await trio.sleep(2 * PUBLISH_S)
            assert not kept.snapshot.serving
            kept.upkeep.vitals.set_word(kept.snapshot.numbers[0], Word.ENABLED, "operator: enable")
            await trio.sleep(2 * PUBLISH_S)
        assert [entry["log_level"] for entry in logged] == ["info", "error", "info", "info"]


async def test_who_wants_to_hear_of_changes_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    class Listening:
        def changed(self, change: Change, destination: Destination) -> None:
            told.append(f"{destination.entry.uri} {change.after}")

        def removed(self, number: int, destination: Destination) -> None:
            told.append(f"{destination.entry.uri} {number} is gone")

        def reloaded(self, text: str, *, done: bool) -> None:
            told.append(f"{text} {done}")

    async with keeping(tmp_path, audience=Listening()) as kept:
        kept.upkeep.vitals.refused(kept.snapshot.numbers[0])
        await kept.change(TWO + "1 sip:192.0.2.14 0 0\n")
        await kept.change("2 sip:192.0.2.14 0 0\n")
        await kept.change("nonsense\n")
    assert told[:3] == [
        "sip:192.0.2.11 down",
        "1 added True",
        "set 1 is in use and has no destination any more False",
    ]
    assert "dispatcher.list:1:1: error:" in told[3]


async def test_who_comes_back_begins_slowly(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with keeping(tmp_path, health=Health(enabled=False, slow_start=10.0)) as kept:
        kept.nursery.start_soon(kept.upkeep.follow_board)
        await kept.nursery.start(kept.upkeep.vitals.serve)
        kept.upkeep.vitals.refused(kept.snapshot.numbers[0])
        await trio.sleep(HOLD_S + 5)
        half = kept.snapshot.ramp[1]
        assert 64 < half[0] < 192
        assert half[1] == FULL_SHARE
        await trio.sleep(6)
        assert not kept.snapshot.ramp


async def test_latencies_are_looked_at_only_where_they_are_chosen_by(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, wanted in (("latency", {1: (0.25, 0.25)}), ("weight", {})):
        async with keeping(tmp_path, algorithm=name) as kept:
            kept.nursery.start_soon(kept.upkeep.follow_board)
            board = kept.upkeep.vitals.board()
            known = {number: attrs.evolve(each, latency=0.25) for number, each in board.standings.items()}
            monkeypatch.setattr(kept.upkeep.vitals, "board", lambda known=known: Board(known))
            await trio.sleep(2 * LOOK_S)
            assert kept.snapshot.latency == wanted


async def test_two_nodes_with_one_list_have_one_fingerprint(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        first = kept.upkeep.fingerprint
        await kept.change("# of this node\n" + TWO)
        assert kept.upkeep.fingerprint == first
        await kept.change("1 sip:192.0.2.12 0 0\n")
        assert kept.upkeep.fingerprint != first


@pytest.mark.parametrize("text", ["", "2 sip:192.0.2.11 0 0\n"])
async def test_a_list_that_has_lost_the_set_in_use_is_a_mistake(tmp_path: Path, text: str) -> None:
    async with keeping(tmp_path) as kept:
        with structlog.testing.capture_logs() as logged:
            assert not await kept.change(text)
        assert kept.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"]
        assert "set 1 is in use" in logged[-1]["hint"]


@pytest.mark.parametrize("error", [ValueError("too many"), RuntimeError("can't start new thread")])
async def test_destinations_that_no_table_can_be_made_of_leave_the_old_ones_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def failing(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async with keeping(tmp_path) as kept:
        before, entries = kept.snapshot, kept.upkeep.entries
        with monkeypatch.context() as broken, structlog.testing.capture_logs() as logged:
            broken.setattr("sipdispatch.upkeep.make_pool_apart", failing)
            assert not await kept.change(TWO + "1 sip:192.0.2.14 0 0\n")
        assert kept.snapshot is before
        assert kept.upkeep.entries == entries
        assert any(entry.get("reason") == str(error) for entry in logged)
        assert [entry["event"] for entry in logged if entry["log_level"] != "warning"] == [
            "the list was not reloaded; the old one stays in force"
        ]
        assert (await kept.upkeep.reload(kept.nursery)).done, "as soon as it can"
        assert len(kept.takers()) == 3


async def test_without_a_first_snapshot_there_is_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_many(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("too many")

    monkeypatch.setattr("sipdispatch.upkeep.make_pool_apart", too_many)
    with pytest.RaisesGroup(pytest.RaisesExc(CommandError, match="too many"), flatten_subgroups=True):
        async with keeping(tmp_path):
            pass


async def test_a_mistake_in_the_first_snapshot_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("mistake")

    monkeypatch.setattr("sipdispatch.upkeep.make_pool_apart", mistaken)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="mistake"), flatten_subgroups=True):
        async with keeping(tmp_path):
            pass


async def test_reloads_at_the_same_time_come_one_after_the_other(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.path.write_text("1 sip:192.0.2.14 0 0\n")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(kept.upkeep.reload, kept.nursery)
        assert kept.takers() == ["sip:192.0.2.14"]
        assert len(kept.nursery.child_tasks) == 1


async def test_a_set_larger_than_a_slot_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipdispatch.listread.MOST_DESTINATIONS", 2)
    async with keeping(tmp_path) as kept:
        with structlog.testing.capture_logs() as logged:
            assert not await kept.change(TWO + "1 sip:192.0.2.14 0 0\n")
        assert "set 1 has 3 destinations; 2 is the most" in logged[0]["event"]


async def test_a_word_waits_for_a_name_that_the_dns_tells_late(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    hosts, text = tmp_path / "hosts", TWO + "1 sip:late.example 0 0\n"
    async with keeping(tmp_path) as first:
        hosts.write_text("192.0.2.14 late.example\n")
        await first.change(text)
        first.upkeep.vitals.set_word(first.snapshot.numbers[2], Word.DISABLED, "operator: disable")
        left = tuple(first.upkeep.kept())
    async with keeping(tmp_path, text, left=left) as second:
        assert len(second.snapshot.destinations) == 2
        assert tuple(second.upkeep.kept()) == left, "or the next start would not know it"
        hosts.write_text("192.0.2.14 late.example\n")
        await second.until_last("192.0.2.14")
        assert second.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"]
        assert tuple(second.upkeep.kept()) == left
        hosts.write_text("192.0.2.15 late.example # a length of its own, for the clock of files may not have gone on\n")
        await second.until_last("192.0.2.15")
        assert second.takers() == ["sip:192.0.2.11", "sip:192.0.2.12", "sip:late.example"], "another server"
        hosts.write_text("192.0.2.14 late.example\n")
        await second.until_last("192.0.2.14")
        assert second.takers() == ["sip:192.0.2.11", "sip:192.0.2.12"], "it was gone for a while"
        await second.change(TWO)
        assert tuple(second.upkeep.kept()) == ()


@pytest.mark.parametrize(("start", "flags"), [("down", 0), ("up", 1)])
async def test_who_was_up_need_not_prove_it_again_after_a_restart(
    tmp_path: Path, start: Literal["up", "down"], flags: int
) -> None:
    text, health = f"1 sip:192.0.2.11 {flags} 0\n1 sip:192.0.2.12 {flags} 0\n", Health(start=start)
    async with keeping(tmp_path, text, health=health) as first:
        assert first.takers() == []
        number = first.snapshot.numbers[0]
        first.upkeep.vitals._monitor._watched[number].trend = Trend(Verdict.UP)  # as after `rise` good probes
        left = statefile.from_text(statefile.to_text(first.upkeep.kept()))
    async with keeping(tmp_path, text, health=health, left=left) as second:
        assert second.takers() == ["sip:192.0.2.11"]


async def test_the_usual_is_not_worth_remembering(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        assert tuple(kept.upkeep.kept()) == ()


async def test_who_stops_before_the_first_snapshot_forgets_nothing(tmp_path: Path) -> None:
    async with keeping(tmp_path) as first:
        first.upkeep.vitals.set_word(first.snapshot.numbers[1], Word.DRAINING, "operator: drain")
        left = tuple(first.upkeep.kept())
    path = tmp_path / "dispatcher.list"
    settings = Proxy(listen=(VIP,), list_path=path, secret_file=tmp_path / "secret", state_dir=tmp_path)
    policy = Policy(algorithm=parse_algorithm("weight"))
    upkeep = Upkeep(settings, policy, (KEY,), [VIP], ListNames(Resolver()), kept=left)
    assert tuple(upkeep.kept()) == left


async def test_who_is_taken_out_gets_no_new_work_on_the_way(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("health.service.CHUNK", 1)
    dead = "".join(f"1 sip:192.0.2.{last} 0 0\n" for last in range(21, 41))
    async with keeping(tmp_path, TWO + dead) as kept:
        kept.nursery.start_soon(kept.upkeep.follow_board)
        for number in kept.snapshot.numbers[2:]:
            kept.upkeep.vitals.set_word(number, Word.DISABLED, "operator: disable")
        await trio.sleep(2 * PUBLISH_S)
        expected = kept.takers()
        seen: set[tuple[str, ...]] = set()

        async def observe() -> None:
            while True:
                kept.upkeep.publish()  # as when a verdict changes just then
                seen.add(tuple(kept.takers()))
                await trio.lowlevel.checkpoint()

        kept.nursery.start_soon(observe)
        assert await kept.change(TWO)
        assert seen == {tuple(expected)}


async def test_a_refused_list_does_not_come_in_force_by_the_dns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async def failing(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("no process")

    hosts, text = tmp_path / "hosts", TWO + "1 sip:named.example 0 0\n"
    async with keeping(tmp_path, text) as kept:
        with monkeypatch.context() as broken:
            broken.setattr("sipdispatch.upkeep.make_pool_apart", failing)
            assert not await kept.change("1 sip:192.0.2.11 0 0\n1 sip:named.example 0 0\n")
        hosts.write_text("192.0.2.14 named.example\n")
        await kept.until_last("192.0.2.14")
        assert [each.address[0] for each in kept.snapshot.destinations] == ["192.0.2.11", "192.0.2.12", "192.0.2.14"]


async def test_no_two_destinations_of_a_list_have_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.recent._hash32", lambda _text, attempt: 7 + attempt)
    async with keeping(tmp_path, TWO + "2 sip:192.0.2.11 0 0\n") as kept:
        assert len(set(kept.snapshot.numbers)) == 3
