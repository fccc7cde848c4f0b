"""Did the nodes keep their promises?  Watchers of a simulated LAN; each raises AssertionError at the broken one.

What is promised depends on what was done to the LAN.  A wire is calm since it last carried everything in time; a node
is calm since its agent was last frozen, killed (until its lease is over), suspended or had its clock moved.
"""

from __future__ import annotations

import math

import attrs

from tests.vrrp.simulation import Lan, Node
from vrrp.action import Action, RemoveAddresses, SendAdvert
from vrrp.event import AddressesLost, AdvertReceived, Event, FitnessChanged, Started, Stopped
from vrrp.machine import REANNOUNCE_S, RETRY_S, SHY_S
from vrrp.parameters import ALWAYS, FIT, NEVER, RELEASE, active_down, skew, unfit
from vrrp.state import Active, Backup, Fault, State

IN_FORCE = math.inf
"""A disturbance that goes on."""


@attrs.define(eq=False)
class Biography:
    """What the witness remembers of a node."""

    calm: float = -math.inf
    entered: float = -math.inf
    """When it began to take part."""
    fit: float = -math.inf
    active: float = -math.inf
    """Since when it is Active."""
    shy: float = -math.inf
    """Until when it is careful, because it could not set the address."""


@attrs.define(eq=False)
class Witness:
    lan: Lan
    wire_calm: float = -math.inf
    touched: float = 0.0
    """When anything was last done to the LAN or one of its nodes."""
    touches: int = 0
    unclean: bool = False
    """The clients may have learnt of a node whose end no other node could notice."""
    moves: int = 0
    settled_at: float = 0.0
    """The last change of a role."""
    lives: list[Biography] = attrs.field(factory=list)
    overlaps: int = 0
    longest: float = 0.0
    most_moves: int = 0
    slowest: float = 0.0
    """Settling, as a share of the bound."""
    checked: dict[str, int] = attrs.field(factory=dict)
    _since: float | None = None
    _involved: set[int] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.lives = [Biography() for _ in self.lan.nodes]
        self.lan.watchers.append(self)

    # Bounds, all in seconds

    @property
    def interval(self) -> float:
        return max(node.p.interval for node in self.lan.nodes)

    @property
    def delays(self) -> float:
        """There and back, with two loops that are late; what reads the clock twice rounds."""
        return 2 * (self.lan.wire.delay[1] + self.lan.jitter) + 1e-6

    @property
    def skew(self) -> float:
        return max(skew(node.p.version, unfit(node.p.priority), self.interval) for node in self.lan.nodes)

    @property
    def down(self) -> float:
        """The longest down interval: of the node of least priority while a track fails."""
        return max(active_down(node.p.version, unfit(node.p.priority), self.interval) for node in self.lan.nodes)

    @property
    def settle(self) -> float:
        """From the last disturbance to one owner, the right one.

        An owner is missed after one down interval; if an unfit one came first, a fit one follows after another.
        """
        return 2 * self.down + self.delays

    @property
    def most(self) -> int:
        """Moves after the last disturbance: each node may become Active once at half-knowledge, and once by right."""
        return 2 * len(self.lan.nodes)

    # What the schedule tells

    def touch(self, text: str) -> None:
        self.lan.note(text)
        self.touched = max(self.touched, self.lan.now)
        self.touches += 1
        self.moves = 0

    def count(self, what: str) -> None:
        self.checked[what] = self.checked.get(what, 0) + 1

    # What the LAN tells

    def stepped(self, node: Node, before: State, event: Event, actions: tuple[Action, ...]) -> None:
        old, new = before.role, node.state.role
        if event == AddressesLost(by_lease=True):
            assert self.lives[node.number].calm > self.lan.now - 2 * node.p.lease, f"{node} forgot its lease"
        if isinstance(event, FitnessChanged | Started):
            self._learn_fitness(node, before)
        if type(old) is type(new):
            return
        now, life = self.lan.now, self.lives[node.number]
        self.lan.note(f"{node} {type(old).__name__} -> {type(new).__name__} by {event}")
        self.settled_at = now
        if isinstance(new, Active):
            self.moves += 1
            assert self.moves <= self.most or self._disturbed(), f"{self.moves} moves since {self.touched:.4f}"
            self._judge_takeover(node)
            life.active = now
        else:
            assert node.held_until == -math.inf, f"{node} is {type(new).__name__} and has the address"
        if isinstance(new, Backup) and not isinstance(old, Active):
            life.entered = now
        if isinstance(new, Fault) and math.isfinite(new.until):
            self.touched = max(self.touched, now + RETRY_S)
            life.shy = now + RETRY_S + SHY_S
        if isinstance(old, Active):
            self._judge_leaving(node, event, actions)

    def _learn_fitness(self, node: Node, before: State) -> None:
        if before.fitness.priority < FIT <= node.state.fitness.priority:
            self.lives[node.number].fit = self.lan.now

    def _disturbed(self) -> bool:
        return max(self.wire_calm, *(life.calm for life in self.lives)) > self.touched

    def _judge_leaving(self, node: Node, event: Event, actions: tuple[Action, ...]) -> None:
        now = self.lan.now
        adverts = [action.priority for action in actions if isinstance(action, SendAdvert)]
        assert adverts, f"{node} left without a word"
        beaten = isinstance(event, AdvertReceived) and adverts == [node.state.fitness.priority]
        assert beaten or adverts[0] == RELEASE, adverts
        assert actions[1] == RemoveAddresses(), actions
        if self.wire_calm > now - self.down:
            self.unclean |= not beaten
        elif isinstance(event, FitnessChanged | Stopped) and adverts == [RELEASE] and not self.lan.wire.reorder:
            self._expect_hand_over(node)

    def _expect_hand_over(self, node: Node) -> None:
        """Whoever leaves by itself has a successor within the skew time of the best one."""
        long_ago = self.lan.now - self.down - self.interval - self.delays
        heirs = [
            other
            for other in self.lan.nodes
            if other.running
            and not other.frozen
            and not other.asleep
            and not other.broken
            and isinstance(other.state.role, Backup)
            and other.state.fitness.priority >= FIT
            and max(self.lives[other.number].calm, self.lives[other.number].entered) < long_ago
        ]
        leaving = self.lives[node.number]
        if heirs and max(leaving.active, leaving.calm, self.wire_calm) < long_ago:
            within = min(skew(heir.p.version, heir.p.priority, self.interval) for heir in heirs) + self.delays
            self.lan.at(self.lan.now + within, self._was_handed_over, self.touches, within)

    def _was_handed_over(self, touches: int, within: float) -> None:
        if self.touches == touches:
            self.count("handed over")
            assert self.lan.holders(), f"nobody has the address {within:.4f} s after its owner left"

    def _judge_takeover(self, node: Node) -> None:
        """Nobody takes the address from a healthy owner against the word of `preempt`, nor at equal priority."""
        now, mine = self.lan.now, self.lives[node.number]
        long_ago = now - self.down - self.interval - self.delays
        for owner in self.lan.nodes:
            life = self.lives[owner.number]
            if (
                owner is node
                or not owner.active
                or not owner.running
                or owner.frozen
                or owner.asleep
                or owner.state.fitness.priority < FIT
                or max(life.active, life.fit, life.calm, mine.calm, self.wire_calm) > long_ago
            ):
                continue
            self.count("took over")
            assert node.state.fitness.priority > owner.p.priority, f"{node} takes over from {owner}"
            if mine.calm > max(mine.fit, mine.entered):
                continue  # its clock went faster than the LAN's
            beside = now - max(mine.fit, mine.entered)
            assert beside >= node.p.preempt.after, f"{node} takes over from {owner} after {beside:.4f} s"

    def held(self) -> None:
        """Two owners are gone within the skew time on a whole LAN, or soon after it has become whole."""
        now, holders = self.lan.now, self.lan.holders()
        if len(holders) > 1:
            if self._since is None:
                self._since = now
            self._involved.update(node.number for node in holders)
        elif self._since is not None:
            self._judge_overlap(self._since)
            self._since = None
            self._involved.clear()

    def _judge_overlap(self, since: float) -> None:
        now = self.lan.now
        calm = max(self.wire_calm, *(self.lives[number].calm for number in self._involved))
        involved = [self.lan.nodes[number] for number in sorted(self._involved)]
        most = max(skew(node.p.version, node.state.fitness.priority, self.interval) for node in involved) + self.delays
        self.overlaps += 1
        if now > calm + self.interval + most:
            self.longest = max(self.longest, now - since)
            self.count("overlap")
            assert now - since <= most, (
                f"{[str(node) for node in involved]} both had the address for {now - since:.4f} s"
            )

    # What the schedule asks

    def judge_settled(self) -> None:
        """Long enough after the last disturbance: one owner, the right one, and the clients know it."""
        lan = self.lan
        able = [node for node in lan.nodes if node.running and not node.fault]
        holders = lan.holders()
        self.count("settled")
        if all(node.p.preempt in {ALWAYS, NEVER} for node in lan.nodes):
            self.slowest = max(self.slowest, (self.settled_at - self.touched) / self.settle)
        self.most_moves = max(self.most_moves, self.moves)
        assert [node for node in lan.nodes if node.active] == holders
        assert len(holders) == min(1, len(able)), [str(node) for node in holders]
        if not able:
            return
        (owner,) = holders
        assert owner in able, f"{owner} has a fault"
        healthy = [node for node in able if node.well]
        bold = [node for node in able if lan.now > self.lives[node.number].shy + self.settle]
        assert owner.well or not any(node in bold for node in healthy), f"{owner} is the owner"
        if not healthy:
            best = max((unfit(node.p.priority) for node in bold), default=0)
            assert unfit(owner.p.priority) >= best, f"{owner} is the last"
        for node in healthy:
            if node.p.priority > owner.p.priority:
                life = self.lives[node.number]
                since = max(life.fit, life.entered, life.shy, self.touched)
                assert lan.now - since < node.p.preempt.after + self.settle, f"{node} lets {owner} be"
        if not self.unclean:
            self.count("clients")
            assert lan.clients == [owner.number] * len(lan.clients), f"clients send to {lan.clients}"

    @property
    def settled_clients(self) -> float:
        """The announcement may have to wait for the last one's rate."""
        return self.settle + REANNOUNCE_S
