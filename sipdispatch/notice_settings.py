"""Who is told of what happens, and how: what may the sections [[hook]] and [[notify]] say?

A reader takes what stands in the TOML file and returns the value, or raises BadValueError.  None of them quotes a URL:
for many services it is the password.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

from sip.uri import Address, host_port
from sipdispatch.happening import Kind
from sipdispatch.readers import BadValueError, kind, read_text, shown

Format = Literal["json", "slack", "dingtalk", "wecom", "feishu", "email"]

SMTP_PORT: Final = 25
SMTPS_PORT: Final = 465
"""The port where TLS begins with the first octet (RFC 8314 3.3)."""
PREFIX_LENGTH: Final = 60

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
"""addr-spec without quoted strings, comments and domain literals (RFC 5322 3.4.1)."""


@attrs.frozen(kw_only=True)
class Hook:
    """One `[[hook]]`: a command that is run for each happening of these kinds.

    `timeout` is seconds for one try, `retries` counts the tries after the first, `at_once` the commands that may run
    together; those for one destination never do.
    """

    command: tuple[str, ...]
    name: str = ""
    kinds: frozenset[Kind] = frozenset({"verdict", "word"})
    timeout: float = 10.0
    retries: int = 2
    at_once: int = 1


@attrs.frozen(kw_only=True)
class Notify:
    """One `[[notify]]`: where notices to people go.  One of `url`, `url_file` and `smtp` is given.

    Times are seconds; `every` is the window in which a destination is told of once.  `ca_file` None: those that the
    system trusts.  Secrets stand in files of their own, which are read for each notice.
    """

    name: str = ""
    url: str | None = None
    url_file: Path | None = None
    smtp: Address | None = None
    format: Format | None = None
    headers_file: Path | None = None
    secret_file: Path | None = None
    """What DingTalk and Feishu sign with."""
    proxy: str | None = None
    ca_file: Path | None = None
    starttls: bool = True
    user: str | None = None
    password_file: Path | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    subject_prefix: str = "[sipdispatch]"
    kinds: frozenset[Kind] = frozenset({"verdict", "word", "list", "vrrp"})
    every: float = 60.0
    timeout: float = 10.0
    retries: int = 3

    @property
    def shape(self) -> Format:
        """The form of its notices."""
        return self.format or ("json" if self.smtp is None else "email")

    @property
    def where(self) -> str:
        """What may be told of where it sends to: host and port, never a whole URL."""
        if self.smtp is not None:
            return host_port(self.smtp)
        return str(self.url_file) if self.url is None else host_of(self.url)


def host_of(url: str) -> str:
    """The host of a URL, and its port if it says one: what may be logged of it."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether what goes to this host stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --------------------------------------------------------------------------------------------------------------------
# Hooks


def read_command(value: object) -> tuple[str, ...]:
    """A program and its arguments: a list, for no shell takes it apart."""
    if isinstance(value, str):
        listed = ", ".join(f'"{word}"' for word in value.split()) or '"/usr/local/bin/page"'
        raise BadValueError("must be a list, not text: no shell reads it", f"write command = [{listed}]")
    if not isinstance(value, list) or not value:
        raise BadValueError("must be a list of texts", 'write it as in ["/usr/local/bin/page", "noc"]')
    words: list[str] = []
    for word in value:
        if not isinstance(word, str):
            raise BadValueError(f"must be a list of texts; {kind(word)} is in it", f'write "{word}", in quotes')
        if "\0" in word:
            raise BadValueError("a word of it has a NUL", "write words without NUL")
        words.append(word)
    if not words[0].startswith("/"):
        raise BadValueError(
            f"{shown(words[0])} is not a whole path", 'write the program with its folder, as in "/usr/local/bin/page"'
        )
    return tuple(words)


def read_name(value: object) -> str:
    """The name by which the log and `sipdispatch notify test` know it."""
    text = read_text(value)
    if not _NAME.fullmatch(text):
        raise BadValueError(f"{shown(text)} is not a name", "write at most 32 letters, digits, dots, - and _")
    return text


# --------------------------------------------------------------------------------------------------------------------
# Notifiers


def read_url(value: object) -> str:
    """Where notices are posted to."""
    return parse_url(read_text(value))


def parse_url(text: str) -> str:
    """The same for the text of `url_file`; raises BadValueError, which does not quote it."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadValueError("is not a URL: it has spaces or letters that are not ASCII", "copy it from the service")
    if parts.scheme not in ("http", "https") or not host:
        raise BadValueError("is not a URL of HTTP", 'write it as in "https://hooks.example.com/sipdispatch"')
    if "@" in parts.netloc:
        raise BadValueError(
            "has a user or a password in it", "write them as a line Authorization: Basic ... of headers_file"
        )
    if parts.fragment:
        raise BadValueError("has a fragment, which is never sent", "leave # and what follows out")
    return text


def read_proxy(value: object) -> str:
    """The HTTP proxy that the URL is reached by."""
    text = read_text(value)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "http" or "@" in parts.netloc or parts.path.strip("/"):
        raise BadValueError("is not the URL of a proxy", 'write it as in "http://192.0.2.3:3128"')
    return text


def read_smtp(value: object) -> Address:
    """`HOST[:PORT]` of a mail server."""
    text = read_text(value)
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not (_HOST.fullmatch(host) or ":" in host) or parts.netloc != text or "@" in text or port == 0:
        raise BadValueError(f"{shown(text)} is not host and port", 'write it as in "mail.example.com:587"')
    return host, SMTP_PORT if port is None else port


def read_mailbox(value: object) -> str:
    """An address of mail, without a display name."""
    text = read_text(value)
    if not text.isascii():
        raise BadValueError(
            f"{shown(text)} has letters that are not ASCII", 'write the domain in its ASCII form, with "xn--"'
        )
    if not _MAILBOX.fullmatch(text):
        raise BadValueError(f"{shown(text)} is not an address of mail", 'write it as in "noc@example.com"')
    return text


def read_prefix(value: object) -> str:
    """What subjects begin with; "" is nothing."""
    if value == "":
        return ""
    text = read_text(value)
    if not text.isprintable() or len(text) > PREFIX_LENGTH:
        raise BadValueError(
            f"{shown(text)} cannot stand in a subject", f"write one line of at most {PREFIX_LENGTH} letters"
        )
    return text
