"""How does a server of the demo take calls, so that nothing is counted twice and no reply is lost?"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable

import attrs
import trio

from dispatcher.holder import udp_holder
from dispatcher.received import Received, receive
from sip.errors import SipError
from sip.message import Message
from sip.request import read_request
from sip.uri import Address, host_port
from sipdispatch.demo_reply import ALLOW, NOT_ALLOWED, answered, registered, reply
from sipdispatch.errors import CommandError

T1_S = 0.5
T2_S = 4.0
GIVE_UP_S = 64 * T1_S
"""RFC 3261 17.1.1.1 and 13.3.1.4."""

RING_S = 0.1
REMEMBERED = 8192
"""Invitations whose retransmissions are still known; at the demo's highest rate that is half a minute."""

MAX_DATAGRAM_BYTES = 65535

Heard = Callable[[Address, Received], None]
"""Called with the answerer's address and each request that is new to it, but ACKs."""

Key = tuple[bytes, bytes, int]
"""Call-ID, From tag and CSeq number: what INVITE, its retransmissions, CANCEL and ACK share."""


@attrs.define
class _Invitation:
    """One INVITE and how far it has come."""

    received: Received
    last: bytes
    """The last reply, for a retransmission."""
    cancelled: trio.Event = attrs.field(factory=trio.Event)
    acknowledged: trio.Event = attrs.field(factory=trio.Event)


class Answerer:
    """A SIP server on one UDP address that answers every call.  It can be killed and started again."""

    def __init__(self, address: Address, heard: Heard) -> None:
        self.address = address
        self._heard = heard
        self._invitations: OrderedDict[Key, _Invitation] = OrderedDict()
        self._sock: trio.socket.SocketType | None = None
        self._scope: trio.CancelScope | None = None
        self._stopped = trio.Event()

    @property
    def alive(self) -> bool:
        return self._sock is not None

    async def kill(self) -> None:
        """Die at once: the port is closed when this returns, and nobody is told."""
        if self._scope is not None:
            self._scope.cancel()
            await self._stopped.wait()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until `kill`; raises CommandError when the address cannot be had."""
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await _bind(sock, self.address)
            self._sock, self._scope, self._stopped = sock, trio.CancelScope(), trio.Event()
            self._invitations.clear()
            try:
                with self._scope:
                    async with trio.open_nursery() as nursery:
                        task_status.started()
                        while True:
                            datagram, source = await sock.recvfrom(MAX_DATAGRAM_BYTES)
                            await self._take(datagram, source, nursery)
            finally:
                self._sock = None
                sock.close()
                self._stopped.set()

    async def _take(self, datagram: bytes, source: Address, nursery: trio.Nursery) -> None:
        try:
            message = Message.parse(datagram)
            if not message.method:
                return
            received = receive(read_request(message), source, 0, "nat")
        except SipError:
            return
        request = received.request
        key = request.call_id, request.from_tag, request.cseq
        known = self._invitations.get(key)
        match message.method:
            case b"ACK":
                if known is not None:
                    known.acknowledged.set()
            case b"INVITE":
                if known is not None:
                    await self._send(known.last, known.received)
                    return
                self._heard(self.address, received)
                known = self._invitations[key] = _Invitation(received, reply(received, 180))
                while len(self._invitations) > REMEMBERED:
                    self._invitations.popitem(last=False)
                nursery.start_soon(self._ring, known)
            case b"CANCEL":
                await self._send(reply(received, 481 if known is None else 200), received)
                if known is not None:
                    known.cancelled.set()
            case b"REGISTER":
                self._heard(self.address, received)
                await self._send(registered(received), received)
            case b"BYE" | b"OPTIONS":
                self._heard(self.address, received)
                await self._send(reply(received, 200, fields=(ALLOW,)), received)
            case _:
                await self._send(reply(received, NOT_ALLOWED, fields=(ALLOW,)), received)

    async def _ring(self, invitation: _Invitation) -> None:
        """180, then 200 or, when the caller has given up, 487; the final reply again and again until its ACK."""
        received = invitation.received
        await self._send(invitation.last, received)
        with trio.move_on_after(RING_S):
            await invitation.cancelled.wait()
        cancelled = invitation.cancelled.is_set()
        invitation.last = reply(received, 487) if cancelled else answered(received, self.address)
        wait_s = T1_S
        with trio.move_on_after(GIVE_UP_S):
            while not invitation.acknowledged.is_set():
                await self._send(invitation.last, received)
                with trio.move_on_after(wait_s):
                    await invitation.acknowledged.wait()
                wait_s = min(2 * wait_s, T2_S)

    async def _send(self, payload: bytes, received: Received) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):  # a reply that is lost is asked for again
                await self._sock.sendto(payload, received.transaction.where)


async def _bind(sock: trio.socket.SocketType, address: Address) -> None:
    try:
        await sock.bind(address)
    except OSError as error:
        holder = udp_holder(address)
        by = f" by {holder}" if holder is not None else ""
        raise CommandError(
            f"the address cannot be used: {error.strerror}{by}",
            f"udp:{host_port(address)}",
            "stop it, or choose another port with --port",
        ) from error
