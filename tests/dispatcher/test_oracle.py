"""Does Kamailio, asked the same, do the same?

Both proxies get every message of the corpus and thousands of its mutations; what they send must mean the same.  Where
they differ on purpose, `tests.dispatcher.oracle.differences` says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import pytest

from tests.dispatcher.oracle.calls import Case
from tests.dispatcher.oracle.corpus import corpus
from tests.dispatcher.oracle.differences import DIFFERENCES
from tests.dispatcher.oracle.levelling import Asked, levelled
from tests.dispatcher.oracle.meaning import Output
from tests.dispatcher.oracle.mutation import mutations
from tests.dispatcher.oracle.scene import Scene

pytestmark = pytest.mark.peers

MUTATIONS = 2000
SEED = 3261
TRIES = 3
"""A difference counts when it stays: our proxy answers late while it looks up a name on a machine that is busy."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("oracle")) as scene:
        yield scene


def test_the_corpus_is_large_enough() -> None:
    assert len(corpus()) > 600


def test_both_do_the_same_for_every_message_of_the_corpus(scene: Scene) -> None:
    found = _hold(scene, corpus())
    assert not {difference.name for difference in DIFFERENCES} - set(found), "a listed difference that there is not"


def test_both_do_the_same_for_mutations_of_the_corpus(scene: Scene) -> None:
    _hold(scene, mutations(corpus(), MUTATIONS, SEED))


def _hold(scene: Scene, cases: Sequence[Case]) -> Counter[str]:
    """Ask both everything; how often each deliberate difference was met.  Fails with what is left unexplained."""
    found: Counter[str] = Counter()
    unexplained = []
    for case in cases:
        for _ in range(TRIES):
            asked = scene.ask(case)
            left, names = levelled(asked, DIFFERENCES)
            if left.ours == left.theirs:
                break
        else:
            unexplained.append(_shown(asked, left, names))
        found.update(names)
    assert not unexplained, f"{len(unexplained)} of {len(cases)} differ:\n\n" + "\n\n".join(unexplained[:10])
    return found


def _shown(asked: Asked, left: Asked, names: Sequence[str]) -> str:
    """Both outputs, and what of them no difference explains."""
    return "\n".join(
        (
            f"{asked.case.name} (from {asked.case.who} {asked.source}; faults: {', '.join(asked.faults) or 'none'})",
            *(f"  {line}" for line in asked.data.decode("latin-1").splitlines()),
            f"ours:   {_brief(asked.ours)}",
            f"theirs: {_brief(asked.theirs)}",
            f"explained: {', '.join(names) or 'nothing'}; left:",
            *_unequal(left.ours, left.theirs),
        )
    )


def _brief(outputs: Sequence[Output]) -> str:
    return "; ".join(f"{each.kind} {each.what} to {each.hop}" for each in outputs) or "nothing"


def _unequal(ours: Sequence[Output], theirs: Sequence[Output]) -> list[str]:
    if len(ours) != 1 or len(theirs) != 1:
        return [f"  ours:   {_brief(ours)}", f"  theirs: {_brief(theirs)}"]
    one, other = attrs.asdict(ours[0], recurse=False), attrs.asdict(theirs[0], recurse=False)
    return [
        f"  {name}\n    ours:   {one[name]!r}\n    theirs: {other[name]!r}" for name in one if one[name] != other[name]
    ]
