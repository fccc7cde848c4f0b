"""Does the pipeline keep its promises on any datagram?

The invariant: whatever the bytes, `route` returns an outcome and never raises, and when asked again later the same one
but for the moment in our Via, which a reply brings back.  What
came from the edge leaves to a listed destination or to an end that a valid token vouches for.  What is passed on parses
again and has every line but those we edit, in their order; a reply to it finds its way back, and no other reply goes
anywhere.  Our answers parse, go to where the request came from, and are never made to an ACK or CANCEL; the ACK to one
of them ends here.
"""

from __future__ import annotations

import re

import attrs

from dispatcher.branch import COOKIE, mac, transaction_below
from dispatcher.choice import Chance
from dispatcher.keyed import BRANCH
from dispatcher.outcome import Drop, Forward, Outcome, Reply, Resolve
from dispatcher.passing import DIALOG_METHODS
from dispatcher.route import route
from dispatcher.token import Claims, read_token
from fuzz.world import World
from sip.address import tag_of
from sip.errors import SipError
from sip.limits import MAX_HEADER_FIELDS, MAX_VIAS
from sip.lists import split_members
from sip.message import Message, unfold
from sip.request import Request, read_call_id, read_cseq_number, read_request
from sip.routes import route_uris
from sip.uri import Address
from sip.via import parse_via, reply_address
from tests.dispatcher.world import KEY

ROOM_BYTES = 1_024
"""What we add and one field more: nearer than this to the parser's limits, a message that leaves may break them."""

_TOKEN = re.compile(rb":([A-Za-z0-9_-]{32,64})@")
_MOMENT = re.compile(rb"(?<=;l=[0-9a-f]{8});t=[0-9a-z]{4}")
_EDITED = (b"via", b"route", b"max-forwards")

_NOW, _LATER = 1048.5, 1048.75
"""Seconds, with the end of what `t` can count between them."""


def check(data: bytes) -> None:
    """Raise whatever is wrong with the pipeline on this input."""
    world = World.of(data)
    outcome = _ask(world)
    assert isinstance(outcome, Forward | Reply | Drop | Resolve), outcome
    assert _timeless(outcome) == _timeless(_ask(world, _LATER)), "the same datagram twice gives the same outcome"
    if isinstance(outcome, Resolve):
        assert world.snapshot.is_core(world.source[0]), "nothing is looked up for an edge request"
    elif isinstance(outcome, Reply):
        _check_answer(world, outcome)
    elif isinstance(outcome, Forward):
        listener = world.snapshot.listeners[outcome.listener]
        assert listener.family == (6 if ":" in outcome.address[0] else 4), "each family leaves by its own listener"
        message = Message.parse(world.datagram)
        if outcome.status:
            assert _is_genuine(message), "a reply goes back only when we have sent out its top Via"
            _check_passed_back(message, outcome)
        else:
            _check_law(world, message, outcome.address)
            _check_passed_on(world, read_request(message), outcome)


def _ask(world: World, now: float = _NOW) -> Outcome:
    return route(
        world.snapshot,
        world.datagram,
        world.source,
        world.arrival,
        names=world.names,
        recent=world.lately,
        chance=Chance(1, 0x123456789ABCDEF),
        now=now,
        calls=world.calls,
    )


def _timeless(outcome: Outcome) -> Outcome:
    """The outcome without what depends on the moment: of a request the `t` of our Via, the first of all."""
    if not isinstance(outcome, Forward):
        return outcome
    payload = outcome.payload if outcome.status else _MOMENT.sub(b"", outcome.payload, count=1)
    return attrs.evolve(outcome, payload=payload, elapsed=None)


def _check_law(world: World, message: Message, address: Address) -> None:
    """Edge -> edge never leaves, except along a token between just its two ends."""
    snapshot, source = world.snapshot, world.source
    assert snapshot.own_listener(*address) is None, "nothing is sent to ourselves"
    if snapshot.is_core(source[0]) or any(each.address == address for each in snapshot.destinations):
        return
    if message.method in (b"ACK", b"CANCEL") and any(each.address == address for each in snapshot.departed.values()):
        return
    assert any(_vouches(world, claims, address) for claims in _claims_in(world)), f"{source} -> {address}"


def _vouches(world: World, claims: Claims, address: Address) -> bool:
    if address == claims.core:
        return world.snapshot.is_core(address[0]) or world.source[0] == claims.edge[0]
    return address == claims.edge and world.source[0] == claims.core[0]


def _claims_in(world: World) -> list[Claims]:
    """What every valid token says that stands anywhere in the datagram."""
    snapshot = world.snapshot
    found = (read_token(text, snapshot.keys, snapshot.sent_by) for text in _TOKEN.findall(world.datagram))
    return [each[0] for each in found if each is not None]


def _check_passed_on(world: World, request: Request, forward: Forward) -> None:
    before = request.message
    if _is_near_limits(before):
        return
    after = Message.parse(forward.payload)
    added = _added(world, before, forward, after)
    assert after.names[: len(added)] == added, "what we add stands on top, in this order"
    rest = [*zip(after.names, after.lines, strict=True)][len(added) :]
    kept = [(name, _bare(line)) for name, line in rest if name not in _EDITED]
    assert kept == _kept(before), "every line that we do not edit leaves as it came"
    assert after.body == before.body
    assert after.method == before.method
    assert after.version == before.version
    hops = 70 if request.max_forwards is None else request.max_forwards - 1
    assert after.value(b"max-forwards") == b"%d" % hops
    routes = route_uris(before) if b"route" in before.first else []
    assert after.uri == before.uri or routes or world.snapshot.policy.rewrite_host, "the Request-URI is not ours"
    left = route_uris(after)
    assert not left or left == routes[-len(left) :] or after.uri in routes, "of the Route only our entries are gone"
    stamped = _check_vias(request, after, world.source)
    _check_way_back(world, after, forward, stamped)


def _added(world: World, before: Message, forward: Forward, after: Message) -> list[bytes]:
    """The names of the fields that we add, in their order."""
    added = [b"via"]
    if before.method in DIALOG_METHODS:
        added += [b"record-route"] * (1 if forward.listener == world.arrival else 2)
    if before.method == b"REGISTER" and after.names[1:2] == [b"path"]:
        added.append(b"path")
        offered = b",".join(unfold(raw) for _, raw in before.values(b"supported")).lower().split(b",")
        if b"path" not in [each.strip() for each in offered]:
            added.append(b"supported")
    if b"max-forwards" not in before.first:
        added.append(b"max-forwards")
    return added


def _check_vias(request: Request, after: Message, source: Address) -> Address:
    """The Via stack is ours, the top one stamped, the rest; where its reply goes is where the request came from."""
    was, now = _vias(request.message), _vias(after)
    assert len(now) == len(was) + 1
    assert now[2:] == was[1:], "nobody touches the Vias of others"
    top, stamped = parse_via(was[0]), parse_via(now[1])
    assert (stamped.transport, stamped.host, stamped.port, stamped.branch) == (
        top.transport, top.host, top.port, top.branch,
    )  # fmt: skip
    where = reply_address(stamped)
    assert where is not None
    assert where[0] == source[0], "a reply goes where its request came from"
    assert where[1] in (source[1], top.sent_by_port)
    return where


def _check_way_back(world: World, sent: Message, forward: Forward, where: Address) -> None:
    """A reply as a server makes it passes, to where the request came from, by the listener it came to."""
    lines = [
        line
        for name, line in zip(sent.names, sent.lines, strict=True)
        if name in (b"via", b"from", b"to", b"call-id", b"cseq")
    ]
    reply = b"\r\n".join((b"SIP/2.0 200 OK", *[_bare(line).replace(b"\n", b"\r\n") for line in lines], b"", b""))
    back = _ask(attrs.evolve(world, datagram=reply, source=forward.address, arrival=forward.listener), _LATER)
    assert isinstance(back, Forward), back
    assert (back.status, back.method, back.elapsed) == (200, sent.method, _LATER - _NOW)
    assert back.address == where
    assert back.listener == world.arrival
    _check_passed_back(Message.parse(reply), back)


def _check_passed_back(before: Message, forward: Forward) -> None:
    """A reply loses its top Via and nothing else."""
    if _is_near_limits(before):
        return
    after = Message.parse(forward.payload)
    assert _bare(after.start) == _bare(before.start)
    assert _vias(after) == _vias(before)[1:]
    others = [(name, _bare(line)) for name, line in zip(after.names, after.lines, strict=True) if name != b"via"]
    assert others == [
        (name, _bare(line)) for name, line in zip(before.names, before.lines, strict=True) if name != b"via"
    ]
    assert before.body.startswith(after.body)


def _is_genuine(reply: Message) -> bool:
    """Whether the top Via's branch is the hash of what is below it, under the one secret there is."""
    top, below = (parse_via(text) for text in _vias(reply)[:2])
    transaction = transaction_below(
        below, read_call_id(reply), tag_of(reply.first.get(b"from", b"")), read_cseq_number(reply)
    )
    return transaction is not None and top.branch == COOKIE + mac(KEY, BRANCH, transaction)


def _check_answer(world: World, reply: Reply) -> None:
    datagram = world.datagram.lstrip(b"\r\n")
    method = datagram.partition(b" ")[0]
    assert method not in (b"ACK", b"CANCEL"), "an ACK or CANCEL is never answered"
    answer = Message.parse(reply.payload)
    assert answer.status == reply.status
    assert answer.status >= 400 or (answer.status == 200 and method == b"OPTIONS")
    assert reply.address[0] == world.source[0], "an answer goes to whoever has asked"
    assert reply.listener == world.arrival
    assert b"via" in answer.first
    try:
        request = read_request(Message.parse(datagram))
    except SipError:
        return
    top = parse_via(_vias(answer)[0])
    assert reply_address(top) == reply.address
    assert reply.address[1] in (world.source[1], request.via.sent_by_port)
    if method == b"INVITE" and not request.to_tag and b"to" in answer.first:
        _check_absorbed(world, request, answer)


def _check_absorbed(world: World, request: Request, answer: Message) -> None:
    """The ACK that a client sends for our answer goes no further (RFC 3261 17.1.1.3)."""
    message = request.message
    top = _vias(message)[0]
    ack = b"\r\n".join(
        (
            b"ACK %b SIP/2.0" % message.uri,
            b"Via: " + top,
            b"Max-Forwards: 70",
            b"From: " + (message.value(b"from") or b""),
            b"To: " + (answer.value(b"to") or b""),
            b"Call-ID: " + request.call_id,
            b"CSeq: %d ACK" % request.cseq,
            b"",
            b"",
        )
    )
    outcome = _ask(attrs.evolve(world, datagram=ack))
    assert isinstance(outcome, Drop), outcome


def _vias(message: Message) -> list[bytes]:
    """Every Via value from the top; a field of others that cannot be split counts as one."""
    found: list[bytes] = []
    for _, raw in message.values(b"via"):
        try:
            found += map(unfold, split_members(raw))
        except SipError:
            found.append(unfold(raw))
    return found


def _kept(before: Message) -> list[tuple[bytes, bytes]]:
    return [(name, _bare(line)) for name, line in zip(before.names, before.lines, strict=True) if name not in _EDITED]


def _bare(line: bytes) -> bytes:
    """A line without its CRs: which ones it carries depends on what ends the other lines."""
    return line.replace(b"\r", b"")


def _is_near_limits(message: Message) -> bool:
    fields = len(message.lines)
    return (
        fields > MAX_HEADER_FIELDS - 5
        or max(map(len, message.lines), default=0) > 16_384 - ROOM_BYTES
        or len(message.start) > 16_384 - ROOM_BYTES
        or len(message.body) + sum(map(len, message.lines)) + 2 * fields > 65_535 - 2 * ROOM_BYTES
        or sum(raw.count(b",") + 1 for _, raw in message.values(b"via")) >= MAX_VIAS
    )
