"""Do notices reach real HTTP servers on loopback, and what comes of it where those fail, hang, refuse or lie?"""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from sipdispatch.notice_settings import Notify
from sipdispatch.notices import Delivery
from tests.sipdispatch.notice_servers import (
    HttpServer,
    Trust,
    listening,
    refused_port,
    wait_for_the_end,
)
from tests.sipdispatch.sending import MESSAGE, SECRET, a_file, bad, hook_url, ok, send

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_post(web: HttpServer, web_port: int, tmp_path: Path) -> None:
    headers = a_file(tmp_path / "headers", "Authorization: Bearer x\n\nX-Node:edge1  \n")
    assert await send(Notify(url=hook_url(web_port), headers_file=headers)) == ok()
    (request,) = web.requests
    assert request.line == f"POST /services/{SECRET}?access_token=K0LIBRI99 HTTP/1.1"
    assert json.loads(request.body) == MESSAGE.document
    assert request.headers["Host"] == f"127.0.0.1:{web_port}"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["User-Agent"].startswith("sipdispatch/")
    assert request.headers["Authorization"] == "Bearer x"
    assert request.headers["X-Node"] == "edge1"


async def test_a_url_in_a_file_and_a_signature(web: HttpServer, web_port: int, tmp_path: Path) -> None:
    web.answers = ['200 OK\r\n\r\n{"errcode":0,"errmsg":"ok"}']
    url = a_file(tmp_path / "url", f"http://127.0.0.1:{web_port}\n")
    secret = a_file(tmp_path / "secret", "SEC123\n")
    assert await send(Notify(url_file=url, format="dingtalk", secret_file=secret)) == ok()
    assert web.requests[0].line.startswith("POST /?timestamp=")
    assert json.loads(web.requests[0].body)["text"]["content"] == MESSAGE.text


async def test_a_key_in_a_header_field_is_not_told_though_the_server_repeats_it(
    web: HttpServer, web_port: int, tmp_path: Path
) -> None:
    headers = a_file(tmp_path / "headers", "Authorization: Bearer s3cr3tt0k3n\n")
    web.answers = ["403 Forbidden\r\n\r\nno such token: Bearer s3cr3tt0k3n"]
    assert await send(Notify(url=hook_url(web_port), headers_file=headers)) == bad(
        "403 Forbidden: no such token: Bearer ***"
    )


@pytest.mark.parametrize(
    ("answers", "delivery"),
    [
        (["204 No Content\r\n\r\n"], ok("204 No Content")),
        (["404 Not Found\r\n\r\nno_service"], bad("404 Not Found: no_service")),
        (["403 Forbidden\r\n\r\n<html>long"], bad("403 Forbidden")),
        (
            ["302 Found\r\nLocation: /x\r\n\r\n"],
            bad("302 Found: redirects are not followed, write the address it leads to"),
        ),
        (["500 Oops\r\n\r\n", "503 Busy\r\n\r\n", "200 OK\r\n\r\n"], ok(tries=3)),
        (["500 Oops\r\n\r\n"], bad("500 Oops", tries=4)),
        (["429 Slow down\r\nRetry-After: 0\r\n\r\n", "200 OK\r\n\r\n"], ok(tries=2)),
        (["429 Slow down\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n", "200 OK\r\n\r\n"], ok(tries=2)),
        (["\r\nHTTP nonsense\r\n\r\n"], bad("its answer is not HTTP: BadStatusLine", tries=4)),
        (
            [f"400 Bad\r\n\r\nno such hook:\n/services/{SECRET} K0LIBRI99"],
            bad("400 Bad: no such hook: /***/***/B0TTOM ***"),
        ),
    ],
)
async def test_what_an_answer_means(web: HttpServer, web_port: int, answers: list[str], delivery: Delivery) -> None:
    web.answers = answers
    assert await send(Notify(url=hook_url(web_port))) == delivery


async def test_a_service_that_refuses_with_200(web: HttpServer, web_port: int) -> None:
    web.answers = [
        '200 OK\r\n\r\n{"errcode":45009,"errmsg":"limit"}',
        '200 OK\r\n\r\n{"errcode":93000,"errmsg":"bad key"}',
    ]
    assert await send(Notify(url=hook_url(web_port), format="wecom")) == bad(
        "refused with code 93000: bad key", tries=2
    )


async def test_a_refused_connection_is_tried_again() -> None:
    assert await send(Notify(url=hook_url(refused_port()), retries=2)) == bad("connection refused", tries=3)


async def test_a_silent_server_is_left_in_time(web: HttpServer, web_port: int) -> None:
    web.answers = [""]
    assert await send(Notify(url=hook_url(web_port), timeout=0.1, retries=1)) == bad("no answer in time", tries=2)


@pytest.mark.parametrize(
    ("status", "delivery"), [("200 OK", ok()), ("404 Gone", bad("404 Gone"))], ids=["taken", "refused"]
)
async def test_a_server_that_never_ends_its_answer(status: str, delivery: Delivery) -> None:
    def start(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\nhalf".encode())
        wait_for_the_end(connection)

    with listening(start) as port:
        assert await send(Notify(url=hook_url(port), timeout=0.2)) == delivery


async def test_a_server_that_answers_octet_by_octet_is_left_in_time() -> None:
    done = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def drip(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            connection.settimeout(0.02)
            while True:
                try:
                    if not connection.recv(65_536):
                        return
                except TimeoutError:
                    connection.sendall(b"x")
        finally:
            token.run_sync_soon(done.set)

    with listening(drip) as port:
        assert await send(Notify(url=hook_url(port), timeout=0.3, retries=0)) == bad("no answer in time")
        with trio.fail_after(5):
            await done.wait()  # the thread of the try has ended too: its connection was cut


async def test_a_server_that_hangs_up() -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(hang_up) as port:
        delivery = await send(Notify(url=hook_url(port), retries=0))
    assert delivery == bad("connection reset by peer")


async def test_a_name_that_is_none() -> None:
    assert await send(Notify(url=f"http://{'a' * 64}.example/", retries=3)) == bad("its name is no name of the DNS")


async def test_https(web: HttpServer, web_port: int, trust: Trust) -> None:
    web.tls = trust.server
    assert await send(Notify(url=hook_url(web_port, "https"), ca_file=trust.ca_file)) == ok()
    assert len(web.requests) == 1


async def test_a_certificate_that_is_not_trusted_gets_nothing(web: HttpServer, web_port: int, trust: Trust) -> None:
    web.tls = trust.server
    delivery = await send(Notify(url=hook_url(web_port, "https")))
    assert (delivery.delivered, delivery.tries) == (False, 1)
    assert delivery.text.startswith("its certificate is not trusted: unable to get local issuer certificate")
    assert web.requests == []


async def test_a_certificate_of_another_name_gets_nothing(web: HttpServer, web_port: int, trust: Trust) -> None:
    web.tls = trust.server
    delivery = await send(Notify(url=f"https://127.0.0.2:{web_port}/", ca_file=trust.ca_file, retries=0))
    assert delivery.text in (
        "its certificate is not trusted: IP address mismatch, certificate is not valid for '127.0.0.2'.",
        "connection refused",
    )
    assert not delivery.delivered


async def test_a_server_without_tls(trust: Trust) -> None:
    with listening(lambda connection: answer_once(connection, "400 What?\r\n\r\n")) as port:
        delivery = await send(Notify(url=hook_url(port, "https"), ca_file=trust.ca_file, retries=1))
    assert delivery.text.startswith("TLS failed: ")
    assert delivery.tries == 2


async def test_proxies_of_the_environment_are_not_used(
    web: HttpServer, web_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
    assert await send(Notify(url=hook_url(web_port))) == ok()
    assert len(web.requests) == 1


async def test_a_proxy_for_http(web: HttpServer, web_port: int) -> None:
    notify = Notify(url="http://hooks.invalid/x", proxy=f"http://127.0.0.1:{web_port}")
    assert await send(notify) == ok()
    assert web.requests[0].line == "POST http://hooks.invalid/x HTTP/1.1"
    assert web.requests[0].headers["Host"] == "hooks.invalid"


async def test_a_proxy_for_https(web: HttpServer, web_port: int, trust: Trust) -> None:
    web.tls = trust.server
    proxy = HttpServer(["200 OK\r\n\r\n"])
    with listening(proxy.serve) as proxy_port:
        notify = Notify(url=hook_url(web_port, "https"), proxy=f"http://127.0.0.1:{proxy_port}", ca_file=trust.ca_file)
        assert await send(notify) == ok()
    assert [request.line for request in proxy.requests] == [f"CONNECT 127.0.0.1:{web_port} HTTP/1.1"]
    assert web.requests[0].line.startswith("POST /services/")


@pytest.mark.parametrize(
    ("answer", "text"),
    [("403 No\r\n\r\n", "the proxy refuses: HTTP/1.1 403 No"), ("200 OK\r\n", "the proxy has ended the connection")],
)
async def test_a_proxy_that_does_not_want(answer: str, text: str, trust: Trust) -> None:
    proxy = HttpServer([answer])
    with listening(lambda connection: answer_once(connection, answer)) as proxy_port:
        notify = Notify(url="https://h.invalid/", proxy=f"http://127.0.0.1:{proxy_port}", retries=0)
        assert await send(attrs.evolve(notify, ca_file=trust.ca_file)) == bad(text)
    assert proxy.requests == []


def answer_once(connection: socket.socket, answer: str) -> None:
    connection.recv(65_536)
    connection.sendall(f"HTTP/1.1 {answer}".encode())
    connection.shutdown(socket.SHUT_WR)
    wait_for_the_end(connection)
