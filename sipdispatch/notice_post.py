"""How does a notice reach a URL?  One try; it waits, so it belongs into a thread."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from sip.uri import host_port
from sipdispatch.notice_files import SecretFileError
from sipdispatch.notice_settings import Format
from sipdispatch.notice_shapes import complaint_in, says_more, shortened
from sipdispatch.notice_try import Line, Outcome, failed_by
from sipdispatch.version import version_number

ANSWER_OCTETS: Final = 64 << 10
"""What is read of an answer."""
ANSWER_SHOWN: Final = 400
"""Of these, what may come into the log, before it is shortened."""
DETAIL_PART: Final = 0.25
"""Of the time for a try, what the reason of a refusal may take."""
SECRET_LENGTH: Final = 8
"""No key to a URL is shorter."""
LONGEST_WAIT_S: Final = 60.0
"""Of what a Retry-After asks for."""
_PIECES: Final = re.compile(r"[/?&=;]")
_PORTS: Final = {"http": 80, "https": 443}


@attrs.frozen(kw_only=True)
class Target:
    """Where to post, and by which way."""

    url: str
    form: Format
    headers: Mapping[str, str]
    proxy: str | None = None
    ca_file: Path | None = None


def post(target: Target, body: bytes, parameters: str, *, timeout: float, line: Line) -> Outcome:
    """Send the body once.  Redirects are not followed: they would take what is secret elsewhere."""
    parts = urlsplit(target.url)
    try:
        with _connect(parts, target, timeout, line) as connection:
            return _exchange(connection, parts, target, body, parameters)
    except OSError as error:
        return failed_by(error)
    except UnicodeError:  # the codec "idna" of the standard library, before the look-up
        return Outcome(delivered=False, text="its name is no name of the DNS")
    except HTTPException as error:
        return Outcome(delivered=False, text=f"its answer is not HTTP: {type(error).__name__}", again=True)


def _connect(parts: SplitResult, target: Target, timeout: float, line: Line) -> socket.socket:
    """A connection to the host of the URL, through the proxy if there is one, and with TLS if it says https."""
    address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    proxy = urlsplit(target.proxy) if target.proxy else None
    first = address if proxy is None else (proxy.hostname or "", proxy.port or 0)
    connection = socket.create_connection(first, timeout)
    try:
        line.hold(lambda: connection)
        if parts.scheme == "https":
            if proxy is not None:
                _tunnel(connection, host_port(address))
            context = _trusting(target.ca_file)
            connection = context.wrap_socket(connection, server_hostname=address[0], do_handshake_on_connect=False)
            connection.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def _tunnel(connection: socket.socket, authority: str) -> None:
    """Ask an HTTP proxy for a way through (RFC 9110 9.3.6)."""
    connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)  # not one more: what follows belongs to TLS
        head += octet
        if not octet or len(head) > ANSWER_OCTETS:
            raise ConnectionError("the proxy has ended the connection")
    status = head.split(b"\r\n")[0].split(b" ")[1:2]
    if not status or not status[0].startswith(b"2"):
        shown = shortened(head.split(b"\r\n")[0].decode("latin-1"))
        raise ConnectionError(f"the proxy refuses: {shown}")


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SecretFileError(f"{ca_file}: cannot be used as ca_file: {error.strerror or error}") from None


def _exchange(connection: socket.socket, parts: SplitResult, target: Target, body: bytes, parameters: str) -> Outcome:
    resource = parts.path or "/"
    query = "&".join(part for part in (parts.query, parameters) if part)
    resource += f"?{query}" if query else ""
    if target.proxy is not None and parts.scheme == "http":
        resource = f"http://{parts.netloc}{resource}"
    headers = {
        "Host": parts.netloc,
        "User-Agent": f"sipdispatch/{version_number()}",
        "Content-Type": "application/json; charset=utf-8",
        "Accept": "*/*",
        "Connection": "close",
        **target.headers,
    }
    http = HTTPConnection(parts.hostname or "")
    http.sock = connection
    http.request("POST", resource, body, headers)
    response = http.getresponse()
    try:
        if response.status >= 300:  # what else it says is of less use than that it is told in time
            connection.settimeout((connection.gettimeout() or 0.0) * DETAIL_PART)
        said = _read(response, target.form)
    finally:
        response.close()
    told = f"{response.status} {response.reason}".strip()
    outcome = _outcome(response.status, told, response.getheader("Retry-After"), said, target.form)
    return attrs.evolve(outcome, text=shortened(_without_secrets(outcome.text, parts, target.headers)))


def _read(response: HTTPResponse, form: Format) -> bytes:
    """As much of the body as matters: a server that has said what it thinks of us may be slow to end it."""
    if 200 <= response.status < 300:
        return response.read(ANSWER_OCTETS) if says_more(form) else b""
    try:
        return response.read(ANSWER_SHOWN)
    except (OSError, HTTPException):
        return b""


def _outcome(status: int, told: str, retry_after: str | None, said: bytes, form: Format) -> Outcome:
    if 200 <= status < 300:
        complaint = complaint_in(form, said)
        if complaint is None:
            return Outcome(delivered=True, text=told)
        return Outcome(delivered=False, text=complaint.text, again=complaint.busy)
    if 300 <= status < 400:
        return Outcome(delivered=False, text=f"{told}: redirects are not followed, write the address it leads to")
    again = status == 429 or status >= 500
    detail = said.decode("utf-8", "replace").strip()
    text = f"{told}: {detail}" if detail and not detail.startswith("<") else told
    return Outcome(delivered=False, text=text, again=again, wait=_wait(retry_after) if again else None)


def _without_secrets(text: str, parts: SplitResult, headers: Mapping[str, str]) -> str:
    """What a server has said without the pieces of the URL, and the words of our header fields, that may be a key."""
    words = (word for value in headers.values() for word in value.split())
    for piece in (*_PIECES.split(f"{parts.path}?{parts.query}"), *words):
        if len(piece) >= SECRET_LENGTH:
            text = text.replace(piece, "***").replace(unquote(piece), "***")
    return text


def _wait(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After asks for; its other form, a date, counts as none (RFC 9110 10.2.3)."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return None
    return min(float(retry_after[:9]), LONGEST_WAIT_S)
