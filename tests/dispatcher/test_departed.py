"""Is a destination that has left remembered for as long as a call may ring, and then no more?"""

from __future__ import annotations

import math

from dispatcher.departed import Departed
from dispatcher.recent import LIFETIME
from tests.dispatcher.world import destination

ONE, OTHER = destination(("192.0.2.11", 5060)), destination(("192.0.2.12", 5060))


def test_each_is_known_for_its_time() -> None:
    departed = Departed()
    assert departed.next_lapse == math.inf
    departed.note({7: ONE}, 10.0)
    departed.note({8: OTHER}, 20.0)
    assert departed.destinations == {7: ONE, 8: OTHER}
    assert departed.next_lapse == 10.0 + LIFETIME
    assert departed.lapse(9.9 + LIFETIME) == []
    assert departed.lapse(10.0 + LIFETIME) == [7]
    assert departed.destinations == {8: OTHER}


def test_who_leaves_again_is_known_for_as_long_again() -> None:
    departed = Departed()
    departed.note({7: ONE}, 10.0)
    departed.note({7: ONE}, 100.0)
    assert departed.lapse(99.0 + LIFETIME) == []
    assert departed.lapse(100.0 + LIFETIME) == [7]
