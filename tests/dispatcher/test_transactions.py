"""Do INVITE, its retransmission, CANCEL and the ACK to a failure go one way, under one branch?"""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.outcome import Forward
from dispatcher.rules import Rule
from dispatcher.snapshot import Policy, Snapshot
from health.board import OLD_WORK, State, Verdict, Word
from sip.message import Message
from sip.uri import Address
from tests.dispatcher.world import PHONE, VIP, VIP6, Node, make_snapshot, reply_to, request, values

SERVERS: tuple[Address, ...] = tuple((f"10.0.0.{number}", 5060) for number in range(11, 16))
CODES = [State(word, verdict).code for word in Word for verdict in Verdict]
UP = State().code

SOURCES = (PHONE, SERVERS[0], ("10.9.0.1", 5066))
URIS = (
    "sip:8006@192.0.2.1",
    "sip:8006@elsewhere.example",
    "sip:8006@10.0.0.11",
    "sip:8006@10.0.0.14:5060;transport=tcp",
    "sip:8006@203.0.113.20",
    "tel:+4930123",
)
ROUTES = ((), ("Route: <sip:192.0.2.1;lr>",), ("Route: <sip:example.com:5060>, <sip:[2001:db8::1];lr>",))
VIAS = (
    {"via": "198.51.100.7:40001", "via_params": ";rport"},
    {"via": "198.51.100.7:40001", "via_params": ""},
    {"via": "192.168.1.5:5062", "via_params": ""},
    {"via": "Phone.example.com", "via_params": ";rport=1;received=1.2.3.4;alias"},
    {"via": "192.168.1.5:5062", "via_params": ";rport", "branch": "1"},
)


@attrs.frozen
class World:
    """Who is in the list, and what is known of each: liveness code, seconds, share of 256, calls."""

    listed: tuple[int, ...]
    codes: tuple[int, ...]
    latency: tuple[float, ...] = (0.0,) * len(SERVERS)
    ramp: tuple[int, ...] = (255,) * len(SERVERS)
    calls: tuple[int, ...] = (0,) * len(SERVERS)

    def snapshot(self, policy: Policy) -> Snapshot:
        known = make_snapshot(*SERVERS)
        return make_snapshot(
            *(SERVERS[place] for place in self.listed),
            policy=policy,
            listeners=(VIP, VIP6),
            liveness=bytes(self.codes[place] for place in self.listed),
            departed={1000 + place: each for place, each in enumerate(known.destinations) if place not in self.listed},
            latency=[self.latency[place] for place in self.listed],
            ramp=bytes(self.ramp[place] for place in self.listed),
            numbers=tuple(1000 + place for place in self.listed),
        )

    def keeps(self, address: Address) -> bool:
        place = SERVERS.index(address)
        return place in self.listed and bool(self.codes[place] & OLD_WORK)


worlds = st.builds(
    World,
    st.lists(st.sampled_from(range(len(SERVERS))), min_size=1, unique=True).map(tuple),
    st.tuples(*[st.sampled_from(CODES)] * len(SERVERS)),
    st.tuples(*[st.sampled_from((0.0, 0.001, 0.3))] * len(SERVERS)),
    st.tuples(*[st.sampled_from((0, 100, 255, 255))] * len(SERVERS)),
    st.tuples(*[st.integers(0, 9)] * len(SERVERS)),
)
everyone = World(tuple(range(len(SERVERS))), (UP,) * len(SERVERS))

policies = st.builds(
    Policy,
    algorithm=st.builds(Algorithm, st.sampled_from([kind for kind in Kind if kind is not Kind.HEADER]))
    | st.just(Algorithm(Kind.HEADER, "X-Account")),
    rules=st.sampled_from(
        (
            (),
            (
                Rule(methods=frozenset((b"INVITE",)), algorithm=Algorithm(Kind.AOR)),
                Rule(algorithm=Algorithm(Kind.FROM)),
            ),
        )
    ),
    force_rport=st.sampled_from(("nat", "always", "never")),
    rewrite_host=st.booleans(),
    no_destination=st.sampled_from((503, None)),
    domains=st.just(frozenset(("example.com",))),
    core_networks=st.just((ip_network("10.9.0.0/16"),)),
)


def of(message: Message) -> tuple[bytes, str]:
    """Request-URI and our Via: where it goes and under which branch."""
    return message.uri, values(message, "via")[0]


@settings(max_examples=500, deadline=None)
@given(
    policy=policies,
    steps=st.lists(st.tuples(st.sampled_from(("INVITE", "CANCEL", "ACK")), st.just(everyone) | worlds), max_size=6),
    first=st.just(everyone) | worlds,
    source=st.sampled_from(SOURCES),
    uri=st.sampled_from(URIS),
    route=st.sampled_from(ROUTES),
    via=st.sampled_from(VIAS),
    only_in_invite=st.sampled_from(((), ("X-Account: 7",), ('Authorization: Digest username="someone"',))),
)
def test_a_transaction_goes_one_way_under_one_branch(
    policy: Policy,
    steps: list[tuple[str, World]],
    first: World,
    source: Address,
    uri: str,
    route: tuple[str, ...],
    via: dict[str, str],
    only_in_invite: tuple[str, ...],
) -> None:
    """Whatever happens to list and verdicts between its messages, and whatever only the INVITE carries."""
    here = Node(everyone.snapshot(policy))
    known: Address | None = None
    shape: tuple[bytes, str] | None = None
    for method, changed in (("INVITE", first), *steps):
        # A caller that leaves the list in the middle of its call is another matter: it is not of the core any more.
        world = attrs.evolve(changed, listed=tuple({0, *changed.listed})) if source == SERVERS[0] else changed
        here.snapshot = world.snapshot(policy)
        here.calls = {1000 + place: calls for place, calls in enumerate(world.calls)}
        extra = (*route, *only_in_invite) if method == "INVITE" else route
        outcome = here.take(request(method, uri, extra=extra, **via), source)  # type: ignore[arg-type]
        if method != "INVITE":
            if known is not None:
                assert isinstance(outcome, Forward), outcome
                assert outcome.address == known
                assert of(Message.parse(outcome.payload)) == shape
            continue
        if not isinstance(outcome, Forward):
            known = None  # nobody is usable: the INVITE was answered, nothing follows it
            here.memory.clear()
            continue
        if known is not None and known in SERVERS and world.keeps(known) and "10.0.0." not in uri:
            assert outcome.address == known  # a retransmission stays where its server answers
        left = Message.parse(outcome.payload)
        if shape is not None and not policy.rewrite_host:
            assert of(left) == shape
        known, shape = outcome.address, of(left)


@settings(max_examples=100, deadline=None)
@given(
    via=st.sampled_from(VIAS),
    seed=st.integers(0, 2**32),
    source=st.sampled_from(SOURCES),
)
def test_a_reply_verifies_however_its_vias_are_printed(via: dict[str, str], seed: int, source: Address) -> None:
    """Parameters in another order, blanks, letters of the host in another case, leading zeros of CSeq gone."""
    chance = Random(seed)
    here = Node(everyone.snapshot(Policy(algorithm=Algorithm(Kind.WEIGHT))))
    message, forward = here.forward(request(**via).replace(b"CSeq: 1 ", b"CSeq: 0001 "), source)  # type: ignore[arg-type]
    lines = []
    for line in reply_to(message).decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name != "Via":
            lines.append(line.replace("CSeq: 0001 ", "CSeq: 1 "))
            continue
        sent_by, *params = value.split(";")
        chance.shuffle(params)
        blank = chance.choice(("", " "))
        printed = chance.choice((str.upper, str.lower, str))(sent_by)
        lines.append(f"{chance.choice(('v', 'VIA', 'Via'))}: {(blank + ';' + blank).join((printed.strip(), *params))}")
    back, outcome = here.forward("\r\n".join(lines).encode(), forward.address)
    assert outcome.address[0] == source[0]
    assert len(values(back, "via")) == 1
