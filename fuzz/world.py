"""Which proxy, which sender and which datagram does a fuzz input for the pipeline stand for?

An input is four bytes that choose, then the datagram, in which placeholders stand for what nobody can guess:
`~token0~` and the like for valid tokens, `~~~~~~~~~~~~~~~~` for the hash that makes a branch or a To tag ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_network

import attrs

from dispatcher.algorithm import DEFAULT, Algorithm, Kind
from dispatcher.branch import MAC_LENGTH, mac, transaction_below
from dispatcher.keyed import BRANCH, TO_TAG
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.token import Claims, tag_hash, write_token
from health.board import State, Verdict, Word
from sip.address import tag_of
from sip.errors import SipError
from sip.lists import split_members
from sip.message import Message, unfold
from sip.request import read_call_id, read_cseq_number
from sip.uri import Address
from sip.via import parse_via
from tests.dispatcher.world import KEY, OTHER_PHONE, PHONE, SERVER_A, SERVER_B, VIP, VIP6, destination, make_snapshot

SERVER_C: Address = ("10.0.0.13", 5070)
GONE: Address = ("192.0.2.77", 5060)
"""A server that the list has lost: tokens still name it."""
SERVER6: Address = ("2001:db8::11", 5060)
PHONE6: Address = ("2001:db8:1::7", 40001)
NATTED: Address = ("203.0.113.200", 61000)

SOURCES: dict[int, tuple[Address, ...]] = {
    4: (PHONE, SERVER_A, OTHER_PHONE, SERVER_B, NATTED, GONE, ("10.0.0.11", 40000), ("172.16.5.5", 5060)),
    6: (PHONE6, SERVER6),
}
"""By address family: a datagram arrives at a listener of its own family."""

INSIDE = Listener("udp", ("10.0.0.1", 5060))
ADVERTISED = Listener("udp", ("192.168.7.7", 5062), ("sip.example.com", 5060))

_CLAIMS = (
    Claims(PHONE, SERVER_A, behind_nat=False, creator_is_core=False, creator_tag=tag_hash(b"from-tag")),
    Claims(NATTED, SERVER_B, behind_nat=True, creator_is_core=False, creator_tag=tag_hash(b"from-tag")),
    Claims(PHONE, SERVER_A, behind_nat=False, creator_is_core=True, creator_tag=tag_hash(b"from-tag")),
    Claims(NATTED, SERVER_A, behind_nat=True, creator_is_core=False, creator_tag=0, is_path=True),
    Claims(PHONE, GONE, behind_nat=False, creator_is_core=False, creator_tag=tag_hash(b"from-tag")),
    Claims(SERVER_A, SERVER_B, behind_nat=False, creator_is_core=True, creator_tag=tag_hash(b"from-tag")),
    Claims(PHONE6, SERVER6, behind_nat=False, creator_is_core=False, creator_tag=tag_hash(b"from-tag")),
    Claims(PHONE6, SERVER_A, behind_nat=False, creator_is_core=False, creator_tag=tag_hash(b"from-tag")),
)
_TOKENS = tuple(write_token(claims, KEY, (VIP6 if ":" in claims.edge[0] else VIP).sent_by) for claims in _CLAIMS)
_PLACEHOLDER = re.compile(rb"~token([0-7])~")
_MARK = b"~" * MAC_LENGTH

_DOWN = State(Word.ENABLED, Verdict.DOWN).code
_UP = State().code
_DRAINING = State(Word.DRAINING, Verdict.UP).code


def _policy(algorithm: Algorithm = DEFAULT, **settings: object) -> Policy:
    return Policy(algorithm=algorithm, server=b"sipdispatch", **settings)  # type: ignore[arg-type]  # tests' shorthand


WORLDS: tuple[Snapshot, ...] = (
    make_snapshot(SERVER_A, SERVER_B, SERVER6, listeners=(VIP, VIP6), policy=_policy()),
    make_snapshot(SERVER_A, SERVER_B, SERVER_C, liveness=bytes((_DOWN, _DRAINING, _UP)), policy=_policy()),
    make_snapshot(SERVER_A, SERVER_B, liveness=bytes((_DOWN, _DOWN)), serving=False, policy=_policy()),
    make_snapshot(
        destination(SERVER_A, socket=INSIDE.address), SERVER_B, listeners=(VIP, INSIDE, ADVERTISED, VIP6),
        policy=_policy(Algorithm(Kind.AOR), rewrite_host=True, domains=frozenset(("example.com",))),
    ),
    make_snapshot(
        SERVER_A, SERVER_B, liveness=bytes((_DOWN, _DOWN)),
        policy=_policy(Algorithm(Kind.ROUND_ROBIN), no_destination=None, force_rport="always"),
    ),
    make_snapshot(
        SERVER_A, destination(SERVER_B, set_id=2), departed={77: destination(GONE)},
        policy=_policy(
            Algorithm(Kind.AUTH_USER), force_rport="never", core_networks=(ip_network("172.16.0.0/12"),),
            rules=(Rule(methods=frozenset((b"INVITE",)), user_prefixes=(b"8", b"+"), set_id=2),),
        ),
    ),
    make_snapshot(
        destination(SERVER_A, maxload=2), destination(SERVER_B, maxload=2), SERVER_C, ramp=bytes((255, 100, 0)),
        policy=_policy(Algorithm(Kind.CALL_LOAD)),
    ),
    make_snapshot(
        SERVER_A, SERVER_B, SERVER_C, latency=(0.3, 0.001, 0.0), ramp=bytes((10, 255, 255)),
        policy=_policy(Algorithm(Kind.LATENCY)),
    ),
)  # fmt: skip
"""Both families; some down; none serving; several listeners; panic; a lost server, two sets and a core network; calls
counted with a full server; latencies; somebody who has just come back in both of these."""


@attrs.frozen
class World:
    """What the pipeline is asked."""

    snapshot: Snapshot
    source: Address
    arrival: int
    datagram: bytes
    known: tuple[Address, ...] | None
    """What the name service says of every name."""
    recent: int | None
    """Which number the table of recent choices has for every Call-ID."""

    def names(self, _host: str, _port: int | None, _transport: str) -> tuple[Address, ...] | None:
        return self.known

    def calls(self, number: int) -> int:
        """Some have calls, as many as the first ones may have at most."""
        return number % 3

    def lately(self, _digest: int) -> int | None:
        return self.recent

    @classmethod
    def of(cls, data: bytes) -> World:
        """World, listener, source, and names with recent choices: one byte each, digits in inputs made by hand."""
        world, listener, sender, known = (byte % 48 for byte in data[:4].ljust(4, b"0"))
        snapshot = WORLDS[world % len(WORLDS)]
        arrival = listener % len(snapshot.listeners)
        sources = SOURCES[snapshot.listeners[arrival].family]
        source = sources[sender % len(sources)]
        return cls(
            snapshot,
            source,
            arrival,
            _signed(_PLACEHOLDER.sub(lambda found: _TOKENS[int(found[1])], data[4:]), source),
            _KNOWN[known % len(_KNOWN)],
            _RECENT[known // len(_KNOWN) % len(_RECENT)],
        )


_KNOWN: tuple[tuple[Address, ...] | None, ...] = (
    None,
    (),
    (SERVER_B,),
    (PHONE,),
    (VIP.address,),
    (PHONE6, ("198.51.100.99", 5080)),
)
_RECENT = (None, 1000, 1001, 77)


@lru_cache(maxsize=1)
def _signed(datagram: bytes, source: Address) -> bytes:
    """The datagram with its mark replaced by the hash that belongs there: of the Via below the one that has the mark.

    In a To tag it is that of the top Via as we leave it when its sender asks for rport.
    """
    if _MARK not in datagram:
        return datagram
    try:
        message = Message.parse(datagram.replace(_MARK, b"0" * MAC_LENGTH, 1))
        found = [unfold(each) for _, raw in Message.parse(datagram).values(b"via") for each in split_members(raw)]
        place = next((at + 1 for at, each in enumerate(found) if _MARK in each), None)
        below = parse_via(found[0 if place is None else place])
        if place is None:
            below = attrs.evolve(below, received=source[0], rport=b"%d" % source[1])
        transaction = transaction_below(
            below, read_call_id(message), tag_of(message.first.get(b"from", b"")), read_cseq_number(message)
        )
    except (SipError, IndexError):
        return datagram
    if transaction is None:
        return datagram
    return datagram.replace(_MARK, mac(KEY, TO_TAG if place is None else BRANCH, transaction), 1)
