"""What is left of a request's Route once our entries are off, and what did their token say (RFC 3261 16.4)?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dispatcher.snapshot import Names, Snapshot
from dispatcher.token import Claims, read_token
from sip.errors import SipError
from sip.request import Request, read_uri
from sip.routes import keep_routes, route_uris
from sip.uri import SipUri, numeric, parse_uri


class NameNeeded(Exception):  # noqa: N818 - not an error: the pipeline asks for a look-up
    """The way of a request depends on a name that nobody has looked up yet."""

    def __init__(self, host: str, port: int | None, transport: str) -> None:
        super().__init__(host)
        self.host = host
        self.port = port
        self.transport = transport


@attrs.frozen
class RouteSet:
    """The Route after ours are popped.  `uris` are what is left, `uri` the Request-URI (None for tel: and urn:)."""

    uris: tuple[bytes, ...]
    uri: SipUri | None
    uri_text: bytes
    edits: Mapping[int, bytes | None]
    """Of the Route fields: line by place, None to remove it."""
    start: int = 0
    """Which of the message's Route members is the first that is left."""
    claims: Claims | None = None
    edge_listener: int | None = None
    """The listener by which the token's edge end is reached."""
    leave_by: int | None = None
    """The listener that the last of our entries names: with double Record-Route the side that the request leaves by."""


_NO_EDITS: Mapping[int, bytes | None] = MappingProxyType({})


def take_routes(snapshot: Snapshot, request: Request, names: Names | None) -> RouteSet:
    """Pop the topmost Routes of ours and read their token; raises SipError, NameNeeded.

    After a token only entries with the same (double Record-Route) or without a valid one are popped.  Another token is
    of another pass through us: a proxy that has not recorded itself stands in between and will send the request back.
    A Request-URI that we have put into a Record-Route comes from a strict router: the last Route holds the real one.
    `names` is None for a request from the edge: nothing is looked up for it, nor below a token, where we wrote all that
    is ours.
    """
    message = request.message
    if b"route" not in message.first:
        return RouteSet((), request.uri, message.uri, _NO_EDITS)
    uris = route_uris(message)
    start, stop = 0, len(uris)
    uri, uri_text = request.uri, message.uri
    found: tuple[Claims, int] | None = None
    token: bytes | None = None
    leave_by: int | None = None
    if uri is not None and is_ours(snapshot, uri, None) and (found := token_in(snapshot, uri)):
        stop -= 1
        token = uri.user
        leave_by = _own_listener(snapshot, uri)
        uri_text = uris[stop]
        uri = read_uri(uri_text)
    while start < stop:
        own = _read_own(snapshot, uris[start], names if found is None else None)
        if own is None:
            break
        if own.user is not None and own.user == token:
            leave_by = _own_listener(snapshot, own)
        elif (another := token_in(snapshot, own)) is not None:
            if found is not None:
                break
            found = another
            token = own.user
            leave_by = _own_listener(snapshot, own)
        start += 1
    edits = keep_routes(message, start, stop) if start or stop < len(uris) else _NO_EDITS
    left = tuple(uris[start:stop])
    if found is None:
        return RouteSet(left, uri, uri_text, edits, start)
    return RouteSet(left, uri, uri_text, edits, start, found[0], found[1], leave_by)


def is_ours(snapshot: Snapshot, uri: SipUri, names: Names | None) -> bool:
    """Whether a URI means this proxy; with `names` also by a name that resolves to a listener; raises NameNeeded."""
    if uri.param("maddr") is not None:  # the target is elsewhere, whatever the host says (RFC 3261 16.5)
        return False
    if snapshot.is_own_name(uri):
        return True
    if names is None or numeric(uri.host) is not None:
        return False
    addresses = names(uri.host, uri.port, uri.transport)
    if addresses is None:
        raise NameNeeded(uri.host, uri.port, uri.transport)
    return any(snapshot.own_listener(*address) is not None for address in addresses)


def has_loose_routing(uri: bytes) -> bool:
    """Whether a Route's URI has `lr`; a next hop without it is a strict router (RFC 3261 16.6 step 6)."""
    try:
        return parse_uri(uri).param("lr") is not None
    except SipError:
        return True


def _read_own(snapshot: Snapshot, text: bytes, names: Names | None) -> SipUri | None:
    try:
        uri = parse_uri(text)
    except SipError:
        return None
    return uri if is_ours(snapshot, uri, names) else None


def token_in(snapshot: Snapshot, uri: SipUri) -> tuple[Claims, int] | None:
    """The claims of the valid token in a URI of ours and the place of its edge end's listener; None without one."""
    return None if uri.user is None else read_token(uri.user, snapshot.keys, snapshot.sent_by)


def _own_listener(snapshot: Snapshot, uri: SipUri) -> int | None:
    return snapshot.own_listener(uri.host, uri.port or uri.default_port)
