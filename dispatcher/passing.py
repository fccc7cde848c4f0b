"""What leaves on the wire when a request is passed on (RFC 3261 16.6)?  Our Via, Record-Route or Path on top."""

from __future__ import annotations

import re
import zlib
from itertools import pairwise

import attrs

from dispatcher.branch import COOKIE, is_ours, mac, transaction_below
from dispatcher.elapsed import moment
from dispatcher.keyed import BRANCH
from dispatcher.nexthop import Hop
from dispatcher.received import Received
from dispatcher.routeset import RouteSet, has_loose_routing
from dispatcher.snapshot import Snapshot
from dispatcher.token import write_token
from sip.edit import with_value
from sip.errors import SipError
from sip.message import Message, unfold
from sip.request import Request
from sip.routes import push_last
from sip.uri import SipUri, host_port
from sip.via import parse_via, vias

DIALOG_METHODS = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER", b"NOTIFY"))
"""Requests that can create a dialog: they get a Record-Route (RFC 3261 16.6 step 4)."""

_HOST_PORT = re.compile(rb"(?:\[[^\]]*\]|[^:;?]*)(?::[0-9]+)?")

DEFAULT_MAX_FORWARDS = b"70"
"""RFC 3261 16.6 step 3."""


def loop_mark(routes: RouteSet, *, from_core: bool) -> bytes:
    """`l` of our Via: crc32 of all that decides where the request goes; the same again is a loop (16.6 step 8)."""
    text = b"\n".join((routes.uri_text, *routes.uris, b"core" if from_core else b"edge"))
    return b"l=%08x" % zlib.crc32(text)


def has_looped(snapshot: Snapshot, request: Request, mark: bytes) -> bool:
    """Whether a Via of the request is one of ours and carries this mark already; raises SipError."""
    message = request.message
    if b"via" not in message.repeated and b"," not in message.first[b"via"]:
        return False  # one Via is the sender's
    return any(mark in own and _is_own_via(snapshot, request, own, below) for own, below in pairwise(vias(message)))


def _is_own_via(snapshot: Snapshot, request: Request, text: bytes, text_below: bytes) -> bool:
    """Whether we have put this Via on top of the one below; what others wrote below the top need not be readable."""
    try:
        own, below = parse_via(text), parse_via(text_below)
    except SipError:
        return False
    transaction = transaction_below(below, request.call_id, request.from_tag, request.cseq)
    if transaction is None or not own.branch.startswith(COOKIE):
        return False
    return is_ours(own.branch.removeprefix(COOKIE), snapshot.keys, BRANCH, transaction)


def pass_on(snapshot: Snapshot, received: Received, routes: RouteSet, hop: Hop, mark: bytes, now: float) -> bytes:
    """The bytes of the request as it leaves at `now` (seconds)."""
    request = received.request
    message = request.message
    lines = message.lines.copy()
    lines[message.names.index(b"via")] = received.via_line
    uri_text = routes.uri_text
    edits = routes.edits
    if hop.along_route and not has_loose_routing(routes.uris[0]):
        edits = push_last(message, routes.start + 1, routes.start + len(routes.uris), uri_text)
        uri_text = routes.uris[0]
    elif hop.dispatched and snapshot.policy.rewrite_host and routes.uri is not None:
        uri_text = _with_host(uri_text, routes.uri, hop)
    added = _added(snapshot, received, hop, b"%b;t=%b" % (mark, moment(now)))
    if request.max_forwards is None:
        added.append(b"Max-Forwards: " + DEFAULT_MAX_FORWARDS)
    else:
        place = message.names.index(b"max-forwards")
        lines[place] = with_value(lines[place], b"%d" % (request.max_forwards - 1))
    if edits:
        for place, line in edits.items():
            lines[place] = line or b""
        lines = [line for place, line in enumerate(lines) if edits.get(place, line) is not None]
    start = message.start
    cr = b"\r" if message.eol == b"\n" else b""
    if uri_text is not message.uri:
        start = b"%b %b %b%b" % (message.method, uri_text, message.version, cr)
    if cr:
        added = [line + cr for line in added]
    return message.eol.join((start, *added, *lines, message.blank + message.body))


def _added(snapshot: Snapshot, received: Received, hop: Hop, marks: bytes) -> list[bytes]:
    """Our Via with these last parameters, and Record-Route or Path where the request needs them.

    With `rport` (RFC 3581) a reply comes back to the port that the request left by, whatever stands between us.
    """
    own = snapshot.sent_by[hop.listener]
    branch = mac(snapshot.keys[0], BRANCH, received.transaction)
    via = b"Via: SIP/2.0/%b %b;branch=%b%b;rport;%b" % (
        snapshot.listeners[hop.listener].transport.upper().encode(), own, COOKIE, branch, marks,
    )  # fmt: skip
    if hop.listener != received.arrival:
        via += b";i=%08x" % zlib.crc32(snapshot.sent_by[received.arrival])
    lines = [via]
    method = received.request.message.method
    if method in DIALOG_METHODS:
        token = write_token(hop.claims, snapshot.keys[0], snapshot.sent_by[hop.edge_listener])
        lines.append(b"Record-Route: <sip:%b@%b;lr>" % (token, own))
        if hop.listener != received.arrival:  # the two sides know us by different addresses (RFC 5658)
            lines.append(b"Record-Route: <sip:%b@%b;lr>" % (token, snapshot.sent_by[received.arrival]))
    elif method == b"REGISTER" and not hop.claims.creator_is_core:
        lines += _path(snapshot, received.request.message, hop, own)
    return lines


def _path(snapshot: Snapshot, message: Message, hop: Hop, own: bytes) -> list[bytes]:
    """Path, and `Supported: path` where a phone did not say so: some registrars refuse Path without it (RFC 3327)."""
    claims = attrs.evolve(hop.claims, is_path=True)
    token = write_token(claims, snapshot.keys[0], snapshot.sent_by[hop.edge_listener])
    lines = [b"Path: <sip:%b@%b;lr>" % (token, own)]
    offered = (unfold(member).lower() for _, raw in message.values(b"supported") for member in raw.split(b","))
    if b"path" not in offered:
        lines.append(b"Supported: path")
    return lines


def _with_host(text: bytes, uri: SipUri, hop: Hop) -> bytes:
    """The Request-URI with the destination's host and port in place of its own (`rewrite_host`)."""
    scheme, colon, rest = text.partition(b":" if uri.user is None else b"@")
    params = rest[len(_HOST_PORT.match(rest)[0]) :]  # type: ignore[index]  # the URI has been parsed
    return scheme + colon + host_port(hop.address).encode() + params
