"""Whole calls through any configuration: both pipelines decide the same about each of their messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import attrs
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dispatcher.outcome import Forward, Outcome
from dispatcher.snapshot import Snapshot
from sip.message import Message
from sip.uri import Address, host_port
from tests.dispatcher.phones import SDP
from tests.dispatcher.twins import Twins
from tests.dispatcher.wholecalls import (
    CODES,
    HOPS,
    LENGTHS,
    ODD_HOPS,
    ODD_LENGTHS,
    ODD_ROUTES,
    ODD_TARGETS,
    PHONES,
    PHONES6,
    ROUTES,
    SERVERS,
    TARGETS,
    Style,
    a_style,
    a_world,
    finished,
    mostly,
    some_extras,
    with_older_key,
)
from tests.dispatcher.world import values

NAMES = {"trunk.example.net": [("203.0.113.50", 5060)], "elsewhere.example.org": []}
CALL_IDS, ODD_CALL_IDS = ["a84b4c76e66710@pc33", "call-1"], ["<(x)>", "\u00fc@a", "x y", "a@[2001:db8::1]"]
TAGS, ODD_TAGS = ["1928301774", "~a.b-c"], ["0123456789abcdef", "x", "a%20'`"]
METHODS = ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "REFER", "PUBLISH", "x-NEW"]
LATER = ["ACK", "BYE", "INVITE", "INFO", "UPDATE", "OPTIONS", "PRACK", "REFER", "NOTIFY", "MESSAGE", "CANCEL"]
STATUSES = [
    "100 Trying",
    "180 Ringing",
    "200 OK",
    "401 Unauthorized",
    "407 x",
    "486 Busy Here",
    "503 Busy",
    "302 ",
    "699",
]
RETRY_AFTER: list[tuple[str, ...]] = [
    (),
    (),
    ("Retry-After: 30",),
    ("Retry-After: 18000;duration=3600",),
    ("Retry-After: 5 (later)",),
    ("Retry-After: x",),
]
PIECES = [
    b"SIP/2.0 200 OK",
    b"INVITE sip:a@192.0.2.1 SIP/2.0",
    b"\r\n",
    b"\n",
    b" ",
    b"\0",
    b"\r\n\r\n",
    b"\x03",
    b"\x04",
]
PIECES += [b"Via: x", b"vaz", b"v", b"CSeq: 1 INVITE\r\n", b"i: a\r\n", b"sip/", b"\r", b":"]
CALLS = 2000
SEED = 3261


@attrs.define
class Call:
    """One call; `rng` says what happens next."""

    rng: Random
    twins: Twins
    caller: Address
    arrival: int
    style: Style
    call_id: str
    from_tag: str

    def filled(self, text: str) -> str:
        """A template of a URI or Route for this proxy and one of its servers."""
        snapshot = self.twins.snapshot
        own = snapshot.listeners[self.arrival].advertised
        server = snapshot.destinations[0].address
        return text.format(proxy=host_port(own), server=host_port(server))

    def initial(self, method: str) -> tuple[bytes, Outcome]:
        """The first request."""
        route = self.filled(mostly(self.rng, ROUTES, ODD_ROUTES))
        text = self.style.request(
            method,
            self.filled(mostly(self.rng, TARGETS, ODD_TARGETS)),
            call_id=self.call_id,
            branch="z9hG4bK-1",
            from_tag=self.from_tag,
            to_tag=self.rng.choice(["", "", "", "stale"]),
            cseq=1,
            route=[route] if route else [],
            hops=mostly(self.rng, HOPS, ODD_HOPS),
            length=mostly(self.rng, LENGTHS, ODD_LENGTHS),
            body=SDP if method == "INVITE" else "",
            extra=some_extras(self.rng),
        )
        return text, self.twins.take(text, self.caller, self.arrival, kind=f"initial {method}")

    def again(self, text: bytes, method: bytes) -> None:
        """The same again, as CANCEL or ACK, or not changed at all."""
        start, _, rest = text.partition(b"\r\n")
        own = start.partition(b" ")[0]
        changed = method + start[len(own) :] + b"\r\n" + rest.replace(b"1 " + own, b"1 " + method, 1)
        self.twins.take(changed, self.caller, self.arrival, kind=method.decode())

    def reply(self, sent: Forward, status: str) -> Outcome:
        """What a server answers, perhaps in other words."""
        message = Message.parse(sent.payload)
        style = self.style
        vias = [each.strip() for value in values(message, "via") for each in value.split(",")]
        how = mostly(
            self.rng, ["as it is"], ["sent-by in capitals", "forged", "params turned", "without one", "one only"]
        )
        if how == "sent-by in capitals":
            vias[1] = vias[1].upper().replace("BRANCH=", "branch=")
        elif how == "forged":
            vias[0] = vias[0].replace("z9hG4bK", "z9hG4bKf", 1)
        elif how == "params turned":
            first, *params = vias[1].split(";")
            vias[1] = ";".join((first, *reversed(params)))
        elif how == "without one":
            vias = vias[1:]
        elif how == "one only":
            vias = vias[:1]
        lines = [f"SIP/2.0 {status}", *style.listed("Via", vias)]
        for name in ("from", "to", "call-id", "cseq", "record-route"):
            lines += [style.field(name.title(), value) for value in values(message, name)]
        lines += self.rng.choice(RETRY_AFTER)
        text = finished(lines, self.rng.choice(["", SDP]), mostly(self.rng, LENGTHS, ODD_LENGTHS), style.field)
        self.twins.now += self.rng.choice([0.0, 0.013, 31.5, 200.0])
        source = self.rng.choice([sent.address, sent.address, sent.address, SERVERS[0], self.caller])
        return self.twins.take(text, source, sent.listener, kind=f"reply {status[0]}xx")

    def later(self, sent: Forward, *, by_callee: bool) -> Outcome:
        """A request within the dialog, along the Record-Route."""
        message = Message.parse(sent.payload)
        routes = [each for value in values(message, "record-route") for each in value.split(",")]
        routes = routes if by_callee else routes[::-1]
        more = self.rng.choice([(), (), (), ("<sip:203.0.113.50;lr>",), ("<sip:[2001:db8::50]:5070;lr=on>",)])
        source = self.rng.choice([*([sent.address if by_callee else self.caller] * 4), PHONES[1], SERVERS[1]])
        method = self.rng.choice(LATER)
        other = self.caller if by_callee else sent.address
        usual = [f"sip:8006@{host_port(other)}", f"sip:8006@{host_port(other)};transport=udp"]
        text = self.style.request(
            method,
            self.filled(mostly(self.rng, usual, [*TARGETS, *ODD_TARGETS])),
            call_id=self.call_id,
            branch=f"z9hG4bK-{method}",
            from_tag="uas" if by_callee else self.from_tag,
            to_tag=self.from_tag if by_callee else "uas",
            cseq=2,
            route=[*routes, *more],
            length=mostly(self.rng, LENGTHS, ODD_LENGTHS),
            hops=mostly(self.rng, HOPS, ODD_HOPS),
            swapped=by_callee,
        )
        arrival = sent.listener if by_callee else self.arrival
        listener = self.twins.snapshot.listeners[arrival]
        if (":" in source[0]) != (listener.family == 6):
            return sent
        who = "callee" if by_callee else "caller"
        return self.twins.take(text, source, arrival, kind=f"later, {who}")

    def by_path(self, sent: Forward) -> None:
        """A server calls a phone that has registered through us."""
        message = Message.parse(sent.payload)
        text = self.style.request(
            "INVITE", f"sip:8005@{host_port(self.caller)}", call_id="in", branch="z9hG4bK-in", from_tag="uas",
            to_tag="", cseq=7, route=values(message, "path"), body=SDP,
        )  # fmt: skip
        outcome = self.twins.take(text, sent.address, sent.listener, kind="by Path")
        if isinstance(outcome, Forward):
            self.reply(outcome, "200 OK")

    def spiral(self, sent: Forward) -> None:
        """The server sends the request back to us, with or without another Request-URI."""
        start, _, rest = sent.payload.partition(b"\r\n")
        method, uri, version = start.split(b" ")
        other = self.rng.choice([uri, b"sip:other@" + host_port(self.caller).encode()])
        self.twins.take(
            b" ".join((method, other, version)) + b"\r\n" + rest, sent.address, sent.listener, kind="spiral"
        )


def families(snapshot: Snapshot, arrival: int) -> Sequence[Address]:
    """Who may send to a listener."""
    return PHONES6 if snapshot.listeners[arrival].family == 6 else (*PHONES, *SERVERS[:2])


def lead(rng: Random) -> Twins:
    """One call through one world, from its first request to wherever chance leads it."""
    snapshot = a_world(rng)
    arrival = rng.randrange(len(snapshot.listeners))
    caller = rng.choice(families(snapshot, arrival))
    twins = Twins(snapshot, names=NAMES)
    style = a_style(rng, caller)
    call = Call(rng, twins, caller, arrival, style, mostly(rng, CALL_IDS, ODD_CALL_IDS), mostly(rng, TAGS, ODD_TAGS))
    text, sent = call.initial(rng.choice([*(["INVITE"] * 4), *METHODS]))
    if not isinstance(sent, Forward):
        return twins
    for _ in range(rng.randint(1, 8)):
        match rng.choice(["reply", "reply", "caller", "callee", "again", "path", "spiral", "change"]):
            case "reply":
                call.reply(sent, rng.choice(STATUSES))
            case "caller":
                call.later(sent, by_callee=False)
            case "callee":
                call.later(sent, by_callee=True)
            case "again":
                call.again(text, rng.choice([b"CANCEL", b"ACK", text.partition(b" ")[0]]))
            case "path":
                call.by_path(sent)
            case "spiral":
                call.spiral(sent)
            case _:
                change(rng, twins)
    return twins


def change(rng: Random, twins: Twins) -> None:
    """Somebody dies, or comes back, or the secret is another one."""
    snapshot = twins.snapshot
    if rng.randrange(3) == 0:
        twins.swap(with_older_key(snapshot))
        return
    liveness = {set_id: bytes(rng.choice(CODES) for _ in codes) for set_id, codes in snapshot.liveness.items()}
    twins.swap(snapshot.with_liveness(liveness, serving=True))


def some_bytes(rng: Random) -> bytes:
    """What is hardly SIP."""
    return b"".join(rng.choice([*PIECES, rng.randbytes(rng.randrange(3))]) for _ in range(rng.randrange(9)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(st.randoms(use_true_random=False))
def test_both_pipelines_decide_the_same_about_whole_calls(rng: Random) -> None:
    twins = lead(rng)
    for kind in twins.asked:
        event(f"{kind}: {'handed over' if twins.handed_over[kind] else 'decided'}")


def test_both_pipelines_decide_the_same_about_thousands_of_calls() -> None:
    """Plain chance makes a hundred times as many calls as hypothesis in the same time."""
    asked: Counter[str] = Counter()
    handed_over: Counter[str] = Counter()
    for seed in range(CALLS):
        twins = lead(Random(seed))
        asked += twins.asked
        handed_over += twins.handed_over
    for kind, count in sorted(asked.items()):
        print(f"{kind:20}{count:7}{100 * handed_over[kind] / count:6.1f} % handed over")
    assert handed_over.total() < 0.6 * asked.total()


def test_any_bytes_end_alike() -> None:
    rng = Random(SEED)
    twins = Twins(a_world(rng))
    source = families(twins.snapshot, 0)[0]
    for _ in range(5000):
        twins.take(some_bytes(rng), source, kind="bytes")
    assert twins.handed_over["bytes"] < 0.3 * twins.asked["bytes"]
