"""What phones, servers and trunks send all day is decided by the compiled pipeline, and as Python decides it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Forward, Reply
from dispatcher.snapshot import Policy
from health.board import State, Verdict
from sip.message import Message
from sip.uri import Address, host_port
from tests.dispatcher.phones import WRITERS, Sender
from tests.dispatcher.twins import Twins, with_tables
from tests.dispatcher.world import VIP, VIP6, destination, make_snapshot, values

PHONE: Address = ("198.51.100.7", 40001)
PHONE6: Address = ("2001:db8:1::7", 40001)
SERVERS: tuple[Address, ...] = (("10.0.0.11", 5060), ("10.0.0.12", 5060))
SERVERS6: tuple[Address, ...] = (("2001:db8::11", 5060), ("2001:db8::12", 5060))
INSIDE = Listener("udp", ("10.0.0.1", 5060))
INSIDE6 = Listener("udp", ("2001:db8::1:1", 5060))


@attrs.frozen(kw_only=True)
class Place:
    """Where a caller stands: the address it is heard from, the one it takes for its own, and the listener it uses."""

    source: Address
    own: Address
    servers: tuple[Address, ...] = SERVERS
    listeners: tuple[Listener, ...] = (VIP, VIP6)
    arrival: int = 0
    socket: Address | None = None

    def twins(self) -> Twins:
        everyone = [destination(address, socket=self.socket) for address in self.servers]
        policy = Policy(algorithm=DEFAULT, domains=frozenset(("pbx.example.com",)))
        return Twins(with_tables(make_snapshot(*everyone, listeners=self.listeners, policy=policy)))

    @property
    def domain(self) -> str:
        """What a phone writes for the proxy."""
        host = self.listeners[self.arrival].address[0]
        return f"[{host}]" if ":" in host else host


PLACES = {
    "public": Place(source=PHONE, own=PHONE),
    "NAT": Place(source=("203.0.113.200", 61000), own=("192.168.1.44", 5060)),
    "NAT of the port alone": Place(source=("198.51.100.7", 61000), own=PHONE),
    "IPv6": Place(source=PHONE6, own=PHONE6, servers=SERVERS6, arrival=1),
    "inner listener": Place(source=PHONE, own=PHONE, listeners=(VIP, INSIDE), socket=INSIDE.address),
    "inner listener, NAT": Place(
        source=("203.0.113.200", 61000), own=("192.168.1.44", 5060), listeners=(INSIDE, VIP), arrival=1,
        socket=INSIDE.address,
    ),
    "from IPv6 to IPv4": Place(source=PHONE6, own=PHONE6, arrival=1),
}  # fmt: skip


@attrs.frozen
class End:
    """One end of a call as the proxy sees it: who writes, where its messages arrive, what its requests ask for."""

    sender: Sender
    arrival: int
    target: str


def answer(
    request: bytes, status: str, *, to_tag: str = "uas", joined: bool = False, extra: Sequence[str] = ()
) -> bytes:
    """What a server makes of a request: Via, From, Call-ID and CSeq copied, the Record-Route too."""
    message = Message.parse(request)
    vias = [line for name, line in zip(message.names, message.lines, strict=True) if name == b"via"]
    if joined:
        vias = [b"Via: " + b", ".join(line.partition(b":")[2].strip() for line in vias)]
    lines = [f"SIP/2.0 {status}".encode(), *vias]
    for name, line in zip(message.names, message.lines, strict=True):
        if name in (b"record-route", b"from", b"call-id", b"cseq"):
            lines.append(line)
        elif name == b"to":
            lines.append(line if b";tag=" in line or not to_tag else line + b";tag=" + to_tag.encode())
    lines += [line.encode() for line in extra]
    return b"\r\n".join((*lines, b"Server: Asterisk PBX 20.5.0", b"Content-Length: 0", b"", b""))


@attrs.define
class Talk:
    """A call through both pipelines; every message has a kind, which is counted."""

    twins: Twins
    server_joins: bool = False

    def ask(
        self, end: End, method: str, *, statuses: Sequence[str] = ("200 OK",), cseq: int = 2, **changed: object
    ) -> Forward:
        """A request of one end, and its answers."""
        text = end.sender.request(method, end.target, cseq=cseq, **changed)
        sent = self.twins.forward(text, end.sender.source, end.arrival, kind=method)
        for status in statuses:
            back = self.reply(sent, status)
            assert back.address[0] == end.sender.source[0], status  # who does not ask for rport gets it at its sent-by
            assert back.listener == end.arrival
        return sent

    def reply(self, sent: Forward, status: str, extra: Sequence[str] = ()) -> Forward:
        """An answer to what was passed on."""
        self.twins.now += 0.02
        text = answer(
            sent.payload,
            status,
            joined=self.server_joins,
            to_tag="" if status.startswith("100") else "uas",
            extra=extra,
        )
        return self.twins.forward(text, sent.address, sent.listener, kind=status)


def ends(writer: str, place: Place, invite: Forward, sender: Sender, *, joined: bool) -> tuple[End, End]:
    """Caller and callee once the INVITE has been answered."""
    message = Message.parse(invite.payload)
    routes = tuple(value for raw in values(message, "record-route") for value in raw.split(","))
    proxies = tuple(value for value in routes if "lr" in value)
    own = tuple(value for value in proxies if "203.0.113.9;" not in value)
    caller = attrs.evolve(sender, to_tag="uas", route=tuple(reversed(own)), is_joined=joined)
    host, port = invite.address
    callee = Sender(
        writer="asterisk", source=invite.address, own=invite.address, domain=place.domain, call_id=sender.call_id,
        from_tag="uas", to_tag=sender.from_tag, branch="callee", route=proxies, is_joined=joined,
    )  # fmt: skip
    contact = host_port(sender.own) if "trunk" not in writer else "203.0.113.80:5070"
    return (
        End(caller, place.arrival, f"sip:8006@{host_port((host, port))}"),
        End(callee, invite.listener, f"sip:8005@{contact}"),
    )


def calls(writer: str, place: Place, *, joined: bool) -> Iterator[Twins]:
    """Everything that such a sender does in a day."""
    twins = place.twins()
    talk = Talk(twins, server_joins=joined)
    sender = Sender(writer=writer, source=place.source, own=place.own, domain=place.domain)
    target = f"sip:8006@{place.domain}"
    phone = End(sender, place.arrival, target)

    answered = talk.ask(
        phone, "INVITE", cseq=1, statuses=("100 Trying", "180 Ringing", "183 Session Progress", "200 OK")
    )
    caller, callee = ends(writer, place, answered, sender, joined=joined)
    for end in (caller, callee):
        talk.ask(end, "ACK", cseq=1, statuses=())
        for method in ("INFO", "UPDATE", "INVITE", "PRACK", "MESSAGE", "OPTIONS", "REFER", "NOTIFY"):
            talk.ask(end, method, branch=f"{method}-{end.sender.from_tag}")
        talk.ask(end, "INVITE", cseq=3, statuses=("100 Trying", "488 Not Acceptable Here"), branch="again")
        talk.ask(end, "ACK", cseq=3, statuses=(), branch="again")
        talk.ask(end, "BYE", cseq=9, branch=f"bye-{end.sender.from_tag}")
    yield twins

    other = attrs.evolve(phone, sender=attrs.evolve(sender, call_id="another", branch="second"))
    talk.ask(other, "INVITE", cseq=1, statuses=("100 Trying", "180 Ringing"))
    talk.ask(other, "CANCEL", cseq=1)
    refused = talk.ask(
        other, "INVITE", cseq=1, statuses=("487 Request Terminated", "404 Not Found", "401 Unauthorized")
    )
    assert talk.reply(refused, "503 Service Unavailable", ("Retry-After: 30",)).retry_after == 30
    talk.ask(attrs.evolve(other, sender=attrs.evolve(other.sender, to_tag="uas")), "ACK", cseq=1, statuses=())
    for method in ("MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS", "NOTIFY", "REFER", "UNKNOWN"):
        alone = attrs.evolve(phone, sender=attrs.evolve(sender, call_id=method, branch=method))
        talk.ask(alone, method, cseq=1)
    registrar = End(attrs.evolve(sender, call_id="register"), place.arrival, f"sip:{place.domain}")
    registered = talk.ask(registrar, "REGISTER", cseq=1, statuses=("401 Unauthorized", "200 OK"))
    outbound = attrs.evolve(phone, sender=attrs.evolve(sender, call_id="out", route=(f"<sip:{place.domain};lr>",)))
    talk.ask(outbound, "INVITE", cseq=1, statuses=("100 Trying", "200 OK"))

    (path,) = values(Message.parse(registered.payload), "path")
    server = Sender(
        writer="asterisk", source=registered.address, own=registered.address, domain=place.domain, call_id="in",
        route=(path,),
    )  # fmt: skip
    back = End(server, registered.listener, f"sip:8005@{host_port(place.own)}")
    called = talk.ask(back, "INVITE", cseq=1, statuses=("100 Trying", "180 Ringing", "200 OK"))
    assert called.address[0] == place.source[0]
    yield twins


@pytest.mark.parametrize("joined", [False, True], ids=["own lines", "joined"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("writer", WRITERS)
def test_whole_calls_never_wait_for_python(writer: str, place: str, *, joined: bool) -> None:
    for twins in calls(writer, PLACES[place], joined=joined):
        assert not twins.handed_over.total(), twins.handed_over
        assert sum(twins.asked.values()) > 50


@pytest.mark.parametrize("uri", ["sip:8006@192.0.2.1", "sip:8006@vip.example.net", "sip:8006@trunk.example.net"])
@pytest.mark.parametrize("route", [None, "<sip:vip.example.net;lr>", "<sip:192.0.2.1;lr>, <sip:vip.example.net;lr>"])
def test_a_server_may_call_us_by_a_name_that_only_python_knows(uri: str, route: str | None) -> None:
    names = {"vip.example.net": [VIP.address], "trunk.example.net": [("203.0.113.50", 5060)]}
    twins = attrs.evolve(PLACES["public"].twins(), names=names)
    server = Sender(writer="asterisk", source=SERVERS[0], own=SERVERS[0], domain="192.0.2.1")
    twins.forward(attrs.evolve(server, route=(route,) if route else ()).request("INVITE", uri), server.source)


def test_a_server_that_takes_us_for_the_phone_reaches_the_phone() -> None:
    """It has written where the registration came from into the Request-URI; the token knows better."""
    place = PLACES["public"]
    talk = Talk(place.twins())
    sender = Sender(writer="pjsip", source=place.source, own=place.own, domain=place.domain)
    invite = talk.ask(End(sender, 0, "sip:8006@192.0.2.1"), "INVITE", cseq=1)
    _, callee = ends("pjsip", place, invite, sender, joined=False)
    sent = talk.ask(attrs.evolve(callee, target=f"sip:8005@{place.domain}:5060"), "BYE")
    assert sent.address == place.source
    assert not talk.twins.handed_over.total()


def test_a_cancel_follows_its_invite_though_the_server_that_it_names_has_come_back() -> None:
    twins = PLACES["public"].twins()
    up = twins.snapshot
    down = up.with_liveness({1: bytes((State(verdict=Verdict.DOWN).code, State().code))}, serving=True)
    phone = Sender(writer="pjsip", source=PHONE, own=PHONE, domain="192.0.2.1")
    twins.swap(down)
    uri = f"sip:8006@{host_port(SERVERS[0])}"
    assert twins.forward(phone.request("INVITE", uri), PHONE).address == SERVERS[1]
    twins.swap(up)
    assert twins.forward(phone.request("CANCEL", uri), PHONE).address == SERVERS[1]
    assert twins.forward(phone.request("INVITE", uri, call_id="another"), PHONE).address == SERVERS[0]
    assert not twins.handed_over.total()


def test_a_call_outlives_its_server_s_place_in_the_list_for_its_own_ends_only() -> None:
    place = PLACES["public"]
    twins = place.twins()
    talk = Talk(twins)
    sender = Sender(writer="pjsip", source=place.source, own=place.own, domain=place.domain)
    invite = talk.ask(End(sender, 0, "sip:8006@192.0.2.1"), "INVITE", cseq=1)
    caller, callee = ends("pjsip", place, invite, sender, joined=False)
    others = [destination(address) for address in SERVERS if address != invite.address]
    twins.swap(with_tables(make_snapshot(*others, listeners=place.listeners)))
    assert talk.ask(caller, "INFO").address == invite.address
    assert talk.ask(callee, "INFO").address == place.source
    assert not twins.handed_over.total()
    stranger: Address = ("203.0.113.66", 5060)
    for end in (caller, callee):
        text = end.sender.request("BYE", end.target)
        assert isinstance(twins.take(text, stranger), Reply)
