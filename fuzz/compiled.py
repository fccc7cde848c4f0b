"""Does the compiled pipeline have an answer to any datagram, whether or not it is the right one?

The invariant: it neither panics nor counts beyond a number, decides the same when asked again, and passes on a message
that is one.  Without Python's answer beside it this target runs many times as often as `fastpath`.
"""

from __future__ import annotations

import dispatcher._fastpath as compiled
from fuzz.fastpath import ENTRIES, NOW, image
from fuzz.world import World
from sip.message import Message

_RECENT = compiled.RecentChoices(ENTRIES)


def check(data: bytes) -> None:
    """Raise whatever is wrong with the compiled pipeline on this input."""
    world = World.of(data)
    knowledge = image(world.snapshot)
    decided = compiled.decide(knowledge, _RECENT, world.datagram, world.source, world.arrival, NOW)
    again = compiled.decide(knowledge, _RECENT, world.datagram, world.source, world.arrival, NOW)
    assert decided == again, "the same datagram twice gives the same outcome"
    assert decided[0] in ("hand-over", "drop", "forward")
    if decided[0] == "forward":
        Message.parse(decided[1])
