"""Do commands move addresses one at a time, in the order asked, and is what they say believed or doubted rightly?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from tests.vrrp.pretend_api import FAILED, ORDERS, UNKNOWN, Api
from vrrp.event import AddressesLost, MoveFailed
from vrrp.execmover import LONGEST, PAUSE_S, SETTLED_S, TOLD_AGAIN_S, ExecMover, Orders, Outcome, Verb


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
