"""Do the demo's phone and its answerers hold a call as RFC 3261 says, whatever the network loses?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, pairwise

import attrs
import pytest
import trio
import trio.testing

from dispatcher.received import Received
from sip.message import Message
from sip.uri import Address
from sipdispatch import demo_answerer, demo_caller
from sipdispatch.demo_answerer import Answerer
from sipdispatch.demo_caller import Caller, Ended
from sipdispatch.demo_dialog import Call
from sipdispatch.errors import CommandError
from tests.dispatcher.world import request, values
from tests.sipdispatch.wire import Sent, Wire, WireSocket

SERVER: Address = ("127.0.0.2", 5060)
PHONE: Address = ("127.0.0.1", 40000)


@pytest.fixture
async def wire() -> Wire:
    """What every socket of the test is on; the setting ends with the test's own run of trio."""
    wire = Wire()
    trio.socket.set_custom_socket_factory(wire)
    return wire


@attrs.define
class Heard:
    methods: list[str] = attrs.field(factory=list)

    def __call__(self, address: Address, received: Received) -> None:
        assert address == SERVER
        self.methods.append(received.request.message.method.decode())


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def open_phone() -> WireSocket:
    sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    assert isinstance(sock, WireSocket)
    await sock.bind(PHONE)
    return sock


async def hold_a_call(wire: Wire, heard: Heard) -> Ended:
    """A call from the phone straight to the answerer, which is its proxy as far as it knows."""
    async with trio.open_nursery() as nursery:
        await nursery.start(Answerer(SERVER, heard).serve)
        numbers = count(1)
        caller = Caller(await open_phone(), SERVER, lambda: next(numbers))
        nursery.start_soon(caller.listen)
        ended = await caller.call()
        nursery.cancel_scope.cancel()
    return ended


def losing(*wanted: tuple[str, int]) -> Callable[[Sent], bool]:
    """Lose the n-th message (from 0) with each of these starts."""
    seen: dict[str, int] = {}

    def lose(sent: Sent) -> bool:
        number = seen[sent.start] = seen.get(sent.start, -1) + 1
        return (sent.start, number) in wanted

    return lose


async def test_a_call(wire: Wire, heard: Heard, autojump_clock: trio.testing.MockClock) -> None:
    assert await hold_a_call(wire, heard) == Ended(SERVER, complete=True, retransmitted=False)
    assert wire.starts() == ["INVITE", "180", "200", "ACK", "BYE", "200"]
    assert heard.methods == ["INVITE", "BYE"]


@pytest.mark.parametrize("lost", [("INVITE", 0), ("180", 0), ("200", 0), ("ACK", 0), ("BYE", 0), ("200", 1)])
async def test_any_message_may_be_lost_once(
    lost: tuple[str, int], wire: Wire, heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    wire.lose = losing(lost)
    ended = await hold_a_call(wire, heard)
    assert ended == Ended(SERVER, complete=True, retransmitted=lost == ("INVITE", 0))
    assert heard.methods.count("INVITE") == 1


async def test_an_invitation_is_sent_again_until_something_comes_back(
    wire: Wire, heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    wire.lose = losing(("180", 0), ("200", 0), ("200", 1))
    ended = await hold_a_call(wire, heard)
    assert ended == Ended(SERVER, complete=True, retransmitted=True)
    invitations = [sent.at for sent in wire.sent if sent.start == "INVITE"]
    assert [at - invitations[0] for at in invitations] == pytest.approx([0, 0.5])
    assert heard.methods.count("INVITE") == 1


async def test_nobody_answers(wire: Wire, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        caller = Caller(await open_phone(), SERVER, lambda: 7)
        nursery.start_soon(caller.listen)
        started = trio.current_time()
        assert await caller.call() == Ended(None, complete=False, retransmitted=True)
        assert trio.current_time() - started == pytest.approx(demo_caller.GIVE_UP_S)
        nursery.cancel_scope.cancel()
    gaps = [round(later.at - earlier.at, 3) for earlier, later in pairwise(wire.sent)]
    assert gaps[:4] == [0.5, 1.0, 2.0, 4.0]
    assert set(gaps[4:]) == {4.0}


def reply_to(invite: bytes, status: str, *fields: str) -> bytes:
    message = Message.parse(invite)
    lines = [f"SIP/2.0 {status}".encode()]
    for name, line in zip(message.names, message.lines, strict=True):
        if name in (b"via", b"from", b"call-id", b"cseq"):
            lines.append(line)
        elif name == b"to":
            lines.append(line + b";tag=server")
    return b"\r\n".join((*lines, *(field.encode() for field in fields), b"Content-Length: 0", b"", b""))


async def converse(wire: Wire, *answers: Callable[[bytes], bytes]) -> tuple[Ended, list[Message]]:
    """A call to a server that gives these answers, one to each message, and then says nothing more."""
    async with trio.open_nursery() as nursery:
        server = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await server.bind(SERVER)
        got: list[Message] = []

        async def serve() -> None:
            left = list(answers)
            while True:
                payload, source = await server.recvfrom(65535)
                got.append(Message.parse(payload))
                if left:
                    await server.sendto(left.pop(0)(payload), source)

        nursery.start_soon(serve)
        caller = Caller(await open_phone(), SERVER, lambda: 7)
        nursery.start_soon(caller.listen)
        ended = await caller.call()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    return ended, got


async def test_a_refused_call_is_acknowledged_in_its_transaction(
    wire: Wire, autojump_clock: trio.testing.MockClock
) -> None:
    ended, (invite, ack) = await converse(wire, lambda invite: reply_to(invite, "486 Busy Here"))
    assert ended == Ended(None, complete=False, retransmitted=False)
    assert (invite.method, ack.method) == (b"INVITE", b"ACK")
    assert ack.value(b"via") == invite.value(b"via")
    assert ack.value(b"cseq") == b"1 ACK"
    assert values(ack, "To")[0].endswith(";tag=server")


@pytest.mark.parametrize(
    "fields",
    [(), ("Contact: nonsense",), ("Contact: <sip:a@server.example.com>",)],
    ids=["no Contact", "malformed", "a name"],
)
async def test_an_answer_that_cannot_be_followed_loses_the_call(
    fields: tuple[str, ...], wire: Wire, autojump_clock: trio.testing.MockClock
) -> None:
    ended, _ = await converse(wire, lambda invite: reply_to(invite, "200 OK", *fields))
    assert ended == Ended(None, complete=False, retransmitted=False)


async def test_what_is_not_for_a_call_is_ignored(wire: Wire, autojump_clock: trio.testing.MockClock) -> None:
    rubbish = [b"nonsense", request(call_id="other"), b"SIP/2.0 200 OK\r\nCall-ID: gone\r\n\r\n"]
    async with trio.open_nursery() as nursery:
        phone = await open_phone()
        for datagram in rubbish:
            await phone.sendto(datagram, PHONE)
        caller = Caller(phone, SERVER, lambda: 7)
        nursery.start_soon(caller.listen)
        assert await caller.call() == Ended(None, complete=False, retransmitted=True)
        nursery.cancel_scope.cancel()


def test_a_dialog_follows_the_recorded_route_backwards() -> None:
    call = Call(proxy=("127.0.0.1", 5060), own=PHONE, token=b"7")
    answer = reply_to(
        call.invite(),
        "200 OK",
        "Record-Route: <sip:t@127.0.0.1:5070;lr>, <sip:u@127.0.0.1;lr>",
        "Record-Route: <sip:v@127.0.0.1:5090;lr>",
        "Contact: <sip:answerer@127.0.0.2:5060>",
    )
    dialog = call.begun(Message.parse(answer))
    assert dialog.next_hop == ("127.0.0.1", 5090)
    assert dialog.answered_by == SERVER
    bye = Message.parse(dialog.bye())
    assert bye.uri == b"sip:answerer@127.0.0.2:5060"
    assert values(bye, "Route") == ["<sip:v@127.0.0.1:5090;lr>", "<sip:u@127.0.0.1;lr>", "<sip:t@127.0.0.1:5070;lr>"]
    assert bye.value(b"cseq") == b"2 BYE"
    assert bye.value(b"via") != Message.parse(dialog.acknowledge()).value(b"via")


# --------------------------------------------------------------------------------------------------------------------
# The answerer alone


@attrs.define
class Phone:
    """Sends what a test writes to the answerer and takes what comes back."""

    sock: WireSocket
    received: list[tuple[float, Message]] = attrs.field(factory=list)

    async def listen(self) -> None:
        while True:
            payload, _ = await self.sock.recvfrom(65535)
            self.received.append((trio.current_time(), Message.parse(payload)))

    async def send(self, method: str, *, cseq: int = 1, to_tag: str = "", **pieces: object) -> list[str]:
        """What has come back a moment later: the statuses since."""
        before = len(self.received)
        datagram = request(method, via="127.0.0.1:40000", cseq=cseq, to_tag=to_tag, **pieces)  # type: ignore[arg-type]
        await self.sock.sendto(datagram, SERVER)
        await trio.sleep(demo_answerer.RING_S / 4)
        return [str(message.status) for _, message in self.received[before:]]


@pytest.fixture
async def phone(wire: Wire, heard: Heard, nursery: trio.Nursery) -> tuple[Phone, Answerer]:
    answerer = Answerer(SERVER, heard)
    await nursery.start(answerer.serve)
    phone = Phone(await open_phone())
    nursery.start_soon(phone.listen)
    return phone, answerer


async def test_the_answer_is_repeated_until_its_ack(
    phone: tuple[Phone, Answerer], autojump_clock: trio.testing.MockClock
) -> None:
    caller, _ = phone
    assert await caller.send("INVITE") == ["180"]
    started = trio.current_time()
    await trio.sleep(40)
    finals = [at - started for at, message in caller.received if message.status == 200]
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(finals)]
    assert gaps[:4] == [0.5, 1.0, 2.0, 4.0]
    assert set(gaps[4:]) == {4.0}
    assert finals[-1] < demo_answerer.GIVE_UP_S + 1
    assert len({message.to_bytes() for _, message in caller.received if message.status == 200}) == 1


async def test_an_ack_ends_it(
    phone: tuple[Phone, Answerer], heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    caller, _ = phone
    await caller.send("INVITE")
    assert await caller.send("INVITE") == ["180"]  # a retransmission
    await trio.sleep(0.2)
    assert await caller.send("INVITE") == ["200"]
    assert await caller.send("ACK", to_tag="x") == []
    count_before = len(caller.received)
    await trio.sleep(40)
    assert len(caller.received) == count_before
    assert heard.methods == ["INVITE"]


async def test_a_cancelled_invitation(phone: tuple[Phone, Answerer], autojump_clock: trio.testing.MockClock) -> None:
    caller, _ = phone
    await caller.send("INVITE")
    assert sorted(await caller.send("CANCEL")) == ["200", "487"]
    assert await caller.send("ACK", to_tag="x") == []
    assert await caller.send("CANCEL") == ["200"]
    await trio.sleep(40)
    assert [message.status for _, message in caller.received] == [180, 200, 487, 200]


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", "200"), ("BYE", "200"), ("CANCEL", "481"), ("MESSAGE", "405")]
)
async def test_other_requests(
    method: str, status: str, phone: tuple[Phone, Answerer], heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    caller, _ = phone
    assert await caller.send(method) == [status]
    assert heard.methods == ([method] if status == "200" else [])


async def test_a_registration_is_welcome(phone: tuple[Phone, Answerer], autojump_clock: trio.testing.MockClock) -> None:
    caller, _ = phone
    path = "Path: <sip:t@127.0.0.1;lr>"
    assert await caller.send("REGISTER", contact="<sip:8005@127.0.0.1:40000>", extra=(path,)) == ["200"]
    answer = caller.received[-1][1]
    assert values(answer, "Contact") == ["<sip:8005@127.0.0.1:40000>"]
    assert values(answer, "Path") == ["<sip:t@127.0.0.1;lr>"]
    assert values(answer, "Expires") == ["3600"]
    await caller.send("REGISTER", cseq=2, extra=("Expires: 60",))
    assert values(caller.received[-1][1], "Expires") == ["60"]


async def test_what_is_no_request_is_ignored(
    phone: tuple[Phone, Answerer], heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    caller, _ = phone
    for datagram in (b"", b"nonsense", b"SIP/2.0 200 OK\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\n\r\n"):
        await caller.sock.sendto(datagram, SERVER)
    assert await caller.send("OPTIONS") == ["200"]
    assert heard.methods == ["OPTIONS"]


async def test_old_invitations_are_forgotten(
    phone: tuple[Phone, Answerer], heard: Heard, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(demo_answerer, "REMEMBERED", 1)
    caller, _ = phone
    await caller.send("INVITE", call_id="a")
    await caller.send("INVITE", call_id="b")
    await caller.send("INVITE", call_id="a")
    assert heard.methods == ["INVITE"] * 3


async def test_the_dead_say_nothing_and_may_come_back(
    phone: tuple[Phone, Answerer], nursery: trio.Nursery, wire: Wire, autojump_clock: trio.testing.MockClock
) -> None:
    caller, answerer = phone
    await caller.send("INVITE")
    assert SERVER in wire.sockets
    await answerer.kill()
    assert not answerer.alive
    assert SERVER not in wire.sockets
    await trio.sleep(5)
    assert await caller.send("OPTIONS") == []
    await nursery.start(answerer.serve)
    assert await caller.send("OPTIONS") == ["200"]


async def test_who_was_never_started_can_be_killed(heard: Heard, autojump_clock: trio.testing.MockClock) -> None:
    answerer = Answerer(SERVER, heard)
    await answerer.kill()
    assert not answerer.alive


async def test_an_address_that_is_taken(
    phone: tuple[Phone, Answerer], nursery: trio.Nursery, heard: Heard, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(CommandError, match="the address cannot be used: Address already in use") as raised:
        await nursery.start(Answerer(SERVER, heard).serve)
    assert raised.value.faults[0].where == "udp:127.0.0.2:5060"
