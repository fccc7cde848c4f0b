"""Real servers on loopback for notices: HTTP and SMTP, which answer as they are told or not at all."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import trustme

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """Call `serve` in a thread with each connection; gives the port.  What is still open at the end is ended."""
    open_now: set[socket.socket] = set()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_now.add(connection)
                thread = threading.Thread(target=one, args=(connection,))
                threads.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in open_now:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def wait_for_the_end(connection: socket.socket) -> None:
    """Say nothing until the other side goes away."""
    while connection.recv(65_536):
        pass


def refused_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# --------------------------------------------------------------------------------------------------------------------
# HTTP


@attrs.define
class Request:
    """What was posted."""

    line: str
    headers: dict[str, str]
    body: bytes


@attrs.define
class HttpServer:
    """Answers each request with the next of `answers`, and with the last one from then on; "" is no answer."""

    answers: list[str] = attrs.field(factory=lambda: ["200 OK\r\n\r\nok"])
    requests: list[Request] = attrs.field(factory=list)
    tls: ssl.SSLContext | None = None

    def serve(self, connection: socket.socket) -> None:
        """One connection with one request."""
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as file:
            line = file.readline().decode().strip()
            if not line:
                return
            headers = {}
            while (field := file.readline().decode().strip()) != "":
                name, _, value = field.partition(": ")
                headers[name] = value
            if line.startswith("CONNECT "):
                self.requests.append(Request(line, headers, b""))
                self._pass_on(connection, line)
                return
            body = file.read(int(headers.get("Content-Length", "0")))
            self.requests.append(Request(line, headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer:
                connection.sendall(f"HTTP/1.1 {answer}".encode())
            else:
                wait_for_the_end(connection)

    def _pass_on(self, connection: socket.socket, line: str) -> None:
        """What a proxy does after CONNECT."""
        host, _, port = line.split()[1].partition(":")
        answer = self.answers[0]
        connection.sendall(f"HTTP/1.1 {answer}".encode())
        if not answer.startswith("200"):
            return
        with socket.create_connection((host, int(port))) as beyond:
            back = threading.Thread(target=_copy, args=(beyond, connection))
            back.start()
            _copy(connection, beyond)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65_536):
            target.sendall(octets)
        target.shutdown(socket.SHUT_WR)


# --------------------------------------------------------------------------------------------------------------------
# SMTP


@attrs.define
class SmtpServer:
    """Answers as a mail server; `says` has other answers for some commands, by their first word in capitals.

    `mails` has the envelope and the text of each mail: sender, recipients, octets.
    """

    says: dict[str, str] = attrs.field(factory=dict)
    mails: list[tuple[str, list[str], bytes]] = attrs.field(factory=list)
    commands: list[str] = attrs.field(factory=list)
    passwords: list[str] = attrs.field(factory=list)
    starttls: ssl.SSLContext | None = None
    smtps: ssl.SSLContext | None = None

    def serve(self, connection: socket.socket) -> None:
        """One connection with any number of mails."""
        if self.smtps is not None:
            connection = self.smtps.wrap_socket(connection, server_side=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            self._tell(connection, self.says.get("CONNECT", "220 mail.test ready"))
            file = stack.enter_context(connection.makefile("rb"))
            sender, recipients = "", list[str]()
            while line := file.readline().decode().strip():
                self.commands.append(line)
                word = line.split(":")[0].split(" ")[0].upper()
                said = self.says.get(line.upper(), self.says.get(word, self._answer(word)))
                if word == "MAIL":
                    sender, recipients = line.partition("<")[2].partition(">")[0], []
                elif word == "RCPT" and said.startswith("2"):
                    recipients.append(line.partition("<")[2].partition(">")[0])
                elif word == "AUTH":
                    self.passwords.append(base64.b64decode(line.split()[2]).decode())
                if said == "":
                    wait_for_the_end(connection)
                    return
                self._tell(connection, said)
                if word == "DATA" and said.startswith("354"):
                    raw = b"".join(iter(file.readline, b".\r\n"))
                    self.mails.append((sender, recipients, raw))
                    self._tell(connection, self.says.get(".", "250 taken"))
                elif word == "STARTTLS" and self.starttls is not None:
                    connection = stack.enter_context(self.starttls.wrap_socket(connection, server_side=True))
                    file = stack.enter_context(connection.makefile("rb"))
                elif word == "QUIT":
                    return

    def _answer(self, word: str) -> str:
        match word:
            case "EHLO":
                return "250-mail.test\r\n250-AUTH PLAIN" + ("\r\n250 STARTTLS" if self.starttls else "\r\n250 8BITMIME")
            case "DATA":
                return "354 go on"
            case "STARTTLS":
                return "220 go on"
            case "AUTH":
                return "235 welcome"
            case "QUIT":
                return "221 bye"
            case _:
                return "250 ok"

    @staticmethod
    def _tell(connection: socket.socket, line: str) -> None:
        if line:
            connection.sendall(line.encode() + b"\r\n")


@attrs.frozen
class Trust:
    """A certificate for 127.0.0.1 and localhost, and the file with its authority."""

    server: ssl.SSLContext
    ca_file: Any


def make_trust(folder: Any) -> Trust:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Trust(context, ca_file)
