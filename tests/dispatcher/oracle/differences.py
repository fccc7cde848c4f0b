"""Where do the two proxies differ on purpose, and why?

Each difference levels out what it explains, and only where its own condition holds; what is left unequal after all of
them is nobody's intention.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import attrs

from tests.dispatcher.oracle.judge import is_sip_uri
from tests.dispatcher.oracle.levelling import Asked, Difference, Level, Outputs
from tests.dispatcher.oracle.meaning import Output, Via

KNOWN_TRANSPORTS = ("SIP/2.0/UDP", "SIP/2.0/TCP", "SIP/2.0/TLS", "SIP/2.0/SCTP", "SIP/2.0/WS", "SIP/2.0/WSS")
"""To Kamailio."""

DIFFERENCES: list[Difference] = []


def _difference(reason: str) -> Callable[[Level], None]:
    def add(level: Level) -> None:
        DIFFERENCES.append(Difference(level.__name__.replace("_", " "), reason, level))

    return add


def _one(outputs: Outputs, kind: str) -> Output | None:
    return outputs[0] if len(outputs) == 1 and outputs[0].kind == kind else None


def _codes(outputs: Outputs) -> tuple[str, ...]:
    """Of answers; nothing for silence."""
    return tuple(each.what for each in outputs if each.kind == "answer")


REFUSED = ("400", "403", "416", "420", "482", "483", "500", "505")


@_difference("what breaks the grammar is refused with 400, 416 or 505, or dropped where no answer can be made")
def broken_messages_are_refused(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if not asked.faults:
        return None
    answered = _codes(asked.ours)
    if answered and answered[0] in REFUSED and len(asked.ours) == 1:
        return (), ()
    if not asked.ours and (asked.raw.is_reply or asked.raw.method in ("ACK", "CANCEL") or not _is_answerable(asked)):
        return (), ()
    return None


def _is_answerable(asked: Asked) -> bool:
    unanswerable = {"Via", "no via", "start line", "no empty line", "a carriage return within a line"}
    return not unanswerable & set(asked.faults)


@_difference("a reply that none of our requests has asked for goes nowhere: Kamailio relays it for whoever sends it")
def forged_replies_are_dropped(asked: Asked) -> tuple[Outputs, Outputs] | None:
    return ((), ()) if asked.raw.is_reply and not asked.is_genuine and not asked.ours else None


@_difference("a CANCEL goes where its INVITE has gone or nowhere: only the server may answer it")
def cancel_is_never_answered(asked: Asked) -> tuple[Outputs, Outputs] | None:
    return ((), ()) if asked.raw.method == "CANCEL" and not asked.ours and _codes(asked.theirs) else None


@_difference("Proxy-Require says nothing in ACK and CANCEL (RFC 3261 8.2.2.3): they follow their INVITE")
def proxy_require_in_ack_and_cancel(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if asked.raw.method not in ("ACK", "CANCEL") or not asked.raw.value("proxy-require"):
        return None
    return ((), ()) if asked.ours and (not asked.theirs or _codes(asked.theirs) == ("420",)) else None


@_difference("the To tag of our answers is the hash of their transaction: with another CSeq it is no tag of ours")
def acks_to_another_transaction(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours = _one(asked.ours, "request")
    if asked.raw.method != "ACK" or b"{TAG}" not in asked.case.text or asked.theirs or ours is None:
        return None
    return asked.ours, asked.ours


@_difference("what RFC 3261 allows, and what is not for a proxy to judge, passes; Kamailio refuses or drops it")
def kamailio_refuses_what_is_legal(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if asked.faults or not asked.ours or (asked.theirs and _codes(asked.theirs) != ("400",)):
        return None
    return (asked.ours, asked.ours) if any(holds(asked) for holds in _NOT_READ_BY_KAMAILIO.values()) else None


_PLAIN_ADDRESS = re.compile(
    r"(?:^|<)sips?:(?:[\w.!~*'()&=+$,;?/%-]+@)?(?:\[[0-9A-Fa-f:.]+\]|\w[\w.-]*)(?::\d{1,4})?(?:>|\s*(?:;|$))", re.ASCII
)
_NOT_READ_BY_KAMAILIO: dict[str, Callable[[Asked], bool]] = {
    "bytes after the body, to be discarded over UDP (18.3)": lambda asked: asked.raw.length < len(asked.raw.body),
    "a Via that others have written": lambda asked: any(not _is_readable(via) for via in asked.vias[1:]),
    "a parameter of Via whose value has an equals sign, a branch without a value": lambda asked: any(
        "=" in (value or "") or (name == "branch" and not value) for via in asked.vias for name, value in via.params
    ),
    "a quoted string among the parameters of a Via (25.1)": lambda asked: '"' in "".join(asked.raw.values("via")),
    "a transport of Via that it does not know": lambda asked: any(
        via.transport not in KNOWN_TRANSPORTS for via in asked.vias
    ),
    "a fold between the number and the method of CSeq (7.3.1)": lambda asked: bool(
        re.search(rb"^cseq[ \t]*:[ \t\r\n]*[0-9]+[^\r\n]*\r?\n", asked.data, re.IGNORECASE | re.MULTILINE)
        and re.search(rb"\ncseq[ \t]*:(\r?\n[ \t]|[^\n])*\n[ \t]+[A-Z]", asked.data, re.IGNORECASE)
    ),
    "a fold within a quoted string": lambda asked: bool(re.search(rb'"[^"\n]*\n[ \t][^"]*"', asked.data)),
    "a reply without To or with a broken one: the client's to judge": lambda asked: (
        asked.raw.is_reply
        and not re.fullmatch(r'("[^"]*" *)?<sip:[^\s<>]+>(;[\w.-]+(=[\w.-]*)?)*', asked.raw.value("to"))
    ),
    "a status line without the blank before no phrase": lambda asked: bool(
        re.fullmatch(r"SIP/2.0 \d{3}", asked.raw.start)
    ),
    "an Expires or Retry-After that is no 32-bit number (20.19): the server's to refuse": lambda asked: any(
        not re.fullmatch(r"\d{0,9}", asked.raw.value(name)) for name in ("expires", "retry-after")
    ),
    "a URI in From or To that no server has to be reached by": lambda asked: any(
        not _PLAIN_ADDRESS.search(re.sub(r'"(?:[^"\\]|\\.)*"', "", asked.raw.value(name))) for name in ("from", "to")
    ),
    "a tag that is no token": lambda asked: any(re.search(r"[^\w.!%*`'~+-]", tag) for tag in asked.raw.tags),
    "a host with an underscore": lambda asked: "_" in asked.raw.uri.rpartition("@")[2],
    "a name of a field with a sign that RFC 3261 allows in it": lambda asked: any(
        not re.fullmatch(r"[\w-]+", name) for name, _ in asked.raw.fields
    ),
}


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_readable(via: Via) -> bool:
    return (
        not via.text
        and all(re.fullmatch(r"[\w.!%*`'~+-]+", name) and " " not in (value or "") for name, value in via.params)
        and via.transport.startswith("SIP/2.0/")
        and bool(via.host)
        and 0 < via.port < 65536
    )


@_difference("Max-Forwards as it came, less one; Kamailio lowers what is above 70")
def max_forwards_above_70(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    value = asked.raw.value("max-forwards")
    if ours is None or theirs is None or not value.isdigit() or int(value) <= 70:
        return None
    if int(ours.max_forwards) != int(value) - 1 or theirs.max_forwards != "70":
        return None
    return asked.ours, (attrs.evolve(theirs, max_forwards=ours.max_forwards),)


@_difference("RFC 3261 16.6 step 3 says 70 where there is none; the oracle's configuration, as most, says 10")
def max_forwards_absent(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if ours is None or theirs is None or (ours.max_forwards, theirs.max_forwards) != ("70", "10"):
        return None
    return asked.ours, (attrs.evolve(theirs, max_forwards="70"),)


@_difference("who is not where its Via says is answered at the port it came from, unasked (force_rport = nat)")
def rport_unasked(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if asked.via.host.strip("[]") == asked.source[0] or asked.via.param("rport") is not None or not asked.ours:
        return None
    place = 0 if asked.ours[0].kind == "answer" else 1
    levelled = []
    for each in asked.ours:
        if len(each.vias) <= place or each.vias[place].param("rport") != str(asked.source[1]):
            return None
        vias = (*each.vias[:place], each.vias[place].without("rport"), *each.vias[place + 1 :])
        levelled.append(attrs.evolve(each, vias=vias))
    theirs = asked.theirs
    if place == 0 and len(theirs) == 1 and theirs[0].hop == f"{asked.source[0]}:{asked.via.port}":
        theirs = (attrs.evolve(theirs[0], hop="the client"),)
    return tuple(levelled), theirs


@_difference("a received that the sender wrote is taken out where it is not needed; Kamailio overwrites it")
def received_not_needed(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if asked.via.param("received") is None or asked.via.host.strip("[]") != asked.source[0] or not asked.theirs:
        return None
    theirs = asked.theirs[0]
    place = 0 if theirs.kind == "answer" else 1
    if len(theirs.vias) <= place or theirs.vias[place].param("received") != asked.source[0]:
        return None
    if any(len(each.vias) > place and each.vias[place].param("received") is not None for each in asked.ours):
        return None
    vias = (*theirs.vias[:place], theirs.vias[place].without("received"), *theirs.vias[place + 1 :])
    return asked.ours, (attrs.evolve(theirs, vias=vias),)


@_difference("a received that the sender wrote gives way to ours; in its answers Kamailio leaves it beside its own")
def received_once(asked: Asked) -> tuple[Outputs, Outputs] | None:
    theirs = _one(asked.theirs, "answer")
    said = asked.via.param("received")
    if theirs is None or said is None or not theirs.vias:
        return None
    params = dict.fromkeys(theirs.vias[0].params)  # each once
    if said != asked.source[0]:
        params.pop(("received", said), None)
    top = attrs.evolve(theirs.vias[0], params=tuple(params))
    return asked.ours, (attrs.evolve(theirs, vias=(top, *theirs.vias[1:])),)


@_difference("Unsupported names every extension that Proxy-Require asked for; Kamailio names the first")
def unsupported_names_all(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if _codes(asked.ours) != ("420",) or _codes(asked.theirs) != ("420",):
        return None
    ours, theirs = asked.ours[0], asked.theirs[0]
    if not ours.unsupported.startswith(theirs.unsupported):
        return None
    return asked.ours, (attrs.evolve(theirs, unsupported=ours.unsupported),)


@_difference("method names tell capitals from small letters (RFC 3261 7.1); Kamailio's do not")
def methods_in_small_letters(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), asked.theirs
    method = asked.raw.method
    if ours is None or not theirs or method == method.upper():
        return None
    if theirs[0].kind != "request":  # an OPTIONS, to Kamailio
        return asked.ours, asked.ours
    same = attrs.evolve(
        theirs[0],
        own_record_routes=ours.own_record_routes,
        own_paths=ours.own_paths,
        record_routes=ours.record_routes,
        supported=ours.supported,
    )
    return asked.ours, (same,)


@_difference("a domain is ours at the ports of our listeners; an alias of Kamailio's without a port is at all")
def domain_at_another_port(asked: Asked) -> tuple[Outputs, Outputs] | None:
    host, _, port = asked.raw.uri.lower().partition("pbx.example.com:")
    if not port or not host or port.startswith("5060"):
        return None
    return ((), ()) if _codes(asked.ours) == ("500",) or _one(asked.ours, "request") else None


@_difference("maddr says where the target is (RFC 3261 19.1.1), and what has one is not ours; Kamailio ignores it")
def maddr_counts(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if "maddr" not in asked.raw.uri.lower() + "".join(asked.raw.values("route")).lower():
        return None
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if ours is None:
        return ((), ()) if _codes(asked.ours) == ("500",) else None
    if theirs is None:
        return asked.ours, asked.ours
    return asked.ours, (attrs.evolve(theirs, hop=ours.hop, routes=ours.routes, what=ours.what),)


@_difference("a sips: URI without a port means 5061, where no listener is")
def sips_is_another_port(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if not asked.raw.uri.lower().startswith("sips:") or _one(asked.ours, "request") is None:
        return None
    return (asked.ours, asked.ours) if _codes(asked.theirs) == ("200",) else None


@_difference("a tel: or urn: that comes from a server names no host, so that the proxy chooses one")
def numbers_are_dispatched(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if not asked.from_core or asked.raw.uri[:4].lower() not in ("tel:", "urn:"):
        return None
    ours = _one(asked.ours, "request")
    return (asked.ours, asked.ours) if ours is not None and _codes(asked.theirs) == ("500",) else None


EDGE_ENDS = {
    "phone": "198.51.100.7:40001",
    "out": "198.51.100.7:40001",
    "trunk": "203.0.113.9:5060",
    "nat": "203.0.113.200:61000",
    "path": "203.0.113.200:61000",
    "six": "2001:db8:1::7:40001",
}


@_difference("of a Route that an edge client has laid only ours is taken out: the rest stays and is not followed")
def routes_of_the_edge(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if asked.from_core or ours is None or theirs is None or not ours.routes or ours.hop != "a destination":
        return None
    uri = theirs.what.split(" ", 1)[1]
    if uri != ours.routes[0].rpartition("<")[2].partition(">")[0]:
        return None
    if theirs.routes not in ((*ours.routes[1:], f"<{ours.what.split(' ', 1)[1]}>"), ours.routes[1:]):
        return None
    return asked.ours, (attrs.evolve(theirs, what=ours.what, routes=ours.routes, hop=ours.hop),)


@_difference("who is behind a NAT is reached where its packets come from, never at its Contact")
def behind_nat_by_the_flow(asked: Asked) -> tuple[Outputs, Outputs] | None:
    return _by_token(asked) if asked.calls & {"nat", "path"} else None


@_difference("a Contact that cannot be reached (no such name, another transport) has been heard from: there it goes")
def contact_that_cannot_be_reached(asked: Asked) -> tuple[Outputs, Outputs] | None:
    return _by_token(asked) if _codes(asked.theirs) == ("500",) or not asked.theirs else None


def _by_token(asked: Asked) -> tuple[Outputs, Outputs] | None:
    """Ours goes from a server to the edge end of a call whose Route the message has."""
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    ends = {EDGE_ENDS[call] for call in asked.calls}
    if not asked.from_core or ours is None or ours.hop not in ends:
        return None
    return asked.ours, asked.ours if theirs is None else (attrs.evolve(theirs, hop=ours.hop),)


@_difference("edge to edge never leaves: a call's Route leads to the server of the call, whatever the Request-URI says")
def nothing_leaves_to_the_edge(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if asked.from_core or ours is None or ours.hop != "a destination" or not asked.routes:
        return None
    if theirs is None:  # it cannot find the Request-URI, and an ACK gets no 500
        is_silent = not asked.theirs and asked.raw.method == "ACK"
        return (asked.ours, asked.ours) if _codes(asked.theirs) == ("500",) or is_silent else None
    return asked.ours, (attrs.evolve(theirs, hop=ours.hop),)


@_difference("the From tag says which end of the call has sent this, and no end may be sent to itself")
def sent_as_the_other_end(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if not asked.calls or asked.from_core:
        return None
    if _codes(asked.ours) == ("403",) or (not asked.ours and asked.raw.method in ("ACK", "CANCEL")):
        return (), ()
    return None


@_difference(
    "every topmost Route of ours is taken out, however it is written; Kamailio takes one, and sends itself the rest"
)
def own_routes_all_at_once(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    own = [value for value in asked.raw.values("route") if _OWN_ROUTE.fullmatch(value)]
    if ours is None or not own:
        return None
    if theirs is None:  # the next one names us by our domain, which it looks up, or it has no hops left
        return (asked.ours, asked.ours) if len(own) > 1 and _codes(asked.theirs) in (("500",), ("483",)) else None
    if _OWN_ROUTE.fullmatch(theirs.what.split(" ", 1)[1]):  # taken for a strict router's
        theirs = attrs.evolve(theirs, what=ours.what)
    routes = theirs.routes
    while len(routes) > len(ours.routes) and _OWN_ROUTE.fullmatch(routes[0]):
        routes = routes[1:]
    theirs = attrs.evolve(theirs, routes=routes)
    while len(theirs.vias) > len(ours.vias) and theirs.vias[1].host in ("{proxy}", "[{proxy6}]"):
        theirs = attrs.evolve(
            theirs,
            hop=ours.hop,
            what=ours.what,
            routes=ours.routes,
            vias=(theirs.vias[0], *theirs.vias[2:]),
            max_forwards=str(int(theirs.max_forwards) + 1),
            own_record_routes=ours.own_record_routes,
            record_routes=ours.record_routes,
        )
    return asked.ours, (theirs,)


_OWN_HOST = r"(?:192\.0\.2\.201|\[2001:db8::201\]|\[?\{PROXY6?\}\]?|pbx\.example\.com)"
_OWN_ROUTE = re.compile(
    rf'(?:"[^"]*" *|[^<"]*)<?(?:\{{ROUTE\}}|sip:(?:[^@]*@)?{_OWN_HOST}(?::5060)?(?:;[^>]*)?)>?.*', re.IGNORECASE
)


@_difference("what a server sends to the proxy itself is dispatched, whatever Route is left")
def dispatched_before_routed(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if not asked.from_core or not _OWN_ROUTE.fullmatch(asked.raw.uri) or ours is None or not ours.routes:
        return None
    if theirs is None or asked.calls or ours.hop != "the client":  # the server that asked is the only one there
        return None
    return asked.ours, (attrs.evolve(theirs, hop=ours.hop, what=ours.what, routes=ours.routes),)


@_difference("a dotted number that is no address is a name that nobody has; a Route that is no SIP URI leads nowhere")
def next_hop_that_is_none(asked: Asked) -> tuple[Outputs, Outputs] | None:
    uris = [value.rpartition("<")[2].partition(">")[0] for value in asked.raw.values("route")]
    uri = next((uri for uri in uris if not _OWN_ROUTE.fullmatch(uri) or not is_sip_uri(uri)), asked.raw.uri)
    host = re.sub(r"^sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]*).*$", r"\1", uri, flags=re.IGNORECASE)
    is_host = re.search(r"[a-z]", host, re.IGNORECASE) or _is_numeric(host)
    if not asked.from_core or (is_sip_uri(uri) and is_host):
        return None
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if _codes(asked.ours) == ("500",) or (not asked.ours and asked.raw.method in ("ACK", "CANCEL")):
        return (), ()
    if ours is None or theirs is None or ours.hop not in {EDGE_ENDS[call] for call in asked.calls}:
        return None
    return asked.ours, (attrs.evolve(theirs, hop=ours.hop, what=ours.what, routes=ours.routes),)


@_difference("a Route with a valid token leads to the end that it names, whatever To and Request-URI say")
def token_leads(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if ours is None or not asked.calls or (asked.raw.tags[1] and not _OWN_ROUTE.fullmatch(asked.raw.uri)):
        return None
    ends = {EDGE_ENDS[call] for call in asked.calls} if asked.from_core else {"a destination"}
    if ours.hop not in ends:
        return None
    if theirs is None:  # an OPTIONS for the proxy itself, to Kamailio
        return (asked.ours, asked.ours) if _codes(asked.theirs) == ("200",) else None
    theirs = attrs.evolve(
        theirs, hop=ours.hop, routes=ours.routes, what=ours.what, own_record_routes=ours.own_record_routes
    )
    if asked.raw.method == "REGISTER":
        theirs = attrs.evolve(theirs, own_paths=ours.own_paths, supported=ours.supported)
    return asked.ours, (theirs,)


@_difference("what a strict router has left for last is the Request-URI, and judged as one")
def strict_routers_request_uri(asked: Asked) -> tuple[Outputs, Outputs] | None:
    last = (asked.raw.values("route") or [""])[-1].rpartition("<")[2].partition(">")[0]
    if not asked.calls or not _OWN_ROUTE.fullmatch(asked.raw.uri) or is_sip_uri(last):
        return None
    return ((), ()) if _codes(asked.ours) in (("400",), ("416",)) else None


@_difference("the From tag says whether a call's Route leads to its server or away from it")
def direction_by_from_tag(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "request"), _one(asked.theirs, "request")
    if not asked.from_core or ours is None or not asked.calls or ours.hop != "the client":
        return None
    if theirs is None:  # it cannot find the Request-URI
        return (asked.ours, asked.ours) if _codes(asked.theirs) == ("500",) else None
    return asked.ours, (attrs.evolve(theirs, hop=ours.hop, own_record_routes=ours.own_record_routes),)


@_difference("a Via of TLS without a port is answered at 5061 (RFC 3261 18.2.2)")
def default_port_of_tls(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if asked.via.transport not in ("SIP/2.0/TLS", "SIP/2.0/WSS") or asked.via.param("rport") is not None:
        return None
    if len(asked.ours) != 1 or len(asked.theirs) != 1 or asked.ours[0].hop != f"{asked.source[0]}:5061":
        return None
    return (attrs.evolve(asked.ours[0], hop=asked.theirs[0].hop),), asked.theirs


@_difference("in an answer to joined Vias the top one is stamped; Kamailio stamps what stands last in the line")
def answers_to_joined_vias(asked: Asked) -> tuple[Outputs, Outputs] | None:
    ours, theirs = _one(asked.ours, "answer"), _one(asked.theirs, "answer")
    if ours is None or theirs is None or len(ours.vias) < 2 or len(ours.vias) != len(theirs.vias):
        return None

    def bare(output: Output) -> Output:
        return attrs.evolve(output, vias=tuple(via.without("received", "rport") for via in output.vias))

    if ours.vias[0].param("received") not in (None, asked.source[0]):
        return None
    return (bare(ours),), (bare(theirs),)


@_difference("a body is cut to its Content-Length (RFC 3261 18.3), in replies too")
def body_is_cut(asked: Asked) -> tuple[Outputs, Outputs] | None:
    if len(asked.ours) != 1 or len(asked.theirs) != 1 or asked.raw.length >= len(asked.raw.body):
        return None
    if asked.theirs[0].body.startswith(asked.ours[0].body):
        return asked.ours, (attrs.evolve(asked.theirs[0], body=asked.ours[0].body),)
    return None
