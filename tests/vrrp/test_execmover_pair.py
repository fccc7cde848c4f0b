"""Do two agents whose commands ask one API end with one owner of the address?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio
import trio.testing

from tests.vrrp.pretend_api import ORDERS, Api
from tests.vrrp.wires import Cable, WireEnd, router_for
from vrrp.execmover import ExecMover, Outcome, Verb
from vrrp.service import Agent
from vrrp.tracking import Tracking


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


@asynccontextmanager
async def pair(*, takes: float, acquired: Sequence[Outcome] = ()) -> AsyncIterator[tuple[Cable, Api, Node, Node]]:
    """Two agents that run; `acquired` is how the first tries of the better one end."""
    cable, api = Cable(), Api(takes=takes)
    a, b = node(cable, api, "a", "192.0.2.11", 250), node(cable, api, "b", "192.0.2.12", 240)
    a.api.answers["acquire"] = list(acquired)
    async with trio.open_nursery() as nursery:
        for each in (a, b):
            await nursery.start(each.agent.run)
        yield cable, api, a, b
        nursery.cancel_scope.cancel()


async def test_after_a_partition_the_owner_has_the_address_again(autojump_clock: object) -> None:
    async with pair(takes=2.0) as (cable, api, a, b):
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
    assert api.owner == ""


async def test_two_that_reach_the_api_but_not_each_other_take_it_ever_more_seldom(autojump_clock: object) -> None:
    async with pair(takes=2.0) as (cable, api, a, b):
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


async def test_one_that_cannot_have_it_lets_the_other_one(autojump_clock: object) -> None:
    refused = [Outcome(1, "quota exceeded (exit status 1)")] * 3
    async with pair(takes=0.2, acquired=refused) as (_, api, a, b):
        await trio.sleep(8)
        assert (a.agent.state, b.agent.state, api.owner) == ("fault", "active", "b")
        assert a.agent.status().cause == "acquire: quota exceeded (exit status 1)"
