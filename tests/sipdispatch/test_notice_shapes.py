"""Do the bytes for each service have the form, the signature and the answers that its documentation says?"""

from __future__ import annotations

import email
import json
from email.policy import default
from urllib.parse import parse_qs

import pytest

from sipdispatch.notice_settings import Format
from sipdispatch.notice_shapes import Complaint, Envelope, complaint_in, shape_mail, shape_post, shortened
from sipdispatch.notice_text import Message

# Made with: printf '1700000000123\nthis is secret' | openssl dgst -sha256 -hmac 'this is secret' -binary | base64
DINGTALK_SIGN = "W2RNhLVXZurCuMiewxzjoEaGqxhR/FQAkLiAHZh+PWY="
# Made with: printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY -binary | base64, where KEY is the
# hexadecimal form of '1700000000\nthis is secret'
FEISHU_SIGN = "OfGzRzoUICBOoc8wVra1e4A1hPfbZ9zqXozA8CWVUuY="
AT = 1_700_000_000.1234


def message(text: str = "a < b & c > d: häuser") -> Message:
    return Message(node="edge1", at=AT, subject="edge1: Störung", text=text, document={"version": 1, "text": text})


def body(form: Format, said: Message | None = None, secret: str | None = None) -> object:
    return json.loads(shape_post(form, said or message(), at=AT, secret=secret).body)


def test_json_is_the_document() -> None:
    assert body("json") == {"version": 1, "text": "a < b & c > d: häuser"}


def test_slack() -> None:
    assert body("slack") == {"text": "a &lt; b &amp; c &gt; d: häuser", "mrkdwn": False}


def test_dingtalk() -> None:
    post = shape_post("dingtalk", message(), at=AT)
    assert json.loads(post.body) == {"msgtype": "text", "text": {"content": "a < b & c > d: häuser"}}
    assert post.parameters == ""


def test_dingtalk_signed() -> None:
    post = shape_post("dingtalk", message(), at=AT, secret="this is secret")
    assert parse_qs(post.parameters) == {"timestamp": ["1700000000123"], "sign": [DINGTALK_SIGN]}
    assert "+" not in post.parameters


def test_wecom() -> None:
    assert body("wecom") == {"msgtype": "text", "text": {"content": "a < b & c > d: häuser"}}


def test_wecom_takes_2048_octets() -> None:
    whole = "ä" * 1024
    assert body("wecom", message(whole)) == {"msgtype": "text", "text": {"content": whole}}
    assert body("wecom", message(whole + "!")) == {"msgtype": "text", "text": {"content": "ä" * 1022 + "..."}}


def test_feishu() -> None:
    assert body("feishu", message('down: <at user_id="all">')) == {
        "msg_type": "text",
        "content": {"text": 'down: ＜at user_id="all">'},  # noqa: RUF001 - the letter that is meant
    }


def test_feishu_signed() -> None:
    said = body("feishu", message("x"), "this is secret")
    assert said == {
        "timestamp": "1700000000",
        "sign": FEISHU_SIGN,
        "msg_type": "text",
        "content": {"text": "x"},
    }


def test_mail_is_not_posted() -> None:
    with pytest.raises(ValueError, match="mail"):
        shape_post("email", message(), at=AT)


ANSWERS: list[tuple[Format, bytes, Complaint | None]] = [
    ("json", b"anything", None),
    ("slack", b"ok", None),
    ("dingtalk", b'{"errcode":0,"errmsg":"ok"}', None),
    (
        "dingtalk",
        b'{"errcode":310000,"errmsg":"sign not match"}',
        Complaint("refused with code 310000: sign not match"),
    ),
    ("dingtalk", b'{"errcode":130101,"errmsg":"too fast"}', Complaint("refused with code 130101: too fast", busy=True)),
    ("wecom", b'{"errcode":0,"errmsg":"ok"}', None),
    ("wecom", b'{"errcode":45009,"errmsg":"limit"}', Complaint("refused with code 45009: limit", busy=True)),
    ("wecom", b'{"errcode":93000}', Complaint("refused with code 93000: no reason given")),
    ("feishu", b'{"code":0,"msg":"success","data":{}}', None),
    ("feishu", b'{"StatusCode":0,"StatusMessage":"success"}', None),
    ("feishu", b'{"code":19021,"msg":"sign match fail"}', Complaint("refused with code 19021: sign match fail")),
    ("feishu", b'{"code":11232,"msg":"limited"}', Complaint("refused with code 11232: limited", busy=True)),
    ("feishu", b"{}", Complaint("refused with code None: no reason given")),
    ("wecom", b'{"errcode":[1]}', Complaint("refused with code [1]: no reason given")),
    ("wecom", b"<html>", Complaint("its answer is not that of the service: something else has answered")),
    ("wecom", b"[]", Complaint("its answer is not that of the service: something else has answered")),
    ("wecom", b"\xff", Complaint("its answer is not that of the service: something else has answered")),
]


@pytest.mark.parametrize(("form", "answer", "complaint"), ANSWERS)
def test_what_an_answer_complains_of(form: Format, answer: bytes, complaint: Complaint | None) -> None:
    assert complaint_in(form, answer) == complaint


def test_a_code_that_is_no_number_is_a_complaint() -> None:
    complaint = complaint_in("wecom", b'{"errcode":"45009"}')
    assert complaint == Complaint("refused with code 45009: no reason given")


def test_text_from_outside_is_one_short_line() -> None:
    assert shortened("a\n b\x1b[2J") == "a b\\x1b[2J"
    assert shortened("x" * 200) == "x" * 117 + "..."


ENVELOPE = Envelope(
    sender="edge1@example.com",
    recipients=("noc@example.com", "boss@example.com"),
    subject_prefix="[sipdispatch]",
    date="Tue, 14 Nov 2023 22:13:20 +0000",
    message_id="<1@example.com>",
)


@pytest.mark.parametrize("text", ["Störung\nzweite Zeile", "plain\n.dot\n" + "x" * 2000])
def test_mail(text: str) -> None:
    raw = shape_mail(message(text), ENVELOPE)
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # RFC 5322 2.1.1
    mail = email.message_from_bytes(raw, policy=default)
    assert dict(mail.items()) | {"Content-Transfer-Encoding": ""} == {
        "From": "edge1@example.com",
        "To": "noc@example.com, boss@example.com",
        "Subject": "[sipdispatch] edge1: Störung",
        "Date": "Tue, 14 Nov 2023 22:13:20 +0000",
        "Message-ID": "<1@example.com>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "",
        "MIME-Version": "1.0",
    }
    assert mail.get_content().replace("\r\n", "\n") == text + "\n"


def test_mail_without_a_prefix() -> None:
    envelope = Envelope(
        sender="a@b", recipients=("c@d",), subject_prefix="", date=ENVELOPE.date, message_id=ENVELOPE.message_id
    )
    assert email.message_from_bytes(shape_mail(message(), envelope), policy=default)["Subject"] == "edge1: Störung"
