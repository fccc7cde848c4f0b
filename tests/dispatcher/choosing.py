"""Eight servers, and whom a proxy before them chooses."""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.received import Received, receive
from dispatcher.snapshot import Policy, Snapshot
from health.board import State, Verdict, Word
from sip.message import Message
from sip.request import read_request
from sip.uri import Address
from tests.dispatcher.world import (
    PHONE,
    Node,
    make_snapshot,
)

SERVERS: tuple[Address, ...] = tuple((f"10.0.0.{number}", 5060) for number in range(11, 19))
UP, SUSPECT, DOWN = (State(verdict=verdict).code for verdict in Verdict)
DRAINING, DISABLED = State(Word.DRAINING).code, State(Word.DISABLED).code
WEIGHT = Algorithm(Kind.WEIGHT)


def policy(kind: Kind = Kind.WEIGHT, header: str = "", **changes: object) -> Policy:
    return Policy(algorithm=Algorithm(kind, header), **changes)  # type: ignore[arg-type]


def received(datagram: bytes, source: Address = PHONE, arrival: int = 0) -> Received:
    return receive(read_request(Message.parse(datagram)), source, arrival, "nat")


def choices(here: Node, datagrams: Iterable[bytes]) -> list[Address]:
    return [here.forward(datagram, PHONE)[1].address for datagram in datagrams]


def snapshot(kind: Kind, header: str = "", **changes: object) -> Snapshot:
    return make_snapshot(*SERVERS, policy=policy(kind, header, **changes))
