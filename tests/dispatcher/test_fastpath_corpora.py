"""Every message that the tree keeps: RFC 4475's, those that Kamailio is asked too, and those that the fuzzers found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import attrs
import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Forward, Outcome, Reply
from dispatcher.snapshot import Policy
from fuzz.run import CASES, CORPUS
from fuzz.world import World
from sip.uri import Address
from tests.dispatcher.oracle.calls import INITIAL, Case, invite, refused, registration
from tests.dispatcher.oracle.corpus import corpus
from tests.dispatcher.oracle.meaning import Raw
from tests.dispatcher.oracle.mutation import mutations
from tests.dispatcher.oracle.scene import DESTINATIONS, NAMES, OURS, PEOPLE, left_behind
from tests.dispatcher.twins import Twins, with_tables
from tests.dispatcher.world import PHONE, SERVER_A, SERVER_B, VIP, VIP6, destination, make_snapshot

TORTURE = Path(__file__).parents[1] / "torture"
KEPT = [
    file
    for folder in (CASES / "pipeline", CORPUS / "pipeline")
    for file in sorted(folder.iterdir())
    if file.name != ".gitkeep"
]
MUTATIONS = 1500
SEED = 3261


@pytest.mark.parametrize("name", [path.stem for path in sorted(TORTURE.glob("*.dat"))])
def test_the_messages_of_rfc_4475(name: str) -> None:
    datagram = (TORTURE / f"{name}.dat").read_bytes()
    for source in (PHONE, SERVER_A):
        Twins(with_tables(make_snapshot(SERVER_A, SERVER_B, listeners=(VIP, VIP6)))).take(datagram, source)


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_what_the_fuzzers_have_kept(file: Path) -> None:
    world = World.of(file.read_bytes())
    twins = Twins(with_tables(world.snapshot))
    twins.take(world.datagram, world.source, world.arrival)


@attrs.define
class Scene:
    """The corpus that Kamailio is asked, for our proxy alone, with what that has written into the calls."""

    twins: Twins
    values: dict[str, str]

    @classmethod
    def set(cls) -> Scene:
        listeners = tuple(Listener("udp", address) for address in OURS)
        policy = Policy(algorithm=DEFAULT, domains=frozenset(("pbx.example.com",)))
        everyone = [destination(address) for address in DESTINATIONS]
        snapshot = make_snapshot(*everyone, listeners=listeners, policy=policy)
        names = {name: ((address, 5060),) for name, address in NAMES.items()}
        scene = cls(Twins(with_tables(snapshot), names=names), {"{PROXY}": OURS[0][0], "{PROXY6}": OURS[1][0]})
        for call, (who, _, _) in INITIAL.items():
            scene.values.update(left_behind(call, Raw.read(scene.sent(invite(call), who)), "ours"))
        scene.values["{PATH}"] = Raw.read(scene.sent(registration(), "nat")).values("path")[0]
        scene.values["{TAG}"] = Raw.read(scene.sent(refused(), "phone")).tags[1]
        return scene

    def ask(self, case: Case) -> Outcome:
        return self.take(case.text, case.who.partition(":")[0])

    def take(self, text: bytes, who: str) -> Outcome:
        source: Address = PEOPLE[who]
        for placeholder, value in self.values.items():
            text = text.replace(placeholder.encode(), value.encode("latin-1"))
        return self.twins.take(text, source, 1 if ":" in source[0] else 0, kind=text[:4].decode("latin-1"))

    def sent(self, text: bytes, who: str) -> bytes:
        outcome = self.take(text, who)
        assert isinstance(outcome, Forward | Reply)
        return outcome.payload


def test_the_messages_that_kamailio_is_asked() -> None:
    scene = Scene.set()
    for case in corpus():
        scene.ask(case)
    asked, handed_over = scene.twins.asked.total(), scene.twins.handed_over.total()
    assert asked > 450
    assert handed_over < 0.35 * asked, "half of the corpus is there because it is odd"


def test_mutations_of_the_messages_that_kamailio_is_asked() -> None:
    scene = Scene.set()
    outcomes: Counter[str] = Counter()
    for case in mutations(corpus(), MUTATIONS, SEED):
        outcomes[type(scene.ask(case)).__name__] += 1
    assert outcomes["Forward"] > 100
