"""Which destination takes a new request: which set, keyed on what, and what was chosen a moment ago?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import assert_never

import attrs

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.keyed import CHOICE, Key, digest
from dispatcher.received import Received
from dispatcher.rules import Rule, first_match
from dispatcher.selection import Pool, choose, in_panic, sketch
from dispatcher.snapshot import Snapshot
from sip.address import parse_name_addr
from sip.errors import SipError
from sip.message import Message, unfold
from sip.uri import Address, SipUri, parse_uri, unescape

Recent = Callable[[int], int | None]
"""The table of recent choices: digest of the Call-ID -> number of the destination chosen, None when there is none."""

Calls = Callable[[int], int]
"""The calls of a destination that are going on, by its number."""

_USERNAME = re.compile(rb'username[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t,]+))', re.IGNORECASE)
_FOLLOW_THEIR_INVITE = (b"ACK", b"CANCEL")
_KEYED_ON_THE_CALLED = (Kind.AOR, Kind.REQUEST_URI, Kind.TO)
_KEY_IS_KNOWN = (Kind.WEIGHT, Kind.CALL_ID, Kind.LATENCY, Kind.CALL_LOAD, *_KEYED_ON_THE_CALLED)
"""By these the key is the Call-ID, which is hashed already, and that of the called was made to look for its choice."""


@attrs.frozen
class Chance:
    """What a choice may hang on beside the message: a counter of choices and a random 64-bit number."""

    turn: int
    number: int


@attrs.frozen
class Chosen:
    """Where a dispatched request goes; `destination` is a place in the snapshot, None when it has left the list."""

    address: Address
    destination: int | None
    remember: int | None
    socket: Address | None
    """The local address that the destination's `socket` attribute asks for."""


def dispatch(
    snapshot: Snapshot,
    received: Received,
    uri: SipUri | None,
    recent: Recent,
    chance: Chance,
    calls: Calls,
    named: int | None = None,
) -> Chosen | None:
    """Choose a destination for a request that is dispatched; None when no destination may have it.

    A recent choice wins while its destination keeps old work.  When it is down or disabled, ACK and CANCEL still follow
    it, since only that server knows their INVITE; anything else chooses anew.  `named` is the destination that the
    Request-URI asks for: it has the request if it is usable, except that ACK and CANCEL follow their INVITE first.
    What names another host is remembered apart, or a stranger who knows a Call-ID could steer the CANCEL of its call.
    ACK and CANCEL themselves leave nothing to follow: one that has lost its INVITE must not draw others after it.
    """
    set_id, algorithm = route_to(snapshot, received, uri)
    request = received.request
    method = request.message.method
    pool = snapshot.pools.get(set_id)
    key = digest(snapshot.keys[0], CHOICE, request.call_id)
    remember: int | None = None
    if named is not None and not snapshot.is_usable(named):
        named = None
    if method == b"REGISTER":
        algorithm = algorithm.for_register
    else:  # one call may pass through several sets, each with a choice of its own
        mine = key ^ (sketch(set_id, (), snapshot.keys[0]) if pool is None else pool).salt
        if algorithm.kind in _KEYED_ON_THE_CALLED:  # a redirected call keeps its Call-ID
            key = choice_digest(snapshot, received, uri, algorithm, chance)
            mine ^= key
        if uri is not None:
            mine ^= _whom(snapshot.keys[0], uri.host, uri.port or uri.default_port)
        follows = method in _FOLLOW_THEIR_INVITE
        earlier = recent(mine) if named is None or follows else None
        if earlier is not None:
            found = _follow(snapshot, earlier, method)
            if found is not None:
                return found
        remember = None if follows else mine
    if named is not None:
        return _chosen(snapshot, named, remember)
    if pool is None:
        return None
    if algorithm.kind not in _KEY_IS_KNOWN or method == b"REGISTER":
        key = choice_digest(snapshot, received, uri, algorithm, chance)
    liveness = snapshot.liveness[set_id]
    place = choose_now(snapshot, pool, algorithm, key, chance.turn, liveness, calls)
    if place is None and snapshot.policy.no_destination is None:
        place = choose_now(snapshot, pool, algorithm, key, chance.turn, in_panic(liveness), calls)
    if place is None:
        return None
    return _chosen(snapshot, snapshot.starts[set_id] + place, remember)


def choose_now(
    snapshot: Snapshot, pool: Pool, algorithm: Algorithm, key: int, turn: int, liveness: bytes, calls: Calls
) -> int | None:
    """The index in the pool for new work, by what the snapshot knows; None when none is usable."""
    if algorithm.in_order and not snapshot.ramp:  # nearly always
        return choose(pool, algorithm, key, turn, liveness)
    return choose(pool, algorithm, key, turn, liveness, *known_of(snapshot, pool.set_id, calls))


def known_of(snapshot: Snapshot, set_id: int, calls: Calls) -> tuple[bytes, Sequence[float], Callable[[int], int]]:
    """Ramp, latencies and calls of a set's destinations, as `choose` wants them."""
    start, numbers = snapshot.starts[set_id], snapshot.numbers
    return snapshot.ramp.get(set_id, b""), snapshot.latency.get(set_id, ()), lambda index: calls(numbers[start + index])


def route_to(snapshot: Snapshot, received: Received, uri: SipUri | None) -> tuple[int, Algorithm]:
    """The set and the algorithm for a request: the first rule that matches, else the proxy's own."""
    policy = snapshot.policy
    if policy.rules:
        rule = rule_for(snapshot, received, uri)
        if rule is not None:
            set_id = policy.default_set if rule.set_id is None else rule.set_id
            return set_id, rule.algorithm or policy.algorithm
    return policy.default_set, policy.algorithm


def rule_for(snapshot: Snapshot, received: Received, uri: SipUri | None) -> Rule | None:
    """The rule that decides about a request, None when none matches."""
    message = received.request.message
    return first_match(
        snapshot.policy.rules,
        method=message.method,
        user=_user(uri, message.uri),
        host=uri.host if uri is not None else "",
        source=received.source[0],
        listener=str(snapshot.listeners[received.arrival]),
    )


def choice_digest(
    snapshot: Snapshot, received: Received, uri: SipUri | None, algorithm: Algorithm, chance: Chance
) -> int:
    """The 64 bits that `choose` takes: of the key or, for `random`, drawn.

    For a REGISTER `algorithm` is its `for_register`, which is never `random`.
    """
    if algorithm.kind is Kind.RANDOM:
        return chance.number
    return digest(snapshot.keys[0], CHOICE, choice_key(snapshot, received, uri, algorithm))


def choice_key(snapshot: Snapshot, received: Received, uri: SipUri | None, algorithm: Algorithm) -> bytes:
    """The bytes that a keyed choice hangs on.

    REGISTER is always keyed on the address of record: the challenge and its answer must meet the same server.  What a
    message does not have is replaced by what is the same in all messages of its transaction: the caller's user for
    credentials that have not been asked for yet, the Call-ID for a header field.
    """
    request = received.request
    message = request.message
    if message.method == b"REGISTER":
        return aor(message.first[b"to"], with_domain=snapshot.policy.aor_domain)
    match algorithm.kind:
        case Kind.AOR:
            return _aor_of(uri, message.uri, with_domain=snapshot.policy.aor_domain)
        case Kind.FROM:
            return aor(message.first[b"from"], with_domain=True)
        case Kind.TO:
            return aor(message.first[b"to"], with_domain=True)
        case Kind.REQUEST_URI:
            return _aor_of(uri, message.uri, with_domain=True)
        case Kind.AUTH_USER:
            return _auth_user(message) or aor(message.first[b"from"], with_domain=False)
        case Kind.HEADER:
            return message.value(algorithm.header.lower().encode()) or request.call_id
        case (
            Kind.CALL_ID | Kind.WEIGHT | Kind.RELATIVE_WEIGHT | Kind.TIERS
            | Kind.PRIORITY | Kind.ROUND_ROBIN | Kind.RANDOM | Kind.LATENCY | Kind.CALL_LOAD
        ):  # fmt: skip
            return request.call_id
        case _:  # pragma: no cover
            assert_never(algorithm.kind)


def aor(raw: bytes, *, with_domain: bool) -> bytes:
    """The address of record in a From or To: the user, unescaped and without parameters, with the host if asked.

    Raises SipError when the field is malformed.
    """
    text = parse_name_addr(unfold(raw)).uri
    try:
        uri = parse_uri(text)
    except SipError:
        return _aor_of(None, text, with_domain=with_domain)
    return _aor_of(uri, text, with_domain=with_domain)


def _aor_of(uri: SipUri | None, text: bytes, *, with_domain: bool) -> bytes:
    user = _user(uri, text)
    user = b"" if user is None else unescape(user.partition(b";")[0])
    if uri is None or not with_domain:
        return user
    return user + b"@" + uri.host.encode()


def _user(uri: SipUri | None, text: bytes) -> bytes | None:
    """The user part; of tel: and urn: what follows the scheme, numbers without separators (RFC 3966 5.1.1)."""
    if uri is not None:
        return uri.user
    number = text.partition(b":")[2].partition(b";")[0]
    return number.translate(None, b"-.()") if text[:3].lower() == b"tel" else number


def _auth_user(message: Message) -> bytes:
    for name in (b"proxy-authorization", b"authorization"):
        raw = message.first.get(name)
        if raw is not None and (match := _USERNAME.search(unfold(raw))):
            return match[1] or match[2] or b""
    return b""


@lru_cache(maxsize=4096)
def _whom(key: Key, host: str, port: int) -> int:
    """64 bits for the host of a Request-URI, whether it is listed or not: INVITE, ACK and CANCEL have the same."""
    return digest(key, CHOICE, b"host %b %d" % (host.encode(), port))


def _follow(snapshot: Snapshot, earlier: int, method: bytes) -> Chosen | None:
    place = snapshot.by_number.get(earlier)
    if place is None:
        departed = snapshot.departed.get(earlier)
        if departed is None or method not in _FOLLOW_THEIR_INVITE:
            return None
        return Chosen(departed.address, None, None, departed.entry.socket)
    if method not in _FOLLOW_THEIR_INVITE and not snapshot.is_usable(place):
        return None
    return _chosen(snapshot, place, None)


def _chosen(snapshot: Snapshot, place: int, remember: int | None) -> Chosen:
    destination = snapshot.destinations[place]
    return Chosen(destination.address, place, remember, destination.entry.socket)
