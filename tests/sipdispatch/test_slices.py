"""Are facts gathered in steps by those who can?"""

from __future__ import annotations

from collections.abc import Generator

from sipdispatch.facts import ProxyFacts
from sipdispatch.slices import gather
from tests.sipdispatch.fake_operations import EMPTY, FakeOperations, with_destinations


async def test_facts_are_gathered_in_steps_where_that_can_be() -> None:
    class InSteps(FakeOperations):
        def facts(self) -> ProxyFacts:
            raise AssertionError

        def facts_in_steps(self) -> Generator[None, None, ProxyFacts]:
            yield
            return with_destinations(2)

    assert await gather(FakeOperations(EMPTY)) is EMPTY
    assert len((await gather(InSteps())).destinations) == 2
