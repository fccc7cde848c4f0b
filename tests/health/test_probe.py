"""One probe over real sockets: what is reported for each way in which a server can answer, or not."""

from __future__ import annotations

import errno
import socket
from typing import Literal

import attrs
import pytest
import trio

from health.digest import Credentials
from health.options import Answer, Question
from health.probe import Aim, Manner, NoAddressError, Packet, Watch, numeric_only, probe
from health.report import ProbeReport, Result
from health.template import read_template
from sip.errors import SipError
from sip.message import Message
from sip.uri import Address, host_port
from tests.health.answerer import (
    HANG_UP,
    Answerer,
    Script,
    another_call_id,
    answers_every,
    asks_for_a_password,
    half_an_answer,
    only_100,
    reply,
    says,
    silent,
)
from tests.peers.namespace import Network
from tests.peers.ports import free_port

SHORT_S = 0.15
LONG_S = 5.0


def aim(address: Address, transport: Literal["udp", "tcp"] = "udp") -> Aim:
    return Aim(uri=f"sip:{host_port(address)}", host=address[0], port=address[1], transport=transport)


async def probed(
    script: Script,
    *,
    transport: Literal["udp", "tcp"] = "udp",
    timeout_s: float = LONG_S,
    host: str = "127.0.0.1",
    manner: Manner | None = None,
) -> ProbeReport:
    with Answerer(script, host) as server:
        return await probe(aim(server.address, transport), timeout=timeout_s, manner=manner or Manner())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_answer_is_reported_with_all_that_is_known_of_it(transport: Literal["udp", "tcp"], host: str) -> None:
    with Answerer(says(), host) as server:
        report = await probe(attrs.evolve(aim(server.address, transport), label="mine"), timeout=LONG_S)
        (request,) = server.heard
    assert (report.result, report.code, report.reason, report.server) == (Result.OK, 200, "OK", "small")
    assert (report.target, report.ip, report.port, report.transport) == ("mine", *server.address, transport)
    assert report.rtt_ms is not None
    assert 0 < report.rtt_ms <= report.elapsed_ms < LONG_S * 1000
    assert (report.connect_ms is None) == (transport == "udp")
    assert (report.dns_ms, report.retransmits, report.strays) == (None, 0, 0)
    message = Message.parse(request)
    assert f"Via: SIP/2.0/{transport.upper()} {report.local};branch=".encode() in request
    from_field = message.value(b"from")
    assert from_field is not None
    assert from_field.startswith(f"<sip:sipdispatch@{report.local.rpartition(':')[0]}>;tag=".encode())


@pytest.mark.parametrize(
    ("script", "transport", "result", "code", "reason"),
    [
        (says(404, "Not Found"), "udp", Result.STATUS, 404, "Not Found"),
        (says(503, "Service Unavailable"), "tcp", Result.STATUS, 503, "Service Unavailable"),
        (says(202, "Accepted"), "udp", Result.OK, 202, "Accepted"),
        (asks_for_a_password(), "udp", Result.STATUS, 401, "Unauthorized"),
        (silent, "udp", Result.TIMEOUT, 0, "no answer in 150 ms"),
        (silent, "tcp", Result.TIMEOUT, 0, "no answer in 150 ms"),
        (only_100, "udp", Result.TIMEOUT, 0, "only 100 Trying in 150 ms"),
        (only_100, "tcp", Result.TIMEOUT, 0, "only 100 Trying in 150 ms"),
        (another_call_id, "udp", Result.MISMATCH, 0, "no answer in 150 ms, only strays: another Call-ID"),
        (another_call_id, "tcp", Result.MISMATCH, 0, "no answer in 150 ms, only strays: another Call-ID"),
        (lambda *_: [b"noise"], "udp", Result.MALFORMED, 0, "no answer in 150 ms, only what is no SIP message"),
        (
            lambda *_: [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            "tcp",
            Result.MALFORMED,
            0,
            "what came is no SIP message: Malformed start line",
        ),
        (
            half_an_answer,
            "tcp",
            Result.CONNECT,
            0,
            "the server closed the connection in the middle of the answer",
        ),
        (lambda *_: [HANG_UP], "tcp", Result.CONNECT, 0, "the server closed the connection without an answer"),
    ],
)
async def test_every_way_to_answer_has_its_report(
    script: Script, transport: Literal["udp", "tcp"], result: Result, code: int, reason: str
) -> None:
    waits = result in (Result.TIMEOUT, Result.MISMATCH) or "150 ms" in reason
    report = await probed(script, transport=transport, timeout_s=SHORT_S if waits else LONG_S)
    assert (report.result, report.code, report.reason) == (result, code, reason)
    assert result.answered == bool(code)
    assert report.strays == ("stray" in reason or "only what" in reason)


async def test_a_lost_request_is_sent_again() -> None:
    report = await probed(answers_every(3), manner=Manner(t1_s=0.01))
    assert (report.result, report.retransmits) == (Result.OK, 2)
    assert report.rtt_ms is not None
    assert report.rtt_ms >= 30


async def test_but_not_when_that_is_unwanted() -> None:
    report = await probed(answers_every(3), manner=Manner(t1_s=0.01, retransmit=False), timeout_s=SHORT_S)
    assert (report.result, report.retransmits) == (Result.TIMEOUT, 0)


async def test_several_messages_on_one_connection_and_messages_in_pieces() -> None:
    def answer(request: bytes, _number: int) -> list[bytes]:
        together = b"\r\n\r\n" + another_call_id(request, 1)[0] + reply(request, 100, "Trying") + reply(request)
        return [together[:90], together[90:]]

    report = await probed(answer, transport="tcp")
    assert (report.result, report.code, report.strays) == (Result.OK, 200, 1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("algorithm", [b"MD5", b"SHA-256"])
async def test_a_challenge_is_met(transport: Literal["udp", "tcp"], algorithm: bytes) -> None:
    with Answerer(asks_for_a_password(algorithm)) as server:
        report = await probe(
            aim(server.address, transport), timeout=LONG_S, manner=Manner(credentials=Credentials(b"u", b"p"))
        )
        first, second = server.heard
    assert (report.result, report.retransmits, report.strays) == (Result.OK, 0, 0)
    assert b"CSeq: 1 OPTIONS" in first
    assert b"CSeq: 2 OPTIONS" in second
    assert b", algorithm=" + algorithm in second
    assert f'uri="sip:{server.place}"'.encode() in second


async def test_everything_about_the_request_can_be_chosen() -> None:
    manner = Manner(
        question=Question(method=b"INFO", user_agent=b"mine", max_forwards=0, fields=(b"X-Check: 1",), body=b"hi"),
        from_uri="sip:me@example.com",
        source=("127.0.0.9", 0),
        sent_by="front.example.com",
    )
    with Answerer(says()) as server:
        report = await probe(aim(server.address), timeout=LONG_S, manner=manner)
        (request,) = server.heard
    assert report.result is Result.OK
    assert report.local.startswith("127.0.0.9:")
    assert request.startswith(f"INFO sip:{server.place} SIP/2.0\r\nVia: SIP/2.0/UDP front.example.com:".encode())
    for line in (
        b"From: <sip:me@example.com>",
        b"Max-Forwards: 0",
        b"User-Agent: mine",
        b"X-Check: 1",
        b"CSeq: 1 INFO",
    ):
        assert b"\r\n" + line in request
    assert request.endswith(b"Content-Length: 2\r\n\r\nhi")


async def test_a_written_request_is_sent_with_our_via() -> None:
    template = read_template(b"INFO sip:8006@example.com SIP/2.0\nFrom: sip:a@b\nTo: sip:c@d\nCall-ID: own\n")
    with Answerer(says()) as server:
        report = await probe(aim(server.address), timeout=LONG_S, manner=Manner(template=template))
        (request,) = server.heard
    assert report.result is Result.OK
    assert request.startswith(b"INFO sip:8006@example.com SIP/2.0\r\n")
    assert b"\r\nCall-ID: own\r\n" in request


async def test_a_request_that_would_be_none_is_not_sent() -> None:
    with pytest.raises(SipError):
        await probed(says(), manner=Manner(question=Question(method=b"NO METHOD")))


async def test_a_chosen_port_serves_probe_after_probe() -> None:
    source = ("127.0.0.1", free_port())
    for transport in ("tcp", "tcp", "udp", "udp"):
        report = await probed(says(), transport=transport, manner=Manner(source=source))
        assert (report.result, report.local) == (Result.OK, host_port(source)), report


async def test_each_packet_is_shown() -> None:
    packets: list[Packet] = []
    watch: Watch = packets.append
    with Answerer(
        lambda request, number: [] if number < 2 else [reply(request, 100, "Trying"), reply(request)]
    ) as server:
        await probe(aim(server.address), timeout=LONG_S, manner=Manner(t1_s=0.02), watch=watch)
    assert [(packet.sent, packet.retransmission) for packet in packets] == [
        (True, False),
        (True, True),
        (False, False),
        (False, False),
    ]
    assert [packet.meaning.status for packet in packets if isinstance(packet.meaning, Answer)] == [100, 200]
    assert {packet.address for packet in packets} == {server.address}


# --------------------------------------------------------------------------------------------------------------------
# Nobody there


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_closed_port_refuses_at_once(transport: Literal["udp", "tcp"], host: str) -> None:
    report = await probe(aim((host, free_port(host)), transport), timeout=LONG_S)
    assert (report.result, report.code) == (Result.REFUSED, 0)
    assert report.reason == "the other side has no socket on that port"
    assert report.rtt_ms is None
    assert report.elapsed_ms < LONG_S * 500


@pytest.mark.peers
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("rule", "result", "reason"),
    [
        ("reject with icmp port-unreachable", Result.REFUSED, "the other side has no socket on that port"),
        ("reject with icmp host-unreachable", Result.UNREACHABLE, "No route to host"),
        ("reject with icmp net-unreachable", Result.UNREACHABLE, "Network is unreachable"),
        ("reject with icmp admin-prohibited", Result.UNREACHABLE, "No route to host"),
        ("drop", Result.TIMEOUT, None),
    ],
)
async def test_a_packet_filter_on_the_way_is_told_apart(
    transport: Literal["udp", "tcp"], rule: str, result: Result, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Network() as network:
        here, there = network.host("here"), network.host("there")
        network.wire(here, "192.0.2.1/24", there, "192.0.2.2/24")
        chain = f"type filter hook input priority 0\nip protocol {{ tcp, udp }} {rule}"
        there.nft(f"table ip filter {{\nchain input {{\n{chain}\n}}\n}}\n")
        inside(here.open_socket, monkeypatch)
        target = aim(("192.0.2.2", 5060), transport)
        report = await probe(target, timeout=LONG_S if reason else SHORT_S)
    waited = "no connection in" if transport == "tcp" else "no answer in"
    assert report.result is result, report
    assert report.reason == (reason or f"{waited} 150 ms")


def inside(open_socket: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the probe's sockets be made in a namespace."""

    def make(family: socket.AddressFamily, kind: socket.SocketKind) -> trio.socket.SocketType:
        return trio.socket.from_stdlib_socket(open_socket(kind, family))  # type: ignore[operator]

    monkeypatch.setattr("health.probe.trio.socket.socket", make)


@pytest.mark.peers
async def test_no_route_is_unreachable_and_an_interface_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    with Network() as network:
        here, there = network.host("here"), network.host("there")
        ends = network.wire(here, "192.0.2.1/24", there, "192.0.2.2/24")
        inside(here.open_socket, monkeypatch)
        lost = await probe(aim(("198.51.100.1", 5060)), timeout=LONG_S)
        bound = await probe(aim(("192.0.2.2", 5060)), timeout=LONG_S, manner=Manner(interface=ends[0]))
    assert (lost.result, lost.reason) == (Result.UNREACHABLE, "Network is unreachable")
    assert (bound.result, bound.local.partition(":")[0]) == (Result.REFUSED, "192.0.2.1")


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (Manner(source=("192.0.2.77", 0)), "Cannot assign requested address"),
        (Manner(source=("::1", 0)), "Address family not supported by protocol"),
        (Manner(interface="nosuch0"), "No such device"),
    ],
)
async def test_what_cannot_be_done_here_is_a_local_fault(manner: Manner, reason: str) -> None:
    report = await probed(says(), manner=manner)
    assert (report.result, report.reason, report.local) == (Result.LOCAL, reason, "")


async def test_a_request_that_is_too_long_is_a_local_fault() -> None:
    report = await probed(says(), manner=Manner(question=Question(body=b"x" * 65500)))
    assert (report.result, report.reason) == (Result.LOCAL, "Message too long")


async def test_a_connection_that_is_reset_has_ended() -> None:
    def slam(request: bytes, number: int) -> list[bytes]:
        return [HANG_UP]

    with Answerer(slam) as server:
        report = await probe(
            aim(server.address, "tcp"), timeout=LONG_S, manner=Manner(question=Question(body=b"x" * 4_000_000))
        )
    assert (report.result, report.code) == (Result.CONNECT, 0)
    assert report.reason.startswith("the server ")


# --------------------------------------------------------------------------------------------------------------------
# Names


async def test_a_name_takes_a_look_up() -> None:
    async def look_up(host: str, port: int | None, transport: str) -> Address:
        assert (host, port, transport) == ("pbx.example.com", None, "udp")
        return server.address

    with Answerer(says()) as server:
        named = Aim(uri="sip:pbx.example.com", host="pbx.example.com")
        report = await probe(named, timeout=LONG_S, look_up=look_up)
        assert server.heard[0].startswith(b"OPTIONS sip:pbx.example.com SIP/2.0\r\n")
    assert (report.result, report.ip, report.port) == (Result.OK, *server.address)
    assert report.dns_ms is not None


async def test_a_name_without_an_address_is_told() -> None:
    report = await probe(Aim(uri="sip:pbx.example.com", host="pbx.example.com"), timeout=LONG_S)
    assert (report.result, report.reason, report.ip, report.port) == (Result.DNS, "it is not a numeric address", "", 0)


async def test_the_time_for_the_look_up_counts(autojump_clock: trio.testing.MockClock) -> None:
    async def look_up(host: str, port: int | None, transport: str) -> Address:
        await trio.sleep_forever()
        raise NoAddressError(host)

    report = await probe(Aim(uri="sip:pbx.example.com", host="pbx.example.com"), timeout=2.0, look_up=look_up)
    assert (report.result, report.reason) == (Result.DNS, "the name servers have not answered in 2000 ms")
    assert report.elapsed_ms == pytest.approx(2000)


async def test_numbers_need_no_look_up() -> None:
    assert await numeric_only("192.0.2.1", None, "udp") == ("192.0.2.1", 5060)
    assert await numeric_only("2001:DB8::1", 5062, "udp") == ("2001:db8::1", 5062)


async def test_other_errors_of_the_kernel_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, result in (
        (errno.EPERM, Result.LOCAL),
        (errno.ETIMEDOUT, Result.TIMEOUT),
        (errno.ECONNRESET, Result.CONNECT),
        (errno.EACCES, Result.UNREACHABLE),
    ):

        async def fail(_self: object, _data: bytes, number: int = number) -> int:
            await trio.lowlevel.checkpoint()
            raise OSError(number, "never shown")

        monkeypatch.setattr(trio.socket.SocketType, "send", fail)
        monkeypatch.setattr(trio._socket._SocketType, "send", fail)
        report = await probe(aim(("127.0.0.1", 9)), timeout=LONG_S)
        assert report.result is result
        assert report.reason != "never shown"
