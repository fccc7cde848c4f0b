"""Do notices reach real servers on loopback, and what comes of it where those fail, hang, refuse or lie?"""

from __future__ import annotations

import email
import json
import socket
import struct
from collections.abc import Iterator
from email.policy import default
from pathlib import Path

import attrs
import pytest
import structlog
import trio
import trio.testing

from sipdispatch import notices
from sipdispatch.damping import Notice
from sipdispatch.notice_mail import Letter, Server, mail
from sipdispatch.notice_settings import SMTPS_PORT, Notify
from sipdispatch.notice_text import Message, compose
from sipdispatch.notice_try import Line, Outcome, failed_by
from sipdispatch.notices import Delivery, Sender
from tests.sipdispatch.notice_servers import (
    HttpServer,
    SmtpServer,
    Trust,
    listening,
    make_trust,
    refused_port,
    wait_for_the_end,
)

MESSAGE = compose(Notice(), "edge1", at=1_700_000_000.0)
SECRET = "T0PSECRET/B0TTOM"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BACKOFF_S", (0.001, 0.002))


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


def hook_url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{port}/services/{SECRET}?access_token=K0LIBRI99"


def a_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


async def send(notify: Notify, message: Message = MESSAGE) -> Delivery:
    return await Sender(notify).send(message)


def ok(text: str = "200 OK", tries: int = 1) -> Delivery:
    return Delivery(delivered=True, text=text, tries=tries)


def bad(text: str, tries: int = 1) -> Delivery:
    return Delivery(delivered=False, text=text, tries=tries)


# --------------------------------------------------------------------------------------------------------------------
# HTTP


@pytest.fixture
def web() -> HttpServer:
    return HttpServer()


@pytest.fixture
def web_port(web: HttpServer) -> Iterator[int]:
    with listening(web.serve) as port:
        yield port


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


# --------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 lines instead of one"),
        ("a\nb\n", "has 2 lines instead of one"),
        ("ftp://x", "what it says is not a URL of HTTP"),
        ("https://" + SECRET + "\u00e4", "what it says is not a URL: it has spaces or letters that are not ASCII"),
        ("x" * 70_000, "is longer than 65536 octets"),
    ],
)
async def test_a_url_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = a_file(tmp_path / "url", text)
    assert await send(Notify(url_file=path)) == bad(f"{path}: {said}")


async def test_a_header_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = a_file(tmp_path / "headers", f"X-Good: 1\nBearer {SECRET}\n")
    assert await send(Notify(url="http://127.0.0.1:9/", headers_file=path)) == bad(
        f"{path}: line 2 is not a header field, as Name: value"
    )
    path.write_text("host: x\n")
    assert await send(Notify(url="http://127.0.0.1:9/", headers_file=path)) == bad(
        f"{path}: line 1: host is set by sipdispatch"
    )


async def test_other_files_that_cannot_be_used(tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    assert await send(Notify(url_file=lost)) == bad(f"{lost}: cannot be read: No such file or directory")
    assert await send(Notify(url_file=tmp_path)) == bad(f"{tmp_path}: is not a regular file")
    path = a_file(tmp_path / "binary", "")
    path.write_bytes(b"\xff")
    assert await send(Notify(url_file=path)) == bad(f"{path}: is not UTF-8")
    path.chmod(0o644)
    assert await send(Notify(url_file=path)) == bad(f"{path}: can be read by every user: chmod o= {path}")


async def test_files_can_be_checked_before_they_are_needed(tmp_path: Path) -> None:
    path = a_file(tmp_path / "secret", "x")
    assert await Sender(Notify(url="https://x/", format="feishu", secret_file=path)).check() is None
    path.unlink()
    problem = await Sender(Notify(url="https://x/", format="feishu", secret_file=path)).check()
    assert problem == f"{path}: cannot be read: No such file or directory"
    assert await Sender(Notify(url="https://x/", timeout=0.0)).check() == "its files cannot be read in time"


@pytest.mark.parametrize("kind", ["post", "mail"])
async def test_a_ca_file_that_cannot_be_used(tmp_path: Path, web_port: int, kind: str) -> None:
    for path, said in ((tmp_path / "lost", "No such file or directory"), (a_file(tmp_path / "ca", "x"), "")):
        notify = Notify(url=hook_url(web_port, "https"), ca_file=path)
        if kind == "mail":
            notify = Notify(smtp=("127.0.0.1", 9), sender="a@b", recipients=("c@d",), ca_file=path)
        delivery = await send(notify)
        assert delivery.text.startswith(f"{path}: cannot be used as ca_file: {said}")
        assert delivery.tries == 1


# --------------------------------------------------------------------------------------------------------------------
# Mail


@pytest.fixture
def post_office() -> SmtpServer:
    return SmtpServer()


@pytest.fixture
def to_noc(post_office: SmtpServer) -> Iterator[Notify]:
    with listening(post_office.serve) as port:
        yield Notify(
            smtp=("127.0.0.1", port),
            sender="edge1@example.com",
            recipients=("noc@example.com", "boss@example.com"),
            starttls=False,
            subject_prefix="[Störung]",
        )


async def test_a_mail(post_office: SmtpServer, to_noc: Notify) -> None:
    assert await send(to_noc) == ok("accepted")
    ((sender, recipients, raw),) = post_office.mails
    assert (sender, recipients) == ("edge1@example.com", ["noc@example.com", "boss@example.com"])
    received = email.message_from_bytes(raw, policy=default)
    assert received["Subject"] == "[Störung] edge1: test notice"
    assert received["Message-ID"].endswith("@example.com>")
    assert received["Date"].datetime.timestamp() == MESSAGE.at
    assert received.get_content().strip() == MESSAGE.text
    assert post_office.commands[0] == "ehlo edge1"


async def test_two_tries_of_a_mail_are_known_as_one(post_office: SmtpServer, to_noc: Notify) -> None:
    other = attrs.evolve(MESSAGE, at=MESSAGE.at + 1)
    for message in (MESSAGE, MESSAGE, other):
        await send(to_noc, message)
    first, again, third = (email.message_from_bytes(raw)["Message-ID"] for _, _, raw in post_office.mails)
    assert first == again != third


async def test_mail_by_starttls_with_a_password(
    post_office: SmtpServer, to_noc: Notify, trust: Trust, tmp_path: Path
) -> None:
    post_office.starttls = trust.server
    password = a_file(tmp_path / "password", "s3cr3t\n")
    notify = attrs.evolve(to_noc, starttls=True, ca_file=trust.ca_file, user="edge1", password_file=password)
    assert await send(notify) == ok("accepted")
    assert post_office.passwords == ["\0edge1\0s3cr3t"]
    assert [line.split()[0].upper() for line in post_office.commands[:4]] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


async def test_mail_where_tls_is_not_offered(post_office: SmtpServer, to_noc: Notify) -> None:
    assert await send(attrs.evolve(to_noc, starttls=True)) == bad(
        "it does not offer STARTTLS; starttls = false sends in clear"
    )
    assert post_office.mails == []


async def test_mail_to_a_server_that_is_not_trusted(post_office: SmtpServer, to_noc: Notify, trust: Trust) -> None:
    post_office.starttls = trust.server
    delivery = await send(attrs.evolve(to_noc, starttls=True))
    assert (delivery.delivered, delivery.tries) == (False, 1)
    assert delivery.text.startswith("its certificate is not trusted")
    assert post_office.mails == []


def test_mail_with_tls_from_the_first_octet(trust: Trust, post_office: SmtpServer) -> None:
    post_office.smtps = trust.server
    letter = Letter(raw=b"Subject: x\r\n\r\nx\r\n", sender="a@b", recipients=("c@d",))
    with listening(post_office.serve) as port:
        server = Server(address=("127.0.0.1", port), greeting="edge1", ca_file=trust.ca_file)
        outcome = mail(server, letter, timeout=5, line=Line(), smtps_port=port)
    assert outcome == Outcome(delivered=True, text="accepted")
    assert SMTPS_PORT == 465


@pytest.mark.parametrize(
    ("says", "delivery"),
    [
        ({"CONNECT": "554 go away"}, bad("refused: 554 go away")),
        ({"CONNECT": "421 too many"}, bad("refused: 421 too many", tries=4)),
        ({"MAIL": "550 not you"}, bad("refused: 550 not you")),
        ({"MAIL": "451 later"}, bad("refused: 451 later", tries=4)),
        ({"RCPT": "550 nobody"}, bad("refused for noc@example.com (550 nobody), boss@example.com (550 nobody)")),
        ({"RCPT": "450 grey"}, bad("refused for noc@example.com (450 grey), boss@example.com (450 grey)", tries=4)),
        ({"RCPT TO:<BOSS@EXAMPLE.COM>": "550 on leave"}, ok("accepted, but not for boss@example.com (550 on leave)")),
        ({"DATA": "452 full"}, bad("refused: 452 full", tries=4)),
        ({".": "554 spam"}, bad("refused: 554 spam")),
        ({"QUIT": "500 no"}, ok("accepted")),
    ],
)
async def test_what_a_mail_server_says(
    post_office: SmtpServer, to_noc: Notify, says: dict[str, str], delivery: Delivery
) -> None:
    post_office.says = says
    assert await send(to_noc) == delivery


async def test_a_mail_server_that_knows_no_passwords(post_office: SmtpServer, to_noc: Notify, tmp_path: Path) -> None:
    post_office.says = {"EHLO": "250 mail.test"}
    password = a_file(tmp_path / "password", "s3cr3t")
    delivery = await send(attrs.evolve(to_noc, user="x", password_file=password))
    assert delivery == bad("it cannot do what is wanted: SMTP AUTH extension not supported by server.")


async def test_a_wrong_password(post_office: SmtpServer, to_noc: Notify, tmp_path: Path) -> None:
    post_office.says = {"AUTH": "535 wrong"}
    password = a_file(tmp_path / "password", "s3cr3t")
    assert await send(attrs.evolve(to_noc, user="x", password_file=password)) == bad("refused: 535 wrong")


@pytest.mark.parametrize("says", [{"CONNECT": ""}, {"EHLO": ""}, {"DATA": ""}])
async def test_a_mail_server_that_hangs(post_office: SmtpServer, to_noc: Notify, says: dict[str, str]) -> None:
    post_office.says = says
    assert await send(attrs.evolve(to_noc, timeout=0.1, retries=1)) == bad("no answer in time", tries=2)


async def test_no_mail_server() -> None:
    notify = Notify(smtp=("127.0.0.1", refused_port()), sender="a@b", recipients=("c@d",), retries=1)
    assert await send(notify) == bad("connection refused", tries=2)
    notify = Notify(smtp=("a" * 64 + ".example", 25), sender="a@b", recipients=("c@d",), retries=1)
    assert await send(notify) == bad("its name is no name of the DNS")


async def test_a_mail_server_that_hangs_up() -> None:
    with listening(lambda connection: None) as port:
        notify = Notify(smtp=("127.0.0.1", port), sender="a@b", recipients=("c@d",), retries=1)
        delivery = await send(notify)
    assert not delivery.delivered
    assert delivery.tries == 2


# --------------------------------------------------------------------------------------------------------------------
# The end, and mistakes of ours


async def test_at_the_end_no_try_is_repeated() -> None:
    sender = Sender(Notify(url="http://x/"), deliver=lambda *_: Outcome(delivered=False, text="no", again=True))
    sender.hurry()
    assert await sender.send(MESSAGE) == bad("no")


async def test_at_the_end_a_pause_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BACKOFF_S", (1000.0,))
    tried = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def fail(*_: object) -> Outcome:
        token.run_sync_soon(tried.set)
        return Outcome(delivered=False, text="no", again=True)

    sender = Sender(Notify(url="http://x/"), deliver=fail)
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await tried.wait()
            sender.hurry()

        nursery.start_soon(end)
        with trio.fail_after(5):
            assert await sender.send(MESSAGE) == bad("no")


async def test_at_the_end_a_try_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "HURRY_S", 0.1)
    asked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hang(connection: socket.socket) -> None:
        connection.recv(65_536)
        token.run_sync_soon(asked.set)
        wait_for_the_end(connection)

    with listening(hang) as port:
        sender = Sender(Notify(url=hook_url(port), timeout=300))

        async def end() -> None:
            await asked.wait()
            sender.hurry()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            with trio.fail_after(5):
                assert await sender.send(MESSAGE) == bad("no answer in time")


async def test_a_mistake_of_ours_is_a_failure_like_any_other() -> None:
    def broken(*_: object) -> Outcome:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        delivery = await Sender(Notify(name="chat", url="http://x/"), deliver=broken).send(MESSAGE)
    assert delivery == bad("a mistake in this program (ZeroDivisionError)")
    assert logged[0]["notifier"] == "chat"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            socket.gaierror(-3, "Temporary failure in name resolution"),
            "its name cannot be looked up: Temporary failure in name resolution",
        ),
        (OSError(), "OSError"),
        (OSError("odd"), "odd"),
    ],
)
def test_other_errors_of_the_network(error: OSError, text: str) -> None:
    assert failed_by(error) == Outcome(delivered=False, text=text, again=True)


def test_a_line_that_is_cut_before_there_is_a_connection() -> None:
    line = Line()
    line.cut()
    with pytest.raises(TimeoutError):
        line.hold(lambda: None)
