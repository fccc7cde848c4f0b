"""Which bytes does each service want, how does it want them signed, and what do its answers mean?

The shapes are those of the services' own documentation of their incoming webhooks (Slack: incoming webhooks; DingTalk,
WeCom and Feishu: custom robots of a group), as of 2025.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final, assert_never
from urllib.parse import urlencode

import attrs

from sipdispatch.notice_settings import Format
from sipdispatch.notice_text import Message
from sipdispatch.printable import printable

WECOM_OCTETS: Final = 2048
"""The most that WeCom takes in a text, in octets of UTF-8."""
REASON_LENGTH: Final = 120

_SLACK_ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_BUSY: Final[Mapping[str, frozenset[int]]] = {
    "dingtalk": frozenset({-1, 130101}),
    "wecom": frozenset({-1, 45009}),
    "feishu": frozenset({11232}),
}
"""What they say, with HTTP status 200, to whom they want to hear again later: too busy, too many messages."""


@attrs.frozen
class Post:
    """The body of a POST, JSON in UTF-8, and what its URL gets behind it: parameters, or ""."""

    body: bytes
    parameters: str = ""


@attrs.frozen
class Complaint:
    """What is wrong in the eyes of a service that has answered 200; `busy`: it may take the same later."""

    text: str
    busy: bool = False


def shape_post(form: Format, message: Message, *, at: float, secret: str | None = None) -> Post:
    """The message in this form; `at`, Unix time, and the secret are what DingTalk and Feishu sign."""
    match form:
        case "json":
            return Post(_json(message.document))
        case "slack":
            return Post(_json({"text": _escaped(message.text), "mrkdwn": False}))
        case "dingtalk":
            text = _json({"msgtype": "text", "text": {"content": message.text}})
            return Post(text, "" if secret is None else _dingtalk_signature(secret, at))
        case "wecom":
            content = _cut(message.text, WECOM_OCTETS)
            return Post(_json({"msgtype": "text", "text": {"content": content}}))
        case "feishu":
            # `<at user_id="all">` in a text calls everybody; what a server has said must not.
            content = message.text.replace("<", "\N{FULLWIDTH LESS-THAN SIGN}")
            signature = {} if secret is None else _feishu_signature(secret, at)
            return Post(_json({**signature, "msg_type": "text", "content": {"text": content}}))
        case "email":
            raise ValueError("mail is not posted")
    assert_never(form)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _escaped(text: str) -> str:
    for letter, escape in _SLACK_ESCAPES:
        text = text.replace(letter, escape)
    return text


def _cut(text: str, octets: int) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= octets else raw[: octets - 3].decode("utf-8", "ignore") + "..."


def _dingtalk_signature(secret: str, at: float) -> str:
    """Milliseconds, and their MAC under the secret."""
    timestamp = str(int(at * 1000))
    digest = hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256)
    return urlencode({"timestamp": timestamp, "sign": base64.b64encode(digest).decode("ascii")})


def _feishu_signature(secret: str, at: float) -> dict[str, str]:
    """Seconds, and the MAC of nothing under a key made of both."""
    timestamp = str(int(at))
    digest = hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode("ascii")}


def says_more(form: Format) -> bool:
    """Whether an answer with status 200 may be a refusal all the same."""
    return form in _BUSY


def complaint_in(form: Format, body: bytes) -> Complaint | None:
    """What the body of an answer with status 200 complains of: DingTalk, WeCom and Feishu refuse in this way."""
    busy = _BUSY.get(form)
    if busy is None:
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return Complaint("its answer is not that of the service: something else has answered")
    code = next((answer[key] for key in ("errcode", "code", "StatusCode") if key in answer), None)
    if code == 0:
        return None
    reason = next((answer[key] for key in ("errmsg", "msg", "StatusMessage") if answer.get(key)), "no reason given")
    return Complaint(
        f"refused with code {shortened(code)}: {shortened(reason)}", isinstance(code, int) and code in busy
    )


def shortened(text: object) -> str:
    """Text from outside as a line of the log takes it."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 3] + "..."


@attrs.frozen(kw_only=True)
class Envelope:
    """What a mail has besides its text; `date` is as RFC 5322 writes it, `message_id` has its angle brackets."""

    sender: str
    recipients: tuple[str, ...]
    subject_prefix: str
    date: str
    message_id: str


def shape_mail(message: Message, envelope: Envelope) -> bytes:
    """The message as mail, in seven-bit lines, whatever letters are in it."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = envelope.sender
    mail["To"] = ", ".join(envelope.recipients)
    mail["Subject"] = " ".join((*([envelope.subject_prefix] if envelope.subject_prefix else []), message.subject))
    mail["Date"] = envelope.date
    mail["Message-ID"] = envelope.message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's absence notice is to answer it
    mail.set_content(message.text + "\n", cte="base64" if not message.text.isascii() else "quoted-printable")
    return mail.as_bytes()
