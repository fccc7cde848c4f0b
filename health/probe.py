"""Does this SIP server answer, and what, and how fast?  One probe over UDP or TCP.

    report = await probe(Aim(uri="sip:192.0.2.1", host="192.0.2.1", port=5060), timeout=0.5)

The time-out is hard: looking up the name, connecting and waiting for the answer are over when it is.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import attrs
import trio

from health.digest import Credentials
from health.exchange import T1_S, Exchange, Script
from health.options import OPTIONS, RANDOM_BYTES, Answer, Identity, Question, Stray, compose_options, identity_of
from health.report import ProbeReport, Result
from health.template import Template, compose_from, identity_within
from sip.errors import SipError
from sip.stream import Framer
from sip.uri import Address, host_port, numeric

RECEIVE_BYTES = 65535
_SO_BINDTODEVICE = 25
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_CNONCE_BYTES = 8

_DEFAULT_PORT = 5060


class NoAddressError(Exception):
    """Raised by a look-up: the name has no address now; its text says why."""


LookUp = Callable[[str, int | None, str], Awaitable[Address]]
"""(host, port or None, transport) to the one address that is probed; raises NoAddressError."""

Judge = Callable[[Answer], Result]


@attrs.frozen(kw_only=True)
class Aim:
    """Whom a probe asks: the Request-URI, and the next hop, which need not be the host in it."""

    uri: str
    host: str
    port: int | None = None
    transport: Literal["udp", "tcp"] = "udp"
    label: str = ""
    """What the report calls it; the URI when empty."""


@attrs.frozen(kw_only=True)
class Manner:
    """How a probe is sent; everything has a default."""

    question: Question = OPTIONS
    template: Template | None = None
    """A request to send in place of what `question` says."""
    from_uri: str | None = None
    """None: `sip:sipdispatch@` and the address it leaves from."""
    source: Address | None = None
    """The local address; port 0 is any."""
    interface: str | None = None
    sent_by: str | None = None
    """The host in Via, Contact and From, in place of the local address."""
    t1_s: float = T1_S
    retransmit: bool = True
    credentials: Credentials | None = None


PLAIN = Manner()


@attrs.frozen(kw_only=True)
class Packet:
    """What has been sent or received; `meaning` is None for what is sent and for what is no SIP message."""

    sent: bool
    data: bytes
    address: Address
    retransmission: bool = False
    meaning: Answer | Stray | None = None


Watch = Callable[[Packet], None]


async def numeric_only(host: str, port: int | None, transport: str) -> Address:  # noqa: ARG001 - a LookUp
    """The look-up of those who know no names."""
    address = numeric(host)
    if address is None:
        raise NoAddressError("it is not a numeric address")
    return address, _DEFAULT_PORT if port is None else port


def judge_2xx(answer: Answer) -> Result:
    """Any 2xx is well."""
    return Result.OK if answer.status // 100 == 2 else Result.STATUS


def _unwatched(_: Packet) -> None:
    pass


async def probe(
    aim: Aim,
    *,
    timeout: float,  # noqa: ASYNC109 - what is reported hangs on how far the time has reached
    manner: Manner = PLAIN,
    look_up: LookUp = numeric_only,
    judge: Judge = judge_2xx,
    watch: Watch = _unwatched,
) -> ProbeReport:
    """Probe once; what goes wrong stands in the report.

    `timeout` is in seconds.  `watch` is told of each packet.  Raises SipError when `aim` and `manner` make no legal
    request.  A name takes a `look_up` other than the default.
    """
    course = _Course(aim, manner, watch, began=trio.current_time())
    wall = time.time()
    waited = f"{timeout * 1000:.0f} ms"
    ending = (Result.TIMEOUT, f"no answer in {waited}")
    with trio.move_on_after(timeout) as scope:
        ending = await course.run(look_up)
    if scope.cancelled_caught:
        ending = course.timed_out(waited)
    return course.report(ending, wall, judge)


class _Course:
    """One probe under way: how far it has come, for the report."""

    def __init__(self, aim: Aim, manner: Manner, watch: Watch, *, began: float) -> None:
        self._aim = aim
        self._manner = manner
        self._watch = watch
        self._began = began
        self._stage: Literal["dns", "open", "connect", "exchange"] = "dns"
        self._address: Address | None = None
        self._local: Address | None = None
        self._dns: float | None = None
        self._connect: float | None = None
        self._exchange: Exchange | None = None

    async def run(self, look_up: LookUp) -> tuple[Result, str]:
        """The result and the reason where there is no final answer; OK stands for any that there is."""
        try:
            self._address = await look_up(self._aim.host, self._aim.port, self._aim.transport)
        except NoAddressError as error:
            return Result.DNS, str(error)
        if numeric(self._aim.host) is None:
            self._dns = trio.current_time() - self._began
        try:
            if self._aim.transport == "tcp":
                return await self._over_tcp(self._address)
            return await self._over_udp(self._address)
        except OSError as error:
            return self._failed(error)

    async def _over_udp(self, address: Address) -> tuple[Result, str]:
        with self._open(socket.SOCK_DGRAM, address) as sock:
            await self._bind(sock, address)
            self._stage = "connect"
            await sock.connect(self._scoped(address))
            exchange = self._begin(sock, retransmit_s=self._manner.t1_s if self._manner.retransmit else None)
            while exchange.final is None:
                request = exchange.request_to_send(trio.current_time())
                if request is not None:
                    await sock.send(request)
                    self._watch(
                        Packet(sent=True, data=request, address=address, retransmission=exchange.retransmissions > 0)
                    )
                with trio.move_on_at(exchange.get_timer()):
                    self._take(exchange, await sock.recv(RECEIVE_BYTES), address)
        return Result.OK, ""

    async def _over_tcp(self, address: Address) -> tuple[Result, str]:
        with self._open(socket.SOCK_STREAM, address) as sock:
            await self._bind(sock, address)
            self._stage = "connect"
            before = trio.current_time()
            await sock.connect(self._scoped(address))
            self._connect = trio.current_time() - before
            exchange = self._begin(sock, retransmit_s=None)
            framer = Framer()
            while exchange.final is None:
                request = exchange.request_to_send(trio.current_time())
                if request is not None:
                    await _send_all(sock, request)
                    self._watch(Packet(sent=True, data=request, address=address))
                data = await sock.recv(RECEIVE_BYTES)
                if not data:
                    part = "in the middle of the answer" if framer.holds_a_part else "without an answer"
                    return Result.CONNECT, f"the server closed the connection {part}"
                framer.receive_data(data)
                try:
                    self._take_all(exchange, framer, address)
                except SipError as error:
                    return Result.MALFORMED, f"what came is no SIP message: {error.reason}"
        return Result.OK, ""

    def _take_all(self, exchange: Exchange, framer: Framer, address: Address) -> None:
        while exchange.final is None and (message := framer.next_message()) is not None:
            self._take(exchange, message, address)

    def _take(self, exchange: Exchange, data: bytes, address: Address) -> None:
        meaning = exchange.receive(data, trio.current_time())
        self._watch(Packet(sent=False, data=data, address=address, meaning=meaning))

    def _open(self, kind: socket.SocketKind, address: Address) -> trio.socket.SocketType:
        self._stage = "open"
        is_v6 = ":" in address[0]
        sock = trio.socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind)
        try:
            if kind is socket.SOCK_DGRAM:
                # Without it the kernel keeps to itself that a host or a network is unreachable (ip(7)).
                level, option = (socket.IPPROTO_IPV6, _IPV6_RECVERR) if is_v6 else (socket.IPPROTO_IP, _IP_RECVERR)
                sock.setsockopt(level, option, 1)
            if self._manner.interface is not None:
                sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, self._manner.interface.encode())
        except BaseException:
            sock.close()
            raise
        return sock

    async def _bind(self, sock: trio.socket.SocketType, address: Address) -> None:
        source = self._manner.source
        if source is None:
            return
        if sock.type == socket.SOCK_STREAM and source[1]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past the last probe's TIME_WAIT
        if (":" in source[0]) != (":" in address[0]):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        await sock.bind(self._scoped(source))

    def _scoped(self, address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
        """A link-local address hangs on the interface."""
        if self._manner.interface is not None and address[0].startswith("fe80:"):
            return *address, 0, socket.if_nametoindex(self._manner.interface)
        return address

    def _begin(self, sock: trio.socket.SocketType, *, retransmit_s: float | None) -> Exchange:
        self._stage = "exchange"
        host, port = sock.getsockname()[:2]
        self._local = (host.partition("%")[0], port)
        manner = self._manner
        shown = (manner.sent_by or self._local[0], port)
        fresh = identity_of(os.urandom(RANDOM_BYTES))
        transport = self._aim.transport.upper()
        template = manner.template

        def compose(identity: Identity, fields: tuple[bytes, ...]) -> bytes:
            if template is not None:
                return compose_from(template, identity, source=shown, transport=transport, fields=fields)
            question = attrs.evolve(manner.question, fields=(*manner.question.fields, *fields))
            return compose_options(
                uri=self._aim.uri,
                source=shown,
                from_uri=manner.from_uri or f"sip:sipdispatch@{host_port(shown).rpartition(':')[0]}",
                identity=identity,
                transport=transport,
                question=question,
            )

        script = Script(
            compose=compose,
            identity=fresh if template is None else identity_within(template, fresh),
            method=manner.question.method if template is None else template.message.method,
            uri=self._aim.uri.encode() if template is None else template.message.uri,
            retransmit_s=retransmit_s,
            credentials=manner.credentials,
            cnonce=os.urandom(_CNONCE_BYTES).hex().encode(),
        )
        self._exchange = Exchange(script)
        return self._exchange

    def timed_out(self, waited: str) -> tuple[Result, str]:
        """How it ends where the time was over."""
        if self._exchange is not None:
            return self._exchange.unanswered(waited)
        if self._stage == "dns":
            return Result.DNS, f"the name servers have not answered in {waited}"
        return Result.TIMEOUT, f"no connection in {waited}"

    def _failed(self, error: OSError) -> tuple[Result, str]:
        number = error.errno or 0
        said = os.strerror(number)
        if self._stage == "open":
            return Result.LOCAL, said
        if number == errno.ECONNREFUSED:
            return Result.REFUSED, "the other side has no socket on that port"
        if number in _UNREACHABLE:
            return Result.UNREACHABLE, said
        if number == errno.ETIMEDOUT:
            return Result.TIMEOUT, said
        if number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
            return Result.CONNECT, "the server reset the connection"
        return Result.LOCAL, said

    def report(self, ending: tuple[Result, str], wall: float, judge: Judge) -> ProbeReport:
        """What is known at the end."""
        exchange = self._exchange
        final = None if exchange is None else exchange.final
        result, reason = ending if final is None else (judge(final), final.reason)
        ip, port = self._address or ("", self._aim.port or 0)
        return ProbeReport(
            target=self._aim.label or self._aim.uri,
            ip=ip,
            port=port,
            transport=self._aim.transport,
            seq=1,
            t=wall,
            result=result,
            code=0 if final is None else final.status,
            reason=reason,
            rtt_ms=_ms(None if exchange is None else exchange.rtt),
            dns_ms=_ms(self._dns),
            connect_ms=_ms(self._connect),
            elapsed_ms=(trio.current_time() - self._began) * 1000,
            retransmits=0 if exchange is None else exchange.retransmissions,
            strays=0 if exchange is None else exchange.strays,
            server="" if final is None else final.server,
            local="" if self._local is None else host_port(self._local),
        )


_UNREACHABLE = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EACCES, errno.ENOPROTOOPT}
)
"""What the kernel makes of ICMP's reasons, EACCES of ICMPv6's "administratively prohibited" (icmpv6_err_convert)."""


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    """As much at a time as the kernel takes."""
    left = memoryview(data)
    while left:
        left = left[await sock.send(left) :]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
