"""Do commands move addresses one at a time, in the order asked, and is what they say believed or doubted rightly?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from tests.vrrp.wires import Cable, WireEnd, router_for
from vrrp.bothmovers import BothMovers
from vrrp.event import AddressesLost, MoveFailed
from vrrp.execmover import LONGEST, PAUSE_S, SETTLED_S, TOLD_AGAIN_S, ExecMover, Orders, Outcome, Verb
from vrrp.service import Agent
from vrrp.tracking import Tracking

ORDERS = Orders(verifies=True, timeout=10.0, retries=2, every=30.0)
FAILED = Outcome(3, "exit status 3")
UNKNOWN = Outcome(None, "it has not ended within 10 s")


@attrs.define(eq=False)
class Api:
    """A pretend API that knows which node has the address, and what was asked of it when."""

    owner: str = ""
    takes: float = 1.0
    answers: dict[str, list[Outcome]] = attrs.field(factory=dict)
    """What a verb ends in, before it goes on to do what it should."""
    asked: list[tuple[float, str]] = attrs.field(factory=list)
    running: int = 0
    killed: list[str] = attrs.field(factory=list)

    async def ask(self, node: str, verb: Verb) -> Outcome:
        self.asked.append((round(trio.current_time(), 3), verb))
        self.running += 1
        assert self.running == 1, "one command at a time"
        try:
            await trio.sleep(self.takes)
        except trio.Cancelled:
            self.killed.append(verb)
            raise
        finally:
            self.running -= 1
        if self.answers.get(verb):
            return self.answers[verb].pop(0)
        match verb:
            case "acquire":
                self.owner = node
            case "release":
                self.owner = "" if self.owner == node else self.owner
            case "verify":
                return Outcome(int(self.owner != node), "")
        return Outcome(0, "it has ended well")

    @property
    def verbs(self) -> list[str]:
        return [verb for _, verb in self.asked]


@attrs.define(eq=False)
class Case:
    """A mover that runs, and what it has reported."""

    api: Api
    mover: ExecMover
    reported: list[AddressesLost | MoveFailed]
    heard: int = 0
    contested: list[str] = attrs.field(factory=list)

    async def lose(self, taken_by: str = "b") -> float:
        """Somebody takes the address, it is found out and taken back; how long that was after it came here."""
        acquired = next(at for at, verb in reversed(self.api.asked) if verb == "acquire") + self.api.takes
        self.api.owner, losses = taken_by, len(self.reported)
        while len(self.reported) == losses:
            await trio.sleep(1.0)  # the machine goes on announcing
            self.mover.announce()
        found = self.api.asked[-1][0]
        assert self.api.asked[-1][1] == "verify"
        self.mover.add(2.0)
        self.mover.announce()
        await trio.sleep(2 * self.api.takes)
        assert self.api.owner == "a"
        return found - acquired


@asynccontextmanager
async def moving(api: Api, orders: Orders = ORDERS) -> AsyncIterator[Case]:
    contested: list[str] = []
    mover = ExecMover(orders, lambda verb: api.ask("a", verb), heard=lambda: case.heard, contested=contested.append)
    case = Case(api, mover, [], contested=contested)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.mover.run, case.reported.append)
        yield case
        nursery.cancel_scope.cancel()


async def test_what_is_asked_for_is_done_once_and_no_verb_waits(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.remove()
        case.mover.add(2.0)
        assert case.api.asked == []
        await trio.sleep(1.5)
        assert case.api.owner == "a"
        case.mover.add(2.0)
        await trio.sleep(1.0)
        case.mover.remove()
        await trio.sleep(1.5)
        case.mover.remove()
        await trio.sleep(1.5)
        assert case.api.owner == ""
    assert case.api.verbs == ["acquire", "release"]
    assert case.reported == []


async def test_the_start_gives_up_what_a_predecessor_has_left(autojump_clock: object) -> None:
    async with moving(Api(owner="a")) as case:
        case.mover.remove()
        await trio.sleep(1.5)
    assert (case.api.verbs, case.api.owner) == (["release"], "")


async def test_one_runs_at_a_time_and_the_newest_wish_wins(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(0.5)
        case.mover.remove()
        case.mover.add(2.0)
        case.mover.remove()
        await trio.sleep(2.0)
    assert case.api.asked == [(0.0, "acquire"), (1.0, "release")]
    assert case.api.owner == ""


async def test_a_wish_that_has_changed_and_come_back_costs_nothing(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(0.5)
        case.mover.remove()
        case.mover.add(2.0)
        await trio.sleep(2.0)
    assert case.api.verbs == ["acquire"]


async def test_one_that_fails_is_tried_again(autojump_clock: object) -> None:
    async with moving(Api(answers={"acquire": [FAILED, UNKNOWN]})) as case:
        case.mover.add(2.0)
        await trio.sleep(0.1)
        case.mover.announce()  # wakes nobody up too early
        await trio.sleep(5.0)
    assert case.api.asked == [(at, "acquire") for at in (0.0, 1.0 + PAUSE_S, 2.0 + 2 * PAUSE_S)]
    assert (case.api.owner, case.reported) == ("a", [])


async def test_after_the_last_try_it_is_told_that_it_failed(autojump_clock: object) -> None:
    async with moving(Api(answers={"acquire": [FAILED] * 3})) as case:
        case.mover.add(2.0)
        await trio.sleep(20.0)
        assert case.reported == [MoveFailed("acquire: exit status 3")]
        assert case.api.verbs == ["acquire"] * 3
        # What it has done all the same is undone.
        case.mover.remove()
        await trio.sleep(2.0)
        case.mover.add(2.0)
        await trio.sleep(2.0)
    assert case.api.verbs == [*["acquire"] * 3, "release", "acquire"]
    assert case.api.owner == "a"


async def test_what_is_not_wanted_any_more_is_not_tried_again(autojump_clock: object) -> None:
    async with moving(Api(answers={"acquire": [FAILED] * 3})) as case:
        case.mover.add(2.0)
        await trio.sleep(1.5)
        case.mover.remove()
        await trio.sleep(2.0)
    assert case.api.asked == [(0.0, "acquire"), (1.5, "release")]
    assert case.reported == []


async def test_a_release_that_fails_is_given_up_and_told_to_nobody(autojump_clock: object) -> None:
    async with moving(Api(answers={"release": [FAILED] * 3})) as case:
        case.mover.remove()
        await trio.sleep(20.0)
        assert case.api.verbs == ["release"] * 3
        case.mover.remove()
        await trio.sleep(2.0)
    assert case.api.verbs == ["release"] * 4
    assert case.reported == []


async def test_a_release_that_fails_is_not_tried_again_when_the_address_is_wanted(autojump_clock: object) -> None:
    async with moving(Api(answers={"release": [FAILED]})) as case:
        case.mover.remove()
        await trio.sleep(0.5)
        case.mover.add(2.0)
        await trio.sleep(2.0)
    assert case.api.asked == [(0.0, "release"), (1.0, "acquire")]


async def test_it_is_looked_again_and_again_whether_the_address_is_here(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(80.0)
    # The first time, what the other node may have had under way has ended.
    assert case.api.asked == [(0.0, "acquire"), (11.0, "verify"), (42.0, "verify"), (73.0, "verify")]


async def test_an_address_that_is_elsewhere_is_lost_and_taken_back(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(5.0)
        case.api.owner = "b"
        await trio.sleep(20.0)
        assert case.reported == [AddressesLost(by_lease=False)]
        assert case.api.verbs == ["acquire", "verify"]
        case.mover.add(2.0)
        case.mover.announce()
        await trio.sleep(2.0)
    assert case.api.owner == "a"


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
async def test_an_api_that_is_down_moves_nothing(outcome: Outcome, autojump_clock: object) -> None:
    async with moving(Api(answers={"verify": [outcome] * 2})) as case:
        case.mover.add(2.0)
        await trio.sleep(80.0)
    assert case.api.verbs == ["acquire", "verify", "verify", "verify"]
    assert case.reported == []


async def test_without_verify_it_is_taken_again(autojump_clock: object) -> None:
    async with moving(Api(), attrs.evolve(ORDERS, verifies=False)) as case:
        case.mover.add(2.0)
        await trio.sleep(5.0)
        case.api.owner, case.api.answers = "b", {"acquire": [Outcome(1, "throttled")]}
        await trio.sleep(30.0)
        assert case.api.verbs == ["acquire", "acquire"]
        await trio.sleep(10.0)
    assert case.api.owner == "a"
    assert case.reported == []


async def test_an_announcement_looks_at_once_and_again_when_the_other_node_must_have_ended(
    autojump_clock: object,
) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(20.0)
        case.api.asked.clear()
        case.mover.announce()
        await trio.sleep(15.0)
    assert case.api.asked == [(20.0, "verify"), (30.0, "verify")]


async def test_after_an_acquire_the_api_has_time_to_know(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        case.mover.announce()
        await trio.sleep(1.5)
        case.mover.announce()
        await trio.sleep(7.0)
    assert case.api.asked == [(0.0, "acquire"), (1.0 + SETTLED_S, "verify")]


async def test_what_is_not_wanted_any_more_while_it_is_looked_for_is_not_lost(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(11.5)
        case.api.owner = "b"
        case.mover.remove()
        await trio.sleep(3.0)
    assert case.api.verbs == ["acquire", "verify", "release"]
    assert (case.reported, case.api.owner) == ([], "b")


async def test_a_stop_lets_the_command_end_and_releases(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(0.5)
        case.mover.remove()
    await case.mover.settle()
    assert case.api.asked == [(0.0, "acquire"), (1.0, "release")]
    assert (case.api.owner, case.api.killed) == ("", [])
    await case.mover.settle()
    assert case.api.verbs == ["acquire", "release"]


async def test_a_stop_has_an_end(autojump_clock: object) -> None:
    api = Api(takes=1e6)
    async with moving(api) as case:
        await trio.testing.wait_all_tasks_blocked()
    case.mover.remove()
    await case.mover.settle()
    assert trio.current_time() == pytest.approx(ORDERS.timeout + PAUSE_S)
    assert (api.verbs, api.killed) == (["release"], ["release"])


@pytest.mark.parametrize("verb", ["acquire", "release", "verify"])
async def test_a_stop_takes_no_longer_than_it_says_when_the_api_hangs(verb: Verb, autojump_clock: object) -> None:
    """Whatever runs when it is stopped: `release` begins once more, and every command takes what it takes to end it."""
    orders, begun = attrs.evolve(ORDERS, ending=3.2), []

    async def hang(asked: Verb) -> Outcome:
        begun.append(asked)
        if begun == ["acquire"] and verb == "verify":
            return Outcome(0, "")
        try:
            await trio.sleep(orders.timeout)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(orders.ending)
        return UNKNOWN

    mover = ExecMover(orders, hang)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mover.run, lambda _: None)
        if verb == "release":
            mover.remove()
        else:
            mover.add(2.0)
        while verb not in begun:  # noqa: ASYNC110 - trio's clock jumps
            await trio.sleep(1.0)
        stopped = trio.current_time()
        mover.remove()
        nursery.cancel_scope.cancel()
    await mover.settle()
    assert begun[begun.index(verb) :] == [verb, "release"]
    assert trio.current_time() - stopped <= orders.patience
    assert orders.patience == 2 * (orders.timeout + orders.ending) + PAUSE_S


async def test_a_release_that_a_stop_finds_running_is_not_repeated(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.remove()
        await trio.sleep(0.5)
    await case.mover.settle()
    assert case.api.asked == [(0.0, "release")]


# --------------------------------------------------------------------------------------------------------------------
# Somebody else takes the address again and again


async def test_who_takes_it_again_and_again_is_answered_ever_later(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(1.5)
        after = [await case.lose() for _ in range(8)]
        # The first time as always: that may be a partition that is over.
        assert after == pytest.approx([5, 5, 20, 40, 80, 160, 300, 300], abs=2.5)
        assert LONGEST * ORDERS.every == 300
        assert len(set(case.contested)) == 7
        assert "somebody else has taken the addresses 8 times" in case.contested[-1]
        assert "after 300 s" in case.contested[-1]


async def test_that_somebody_takes_it_is_told_until_it_is_over(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(1.5)
        await case.lose()
        assert case.contested == []
        await case.lose()
        for _ in range(60):
            await trio.sleep(1.0)
            case.mover.add(2.0)
        assert len(case.contested) == 1 + 60 // TOLD_AGAIN_S
        for _ in range(300):
            await trio.sleep(1.0)
            case.mover.add(2.0)
        told = len(case.contested)
        await trio.sleep(TOLD_AGAIN_S)
        case.mover.add(2.0)
        assert len(case.contested) == told, "it was here for long enough"
        assert await case.lose() > 300
        assert len(case.contested) == told


async def test_a_peer_that_is_heard_again_ends_the_quarrel(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(1.5)
        for _ in range(5):
            await case.lose()
        case.api.owner = "b"
        await trio.sleep(20.0)
        case.mover.announce()
        await trio.sleep(20.0)
        assert case.api.verbs[-1] == "acquire", "it is let be"
        heard = trio.current_time()
        case.heard += 1
        case.mover.announce()
        await trio.sleep(2.0)
        at, verb = case.api.asked[-1]
        assert verb == "verify"
        assert at == pytest.approx(heard, abs=0.1)
        assert len(case.reported) == 6
        case.mover.add(2.0)
        await trio.sleep(2.0)
        assert await case.lose() < 20


async def test_whoever_gives_the_address_up_begins_anew(autojump_clock: object) -> None:
    async with moving(Api()) as case:
        case.mover.add(2.0)
        await trio.sleep(1.5)
        for _ in range(4):
            await case.lose()
        case.mover.remove()
        await trio.sleep(2.0)
        case.mover.add(2.0)
        await trio.sleep(2.0)
        assert await case.lose() < 20


@pytest.mark.parametrize("every", [1.0, 30.0, 3600.0])
def test_the_pauses_are_bounded(every: float) -> None:
    orders, pause = attrs.evolve(ORDERS, every=every), 0.0
    for _ in range(5000):
        longer = orders.longer(pause)
        assert longer >= pause
        pause = longer
    assert pause == max(LONGEST * every, SETTLED_S)


# --------------------------------------------------------------------------------------------------------------------
# Two agents and one API


@attrs.define(eq=False)
class Node:
    agent: Agent
    mover: ExecMover
    api: Api
    contested: list[str]


def node(cable: Cable, api: Api, name: str, source: str, priority: int) -> Node:
    wire = WireEnd(cable, source)
    cable.ends.append(wire)
    own = Api(takes=api.takes)
    contested: list[str] = []

    async def ask(verb: Verb) -> Outcome:
        own.owner = api.owner
        outcome = await own.ask(name, verb)
        if verb != "verify":
            api.owner = own.owner
        return outcome

    mover = ExecMover(ORDERS, ask, heard=lambda: agent.ledger.received, contested=contested.append)
    agent = Agent(
        router_for(source, priority), wire, mover, Tracking(priority, ()), clock=trio.current_time, wall=lambda: 1e9
    )
    return Node(agent, mover, own, contested)


async def test_after_a_partition_the_owner_has_the_address_again(autojump_clock: object) -> None:
    cable, api = Cable(), Api(takes=2.0)
    a, b = node(cable, api, "a", "192.0.2.11", 250), node(cable, api, "b", "192.0.2.12", 240)
    async with trio.open_nursery() as nursery:
        for each in (a, b):
            await nursery.start(each.agent.run)
        await trio.sleep(20)
        assert (a.agent.state, b.agent.state, api.owner) == ("active", "backup", "a")
        cable.is_cut = True
        await trio.sleep(5)
        assert (a.agent.state, b.agent.state, api.owner) == ("active", "active", "b")
        cable.is_cut = False
        await trio.sleep(12)
        assert (a.agent.state, b.agent.state, api.owner) == ("active", "backup", "a")
        a.agent.stop()
        await trio.sleep(0.1)
        assert b.agent.state == "active", "the other one does not wait for the command of the one that leaves"
        await trio.sleep(30)
        assert api.owner == "b"
        nursery.cancel_scope.cancel()
    assert api.owner == ""


async def test_two_that_reach_the_api_but_not_each_other_take_it_ever_more_seldom(autojump_clock: object) -> None:
    cable, api = Cable(), Api(takes=2.0)
    a, b = node(cable, api, "a", "192.0.2.11", 250), node(cable, api, "b", "192.0.2.12", 240)
    async with trio.open_nursery() as nursery:
        for each in (a, b):
            await nursery.start(each.agent.run)
        await trio.sleep(20)
        cable.is_cut = True
        await trio.sleep(600)
        a.api.asked.clear()
        b.api.asked.clear()
        await trio.sleep(600)
        for each in (a, b):
            assert each.agent.state == "active"
            assert 1 <= each.api.verbs.count("acquire") <= 3
            assert any("somebody else has taken the addresses" in text for text in each.contested)
        cable.is_cut = False
        await trio.sleep(20)
        assert (a.agent.state, b.agent.state, api.owner) == ("active", "backup", "a")
        nursery.cancel_scope.cancel()


async def test_one_that_cannot_have_it_lets_the_other_one(autojump_clock: object) -> None:
    cable, api = Cable(), Api(takes=0.2)
    a, b = node(cable, api, "a", "192.0.2.11", 250), node(cable, api, "b", "192.0.2.12", 240)
    a.api.answers["acquire"] = [Outcome(1, "quota exceeded (exit status 1)")] * 3
    async with trio.open_nursery() as nursery:
        for each in (a, b):
            await nursery.start(each.agent.run)
        await trio.sleep(8)
        assert (a.agent.state, b.agent.state, api.owner) == ("fault", "active", "b")
        assert a.agent.status().cause == "acquire: quota exceeded (exit status 1)"
        nursery.cancel_scope.cancel()


async def test_two_movers_do_as_one(autojump_clock: object) -> None:
    first, second = Api(), Api()
    movers = [ExecMover(ORDERS, lambda verb, api=api: api.ask("a", verb)) for api in (first, second)]  # type: ignore[misc]
    both = BothMovers(*movers)
    reported: list[AddressesLost | MoveFailed] = []
    second.answers["acquire"] = [FAILED] * 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(both.run, reported.append)
        both.add(2.0)
        both.announce()
        await trio.sleep(6.0)
        assert reported == [MoveFailed("acquire: exit status 3")]
        both.remove()
        nursery.cancel_scope.cancel()
    await both.settle()
    assert (first.verbs, second.verbs) == (["acquire", "release"], ["acquire"] * 3 + ["release"])
