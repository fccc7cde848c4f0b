"""Notices that are sent, and what comes of it."""

from __future__ import annotations

from pathlib import Path

from sipdispatch.damping import Notice
from sipdispatch.notice_settings import Notify
from sipdispatch.notice_text import Message, compose
from sipdispatch.notices import Delivery, Sender

MESSAGE = compose(Notice(), "edge1", at=1_700_000_000.0)
SECRET = "T0PSECRET/B0TTOM"


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
