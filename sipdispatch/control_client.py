"""How does a command ask the running proxy or agent, and what does the person read when that fails?"""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from sipdispatch.control_socket import MAX_PATH_BYTES
from sipdispatch.errors import CommandError
from sipdispatch.jsonrpc import Lines

TIMEOUT_S: Final = 10.0
"""For an answer that needs no waiting: a list of 10,000 lines is read again in less."""
RETRY_S: Final = 0.05
CHUNK_BYTES: Final = 1 << 16
MAX_ANSWER_BYTES: Final = 1 << 30


class RefusedError(CommandError):
    """The proxy says no; `details` is the `data` of its error."""

    def __init__(self, what: str, where: str, remedy: str, details: Mapping[str, Any]) -> None:
        super().__init__(what, where, remedy)
        self.details = details


class ControlClient:
    """One connection to the proxy at `path`, or to another `program`; use it with `with`.

    Whatever fails raises CommandError.
    """

    def __init__(self, path: Path, program: str = "proxy") -> None:
        self.path = path
        self._program = program
        self._lines = Lines(MAX_ANSWER_BYTES)
        self._arrived: list[bytes | None] = []
        self._notified: list[dict[str, Any]] = []
        self._number = 0
        self._socket = _connect(path, program)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = TIMEOUT_S) -> Any:
        """The result of a method; parameters that are None are left out.  `timeout` is seconds of silence."""
        self._number += 1
        given = {name: value for name, value in (params or {}).items() if value is not None}
        request = {"jsonrpc": "2.0", "method": method, "params": given, "id": self._number}
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise self._silent(timeout) from error
        except OSError:
            pass  # it has refused us before we have asked: that stands in what it sent
        while True:
            answer = self._receive(timeout)
            if answer.get("method") == "event":
                self._notified.append(answer["params"])
            elif "error" in answer:
                raise _refused(answer["error"], self.path, self._program)
            elif answer.get("id") == self._number:
                return answer.get("result")

    def events(self) -> Iterator[dict[str, Any]]:
        """Every happening from now on, once `events` has been called; ends never by itself."""
        while True:
            while self._notified:
                yield self._notified.pop(0)
            answer = self._receive(None)
            if answer.get("method") == "event":
                yield answer["params"]

    def _receive(self, timeout: float | None) -> dict[str, Any]:
        """The next document; raises CommandError when none comes, or something else."""
        self._socket.settimeout(timeout)
        while not self._arrived:
            try:
                chunk = self._socket.recv(CHUNK_BYTES)
            except TimeoutError as error:
                raise self._silent(timeout) from error
            except OSError:
                chunk = b""
            if not chunk:
                raise CommandError(
                    f"the {self._program} has closed the connection before it answered"
                    if timeout is not None
                    else f"the {self._program} has ended, or has closed the connection",
                    str(self.path),
                    "look at its log, and try again",
                )
            self._arrived = self._lines.receive(chunk)
        line = self._arrived.pop(0)
        try:
            answer = json.loads(line or b"")
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
            raise CommandError(
                f"what answers there is no sipdispatch {self._program}",
                str(self.path),
                f"name the {self._program}'s socket with --socket, or its configuration with --config",
            )
        return answer

    def _silent(self, timeout: float | None) -> CommandError:
        return CommandError(
            f"the {self._program} has not answered within {timeout:g} s",
            str(self.path),
            "see whether it is stopped or overloaded: ps, its log",
        )


def _connect(path: Path, program: str) -> socket.socket:
    where = str(path)
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise CommandError(
            f"the path has {len(os.fsencode(path))} bytes, and a socket's has at most {MAX_PATH_BYTES}",
            where,
            "change into its folder and name it from there",
        )
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _reach(asking, path, until=time.monotonic() + TIMEOUT_S)
        return asking
    except OSError as error:
        asking.close()
        raise _unreachable(path, program, error) from error


def _reach(asking: socket.socket, path: Path, *, until: float) -> None:
    """Connect; while too many wait to be accepted, try again.  A blocking connect would have no limit."""
    asking.settimeout(TIMEOUT_S)
    while True:
        try:
            asking.connect(os.fspath(path))
            return
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise TimeoutError from error
            time.sleep(RETRY_S)


def _unreachable(path: Path, program: str, error: OSError) -> CommandError:
    remedy = "start it, or name its socket with --socket or its configuration with --config"
    match error:
        case FileNotFoundError():
            what = f"no {program} has its control socket there"
        case ConnectionRefusedError():
            what = f"no {program} listens on its control socket any more: it has ended"
        case PermissionError():
            what = f"you may not use the control socket of the {program}"
            remedy = _who_may(path, program)
        case TimeoutError():
            what = f"the {program} has accepted no connection within {TIMEOUT_S:g} s"
            remedy = "see whether it is stopped or overloaded: ps, its log"
        case _:
            what = f"the control socket cannot be used: {error.strerror or error}"
    return CommandError(what, str(path), remedy)


def _who_may(path: Path, program: str) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"run this as root, or as a user who may enter {path.parent}"
    if not found.st_mode & stat.S_IWGRP:
        return f"run this as root, or as the user that the {program} runs as"
    if not found.st_gid:  # nobody is to join that group for this
        section = "[control]" if program == "proxy" else "[vrrp.control]"
        return f"run this as root, or write in {section} the group of those who may, and restart the {program}"
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return f"run this as root or as a member of the group {group}; after usermod -aG {group} USER log in anew"


def _refused(error: Any, path: Path, program: str) -> RefusedError:
    """What the proxy's error says, for the command line."""
    told = error if isinstance(error, dict) else {}
    details = told.get("data")
    if not isinstance(details, dict):
        details = {}
    return RefusedError(
        str(details.get("what") or told.get("message") or f"the {program} says no and not why"),
        str(details.get("where") or path),
        str(details.get("to_do") or f"look at the {program}'s log"),
        details,
    )
