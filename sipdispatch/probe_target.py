"""Whom does a TARGET of `sipdispatch probe` name?

host   host:port   [v6]:port   v6   sip:[user@]host[:port][;transport=tcp]   @file
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import attrs

from health.probe import Aim
from sip.errors import SipError
from sip.uri import SipUri, numeric, parse_uri
from sipdispatch.errors import CommandError

MAX_TARGETS = 10_000

_FORMS = "write host, host:port, [v6]:port, sip:user@host or @FILE"
_SCHEME = re.compile(r"[a-z]+:(?![0-9]+(?:;|$))", re.IGNORECASE)

Transport = Literal["udp", "tcp"]


@attrs.frozen(kw_only=True)
class Aiming:
    """What the options say of all targets."""

    transport: str | None = None
    user: str | None = None
    """Of targets that have none."""
    proxy: tuple[str, int | None] | None = None
    srv: bool | None = None
    """True: only by SRV records; False: never by them; None: where no port is written (RFC 3263 4.2)."""


def read_targets(words: Iterable[str], aiming: Aiming) -> tuple[Aim, ...]:
    """The targets of the command line, those in files in their place; raises CommandError."""
    aims: list[Aim] = []
    for text, where in _expand(words):
        aims.append(_read_target(text, where, aiming))
        if len(aims) > MAX_TARGETS:
            raise CommandError(f"there are more than {MAX_TARGETS} targets", where, "split them over several calls")
    if not aims:
        raise CommandError("there is no target", "the command line", _FORMS)
    return tuple(aims)


def read_host_port(text: str, where: str) -> tuple[str, int | None]:
    """A host and its port, None where none is written; raises CommandError."""
    uri = _uri_of(text, where)
    if uri.user is not None or uri.params or uri.headers:
        raise CommandError(f"{text} is not HOST or HOST:PORT", where, "write it as in 192.0.2.1:5060 or [2001:db8::1]")
    return uri.host, uri.port


def _expand(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each target, and where it is written."""
    for word in words:
        if not word.startswith("@"):
            yield word, f"TARGET {word}"
            continue
        name = word[1:]
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise CommandError(
                f"the targets cannot be read: {said}", name or "@", "name a file with one target a line"
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            target = re.sub(r"(^|\s)#.*", "", line).strip()
            if target:
                yield target, f"{name}:{number}"


def _read_target(text: str, where: str, aiming: Aiming) -> Aim:
    uri = _uri_of(text, where)
    transport = _transport(uri, where, aiming)
    host, port = uri.param("maddr") or uri.host, uri.port
    if aiming.proxy is not None:
        host, port = aiming.proxy
    if aiming.srv and (port is not None or numeric(host) is not None):
        raise CommandError(
            f"{host} is not looked up by SRV records", where, "leave out --srv, or name a domain without a port"
        )
    if aiming.srv is False and port is None:
        port = uri.default_port
    return Aim(uri=_request_uri(text, uri, transport, aiming), host=host, port=port, transport=transport, label=text)


def _uri_of(text: str, where: str) -> SipUri:
    written = text if _SCHEME.match(text) and numeric(text) is None else f"sip:{_bracketed(text)}"
    try:
        return parse_uri(written.encode())
    except (SipError, UnicodeEncodeError) as error:
        reason = error.reason if isinstance(error, SipError) else "not UTF-8"
        raise CommandError(f"{text} is no target: {reason}", where, _FORMS) from error


def _bracketed(text: str) -> str:
    return f"[{text}]" if numeric(text) is not None and ":" in text else text


def _transport(uri: SipUri, where: str, aiming: Aiming) -> Transport:
    written = uri.param("transport") is not None or uri.scheme == "sips"
    transport = uri.transport if written else aiming.transport or "udp"
    if written and aiming.transport not in (None, transport):
        raise CommandError(
            f"the target says {transport} and -t says {aiming.transport}", where, "leave out one of the two"
        )
    if transport == "udp":
        return "udp"
    if transport == "tcp":
        return "tcp"
    raise CommandError(
        f"{transport} cannot be probed: this version speaks UDP and TCP", where, "write -t udp or -t tcp, and sip:"
    )


def _request_uri(text: str, uri: SipUri, transport: Transport, aiming: Aiming) -> str:
    """As written where a URI is written, with what the options add."""
    written = text if _SCHEME.match(text) and numeric(text) is None else f"sip:{_bracketed(text)}"
    if uri.user is None and aiming.user is not None:
        scheme, _, rest = written.partition(":")
        written = f"{scheme}:{aiming.user}@{rest}"
    if transport != "udp" and uri.param("transport") is None:
        written = f"{written};transport={transport}"
    return written
