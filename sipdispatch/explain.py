"""Why does a message go where it goes?  The pipeline's own steps, asked one by one."""

from __future__ import annotations

import enum
from ipaddress import ip_address

import attrs

from dispatcher import considered
from dispatcher.algorithm import Algorithm, Kind
from dispatcher.choice import Calls, Chance, choice_digest, choice_key, choose_now, known_of, route_to, rule_for
from dispatcher.destination import Destination
from dispatcher.nexthop import Hop, destination_named, goes_to_edge, next_hop
from dispatcher.outcome import Drop, DropReason, Forward, Outcome, Refusal, Reply
from dispatcher.passing import has_looped, loop_mark
from dispatcher.received import Received, receive
from dispatcher.route import route
from dispatcher.routeset import NameNeeded, RouteSet, take_routes, token_in
from dispatcher.selection import FULL_SHARE, idle, in_panic, slot_of
from dispatcher.snapshot import Names, Snapshot
from dispatcher.token import Claims
from health.board import State, state
from sip.errors import SipError
from sip.message import Message
from sip.request import Request, read_request
from sip.routes import route_uris
from sip.uri import Address, parse_uri

UNKEYED = (Kind.ROUND_ROBIN, Kind.RANDOM)
"""Algorithms that look at no key, but for REGISTER."""


_REFUSED_A_HOP = (
    Refusal.NO_DESTINATION,
    Refusal.EDGE_TO_EDGE,
    Refusal.UNRESOLVED,
    Refusal.TRANSPORT,
    Refusal.NO_LISTENER,
)
"""What the search for a next hop may end with."""


class Way(enum.Enum):
    """By which law a request gets its next hop."""

    OURS = "ours"
    """It asks for the proxy itself."""
    TOKEN_TO_EDGE = "token_to_edge"
    TOKEN_TO_CORE = "token_to_core"
    ONWARD = "onward"
    """From the core: where its Route or Request-URI says."""
    NAMED = "named"
    """From the edge: the destination that its Request-URI names."""
    DISPATCHED = "dispatched"


@attrs.frozen
class Side:
    """Whether the source is on the core side, and by what: destinations at its address, or a network."""

    is_core: bool
    destinations: tuple[Destination, ...] = ()
    network: str = ""


@attrs.frozen(kw_only=True)
class RouteSeen:
    """One Route of a request or, with `is_request_uri`, the Request-URI that a strict router has put in its place."""

    uri: bytes
    is_ours: bool
    has_user: bool = False
    """Of one of ours: there is a user part, so it should be a token."""
    claims: Claims | None = None
    """Of a valid token."""
    is_request_uri: bool = False


@attrs.frozen
class Candidate:
    """A destination of the set and its part in the choice."""

    destination: Destination
    state: State
    reason: considered.Reason
    latency: float = attrs.field(kw_only=True)
    """Seconds, 0.0 when it is not known."""
    calls: int = attrs.field(kw_only=True)
    """That it has now, as far as they are counted."""
    ramp: int = attrs.field(kw_only=True)
    """Of 256 keys, how many it takes: FULL_SHARE for all, less when it has just come back."""


@attrs.frozen(kw_only=True)
class Choice:
    """How the set and the destination were chosen."""

    rule: int | None
    """The place of the rule that has matched, None for the proxy's own set and algorithm."""
    set_id: int
    algorithm: Algorithm
    """As configured; what is used for a REGISTER may be another."""
    used: Algorithm
    is_register: bool
    """Which is always keyed on its address of record."""
    key: bytes | None
    """None where no key is looked at."""
    slot: int | None
    panic: bool
    """Nobody is usable, and the choice is made as if all enabled ones were."""
    candidates: tuple[Candidate, ...]


@attrs.frozen(kw_only=True)
class Account:
    """All that decided about one datagram; None and () for what the pipeline did not come to."""

    datagram: bytes
    source: Address
    arrival: int
    outcome: Outcome
    message: Message | None = None
    fault: str = ""
    """What is wrong with a message that breaks the grammar."""
    side: Side | None = None
    routes: tuple[RouteSeen, ...] = ()
    way: Way | None = None
    claims: Claims | None = None
    """Of the token that decides."""
    hop: Hop | None = None
    choice: Choice | None = None
    named: Destination | None = None
    """The destination that a Request-URI from the edge names; usable or not."""
    refusal: Refusal | None = None
    """Why the request is not passed on, also where ACK and CANCEL get no answer that says so."""


def explain(
    snapshot: Snapshot,
    datagram: bytes,
    source: Address,
    arrival: int,
    *,
    names: Names,
    chance: Chance,
    calls: Calls = idle,
) -> Account:
    """Account for what `route` decides about a datagram when the table of recent choices is empty; never raises."""
    outcome = route(
        snapshot, datagram, source, arrival, names=names, recent=_nothing, chance=chance, now=0.0, calls=calls
    )
    account = Account(datagram=datagram, source=source, arrival=arrival, outcome=outcome)
    try:
        message = Message.parse(datagram)
        account = attrs.evolve(account, message=message)
        if not message.method:
            return account
        received = receive(read_request(message), source, arrival, snapshot.policy.force_rport)
    except SipError as error:
        return attrs.evolve(account, fault=error.reason)
    side = _side_of(snapshot, source[0])
    refusal = outcome.refusal if isinstance(outcome, Reply) else None
    account = attrs.evolve(account, side=side, refusal=refusal)
    try:
        routes = take_routes(snapshot, received.request, names if side.is_core else None)
        account = attrs.evolve(account, routes=_routes_seen(snapshot, received.request, routes), claims=routes.claims)
        return _followed(snapshot, account, received, routes, names, chance, calls)
    except SipError as error:
        return attrs.evolve(account, fault=error.reason)
    except NameNeeded:
        return account


def _nothing(_digest: int) -> int | None:
    """An empty table of recent choices."""
    return None


def _side_of(snapshot: Snapshot, host: str) -> Side:
    if not snapshot.is_core(host):
        return Side(is_core=False)
    there = tuple(destination for destination in snapshot.destinations if destination.address[0] == host)
    networks = (str(network) for network in snapshot.policy.core_networks if ip_address(host) in network)
    return Side(is_core=True, destinations=there, network=next(networks, ""))


def _routes_seen(snapshot: Snapshot, request: Request, routes: RouteSet) -> tuple[RouteSeen, ...]:
    seen: list[RouteSeen] = []
    if routes.uri_text is not request.message.uri:
        seen.append(_read_own(snapshot, request.message.uri, is_request_uri=True))
    for place, uri in enumerate(route_uris(request.message)):
        seen.append(_read_own(snapshot, uri) if place < routes.start else RouteSeen(uri=uri, is_ours=False))
    return tuple(seen)


def _read_own(snapshot: Snapshot, text: bytes, *, is_request_uri: bool = False) -> RouteSeen:
    uri = parse_uri(text)  # it has been parsed before, or it would not be known as ours
    token = token_in(snapshot, uri)
    return RouteSeen(
        uri=text,
        is_ours=True,
        has_user=uri.user is not None,
        claims=None if token is None else token[0],
        is_request_uri=is_request_uri,
    )


def _followed(
    snapshot: Snapshot,
    account: Account,
    received: Received,
    routes: RouteSet,
    names: Names,
    chance: Chance,
    calls: Calls,
) -> Account:
    """The account with what decided about the next hop; raises NameNeeded, SipError."""
    if isinstance(account.outcome, Reply) and account.outcome.refusal in (None, Refusal.NOT_SERVING):
        return attrs.evolve(account, way=Way.OURS)
    early = _early_refusal(snapshot, account, received, routes)
    if early is not None or _ends_early(account):
        return attrs.evolve(account, refusal=early)
    hop = next_hop(snapshot, received, routes, names, _nothing, chance, calls)
    named: Destination | None = None
    if routes.claims is not None:
        to_edge = goes_to_edge(routes.claims, received.request.from_tag)
        way = Way.TOKEN_TO_EDGE if to_edge else Way.TOKEN_TO_CORE
    elif hop is Refusal.NO_DESTINATION or (isinstance(hop, Hop) and hop.dispatched):
        way = Way.DISPATCHED
        place = None if account.side is None or account.side.is_core else destination_named(snapshot, routes.uri)
        if place is not None:
            named = snapshot.destinations[place]
            way = Way.NAMED if snapshot.is_usable(place) else Way.DISPATCHED
    else:
        way = Way.ONWARD
    choice = _choice(snapshot, received, routes, chance, calls) if way is Way.DISPATCHED else None
    account = attrs.evolve(account, way=way, choice=choice, named=named)
    return attrs.evolve(account, hop=hop) if isinstance(hop, Hop) else attrs.evolve(account, refusal=hop)


def _early_refusal(snapshot: Snapshot, account: Account, received: Received, routes: RouteSet) -> Refusal | None:
    """What keeps a request from having a next hop at all."""
    if isinstance(account.outcome, Reply):
        return None if account.outcome.refusal in _REFUSED_A_HOP else account.outcome.refusal
    if received.request.max_forwards == 0:
        return Refusal.TOO_MANY_HOPS
    mark = loop_mark(routes, from_core=account.side is not None and account.side.is_core)
    return Refusal.LOOP if has_looped(snapshot, received.request, mark) else None


def _ends_early(account: Account) -> bool:
    """Whether it ends here without a refusal: the ACK to an answer of ours."""
    return isinstance(account.outcome, Drop) and account.outcome.reason is DropReason.ACK_TO_OUR_ANSWER


def _choice(snapshot: Snapshot, received: Received, routes: RouteSet, chance: Chance, calls: Calls) -> Choice:
    """What `dispatcher.choice.dispatch` asks, in its order."""
    set_id, algorithm = route_to(snapshot, received, routes.uri)
    rule = rule_for(snapshot, received, routes.uri) if snapshot.policy.rules else None
    is_register = received.request.message.method == b"REGISTER"
    used = algorithm.for_register if is_register else algorithm
    is_keyed = used.kind not in UNKEYED
    choice = Choice(
        rule=None if rule is None else snapshot.policy.rules.index(rule),
        set_id=set_id,
        algorithm=algorithm,
        used=used,
        is_register=is_register,
        key=choice_key(snapshot, received, routes.uri, used) if is_keyed else None,
        slot=None,
        panic=False,
        candidates=(),
    )
    pool = snapshot.pools.get(set_id)
    if pool is None:
        return choice
    number = choice_digest(snapshot, received, routes.uri, used, chance)
    liveness = snapshot.liveness[set_id]
    panic = False
    if (
        snapshot.policy.no_destination is None
        and choose_now(snapshot, pool, used, number, chance.turn, liveness, calls) is None
    ):
        panic, liveness = True, in_panic(liveness)
    ramp, latency, count = known_of(snapshot, set_id, calls)
    candidates = tuple(
        Candidate(
            pool.destinations[each.index],
            state(snapshot.liveness[set_id][each.index]),
            each.reason,
            latency=latency[each.index] if latency else 0.0,
            calls=count(each.index),
            ramp=ramp[each.index] if ramp else FULL_SHARE,
        )
        for each in considered.explain(pool, used, number, chance.turn, liveness, ramp, latency, count)
    )
    slot = slot_of(number) if is_keyed else None
    return attrs.evolve(choice, slot=slot, panic=panic, candidates=candidates)


def destination_of(snapshot: Snapshot, outcome: Forward) -> Destination | None:
    """The destination that a message goes to or, a reply, comes from; None when it is none of the list."""
    return None if outcome.destination is None else snapshot.destinations[outcome.destination]
