"""What becomes of this datagram?  The whole pipeline, one question after the other (RFC 3261 16, stateless)."""

from __future__ import annotations

from dispatcher.answers import ALLOW, answer, is_ack_to_us, refuse_malformed
from dispatcher.callfact import of_request
from dispatcher.choice import Calls, Chance, Recent
from dispatcher.nexthop import next_hop
from dispatcher.outcome import Drop, DropReason, Forward, Outcome, Refusal, Resolve
from dispatcher.passing import has_looped, loop_mark, pass_on
from dispatcher.received import Received, receive
from dispatcher.replies import pass_back
from dispatcher.routeset import NameNeeded, RouteSet, is_ours, take_routes
from dispatcher.snapshot import Names, Snapshot
from sip.errors import SipError
from sip.message import Message, unfold
from sip.request import read_request
from sip.uri import Address

_OPTIONS_USERS = (None, b"s", b"ping")
"""Users of the Request-URI that ask for the proxy itself: none, sipsak's and the monitoring systems' habit."""

_STATUS = {
    Refusal.EDGE_TO_EDGE: 403,
    Refusal.UNRESOLVED: 500,  # never 503: the caller would shun the whole proxy (RFC 3261 16.7 step 6)
    Refusal.TRANSPORT: 500,
    Refusal.NO_LISTENER: 500,
}
_REASONS = {
    Refusal.EDGE_TO_EDGE: "Forbidden - neither side is a destination or in core_networks",
    Refusal.UNRESOLVED: "Next Hop Not Resolved",
    Refusal.TRANSPORT: "Transport Of The Next Hop Not Served",
    Refusal.NO_LISTENER: "No Listener For The Address Family Of The Next Hop",
}


def route(  # noqa: PLR0913 - all that the pipeline may know, by name
    snapshot: Snapshot,
    datagram: bytes,
    source: Address,
    arrival: int,
    *,
    names: Names,
    recent: Recent,
    chance: Chance,
    now: float,
    calls: Calls,
) -> Outcome:
    """Decide about one datagram that came from `source` to the listener at `arrival`; never raises.

    `names` knows the addresses of host names, `recent` the choices of the last minutes; a `Resolve` says which name is
    to be looked up before the same datagram is routed again.  `now` is in seconds of any clock that goes on evenly,
    `calls` counts the calls that each destination has, by its number.
    """
    try:
        message = Message.parse(datagram)
    except SipError as error:
        return _not_sip(snapshot, datagram, error, source, arrival)
    if not message.method:
        return pass_back(snapshot, message, source, arrival, now)
    try:
        request = read_request(message)
        received = receive(request, source, arrival, snapshot.policy.force_rport)
        return _route_request(snapshot, received, names, recent, chance, now, calls)
    except SipError as error:
        return refuse_malformed(snapshot, datagram, error, source, arrival)
    except NameNeeded as name:
        return Resolve(name.host, name.port, name.transport)


def _not_sip(snapshot: Snapshot, datagram: bytes, error: SipError, source: Address, arrival: int) -> Outcome:
    if not datagram.strip(b"\r\n\x00 "):
        return Drop(DropReason.KEEPALIVE)
    if datagram[0] < 4:  # RFC 5764 5.1.2
        return Drop(DropReason.STUN)
    if datagram.lstrip(b"\r\n")[:4].upper() == b"SIP/":
        return Drop(DropReason.MALFORMED_REPLY)
    return refuse_malformed(snapshot, datagram, error, source, arrival)


def _route_request(
    snapshot: Snapshot, received: Received, names: Names, recent: Recent, chance: Chance, now: float, calls: Calls
) -> Outcome:
    request = received.request
    if request.max_forwards == 0:
        return answer(snapshot, received, 483, Refusal.TOO_MANY_HOPS)
    refused = _unknown_extensions(snapshot, received)
    if refused is not None:
        return refused
    if request.message.method == b"ACK" and is_ack_to_us(snapshot, received):
        return Drop(DropReason.ACK_TO_OUR_ANSWER)
    from_core = snapshot.is_core(received.source[0])
    routes = take_routes(snapshot, request, names if from_core else None)
    if _asks_for_us(snapshot, received, routes, names if from_core else None):
        return _answer_options(snapshot, received)
    mark = loop_mark(routes, from_core=from_core)
    if has_looped(snapshot, request, mark):
        return answer(snapshot, received, 482, Refusal.LOOP)
    hop = next_hop(snapshot, received, routes, names, recent, chance, calls)
    if isinstance(hop, Refusal):
        return _refuse(snapshot, received, hop)
    payload = pass_on(snapshot, received, routes, hop, mark, now)
    call = of_request(request, snapshot.keys[0], dispatched=hop.dispatched and hop.destination is not None)
    return Forward(payload, hop.address, hop.listener, hop.destination, hop.remember, 0, request.message.method, call)


def _unknown_extensions(snapshot: Snapshot, received: Received) -> Outcome | None:
    """420 for a Proxy-Require: there is no extension that we know (RFC 3261 16.3 step 5).

    In ACK and CANCEL the field is ignored (8.2.2.3): they go where their INVITE has gone.
    """
    message = received.request.message
    if b"proxy-require" not in message.first or message.method in (b"ACK", b"CANCEL"):
        return None
    wanted = b", ".join(unfold(raw) for _, raw in message.values(b"proxy-require"))
    return answer(snapshot, received, 420, Refusal.EXTENSION, fields=[b"Unsupported: " + wanted])


def _asks_for_us(snapshot: Snapshot, received: Received, routes: RouteSet, names: Names | None) -> bool:
    """Whether this is an OPTIONS for the proxy itself.

    One with a token is for a phone, even if the Request-URI is ours: a server that rewrites the Contact of a
    registration to where it came from has written us there.
    """
    request = received.request
    uri = routes.uri
    return (
        request.message.method == b"OPTIONS"
        and uri is not None
        and not request.to_tag
        and uri.user in _OPTIONS_USERS
        and routes.claims is None
        and is_ours(snapshot, uri, None if routes.uris else names)
    )


def _answer_options(snapshot: Snapshot, received: Received) -> Outcome:
    """200 while we serve, else 503: this is what a monitor asks."""
    if snapshot.serving:
        return answer(snapshot, received, 200, fields=[ALLOW, b"Accept: */*"])
    return answer(snapshot, received, 503, Refusal.NOT_SERVING, fields=[_retry_after(snapshot)])


def _refuse(snapshot: Snapshot, received: Received, refusal: Refusal) -> Outcome:
    if refusal is Refusal.NO_DESTINATION:
        status = snapshot.policy.no_destination or 503
        fields = [_retry_after(snapshot)] if status == 503 else []
        return answer(snapshot, received, status, refusal, fields=fields)
    return answer(snapshot, received, _STATUS[refusal], refusal, reason=_REASONS[refusal])


def _retry_after(snapshot: Snapshot) -> bytes:
    return b"Retry-After: %d" % snapshot.policy.retry_after
