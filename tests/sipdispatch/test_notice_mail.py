"""Do notices reach real mail servers on loopback, and what comes of it where those fail, hang or refuse?"""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.policy import default
from pathlib import Path

import attrs
import pytest

from sipdispatch.notice_mail import Letter, Server, mail
from sipdispatch.notice_settings import SMTPS_PORT, Notify
from sipdispatch.notice_try import Line, Outcome
from sipdispatch.notices import Delivery
from tests.sipdispatch.notice_servers import (
    SmtpServer,
    Trust,
    listening,
    refused_port,
)
from tests.sipdispatch.sending import MESSAGE, a_file, bad, ok, send

pytestmark = pytest.mark.usefixtures("quick")


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
