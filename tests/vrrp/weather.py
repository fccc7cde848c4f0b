"""What befalls a simulated LAN?  Everything in a run follows from its seed.

    python -m tests.vrrp.weather 4711        one run, told

A run has rounds: some disturbances at once or soon after each other, each with its own end; then calm, long enough
that the nodes must have settled, and the witness judges.  What has failed may stay so over the next rounds.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable

import attrs

from tests.vrrp.simulation import Lan, Node, Wire
from tests.vrrp.witness import IN_FORCE, Witness
from vrrp.parameters import ALWAYS, NEVER, Preempt

INTERVALS_S = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
ROUNDS = 12
SELDOM = 0.08


@attrs.define(eq=False)
class Weather:
    lan: Lan
    witness: Witness
    rng: random.Random
    lossy: int = 0
    until: float = 0.0
    """When everything that ends has ended."""

    def for_a_while(self) -> float:
        """Seconds: less than an interval, some intervals, or seldom about as long as a lease."""
        rng, interval = self.rng, self.witness.interval
        if rng.random() < SELDOM:
            return rng.uniform(0.5, 1.5) * self.lan.nodes[0].p.lease
        return interval * (rng.random() if rng.random() < 0.3 else rng.uniform(1.0, 12.0))

    def ends(self, act: Callable[..., None], *args: object) -> None:
        when = self.lan.now + self.for_a_while()
        self.until = max(self.until, when)
        self.lan.at(when, act, *args)

    # The wire

    def wire_is(self, *, calm: bool) -> None:
        self.witness.wire_calm = self.lan.now if calm else IN_FORCE
        self.witness.touch(f"the wire is {'whole' if calm else self.lan.wire}")

    def mend_wire(self) -> None:
        wire = self.lan.wire
        if wire.loss:
            self.witness.unclean = True
        arrived = self.lan.now + wire.delay[1]
        wire.cut.clear()
        wire.loss, wire.delay = 0.0, (wire.delay[0], self.usual_delay)
        self.wire_is(calm=True)
        # What is under way arrives late all the same.
        self.witness.wire_calm = arrived
        self.until = max(self.until, arrived)

    @property
    def usual_delay(self) -> float:
        return 20 * self.lan.wire.delay[0]

    def partition(self, _: Node) -> None:
        left = {node.number for node in self.lan.nodes if self.rng.random() < 0.5}
        both, oneway = self.rng.random() < 0.6, self.rng.random() < 0.5
        for a in self.lan.nodes:
            for b in self.lan.nodes:
                apart = (a.number in left) != (b.number in left)
                if apart and (both or (a.number in left) == oneway):
                    self.lan.wire.cut.add((a.number, b.number))
        self.wire_is(calm=False)
        self.ends(self.mend_wire)

    def lose(self, _: Node) -> None:
        self.lan.wire.loss = self.rng.choice((0.1, 0.3, 0.6, 0.95))
        self.wire_is(calm=False)
        self.ends(self.mend_wire)

    def congest(self, _: Node) -> None:
        least, _most = self.lan.wire.delay
        self.lan.wire.delay = (least, self.rng.uniform(0.5, 4.0) * self.witness.interval)
        self.wire_is(calm=False)
        self.ends(self.mend_wire)

    # The agents

    def calm(self, node: Node, when: float) -> None:
        life = self.witness.lives[node.number]
        life.calm = max(when, life.calm) if life.calm != IN_FORCE else when

    def freeze(self, node: Node) -> None:
        if node.running and not node.frozen and not node.asleep:
            node.freeze()
            self.calm(node, IN_FORCE)
            self.witness.touch(f"{node} is frozen")
            self.ends(self.thaw, node, self.rng.random() < 0.2)

    def thaw(self, node: Node, timer_first: object) -> None:
        if node.frozen:
            self.calm(node, self.lan.now)
            self.witness.touch(f"{node} is thawed, timer first: {timer_first}")
            node.thaw(timer_first=bool(timer_first))

    def suspend(self, node: Node) -> None:
        if node.running and not node.asleep and not node.frozen:
            seconds = self.for_a_while()
            self.until = max(self.until, self.lan.now + seconds)
            self.calm(node, self.lan.now + seconds)
            self.witness.touch(f"{node} sleeps for {seconds:.4f} s")
            self.lan.at(self.lan.now + seconds, self.witness.touch, f"{node} wakes up")
            node.suspend(seconds)

    def jump(self, node: Node) -> None:
        if node.running and not node.asleep and not node.frozen:
            self.calm(node, self.lan.now)
            seconds = self.for_a_while()
            self.witness.touch(f"the clock of {node} jumps by {seconds:.4f} s")
            node.jump(seconds)

    def kill(self, node: Node) -> None:
        if node.running and not node.asleep:
            if node.holds:
                # Its address stays in the kernel; whoever is Active too will not be told of its end.
                self.calm(node, node.held_until)
                self.until = max(self.until, node.held_until)
                self.lan.at(node.held_until, self.witness.touch, f"the lease of {node} is over")
                self.witness.unclean |= len(self.lan.holders()) > 1
            elif node.frozen:
                self.calm(node, self.lan.now)
            self.witness.touch(f"{node} is killed")
            node.kill()
            if self.rng.random() < 0.7:
                self.ends(self.start, node)

    def start(self, node: Node) -> None:
        if not node.running and not node.asleep:
            node.ready = self.rng.random() < 0.7
            self.witness.touch(f"{node} starts, ready: {node.ready}")
            if self.witness.lives[node.number].calm > self.lan.now:
                self.calm(node, self.lan.now)
            node.start()
            if not node.ready:
                self.ends(self.make_ready, node)

    def make_ready(self, node: Node) -> None:
        node.ready = True
        self.witness.touch(f"{node} is ready")
        node.report()

    def stop(self, node: Node) -> None:
        if node.running and not node.frozen and not node.asleep:
            self.witness.touch(f"{node} stops")
            node.stop()
            if self.rng.random() < 0.7:
                self.ends(self.start, node)

    # Its fitness and its addresses

    def set_well(self, node: Node, *, well: bool) -> None:
        node.well = well
        self.witness.touch(f"{node} is {'well' if well else 'unwell'}")
        node.report()

    def fail(self, node: Node) -> None:
        self.set_well(node, well=False)
        if self.rng.random() < 0.5:
            self.ends(self.recover_one, node)

    def fail_all(self, _: Node) -> None:
        for node in self.lan.nodes:
            self.lan.at(self.lan.now + self.rng.random() * self.witness.interval, self.fail, node)

    def recover_one(self, node: Node) -> None:
        self.set_well(node, well=True)

    def recover(self, _: Node) -> None:
        for node in self.lan.nodes:
            if not node.well:
                self.recover_one(node)
            if node.fault:
                self.set_fault(node, "")

    def set_fault(self, node: Node, fault: object) -> None:
        node.fault = str(fault)
        self.witness.touch(f"{node} has the fault {node.fault!r}")
        node.report()

    def hold(self, node: Node) -> None:
        self.set_fault(node, "held by the operator")
        if self.rng.random() < 0.6:
            self.ends(self.set_fault, node, "")

    def take_away(self, node: Node) -> None:
        self.witness.touch(f"the address of {node} is taken away")
        self.witness.unclean |= len(self.lan.holders()) > 1
        node.take_away()

    def take_away_often(self, node: Node) -> None:
        for again in range(3):
            self.lan.at(self.lan.now + again * self.witness.delays, self.take_away, node)

    def spoil(self, node: Node) -> None:
        node.broken = True
        self.witness.touch(f"{node} cannot set an address")
        self.ends(self.repair, node)

    def repair(self, node: Node) -> None:
        node.broken = False
        self.witness.touch(f"{node} can set an address")

    def disturb(self) -> None:
        what = self.rng.choices(
            (self.partition, self.lose, self.congest, self.freeze, self.suspend, self.jump, self.kill, self.start,
             self.stop, self.fail, self.fail_all, self.recover, self.hold, self.take_away, self.take_away_often,
             self.spoil),
            (4, 2, 1, 4, 2, 1, 4, 3, 4, 5, 1, 2, 2, 1, 0.1, 0.1),
        )[0]  # fmt: skip
        what(self.rng.choice(self.lan.nodes))

    def calm_down(self, bound: float) -> None:
        """Time passes until nothing has happened for `bound`; what happens meanwhile starts it anew."""
        while True:
            quiet_at = max(self.until, self.witness.touched) + bound
            if self.lan.now >= quiet_at:
                return
            self.lan.run(quiet_at)

    def pass_by(self, rounds: int) -> None:
        lan, witness = self.lan, self.witness
        for number in range(rounds):
            for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 5))):
                self.disturb()
                lan.run(lan.now + self.for_a_while())
            if self.rng.random() < 0.15:
                continue
            self.calm_down(witness.settled_clients if self.rng.random() < 0.3 else witness.settle)
            clients, witness.unclean = witness.unclean, True
            if lan.now - witness.touched >= witness.settled_clients:
                witness.unclean = clients
                if clients and number % 3 == 0:
                    lan.run(lan.now + lan.nodes[0].p.announce_every)
                    witness.unclean = False
            else:
                clients = True
            witness.judge_settled()
            witness.unclean = clients and witness.unclean


def draw(seed: int) -> Weather:
    """The LAN of this seed: its nodes, their clocks, its wire."""
    rng = random.Random(seed)
    version = rng.choice((2, 3, 3, 3))
    interval = 1.0 if version == 2 else rng.choice(INTERVALS_S)
    least = interval * rng.choice((0.0001, 0.0005, 0.001))
    wire = Wire(
        delay=(least, 20 * least),
        reorder=rng.random() < 0.3,
        duplicate=rng.choice((0.0, 0.0, 0.1)),
    )
    lan = Lan(rng, wire, jitter=interval * rng.choice((0.0, 0.0005, 0.01)))
    count = rng.choice((2, 2, 3, 4))
    priorities = rng.choice(
        ([100] * 4, [254, 253, 252, 251], [250, 240, 230, 220], [rng.randint(100, 254) for _ in range(4)])
    )
    rng.shuffle(priorities)
    after = Preempt(interval * rng.uniform(2.0, 40.0))
    preempts = rng.choice(
        ([ALWAYS] * 4, [NEVER] * 4, [after] * 4, [rng.choice((ALWAYS, NEVER, after)) for _ in range(4)])
    )
    for priority, preempt in zip(priorities[:count], preempts, strict=False):
        lan.node(
            priority=priority,
            interval=interval,
            version=version,
            preempt=preempt,
            announce_every=max(1.0, 5 * interval),
            booted=rng.choice((0.0, rng.uniform(0.0, 1e7))),
        )
    witness = Witness(lan)
    weather = Weather(lan, witness, rng)
    for node in lan.nodes:
        lan.at(rng.random() * rng.choice((0.0, 0.1, 5.0)) * interval, weather.start, node)
    return weather


def run(seed: int, *, rounds: int = ROUNDS) -> Weather:
    """One run; AssertionError carries the seed and the last that happened."""
    weather = draw(seed)
    try:
        weather.lan.run(0.0)
        weather.pass_by(rounds)
    except AssertionError as error:
        told = "\n".join(weather.lan.diary)
        raise AssertionError(f"seed {seed} at {weather.lan.now:.4f} s: {error}\n{told}") from error
    assert math.isfinite(weather.lan.now)
    return weather


if __name__ == "__main__":
    print("\n".join(run(int(sys.argv[1])).lan.diary))
