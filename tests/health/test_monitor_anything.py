"""Whatever is done to a monitor, in any order, its changes add up to its board."""

from __future__ import annotations

import random

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from health.board import Change, State, Verdict, Word
from health.target import Target
from tests.health.farm import HOME, REFUSED, Servers, World, target, world


def some_targets(chance: int) -> list[Target]:
    """Two or three targets, by chance."""
    rng = random.Random(chance)
    return [
        target(
            number,
            probed=rng.random() < 0.7,
            interval=rng.choice([0.5, 1.0]),
            listed=State(rng.choice([Word.ENABLED, Word.ENABLED, Word.DISABLED])),
        )
        for number in (1, 2, 3)
        if rng.random() < 0.9
    ]


@attrs.define
class Happenings:
    """What may happen, and the states that the changes so far add up to."""

    made: World
    servers: Servers
    shown: dict[int, State]

    def refused(self, number: int, _seconds: float, _chance: int) -> None:
        self.made.monitor.refused(number, self.made.now)

    def unanswered(self, number: int, _seconds: float, _chance: int) -> None:
        self.made.monitor.unanswered(number, self.made.now)

    def unavailable(self, number: int, seconds: float, _chance: int) -> None:
        self.made.monitor.unavailable(number, seconds, self.made.now)

    def word(self, number: int, _seconds: float, chance: int) -> None:
        self.made.monitor.set_word(number, list(Word)[chance % 3], "operator", self.made.now)

    def reset(self, number: int, _seconds: float, _chance: int) -> None:
        self.made.monitor.reset([number], self.made.now)

    def reload(self, _number: int, _seconds: float, chance: int) -> None:
        start = Verdict.DOWN if chance % 2 else Verdict.UP
        self.made.monitor.replace_targets(some_targets(chance), now=self.made.now, start=start)
        present = self.states()
        self.shown = {number: self.shown.get(number, state) for number, state in present.items()}

    def serve(self, number: int, _seconds: float, chance: int) -> None:
        self.servers.status[number] = random.Random(chance).choice([200, 404, 503, 0, -REFUSED])

    def noise(self, _number: int, _seconds: float, chance: int) -> None:
        self.made.monitor.receive_datagram(random.Random(chance).randbytes(50), HOME, self.made.now)

    def wait(self, _number: int, seconds: float, _chance: int) -> None:
        self.made.run(seconds)

    def states(self) -> dict[int, State]:
        return {number: standing.state for number, standing in self.made.monitor.board().standings.items()}

    def note(self, change: Change) -> None:
        """A change joins on to the one before it."""
        before = self.shown[change.number]
        assert change.before != change.after
        if change.what == "word":
            assert change.before == before.word.name.lower()
            self.shown[change.number] = State(Word[change.after.upper()], before.verdict)
        else:
            assert change.before == before.verdict.name.lower()
            self.shown[change.number] = State(before.word, Verdict[change.after.upper()])


NAMES = ["refused", "unanswered", "unavailable", "word", "reset", "reload", "serve", "noise", "wait", "wait"]


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(1, 4), st.floats(0.0, 3.0), st.integers(0, 10**6)), max_size=40
    )
)
@settings(max_examples=100, deadline=None)
def test_the_changes_add_up_to_the_board_and_everybody_finds_the_way_back(
    operations: list[tuple[str, int, float, int]],
) -> None:
    made, servers = world(*some_targets(0))
    happenings = Happenings(made, servers, {})
    happenings.shown = happenings.states()
    version = made.monitor.version
    for name, number, seconds, chance in operations:
        getattr(happenings, name)(number, seconds, chance)
        for change in made.changes():
            happenings.note(change)
            assert made.monitor.version > version, "a change without a new board"
        version = made.monitor.version
        assert happenings.states() == happenings.shown
    servers.status.clear()
    made.run(20.0)
    for standing in made.monitor.board().standings.values():
        assert standing.state.verdict is Verdict.UP or standing.state.word is Word.DISABLED
        assert standing.avoided_until == 0.0
