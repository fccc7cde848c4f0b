"""Which command does a script of keepalived's stand for, and is it a question that this agent asks by itself?

keepalived runs what stands in quotes without a shell: words part at spaces, single quotes hold them together.  What
needs a shell gets one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any, Final

import click

from sip.errors import SipError
from sip.uri import Address, parse_uri
from sipdispatch import probe_sipsak

ENV: Final = "/usr/bin/env"
SHELL: Final = "/bin/sh"
SIP_PORT: Final = 5060

_NEEDS_A_SHELL: Final = re.compile(r"[|&;<>()$`*?~\n]")
_WORD: Final = re.compile(r"(?:[^\s']|'[^']*')+")
_ONLY_THERE: Final = ("killall", "pidof", "pgrep")
"""Programs that ask whether a process is there."""
_DECISIVE: Final = ("search", "file", "trace", "ha1", "user")
"""Options of sipsak that make its verdict another one than whether somebody answers."""


def split_script(text: str) -> tuple[str, ...]:
    """The command as a fixed argument list, whose program has a path; empty for nothing."""
    if not text.strip():
        return ()
    if _NEEDS_A_SHELL.search(text):
        return (SHELL, "-c", text)
    words = tuple(word.replace("'", "") for word in _WORD.findall(text))
    if not words or not words[0]:
        return (SHELL, "-c", text)
    return words if words[0].startswith("/") else (ENV, *words)


def program_of(command: Sequence[str]) -> str:
    """The name of the program that does the work, behind env and timeout."""
    rest = _unwrapped(command)
    return PurePath(rest[0]).name if rest else ""


def process_asked_for(command: Sequence[str]) -> str | None:
    """The process that a command looks for, by its name; None if it does something else."""
    if program_of(command) not in _ONLY_THERE:
        return None
    named = [word for word in _unwrapped(command)[1:] if not word.startswith("-")]
    return named[-1] if named else None


def sipsak_target(command: Sequence[str]) -> Address | None:
    """Where a sipsak command asks for a sign of life by OPTIONS over UDP; None: it is no such command."""
    if program_of(command) != "sipsak":
        return None
    try:
        with probe_sipsak.command.make_context("sipsak", list(_unwrapped(command)[1:]), resilient_parsing=True) as ctx:
            asked = dict(ctx.params)
    except click.ClickException:  # pragma: no cover - click refuses nothing while it is resilient
        return None
    if any(asked.get(name) for name in _DECISIVE) or str(asked.get("transport") or "udp").lower() != "udp":
        return None
    return _address(asked)


def _address(asked: dict[str, Any]) -> Address | None:
    try:
        uri = parse_uri(str(asked.get("uri") or "").encode("utf-8", "replace"))
        if asked.get("proxy"):
            uri = parse_uri(f"sip:{asked['proxy']}".encode("utf-8", "replace"))
    except SipError:
        return None
    host = "127.0.0.1" if uri.host == "localhost" else uri.host
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if uri.scheme != "sip" or uri.transport != "udp" or address.is_unspecified or address.is_multicast:
        return None
    return str(address), int(asked.get("remote_port") or uri.port or SIP_PORT)


def _unwrapped(command: Sequence[str]) -> Sequence[str]:
    """Without env and timeout in front."""
    rest = list(command)
    while rest and PurePath(rest[0]).name in ("env", "timeout"):
        was_timeout = PurePath(rest.pop(0)).name == "timeout"
        while rest and rest[0].startswith("-"):
            takes_value = rest[0] in ("-k", "-s", "--kill-after", "--signal")
            del rest[: 2 if takes_value else 1]
        if was_timeout and rest:
            rest.pop(0)
    return rest
