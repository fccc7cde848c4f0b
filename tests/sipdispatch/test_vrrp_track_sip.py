"""Is a proxy that answers alive, and one that does not dead, in as many questions as it takes?  Over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio

from sip.uri import Address
from sipdispatch.vrrp_settings import VrrpTrack
from sipdispatch.vrrp_track_sip import ask_sip
from tests.sipdispatch.vrrp_said import asking

SETTINGS = VrrpTrack(interval=0.02, timeout=0.02, fall=2)


class Answerer:
    """Answers each request with these statuses, with one of them only if there is one; None is silence."""

    def __init__(self, sock: trio.socket.SocketType, *statuses: bytes | None) -> None:
        self._sock = sock
        self.statuses = list(statuses)
        self.heard: list[bytes] = []
        self.cseq = b"1 OPTIONS"

    @property
    def address(self) -> Address:
        host, port = self._sock.getsockname()[:2]
        return host, port

    async def run(self) -> None:
        while True:
            request, sender = await self._sock.recvfrom(65535)
            self.heard.append(request)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if status is None:
                continue
            kept = [
                line for line in request.split(b"\r\n") if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:"))
            ]
            lines = [b"SIP/2.0 " + status, *kept, b"CSeq: " + self.cseq, b"Content-Length: 0", b"", b""]
            await self._sock.sendto(b"\r\n".join(lines), sender)


@asynccontextmanager
async def answering(*statuses: bytes | None, host: str = "127.0.0.1") -> AsyncIterator[Answerer]:
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((host, 0))
        answerer = Answerer(sock, *statuses)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answerer.run)
            yield answerer
            nursery.cancel_scope.cancel()


def settings(address: Address, **changed: float | bool) -> VrrpTrack:
    return attrs.evolve(SETTINGS, sip=address, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"500 Oh", b"603 Decline"])
async def test_any_answer_is_alive(status: bytes) -> None:
    async with (
        answering(status) as proxy,
        asking(partial(ask_sip, settings(proxy.address, timeout=1.0))) as said,
    ):
        for _ in range(3):
            ok, detail = await said.next()
            assert ok
            assert detail.startswith(f"{status.decode()} in ")
            assert detail.endswith(" ms")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_it_asks_for_the_proxy_itself(host: str) -> None:
    async with (
        answering(b"200 OK", host=host) as proxy,
        asking(partial(ask_sip, settings(proxy.address, timeout=1.0))) as said,
    ):
        await said.next()
        shown = f"[{host}]" if ":" in host else host
        assert proxy.heard[0].startswith(b"OPTIONS sip:%s:%d SIP/2.0\r\n" % (shown.encode(), proxy.address[1]))


@pytest.mark.parametrize("serving", [False, True])
async def test_a_proxy_without_servers_fails_only_where_that_is_asked(*, serving: bool) -> None:
    async with (
        answering(b"503 Service Unavailable") as proxy,
        asking(partial(ask_sip, settings(proxy.address, timeout=1.0, serving=serving))) as said,
    ):
        assert await said.next() == (not serving, "503 Service Unavailable")
        assert await said.next() == (not serving, "503 Service Unavailable")


async def test_silence_is_a_failure_and_one_lost_datagram_is_none() -> None:
    async with (
        answering(None, b"200 OK", b"200 OK", None) as proxy,
        asking(partial(ask_sip, settings(proxy.address, timeout=0.5))) as said,
    ):
        assert (await said.next())[0]
        assert len(proxy.heard) == 2
        assert proxy.heard[0] == proxy.heard[1]
        assert (await said.next())[0]
        assert await said.next() == (False, "no answer in 500 ms")


async def test_what_answers_another_question_is_no_answer() -> None:
    async with answering(b"200 OK") as proxy:
        proxy.cseq = b"2 OPTIONS"
        async with asking(partial(ask_sip, settings(proxy.address))) as said:
            assert await said.next() == (False, "no answer in 20 ms, only strays: another CSeq")


async def test_where_nobody_listens() -> None:
    async with answering(None) as gone:
        address = gone.address
    async with asking(partial(ask_sip, settings(address))) as said:
        assert await said.next() == (False, f"nobody listens on 127.0.0.1:{address[1]}")


async def test_what_a_server_says_is_fit_to_be_shown() -> None:
    async with (
        answering(b"503 \x1b[2J" + b"x" * 500) as proxy,
        asking(partial(ask_sip, settings(proxy.address, timeout=1.0))) as said,
    ):
        _, detail = await said.next()
        assert detail.startswith("503 \\x1b[2Jxxx")
        assert len(detail) == 200


async def test_the_second_question_comes_sooner_and_all_others_in_step(autojump_clock: object) -> None:
    del autojump_clock
    asked: list[float] = []
    async with answering(None) as gone:
        address = gone.address

    def note(*, ok: bool, detail: str) -> None:
        del ok, detail
        asked.append(trio.current_time() - began)

    began = trio.current_time()
    with trio.move_on_after(10.0):
        await ask_sip(settings(address, interval=1.0, timeout=1.0, fall=3), note)
    assert [round(at, 1) for at in asked] == [0.0, 0.2, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]
