"""A small world for pipeline tests: a snapshot over given destinations, and messages that phones and servers send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from dispatcher.algorithm import DEFAULT
from dispatcher.choice import Chance
from dispatcher.destination import Destination, Entry
from dispatcher.keyed import derive
from dispatcher.listener import Listener
from dispatcher.outcome import Drop, DropReason, Forward, Outcome, Refusal, Reply
from dispatcher.route import route
from dispatcher.selection import everyone_up, sketch
from dispatcher.snapshot import Policy, Snapshot
from sip.address import tag_of
from sip.message import Message
from sip.uri import Address, host_port, parse_uri

KEY = derive(b"k" * 32)
OTHER_KEY = derive(b"o" * 32)

VIP = Listener("udp", ("192.0.2.1", 5060))
VIP6 = Listener("udp", ("2001:db8::1", 5060))
SERVER_A: Address = ("10.0.0.11", 5060)
SERVER_B: Address = ("10.0.0.12", 5060)
PHONE: Address = ("198.51.100.7", 40001)
OTHER_PHONE: Address = ("203.0.113.9", 5060)


def destination(address: Address, *, set_id: int = 1, **entry: Any) -> Destination:
    uri = f"sip:{host_port(address)}"
    return Destination(entry=Entry(set_id=set_id, uri=uri, target=parse_uri(uri.encode()), **entry), address=address)


def make_snapshot(
    *addresses: Address | Destination,
    listeners: tuple[Listener, ...] = (VIP,),
    keys: tuple[bytes, ...] = (KEY,),
    policy: Policy | None = None,
    liveness: bytes | None = None,
    latency: Sequence[float] = (),
    ramp: bytes = b"",
    numbers: Sequence[int] = (),
    departed: dict[int, Destination] | None = None,
    serving: bool = True,
) -> Snapshot:
    """A snapshot without slot tables (choices cost scores, the answers are sound); what is known is of set 1.

    Without `numbers`, the destinations have 1000 and those that follow.
    """
    everyone = [item if isinstance(item, Destination) else destination(item) for item in addresses]
    everyone.sort(key=lambda item: item.entry.set_id)
    sets: dict[int, list[Destination]] = {}
    starts: dict[int, int] = {}
    for place, item in enumerate(everyone):
        starts.setdefault(item.entry.set_id, place)
        sets.setdefault(item.entry.set_id, []).append(item)
    lives = {set_id: everyone_up(len(members)) for set_id, members in sets.items()}
    if liveness is not None:
        lives[1] = liveness
    return Snapshot(
        version=1,
        policy=policy or Policy(algorithm=DEFAULT),
        keys=keys,
        listeners=listeners,
        destinations=tuple(everyone),
        pools={set_id: sketch(set_id, members, keys[0]) for set_id, members in sets.items()},
        starts=starts,
        liveness=lives,
        serving=serving,
        latency={1: latency} if latency else {},
        ramp={1: ramp} if ramp else {},
        numbers=tuple(numbers) or tuple(1000 + place for place in range(len(everyone))),
        departed=departed or {},
    )


def nobody(_host: str, _port: int | None, _transport: str) -> tuple[Address, ...] | None:
    """A name service that has never been asked."""
    return None


def forget(_digest: int) -> int | None:
    """A table of recent choices that is empty."""
    return None


@attrs.define
class Node:
    """One proxy: `take` routes a datagram that arrives from `source`."""

    snapshot: Snapshot
    names: dict[str, tuple[Address, ...]] = attrs.field(factory=dict)
    memory: dict[int, int] = attrs.field(factory=dict)
    turn: int = 0
    now: float = 0.0
    calls: dict[int, int] = attrs.field(factory=dict)

    def take(self, datagram: bytes, source: Address, arrival: int = 0) -> Outcome:
        outcome = route(
            self.snapshot,
            datagram,
            source,
            arrival,
            names=lambda host, _port, _transport: self.names.get(host),
            recent=self.memory.get,
            chance=Chance(self.turn, 0x123456789ABCDEF),
            now=self.now,
            calls=lambda number: self.calls.get(number, 0),
        )
        if isinstance(outcome, Forward) and outcome.remember is not None and outcome.destination is not None:
            self.memory[outcome.remember] = self.snapshot.numbers[outcome.destination]
            self.turn += 1
        return outcome

    def forward(self, datagram: bytes, source: Address, arrival: int = 0) -> tuple[Message, Forward]:
        """Route a datagram that is passed on: what left, split, and where to."""
        outcome = self.take(datagram, source, arrival)
        assert isinstance(outcome, Forward), outcome
        return Message.parse(outcome.payload), outcome

    def answer(self, datagram: bytes, source: Address, arrival: int = 0) -> tuple[Message, Reply]:
        """Route a datagram that we answer ourselves: the answer, split, and where to."""
        outcome = self.take(datagram, source, arrival)
        assert isinstance(outcome, Reply), outcome
        return Message.parse(outcome.payload), outcome

    def refusal(self, datagram: bytes, source: Address, arrival: int = 0) -> tuple[int, Refusal | None]:
        """Route a datagram that is refused: with which code, and why."""
        _, outcome = self.answer(datagram, source, arrival)
        return outcome.status, outcome.refusal

    def drop(self, datagram: bytes, source: Address, arrival: int = 0) -> DropReason:
        """Route a datagram that ends here: why."""
        outcome = self.take(datagram, source, arrival)
        assert isinstance(outcome, Drop), outcome
        return outcome.reason


def request(
    method: str = "INVITE",
    uri: str = "sip:8006@192.0.2.1",
    *,
    via: str = "198.51.100.7:40001",
    via_params: str = ";rport",
    branch: str = "z9hG4bK-1",
    from_tag: str = "from-tag",
    to_tag: str = "",
    to: str = "<sip:8006@192.0.2.1>",
    from_: str = "<sip:8005@192.0.2.1>",
    call_id: str = "call-1@phone",
    cseq: int = 1,
    cseq_method: str | None = None,
    contact: str | None = "<sip:8005@198.51.100.7:40001>",
    max_forwards: int | None = 70,
    extra: tuple[str, ...] = (),
    body: str = "",
) -> bytes:
    """A request as phones send it; every argument replaces one piece."""
    lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {via};branch={branch}{via_params}"]
    if max_forwards is not None:
        lines.append(f"Max-Forwards: {max_forwards}")
    lines += [
        f"From: {from_};tag={from_tag}" if from_tag else f"From: {from_}",
        f"To: {to};tag={to_tag}" if to_tag else f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {cseq_method or method}",
    ]
    if contact:
        lines.append(f"Contact: {contact}")
    lines += [*extra, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def reply_to(message: Message, status: str = "200 OK", *, to_tag: str = "uas", contact: str | None = None) -> bytes:
    """What a server answers: Via, Record-Route, From, To, Call-ID and CSeq copied."""
    lines = [f"SIP/2.0 {status}".encode()]
    for name, line in zip(message.names, message.lines, strict=True):
        if name in (b"via", b"record-route", b"from", b"call-id", b"cseq"):
            lines.append(line)
        elif name == b"to":
            lines.append(line if b";tag=" in line or not to_tag else line + b";tag=" + to_tag.encode())
    if contact:
        lines.append(f"Contact: {contact}".encode())
    return b"\r\n".join((*lines, b"Content-Length: 0", b"", b""))


def values(message: Message, name: str) -> list[str]:
    """Every value of a field, in order."""
    return [raw.decode().strip() for _, raw in message.values(name.lower().encode())]


def with_vias(reply: bytes, *vias: str) -> bytes:
    """The reply under another stack of Via."""
    start, *lines = reply.split(b"\r\n")
    rest = [line for line in lines if not line.startswith(b"Via:")]
    return b"\r\n".join((start, *(f"Via: {via}".encode() for via in vias), *rest))


def routes(record_routes: Sequence[str]) -> tuple[str, ...]:
    """Route fields over these values, the first on top.  A callee takes the Record-Route as it stands."""
    return tuple(f"Route: {value}" for value in record_routes)


@attrs.frozen(kw_only=True)
class Dialog:
    """A dialog that a request has created through a proxy: who is at its ends, and the route sets that they have."""

    caller: Address
    callee: Address
    record_routes: tuple[str, ...]
    """As the callee got them, the topmost first."""
    caller_listener: int = 0
    callee_listener: int = 0
    call_id: str
    from_tag: str
    to_tag: str = "uas"

    def from_caller(self, method: str = "BYE", uri: str = "sip:8006@10.0.0.11", **pieces: Any) -> bytes:
        """A later request of the one who has called."""
        return self._later(method, uri, self.caller, self.from_tag, self.to_tag, reversed(self.record_routes), pieces)

    def from_callee(self, method: str = "BYE", uri: str = "sip:8005@192.168.1.5:5062", **pieces: Any) -> bytes:
        """A later request of the one who was called."""
        return self._later(method, uri, self.callee, self.to_tag, self.from_tag, self.record_routes, pieces)

    def _later(
        self,
        method: str,
        uri: str,
        source: Address,
        from_tag: str,
        to_tag: str,
        record_routes: Iterable[str],
        pieces: dict[str, Any],
    ) -> bytes:
        given = {
            "via": host_port(source), "from_tag": from_tag, "to_tag": to_tag, "call_id": self.call_id, "cseq": 2,
            "contact": None, "extra": routes(tuple(record_routes)),
        }  # fmt: skip
        return request(method, uri, **{**given, **pieces})


def set_up(node: Node, invite: bytes, caller: Address, arrival: int = 0) -> Dialog:
    """Let a request create a dialog: it is passed on and answered."""
    message, forward = node.forward(invite, caller, arrival)
    _, back = node.forward(reply_to(message), forward.address, forward.listener)
    assert back.address == caller
    return Dialog(
        caller=caller,
        callee=forward.address,
        record_routes=tuple(values(message, "record-route")),
        caller_listener=arrival,
        callee_listener=forward.listener,
        call_id=values(message, "call-id")[0],
        from_tag=tag_of(message.first[b"from"]).decode(),
    )
