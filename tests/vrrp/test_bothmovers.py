"""Do two movers move as one?"""

from __future__ import annotations

import trio
import trio.testing

from tests.vrrp.pretend_api import FAILED, ORDERS, Api
from vrrp.bothmovers import BothMovers
from vrrp.event import AddressesLost, MoveFailed
from vrrp.execmover import ExecMover


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
