"""Worlds and calls, by chance: whatever an operator may configure and a phone, a server or a trunk may write.

Most of what is drawn is what honest programs do, so that a call gets far; each piece has odd forms too, now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from random import Random
from re import compile as pattern

import attrs

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.destination import Destination
from dispatcher.keyed import derive
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from dispatcher.selection import sketch
from dispatcher.snapshot import Policy, Snapshot
from health.board import State, Verdict, Word
from sip.uri import Address, host_port, parse_uri
from tests.dispatcher.twins import departed, with_tables
from tests.dispatcher.world import KEY, OTHER_KEY, VIP, VIP6, destination, make_snapshot

INSIDE = Listener("udp", ("10.0.0.1", 5060))
INSIDE6 = Listener("udp", ("2001:db8:a::1", 5080))
ADVERTISED = Listener("udp", ("192.168.7.7", 5062), ("sip.Example.com", 5060))
SECOND = Listener("udp", ("192.0.2.1", 5080))
LISTENERS = (
    (VIP,),
    (VIP, VIP6),
    (VIP, INSIDE),
    (INSIDE, VIP, VIP6, INSIDE6),
    (ADVERTISED, VIP6),
    (VIP, SECOND, ADVERTISED),
)
SERVERS: tuple[Address, ...] = (
    ("10.0.0.11", 5060),
    ("10.0.0.12", 5060),
    ("10.0.0.12", 5070),
    ("127.0.0.1", 5066),
    ("2001:db8::11", 5060),
)
PHONES: tuple[Address, ...] = (
    ("198.51.100.7", 40001),
    ("203.0.113.9", 5060),
    ("172.16.5.5", 5060),
    ("10.0.0.11", 40000),
    ("192.168.1.44", 5060),
)
PHONES6: tuple[Address, ...] = (("2001:db8:1::7", 40001), ("fe80::1", 5060), ("2001:db8::11", 5061))
NEW_KEY = derive(b"n" * 32)
GONE: Address = ("10.9.9.9", 5060)

UP = State().code
CODES = [UP, UP, UP, State(verdict=Verdict.SUSPECT).code, State(verdict=Verdict.DOWN).code]
CODES += [State(word).code for word in (Word.DRAINING, Word.DISABLED)]
KINDS = [Kind.WEIGHT, Kind.WEIGHT, *Kind]


def mostly(rng: Random, usual: Sequence[str], odd: Sequence[str]) -> str:
    """What is usual, nineteen times in twenty."""
    return rng.choice(odd if rng.randrange(20) == 0 else usual)


def an_algorithm(rng: Random) -> Algorithm:
    kind = rng.choice(KINDS)
    return Algorithm(kind, "X-Account" if kind is Kind.HEADER else "")


NETWORKS = [ip_network(text) for text in ("198.51.100.0/24", "10.0.0.0/8", "2001:db8:1::/48", "203.0.113.9/32")]
HOSTS = [frozenset[str](), frozenset(("example.com", "192.0.2.1")), frozenset(("2001:db8::1",))]


def a_rule(rng: Random, listeners: Sequence[Listener]) -> Rule:
    return Rule(
        methods=rng.choice([frozenset(), frozenset((b"INVITE",)), frozenset((b"REGISTER", b"BYE"))]),
        user_prefixes=rng.choice([(), (), (b"8",), (b"+", b"0")]),
        user_regex=rng.choice([None, None, None, pattern("80+6")]),
        hosts=rng.choice(HOSTS),
        sources=tuple(rng.sample(NETWORKS, rng.randrange(3))),
        listeners=rng.choice([frozenset(), frozenset((str(listeners[0]),))]),
        set_id=rng.choice([None, 1, 2, 9]),
        algorithm=rng.choice([None, an_algorithm(rng)]),
    )


def a_policy(rng: Random, listeners: Sequence[Listener]) -> Policy:
    return Policy(
        default_set=rng.choice([1, 1, 1, 2]),
        algorithm=an_algorithm(rng),
        rules=tuple(a_rule(rng, listeners) for _ in range(rng.choice([0, 0, 1, 3]))),
        domains=rng.choice([frozenset(), frozenset(("example.com",)), frozenset(("example.com", "10.0.0.99"))]),
        core_networks=rng.choice([(), (), (ip_network("172.16.0.0/12"), ip_network("fe80::/10"))]),
        aor_domain=rng.choice([False, True]),
        rewrite_host=rng.choice([False, True]),
        force_rport=rng.choice(["nat", "nat", "always", "never"]),
        no_destination=rng.choice([503, None]),
        server=b"sipdispatch",
    )


def a_farm(rng: Random, listeners: Sequence[Listener]) -> list[Destination]:
    """The destinations of a list; some sets overlap, some hosts are names."""
    sockets = [None, None, None, *(listener.address for listener in listeners), ("10.0.0.250", 5060)]
    everyone = []
    for address in rng.choices(SERVERS, k=rng.randint(1, 5)):
        listed = destination(
            address,
            set_id=rng.choice([1, 1, 2]),
            weight=rng.choice([None, None, 0, 1, 5]),
            priority=rng.randrange(3),
            socket=rng.choice(sockets),
            maxload=rng.choice([0, 0, 2]),
        )
        everyone.append(by_name(listed) if rng.randrange(5) == 0 else listed)
    return everyone


def by_name(listed: Destination) -> Destination:
    """The destination as a list has it that says a name: the server's own, or the whole farm's."""
    uri = f"sip:pbx{listed.address[0][-1]}.example.net:5060"
    return attrs.evolve(listed, entry=attrs.evolve(listed.entry, uri=uri, target=parse_uri(uri.encode())))


def a_world(rng: Random) -> Snapshot:
    listeners = rng.choice(LISTENERS)
    everyone = a_farm(rng, listeners)
    first = [each for each in everyone if each.entry.set_id == 1]
    calm = rng.choice([True, False])
    liveness = bytes(UP if calm else rng.choice(CODES) for _ in first)
    ramp = b"" if calm else bytes(rng.choice([255, 255, 8, 100, 200]) for _ in first)
    snapshot = make_snapshot(
        *everyone,
        listeners=listeners,
        keys=rng.choice([(KEY,), (KEY, OTHER_KEY)]),
        policy=a_policy(rng, listeners),
        liveness=liveness if first else None,
        ramp=ramp if first else b"",
        departed=departed(destination(GONE)),
    )
    return with_tables(snapshot)


def with_older_key(snapshot: Snapshot) -> Snapshot:
    """The pair after its secret has been changed: the older one still verifies."""
    keys = (NEW_KEY, *snapshot.keys)
    pools = {set_id: sketch(set_id, pool.destinations, NEW_KEY) for set_id, pool in snapshot.pools.items()}
    return with_tables(attrs.evolve(snapshot, keys=keys, pools=pools))


# ---------------------------------------------------------------------------------------------------------------------
# What is written

NAMES = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Length": "l", "Supported": "k"}
SPELLINGS = ["long", "long", "compact", "upper", "lower", "odd"]


def spelled(name: str, how: str) -> str:
    """A field's name as some program writes it."""
    match how:
        case "compact":
            return NAMES.get(name, name)
        case "upper":
            return name.upper()
        case "lower":
            return name.lower()
        case "odd":
            return name.title().swapcase()
        case _:
            return name


COLONS, ODD_COLONS = [": ", ": ", ":"], [":  ", " : ", ":\t", ":\r\n "]
VIA_PARAMS = [";branch={b};rport", ";rport;branch={b}", ";branch={b}"]
ODD_VIA_PARAMS = [
    ";branch={b};rport;alias",
    ";branch={b};keep;rport",
    ";RPORT;Branch={b}",
    " ; branch = {b} ; rport",
    "",
    ";rport",
    ";branch={b};received=192.0.2.99",
    ";rport=99;branch={b};received=192.0.2.99",
    ";maddr=192.0.2.3;ttl=1;branch={b}",
    ";branch={b};rport;received=[2001:db8::9]",
    ";branch={b};rport=",
    ";branch={b};rport;rport",
    ';x="a;b";branch={b}',
    ";branch={b};rport;x-received=1;rportx",
    ";branch={b};rport;Received=2001:db8::9",
    ";branch={b};t=0000;i=00000000",
]
LOWER_VIAS = [
    "SIP/2.0/UDP 203.0.113.80:5070;received=203.0.113.81;rport=5071;branch=z9hG4bK-cc",
    "SIP/2.0/TCP softswitch.example.net;branch=z9hG4bKss;l=00000000",
    "SIP/2.0/TLS [2001:db8::80];branch=z9hG4bK6",
]
DISPLAYS = ["", "", '"Alice" ', "Alice ", '"B, Alice; <x>" ', '"a \\" b" ', "J\u00fcrgen "]
URIS = ["sip:8005@192.0.2.1", "sip:8006@example.com"]
ODD_URIS = [
    "sip:8005;ext=1@[2001:db8::1]",
    "sip:%38005@a.b:5070;user=phone",
    "tel:+4930-1",
    "sips:a@b",
    "sip:example.com",
]
TAILS, ODD_TAILS = [""], [";x=y", " ", ";tag=again", ';x="a;tag=b"']
CONTACTS = ["<sip:8005@{a}>", "<sip:8005@{a};ob>", "<sip:8005@{a};transport=udp>;expires=60", "sip:8005@{a}"]
ODD_CONTACTS = [
    "*",
    "<sip:laptop.local>",
    "<tel:+4930>",
    "<sips:8005@{a}>",
    '"x, y" <sip:8005@{a};ob>;+sip.instance="<urn:uuid:1>"',
    "<sip:8005@10.0.0.5:5060>, <sip:b@203.0.113.1>",
    "<sip:8005@203.0.113.77;transport=tls>",
    "<sip:{a}>",
    "<sip:a@{a}:>",
    '<sip:8005@{a}>;methods="INVITE, ACK";q=0.5',
    "<sip:8005@[::ffff:192.168.1.1]:5060>",
    "<SIP:8005@fe80::1>",
    "sip:8005@192.168.1.9:5061;ob",
    "<sip:8005@127.0.0.1>",
    "<sip:8005@169.254.1.1:5060;ob>;x",
    "<sip:x@[fd00::1]>;q=1",
]
TARGETS = [
    "sip:8006@{proxy}",
    "sip:8006@{proxy}",
    "sip:8006@example.com",
    "sip:{server}",
    "sip:+4930@{server};user=phone",
]
ODD_TARGETS = [
    "sip:{proxy}",
    "sip:ping@{proxy}",
    "tel:+49-30-1",
    "sips:8006@{proxy}",
    "sip:a%20b@{proxy}",
    "sip:8006@EXAMPLE.com:5060",
    "sip:8006@{proxy};transport=tcp",
    "sip:8006@{proxy};transport=tls",
    "sip:8006@{proxy};maddr=203.0.113.9",
    "urn:service:sos",
    "sip:8006@elsewhere.example.org",
    "sip:8006@203.0.113.77",
    "sip:8006@{proxy}?Subject=x",
    "sip:8006;cpc=x@{proxy}:5080",
    "sip:a:b@{proxy}",
    "sip:8006@[2001:DB8::11]:5060;Transport=UDP",
    "sip:8006@[::ffff:10.0.0.11]",
    "sip:8006@{proxy};lr;LR",
    "sip:8006@224.0.0.1",
    "sip:8006@PBX2.example.net",
    "sip:pbx1.example.net:5060",
    "sip:8006@0.0.0.0",
    "sip:8006@255.255.255.255",
    "SIP:8006@{proxy}",
    "sip:8006@example.com.",
]
ROUTES = ["", "", "", "<sip:{proxy};lr>", "<sip:{proxy}>", "<sip:{proxy};lr>, <sip:{server};lr>"]
ODD_ROUTES = [
    "<sip:example.com;lr>",
    "<sip:203.0.113.50;lr>,<sip:203.0.113.51;lr>",
    "<sip:203.0.113.50>",
    "sip:{proxy};lr",
    "<sip:{proxy},x@a;lr>",
    '"a, b" <sip:{proxy};lr>;x="y, z"',
    "<sips:{proxy};lr>",
    "<sip:trunk.example.net;lr>",
    "<sip:{proxy};maddr=203.0.113.9;lr>",
    "<sip:{proxy};transport=tcp;lr>",
    "<sip:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@{proxy};lr>",
    " <sip:{proxy};lr=on> ,  <sip:{server};lr> ",
    "<sip:8005@{proxy};lr>;x=y",
    "<sip:[2001:db8::1];lr>",
    "<sip:{proxy};lr>,",
    "<sip:elsewhere;x",
    "<tel:1>",
    "<sip:{proxy};l%72>",
]
HOPS, ODD_HOPS = ["70", "70", "1", "none"], ["0", "070", "255", "256", "", "x", "+7"]
LENGTHS, ODD_LENGTHS = ["exact", "exact", "none"], ["shorter", "longer", "padded", "bad", "huge"]
EXTRAS = [
    "Supported: replaces, PATH ,timer",
    "k: path",
    "Supported: xpath",
    "Supported:",
    "Subject: x: y",
    "X-A:",
    "Allow: INVITE,ACK",
    "Proxy-Require: foo",
    "Max-Forwards: 70",
    "To: <sip:a@b>",
    "Contact: <sip:second@10.0.0.1>",
    "X: \x00",
    "X: a\r\n b",
    "bad line",
    "Supported: ,",
    "User-Agent: J\u00fcrgen",
    "Retry-After: 5",
    "Route: <sip:192.0.2.1;lr>",
    "Via: SIP/2.0/UDP 9.9.9.9;branch=z9hG4bKx",
]


def an_address(rng: Random) -> str:
    """What stands in From and To, without a tag."""
    uri = mostly(rng, URIS, ODD_URIS)
    return uri if rng.randrange(4) == 0 else f"{rng.choice(DISPLAYS)}<{uri}>"


def some_extras(rng: Random) -> list[str]:
    """Further fields, now and then."""
    return rng.sample(EXTRAS, rng.randint(1, 3)) if rng.randrange(5) == 0 else []


@attrs.frozen(kw_only=True)
class Style:
    """How one program writes all of its messages."""

    names: str
    colon: str
    via: str
    own: str
    """What it takes for its own address, in its sent-by."""
    contact: str
    is_joined: bool
    """Whether its lists stand in one line."""
    from_: str
    to: str
    tail: str
    lower: tuple[str, ...]

    def field(self, name: str, value: str) -> str:
        return f"{spelled(name, self.names)}{self.colon}{value}"

    def listed(self, name: str, values: Sequence[str]) -> list[str]:
        """A list field, in one line or in several."""
        if not values:
            return []
        return [self.field(name, ", ".join(values))] if self.is_joined else [self.field(name, each) for each in values]

    def request(
        self,
        method: str,
        uri: str,
        *,
        call_id: str,
        branch: str,
        from_tag: str,
        to_tag: str,
        cseq: int,
        route: Sequence[str] = (),
        hops: str = "70",
        length: str = "exact",
        body: str = "",
        extra: Sequence[str] = (),
        swapped: bool = False,
    ) -> bytes:
        """A request in this style; `swapped` when this end was called."""
        ends = (self.to, self.from_) if swapped else (self.from_, self.to)
        vias = [f"SIP/2.0/UDP {self.own}{self.via.format(b=branch)}", *self.lower]
        lines = [
            f"{method} {uri} SIP/2.0",
            *self.listed("Via", vias),
            *([] if hops == "none" else [self.field("Max-Forwards", hops)]),
            self.field("From", f"{ends[0]};tag={from_tag}{self.tail}"),
            self.field("To", f"{ends[1]};tag={to_tag}" if to_tag else ends[1]),
            self.field("Call-ID", call_id),
            self.field("CSeq", f"{cseq} {method}"),
            *([self.field("Contact", self.contact)] if self.contact else []),
            *self.listed("Route", route),
            *extra,
        ]
        return finished(lines, body, length, self.field)


def finished(lines: Sequence[str], body: str, length: str, field: object) -> bytes:
    """The bytes of a message with a Content-Length that is true, or not."""
    assert callable(field)
    size = len(body.encode())
    said = {"exact": str(size), "shorter": str(max(0, size - 2)), "longer": str(size + 1), "padded": f"   {size} "}
    said |= {"bad": "x", "huge": "99999999999", "none": ""}
    ending = [] if length == "none" else [field("Content-Length", said[length])]
    return ("\r\n".join((*lines, *ending, "", "")) + body).encode()


def a_style(rng: Random, source: Address) -> Style:
    """How the one at `source` writes; behind a NAT it does not know its address."""
    text = host_port(source)
    bare = f"[{source[0]}]" if ":" in source[0] else source[0]
    odd = [bare, "192.168.1.20", "phone.local", "[fd00::1]:5060", "A.b:5061", "010.1.1.1:5060", "1.2.3.4.:5060"]
    own = mostly(rng, [text, text, "192.168.1.20:5062"], odd)
    return Style(
        names=rng.choice(SPELLINGS),
        colon=mostly(rng, COLONS, ODD_COLONS),
        via=mostly(rng, VIA_PARAMS, ODD_VIA_PARAMS),
        own=own,
        contact=mostly(rng, CONTACTS, ["", *ODD_CONTACTS]).format(a=own),
        is_joined=rng.choice([False, True]),
        from_=an_address(rng),
        to=an_address(rng),
        tail=mostly(rng, TAILS, ODD_TAILS),
        lower=tuple(rng.choice([[], [], [], *([each] for each in LOWER_VIAS), LOWER_VIAS])),
    )
