"""How does the demo's phone place calls over UDP, and what became of each?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import attrs
import trio

from sip.errors import SipError
from sip.message import Message
from sip.request import read_call_id
from sip.uri import Address
from sipdispatch.demo_dialog import Call, Dialog

T1_S = 0.5
T2_S = 4.0
GIVE_UP_S = 64 * T1_S
"""Timers B and F (RFC 3261 17.1.1.2 and 17.1.2.2)."""

TALK_S = 0.1

MAX_DATAGRAM_BYTES = 65535

_REPLIES_KEPT = 64
"""Of one call, until it looks at them."""


@attrs.frozen
class Ended:
    """What became of a call.  `answered_by` is None when nobody answered; `complete` also needs the 200 to the BYE."""

    answered_by: Address | None
    complete: bool
    retransmitted: bool
    """Its INVITE had to be sent more than once."""


class _GaveUp(Exception):  # noqa: N818 - a way out, not an error
    """Nobody has answered in time."""


class Caller:
    """A phone on one UDP socket that can hold many calls at once."""

    def __init__(self, sock: trio.socket.SocketType, proxy: Address, draw: Callable[[], int]) -> None:
        """`draw` gives 64 random bits; `sock` is bound and stays the caller's to close."""
        self._sock = sock
        self._proxy = proxy
        self._own: Address = sock.getsockname()[:2]
        self._draw = draw
        self._replies: dict[bytes, trio.MemorySendChannel[Message]] = {}

    async def listen(self) -> None:
        """Hand each reply to its call; never returns."""
        while True:
            datagram, _ = await self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            try:
                message = Message.parse(datagram)
                call_id = read_call_id(message)
            except SipError:
                continue
            channel = self._replies.get(call_id)
            if channel is not None and message.status:
                with contextlib.suppress(trio.WouldBlock):
                    channel.send_nowait(message)

    async def call(self) -> Ended:
        """Place one call: INVITE, ACK, a moment of silence, BYE."""
        call = Call(proxy=self._proxy, own=self._own, token=b"%016x" % self._draw())
        send, receive = trio.open_memory_channel[Message](_REPLIES_KEPT)
        self._replies[call.call_id] = send
        conversation = _Conversation(self._sock, call, receive)
        try:
            return await conversation.hold()
        finally:
            del self._replies[call.call_id]


class _Conversation:
    """One call and the replies that arrive for it."""

    def __init__(self, sock: trio.socket.SocketType, call: Call, replies: trio.MemoryReceiveChannel[Message]) -> None:
        self._sock = sock
        self._call = call
        self._replies = replies
        self._dialog: Dialog | None = None
        self._sent = 0

    async def hold(self) -> Ended:
        answered_by: Address | None = None
        complete = False
        invitations = 0
        with contextlib.suppress(SipError, _GaveUp):
            try:
                reply = await self._ask(self._call.invite(), self._call.proxy, b"i", provisional_is_enough=True)
            finally:
                invitations = self._sent
            if reply.status >= 300:
                await self._send(self._call.acknowledge_failure(reply), self._call.proxy)
            else:
                self._dialog = dialog = self._call.begun(reply)
                answered_by = dialog.answered_by
                await self._send(dialog.acknowledge(), dialog.next_hop)
                await trio.sleep(TALK_S)
                complete = (await self._ask(dialog.bye(), dialog.next_hop, b"b")).status == 200
        return Ended(answered_by, complete, invitations > 1)

    async def _ask(
        self, payload: bytes, address: Address, mark: bytes, *, provisional_is_enough: bool = False
    ) -> Message:
        """The final reply to a request that is sent until there is one; raises _GaveUp, SipError.

        With `provisional_is_enough` (INVITE) it is not sent again after a provisional reply (RFC 3261 17.1.1.2).
        """
        self._sent = 0
        wait_s = T1_S
        with trio.move_on_after(GIVE_UP_S):
            while True:
                await self._send(payload, address)
                self._sent += 1
                with trio.move_on_after(wait_s) as waiting:
                    while True:
                        reply = await self._replies.receive()
                        if not self._call.has_answer(reply, mark):
                            await self._acknowledge_again(reply)
                        elif reply.status >= 200:
                            return reply
                        elif provisional_is_enough:
                            waiting.deadline = math.inf
                wait_s = min(2 * wait_s, T2_S)
        raise _GaveUp

    async def _acknowledge_again(self, reply: Message) -> None:
        """A 200 to the INVITE that comes again has lost its ACK (RFC 3261 13.2.2.4)."""
        if self._dialog is not None and reply.status // 100 == 2 and self._call.has_answer(reply, b"i"):
            await self._send(self._dialog.acknowledge(), self._dialog.next_hop)

    async def _send(self, payload: bytes, address: Address) -> None:
        with contextlib.suppress(OSError):  # lost like any datagram; it is sent again
            await self._sock.sendto(payload, address)
