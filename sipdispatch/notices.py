"""How does a message reach the readers of one notifier, over whatever the network does to it?"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from typing import Final

import attrs
import structlog
import trio

from sipdispatch.notice_files import SecretFileError, read_header_fields, read_line, read_url_file
from sipdispatch.notice_mail import Letter, Server, mail
from sipdispatch.notice_post import Target, post
from sipdispatch.notice_settings import Notify
from sipdispatch.notice_shapes import Envelope, shape_mail, shape_post
from sipdispatch.notice_text import Message
from sipdispatch.notice_try import Line, Outcome

BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between two tries; the last one repeats."""
THREADS: Final = 3
"""Tries of one notifier that may be stuck in a look-up, which nothing can cut short."""
HURRY_S: Final = 2.0
"""What a try has left when the process ends."""

Deliver = Callable[[Notify, Message, Line], Outcome]

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen(kw_only=True)
class Delivery:
    """What has come of a message: whether it was taken, what the other side said, after how many tries."""

    delivered: bool
    text: str
    tries: int


class Sender:
    """Delivers the messages of one notifier, one after the other, each in a thread and never for longer than allowed.

    `deliver` makes one try; it is called in a thread with the notifier, the message and a line that may be cut.
    """

    def __init__(self, notify: Notify, *, deliver: Deliver | None = None) -> None:
        self._notify = notify
        self._deliver = deliver or try_once
        self._limiter = trio.CapacityLimiter(THREADS)
        self._stopping = trio.Event()
        self._trying: trio.CancelScope | None = None

    def hurry(self) -> None:
        """The end is near: the try that runs gets HURRY_S, and none that comes is repeated."""
        self._stopping.set()
        if self._trying is not None:
            self._trying.deadline = min(self._trying.deadline, trio.current_time() + HURRY_S)

    async def check(self) -> str | None:
        """What is wrong with the files of the notifier, if anything: better told now than in an outage."""
        try:
            with trio.move_on_after(self._notify.timeout):
                await trio.to_thread.run_sync(read_files, self._notify, abandon_on_cancel=True, limiter=self._limiter)
                return None
        except SecretFileError as error:
            return str(error)
        return "its files cannot be read in time"

    async def send(self, message: Message, *, retries: int | None = None) -> Delivery:
        """Try until it is delivered, or until trying again is no use, or too often; never raises."""
        most = self._notify.retries if retries is None else retries
        tries = 0
        while True:
            outcome = await self._try(message)
            tries += 1
            if outcome.delivered or not outcome.again or tries > most or self._stopping.is_set():
                return Delivery(delivered=outcome.delivered, text=outcome.text, tries=tries)
            with trio.move_on_after(max(BACKOFF_S[min(tries, len(BACKOFF_S)) - 1], outcome.wait or 0.0)):
                await self._stopping.wait()
            if self._stopping.is_set():
                return Delivery(delivered=False, text=outcome.text, tries=tries)

    async def _try(self, message: Message) -> Outcome:
        line = Line()
        timeout = min(self._notify.timeout, HURRY_S) if self._stopping.is_set() else self._notify.timeout
        try:
            with trio.move_on_after(timeout) as self._trying:
                return await trio.to_thread.run_sync(
                    partial(self._deliver, self._notify, message, line), abandon_on_cancel=True, limiter=self._limiter
                )
        except Exception as error:  # a mistake of ours costs a notice, not the proxy
            log.exception("a notice failed by a mistake in this program; please report it", notifier=self._notify.name)
            return Outcome(delivered=False, text=f"a mistake in this program ({type(error).__name__})")
        finally:
            self._trying = None
            line.cut()  # ends what the thread waits for, if it still does
        return Outcome(delivered=False, text="no answer in time", again=True)


def try_once(notify: Notify, message: Message, line: Line) -> Outcome:
    """One try, with what the files of the notifier say now; waits, for a thread."""
    try:
        return _post(notify, message, line) if notify.smtp is None else _mail(notify, message, line)
    except SecretFileError as error:
        return Outcome(delivered=False, text=str(error))


@attrs.frozen(kw_only=True)
class _Files:
    """What the files of a notifier say; None where it has none."""

    url: str
    secret: str | None
    password: str | None
    headers: Mapping[str, str]


def read_files(notify: Notify) -> _Files:
    """Read them all; raises SecretFileError."""
    return _Files(
        url=notify.url or ("" if notify.url_file is None else read_url_file(notify.url_file)),
        secret=None if notify.secret_file is None else read_line(notify.secret_file),
        password=None if notify.password_file is None else read_line(notify.password_file),
        headers={} if notify.headers_file is None else read_header_fields(notify.headers_file),
    )


def _post(notify: Notify, message: Message, line: Line) -> Outcome:
    files = read_files(notify)
    target = Target(url=files.url, form=notify.shape, headers=files.headers, proxy=notify.proxy, ca_file=notify.ca_file)
    sent = shape_post(notify.shape, message, at=time.time(), secret=files.secret)
    return post(target, sent.body, sent.parameters, timeout=notify.timeout, line=line)


def _mail(notify: Notify, message: Message, line: Line) -> Outcome:
    assert notify.smtp is not None  # noqa: S101 - the caller has looked
    sender = notify.sender or ""
    envelope = Envelope(
        sender=sender,
        recipients=notify.recipients,
        subject_prefix=notify.subject_prefix,
        date=format_datetime(datetime.fromtimestamp(message.at).astimezone()),
        message_id=_message_id(message, sender),
    )
    server = Server(
        address=notify.smtp,
        greeting=message.node if message.node.isascii() and message.node.isprintable() else "localhost",
        starttls=notify.starttls,
        user=notify.user,
        password=read_files(notify).password,
        ca_file=notify.ca_file,
    )
    letter = Letter(raw=shape_mail(message, envelope), sender=sender, recipients=notify.recipients)
    return mail(server, letter, timeout=notify.timeout, line=line)


def _message_id(message: Message, sender: str) -> str:
    """The same for each try, so that whoever gets two of them can see that they are one."""
    digest = hashlib.sha256(f"{message.node}\n{message.at}\n{message.text}".encode("utf-8", "replace")).hexdigest()
    return f"<{digest[:32]}@{sender.rpartition('@')[2]}>"
