"""How does a notice reach a mail server?  One try; it waits, so it belongs into a thread."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from pathlib import Path
from typing import Any

import attrs

from sip.uri import Address
from sipdispatch.notice_files import SecretFileError
from sipdispatch.notice_settings import SMTPS_PORT
from sipdispatch.notice_shapes import shortened
from sipdispatch.notice_try import Line, Outcome, failed_by


@attrs.frozen(kw_only=True)
class Letter:
    """A mail as it goes to a server: what it is, from whom and to whom."""

    raw: bytes
    sender: str
    recipients: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Server:
    """A mail server and how to speak to it.  At port 465 TLS begins at once, elsewhere with STARTTLS if wanted.

    `greeting` is the name that we give ourselves.
    """

    address: Address
    greeting: str
    starttls: bool = True
    user: str | None = None
    password: str | None = None
    ca_file: Path | None = None


class _Smtp(smtplib.SMTP):
    """A connection that can be cut while it is being made."""

    def __init__(self, line: Line, server: Server, timeout: float) -> None:
        self._line = line
        super().__init__(*server.address, local_hostname=server.greeting, timeout=timeout)

    def connect(self, *arguments: Any, **named: Any) -> tuple[int, bytes]:
        """The constructor calls it."""
        self._line.hold(lambda: self.sock)
        return super().connect(*arguments, **named)


class _Smtps(smtplib.SMTP_SSL):
    """The same with TLS from the first octet."""

    def __init__(self, line: Line, server: Server, timeout: float, context: ssl.SSLContext) -> None:
        self._line = line
        super().__init__(*server.address, local_hostname=server.greeting, timeout=timeout, context=context)

    def connect(self, *arguments: Any, **named: Any) -> tuple[int, bytes]:
        """The constructor calls it."""
        self._line.hold(lambda: self.sock)
        return super().connect(*arguments, **named)


def mail(server: Server, letter: Letter, *, timeout: float, line: Line, smtps_port: int = SMTPS_PORT) -> Outcome:
    """Hand the mail over once.  Unlike HTTP, SMTP says with 4xx that another try may go better (RFC 5321 4.2.1)."""
    context = _trusting(server.ca_file)
    is_smtps = server.address[1] == smtps_port
    try:
        smtp = _Smtps(line, server, timeout, context) if is_smtps else _Smtp(line, server, timeout)
        try:
            return _converse(smtp, server, letter, None if is_smtps or not server.starttls else context)
        finally:
            smtp.close()
    except smtplib.SMTPException as error:
        return _refused(error)
    except OSError as error:
        return failed_by(error)
    except UnicodeError:  # the codec "idna" of the standard library, before the look-up
        return Outcome(delivered=False, text="its name is no name of the DNS")


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SecretFileError(f"{ca_file}: cannot be used as ca_file: {error.strerror or error}") from None


def _converse(smtp: smtplib.SMTP, server: Server, letter: Letter, starttls: ssl.SSLContext | None) -> Outcome:
    smtp.ehlo_or_helo_if_needed()
    if starttls is not None:
        if not smtp.has_extn("starttls"):
            return Outcome(delivered=False, text="it does not offer STARTTLS; starttls = false sends in clear")
        smtp.starttls(context=starttls)
        smtp.ehlo()
    if server.user is not None and server.password is not None:
        smtp.login(server.user, server.password)
    refused = smtp.sendmail(letter.sender, letter.recipients, letter.raw)
    with contextlib.suppress(smtplib.SMTPException, OSError):  # it has the mail: how it says good-bye is its affair
        smtp.quit()
    if not refused:
        return Outcome(delivered=True, text="accepted")
    return Outcome(delivered=True, text=f"accepted, but not for {_of_each(refused)}")


def _refused(error: smtplib.SMTPException) -> Outcome:
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            again = any(400 <= code < 500 for code, _ in refused.values())
            return Outcome(delivered=False, text=f"refused for {_of_each(refused)}", again=again)
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=said):
            return Outcome(delivered=False, text=f"refused: {_reply(code, said)}", again=not 500 <= code < 600)
        case smtplib.SMTPNotSupportedError():
            return Outcome(delivered=False, text=f"it cannot do what is wanted: {shortened(error)}")
        case _:
            return Outcome(delivered=False, text=shortened(error), again=True)


def _of_each(refused: dict[str, tuple[int, bytes]]) -> str:
    return shortened(", ".join(f"{recipient} ({_reply(*reply)})" for recipient, reply in refused.items()))


def _reply(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return shortened(f"{code} {text}")
