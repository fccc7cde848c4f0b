"""Whatever happens and however notices fare: does a reader know in the end how things are, and is nobody flooded?"""

from __future__ import annotations

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from sipdispatch.damping import Damping, Item, Notice
from sipdispatch.happening import Kind
from tests.sipdispatch.happenings import happening

BOTH: tuple[Kind, ...] = ("verdict", "word")


@attrs.define
class Reader:
    """Whoever reads the notices that arrive."""

    heard: dict[int, list[tuple[float, Item]]] = attrs.Factory(dict)

    def reads(self, notice: Notice, now: float) -> None:
        for item in notice.items:
            self.heard.setdefault(item.number, []).append((now, item))

    def believes(self, number: int) -> str:
        """Gone and up are the same to somebody who waits for the end of an outage."""
        heard = self.heard.get(number)
        return "up" if not heard or heard[-1][1].state == "removed" else heard[-1][1].state


STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 40.0),
        st.integers(1, 3),
        st.sampled_from(["up", "suspect", "down", "down", "removed"]),
    ),
    max_size=60,
)
FATES = st.lists(
    st.tuples(
        st.floats(0.0, 25.0), st.sampled_from(["delivered", "delivered", "delivered", "failed", "failed unseen"])
    ),
    max_size=60,
)


class Post:
    """Carries one notice at a time: each takes a while, and some do not arrive or are not known to have."""

    def __init__(self, every: float, fates: list[tuple[float, str]]) -> None:
        self.damping = Damping(BOTH, every=every)
        self.reader = Reader()
        self.now = 0.0
        self._every = every
        self._fates = iter(fates)
        self._flying: tuple[float, Notice, str] | None = None
        self._windows: dict[int, float] = {}

    def run(self, until: float) -> None:
        while True:
            timer = self.damping.get_timer() if self._flying is None else self._flying[0]
            if timer is None or timer > until:
                self.now = until
                return
            self.now = max(self.now, timer)
            if self._flying is None:
                self._take_off()
            else:
                self._land(*self._flying)

    def _take_off(self) -> None:
        notice = self.damping.notice_to_send(self.now)
        if notice is not None:
            assert notice.items
            assert all(self.now >= self._windows.get(item.number, 0.0) for item in notice.items)
            delay, fate = next(self._fates, (0.0, "delivered"))
            self._flying = (self.now + delay, notice, fate)

    def _land(self, now: float, notice: Notice, fate: str) -> None:
        self._flying = None
        if fate == "delivered":
            self.damping.delivered(now)
            self._windows |= {item.number: now + self._every for item in notice.items}
        else:
            self.damping.failed(now)
        if fate != "failed":
            self.reader.reads(notice, now)


@example([(0.0, 2, "down"), (1.0, 2, "up"), (6.0, 2, "removed"), (0.0, 2, "down")], [], 6.0)
@example([(0.0, 1, "down"), (1.0, 1, "up"), (5.0, 1, "removed")], [(0.0, "delivered"), (1.0, "failed")], 1.0)
@given(STEPS, FATES, st.floats(1.0, 120.0))
def test_properties(steps: list[tuple[float, int, str]], fates: list[tuple[float, str]], every: float) -> None:
    """Once a window and destination at most; the truth in the end; no outage told whose end is not."""
    post = Post(every, fates)
    true: dict[int, str] = {}
    verdicts: dict[int, str] = {}
    for wait, number, after in steps:
        post.run(post.now + wait)
        if after == "removed":
            what = happening(after, before="", kind="list", number=number, now=post.now)
            true[number] = "up"
            verdicts.pop(number, None)
        else:
            what = happening(after, before=verdicts.get(number, "up"), number=number, now=post.now)
            verdicts[number] = after
            true[number] = true.get(number, "up") if after == "suspect" else after
        post.damping.happened(what, post.now)
    post.run(post.now + 100_000.0)
    assert post.damping.get_timer() is None
    assert {number: post.reader.believes(number) for number in true} == true
    assert set(post.damping._subjects) == {number for number, state in true.items() if state == "down"}
