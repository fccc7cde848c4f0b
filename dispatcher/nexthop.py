"""Where does a request go next?  The two sides, the token's direction rule, and dispatching (RFC 3261 16.5).

The answer is a function of what is left of Route, the Request-URI, the source's side and the token, never of the method
or the To tag: so CANCEL and ACK follow their INVITE by construction.
"""

from __future__ import annotations

import attrs

from dispatcher.choice import Calls, Chance, Recent, dispatch
from dispatcher.names import can_be_sent_to
from dispatcher.nat import is_behind_nat
from dispatcher.outcome import Refusal
from dispatcher.received import Received
from dispatcher.routeset import NameNeeded, RouteSet, is_ours
from dispatcher.snapshot import Names, Snapshot
from dispatcher.token import Claims, tag_hash
from sip.errors import SipError
from sip.uri import Address, SipUri, numeric, parse_uri

SERVED_TRANSPORTS = ("udp",)
"""What a next hop may ask for; other transports have no listeners yet."""


@attrs.frozen
class Hop:
    """Where a request goes and what its Record-Route will say."""

    address: Address
    listener: int
    """The place of the listener that it leaves by."""
    claims: Claims
    edge_listener: int
    destination: int | None = None
    remember: int | None = None
    dispatched: bool = False
    along_route: bool = False
    """The next hop is the topmost Route that is left, which may be a strict router."""


def next_hop(
    snapshot: Snapshot, received: Received, routes: RouteSet, names: Names, recent: Recent, chance: Chance, calls: Calls
) -> Hop | Refusal:
    """The next hop of a request; raises NameNeeded when it hangs on a name that nobody has looked up yet."""
    if routes.claims is not None:
        return _by_token(snapshot, received, routes, names)
    if snapshot.is_core(received.source[0]):
        return _from_core(snapshot, received, routes, names, recent, chance, calls)
    return _from_edge(snapshot, received, routes, recent, chance, calls)


def _by_token(snapshot: Snapshot, received: Received, routes: RouteSet, names: Names) -> Hop | Refusal:
    claims = routes.claims
    assert claims is not None  # noqa: S101 - the caller looked
    assert routes.edge_listener is not None  # noqa: S101 - it comes with the claims
    if goes_to_edge(claims, received.request.from_tag):
        return _toward_edge(snapshot, received, routes, claims, names)
    source = received.source[0]
    target = _numeric_target(routes)
    place = None if target is None else snapshot.listed(*target)
    address = claims.core if place is None else snapshot.destinations[place].address
    if not (snapshot.is_core(source) or snapshot.is_core(address[0]) or source == claims.edge[0]):
        return Refusal.EDGE_TO_EDGE
    leave_by = received.arrival if routes.leave_by is None else routes.leave_by
    return _hop(snapshot, Hop(address, leave_by, claims, routes.edge_listener, place, along_route=bool(routes.uris)))


def goes_to_edge(claims: Claims, from_tag: bytes) -> bool:
    """Whether a request with this From tag goes to the token's edge end, else to its core end: away from its sender."""
    from_creator = claims.creator_tag == tag_hash(from_tag)
    return claims.is_path or from_creator == claims.creator_is_core


def _toward_edge(
    snapshot: Snapshot, received: Received, routes: RouteSet, claims: Claims, names: Names
) -> Hop | Refusal:
    """Only the core, or the token's own core end, may use a token in this direction.

    A server that has left the list reaches the end that its calls are with and nobody else, or every server that was
    ever listed would be an open relay.  A Contact that cannot be reached (`sip:alice@laptop.local`, another transport)
    leaves the address that the token has: the end has been heard from there.  So does a name that is not known yet:
    the slow domains of phones must not fill the queue of look-ups.
    """
    assert routes.edge_listener is not None  # noqa: S101 - it comes with the claims
    address = claims.edge
    source = received.source[0]
    along_route = False
    if not snapshot.is_core(source):
        if source != claims.core[0]:
            return Refusal.EDGE_TO_EDGE
    elif not claims.behind_nat:
        try:
            target = _address_of(snapshot, routes, names)
        except NameNeeded:
            target = None
        if target is not None and snapshot.own_listener(*target) is None:
            address = target
            along_route = bool(routes.uris)
    if claims.is_path:
        tag = tag_hash(received.request.from_tag)
        claims = attrs.evolve(claims, core=received.source, creator_is_core=True, creator_tag=tag, is_path=False)
    return _hop(snapshot, Hop(address, routes.edge_listener, claims, routes.edge_listener, along_route=along_route))


def _from_core(
    snapshot: Snapshot, received: Received, routes: RouteSet, names: Names, recent: Recent, chance: Chance, calls: Calls
) -> Hop | Refusal:
    asked = None if routes.uris else names  # where a Route decides, the Request-URI need not be looked up
    if not routes.uris if routes.uri is None else is_ours(snapshot, routes.uri, asked):
        return _dispatched(snapshot, received, routes, recent, chance, calls)
    address = _address_of(snapshot, routes, names)
    if address is None:
        return Refusal.TRANSPORT if _transport_missing(routes) else Refusal.UNRESOLVED
    if snapshot.own_listener(*address) is not None:
        return _dispatched(snapshot, received, routes, recent, chance, calls)
    listener = snapshot.listener_outward(address[0], received.arrival)
    if listener is None:
        return Refusal.NO_LISTENER
    tag = tag_hash(received.request.from_tag)
    claims = Claims(address, received.source, behind_nat=False, creator_is_core=True, creator_tag=tag)
    place = snapshot.listed(*address)
    return Hop(address, listener, claims, listener, place, along_route=bool(routes.uris))


def _from_edge(
    snapshot: Snapshot, received: Received, routes: RouteSet, recent: Recent, chance: Chance, calls: Calls
) -> Hop | Refusal:
    """A listed, usable destination that the Request-URI names, else dispatched; nothing is looked up for the edge."""
    return _dispatched(snapshot, received, routes, recent, chance, calls, destination_named(snapshot, routes.uri))


def destination_named(snapshot: Snapshot, uri: SipUri | None) -> int | None:
    """The place of the destination that a Request-URI from the edge names, usable or not; None when it names none."""
    if uri is None or uri.param("maddr") is not None:
        return None
    return snapshot.listed(uri.host, uri.port or uri.default_port)


def _dispatched(
    snapshot: Snapshot,
    received: Received,
    routes: RouteSet,
    recent: Recent,
    chance: Chance,
    calls: Calls,
    named: int | None = None,
) -> Hop | Refusal:
    chosen = dispatch(snapshot, received, routes.uri, recent, chance, calls, named)
    if chosen is None:
        return Refusal.NO_DESTINATION
    claims = _claims_from(received, chosen.address)
    hop = Hop(
        chosen.address, received.arrival, claims, received.arrival, chosen.destination, chosen.remember, dispatched=True
    )
    return _hop(snapshot, hop, chosen.socket)


def _claims_from(received: Received, core: Address) -> Claims:
    """The source is the edge end and has created whatever comes of the request."""
    request = received.request
    return Claims(
        received.source,
        core,
        behind_nat=is_behind_nat(request, received.source),
        creator_is_core=False,
        creator_tag=tag_hash(request.from_tag),
    )


def _hop(snapshot: Snapshot, hop: Hop, socket: Address | None = None) -> Hop | Refusal:
    """The hop with the listener that it leaves by: the destination's `socket`, else as asked, if the family fits."""
    preferred = hop.listener
    if socket is not None:
        own = snapshot.own_listener(*socket)
        preferred = preferred if own is None else own
    listener = snapshot.listener_for(hop.address[0], preferred)
    if listener is None:
        return Refusal.NO_LISTENER
    return hop if listener == hop.listener else attrs.evolve(hop, listener=listener)


def _target(routes: RouteSet) -> SipUri | None:
    if not routes.uris:
        return routes.uri
    try:
        return parse_uri(routes.uris[0])
    except SipError:
        return None


def _numeric_target(routes: RouteSet) -> Address | None:
    target = _target(routes)
    return None if target is None else (target.host, target.port or target.default_port)


def _transport_missing(routes: RouteSet) -> bool:
    target = _target(routes)
    return target is not None and target.transport not in SERVED_TRANSPORTS


def _address_of(snapshot: Snapshot, routes: RouteSet, names: Names) -> Address | None:
    """The numeric next hop of a core request (RFC 3263); None when there is none or we do not speak its transport."""
    target = _target(routes)
    if target is None or target.transport not in SERVED_TRANSPORTS:
        return None
    host = (target.param("maddr") or target.host).lower().strip("[]")
    literal = numeric(host)
    if literal is not None:
        return (literal, target.port or target.default_port) if can_be_sent_to(literal) else None
    addresses = names(host, target.port, target.transport)
    if addresses is None:
        raise NameNeeded(host, target.port, target.transport)
    for address in addresses:
        if any(listener.family == (6 if ":" in address[0] else 4) for listener in snapshot.listeners):
            return address
    return None
