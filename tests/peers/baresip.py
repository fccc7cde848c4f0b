"""How does a test get a real phone that registers, calls, answers, holds and sends sound?"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from tests.peers.namespace import Namespace
from tests.peers.need import missing, require
from tests.peers.ports import is_bound
from tests.peers.program import Program

MODULES = Path("/usr/lib/baresip/modules")
CONTROL_HOST = "127.0.0.1"
CONTROL_OFFSET = 1000
"""The control port is the SIP port plus this."""
ANSWER_SECONDS = 10.0
CONTACT_FORMAT = b"\0%r-%p\0"
"""How baresip writes the user of its Contact: its number and where in its memory the account is."""

LOADED = "aubridge ausine ctrl_tcp debug_cmd g711 menu".split()


@attrs.frozen(kw_only=True)
class Media:
    """RTP packets of a call."""

    sent: int
    received: int


class Phone:
    """A baresip in a namespace, with one account, while the block is open.

    It registers `user` (with `password`, the user's name unless given) at `registrar` (host, port) every
    `register_seconds`, 0 for not at all; `outbound` is a URI that every request goes through (`sip:192.0.2.1;lr`).
    It answers calls by itself when `answers`.  Its microphone is a sine tone and its speaker nothing, so that sound
    flows without a sound card.  It wants a real interface: on loopback it finds no address to offer.

    baresip's Contact is `8005-0x55d0c0ffee00@...`; with `plain_contact` it is `8005@...`, as desk phones have it.
    Asterisk 16.28 keeps the Path of any Contact, but follows it only to one whose user is the AOR's name
    (ASTERISK-30100).
    """

    def __init__(
        self,
        user: str,
        *,
        registrar: tuple[str, int],
        namespace: Namespace,
        address: str,
        port: int = 5060,
        directory: Path,
        password: str | None = None,
        outbound: str | None = None,
        register_seconds: int = 60,
        answers: bool = True,
        plain_contact: bool = False,
    ) -> None:
        self.user, self.address, self.port = user, address, port
        self._baresip = require("baresip")
        self._namespace = namespace
        self._directory = directory / f"phone-{user}"
        self._directory.mkdir(parents=True)
        if plain_contact:
            self._baresip = _with_plain_contact(self._baresip, self._directory)
        (self._directory / "config").write_text(_config(address, port))
        parameters = {
            "auth_pass": user if password is None else password,
            "regint": str(register_seconds),
            "answermode": "auto" if answers else "manual",
            "audio_codecs": "PCMU",
            **({} if outbound is None else {"outbound": f'"{outbound}"'}),
        }
        host, registrar_port = registrar
        self._account = f"<sip:{user}@{host}:{registrar_port}>" + "".join(f";{k}={v}" for k, v in parameters.items())
        self._received = b""
        self._events: list[Mapping[str, Any]] = []

    def __enter__(self) -> Self:
        argv: list[str | Path] = [self._baresip, "-s", "-f", self._directory]
        self._program = Program(argv, log=self._directory / "baresip.out", namespace=self._namespace)
        try:
            self._program.until(self._listens, "baresip listens for commands")
            self._control = self._namespace.open_socket(socket.SOCK_STREAM)
            self._control.connect((CONTROL_HOST, self.port + CONTROL_OFFSET))
            # Not from the accounts file: it would register before anybody hears the event.
            self.command("uanew", self._account)
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._program.stop()

    def command(self, name: str, parameters: str = "") -> str:
        """Give a command of baresip's menu (`dial`, `reginfo`, `hold`); what it printed.  PeerError when it refuses."""
        body = json.dumps({"command": name, "params": parameters}).encode()
        self._control.sendall(b"%d:%s," % (len(body), body))
        reply = self._read(lambda message: "response" in message, f"an answer to {name}", ANSWER_SECONDS)
        if not reply["ok"]:
            raise self._program.failure(f"baresip refuses {name} {parameters}: {reply['data']}")
        return str(reply["data"])

    def wait_for(self, kind: str, *, seconds: float = ANSWER_SECONDS) -> Mapping[str, Any]:
        """The next event of a kind (REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED), past ones first."""
        for at, event in enumerate(self._events):
            if event["type"] == kind:
                del self._events[: at + 1]
                return event
        return self._read(lambda message: message.get("type") == kind, f"the event {kind}", seconds)

    def forget_events(self) -> None:
        """Begin anew: `wait_for` finds nothing of what was until now."""
        self.command("listcalls")  # its answer comes behind the events that are under way
        self._events.clear()

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def answer(self) -> None:
        self.command("accept")

    def hang_up(self) -> None:
        self.command("hangup")

    def hold(self) -> None:
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def media(self) -> Media:
        """How many RTP packets the running call has sent and received; zeros without a call."""
        text = self.command("audio_debug") if self.has_call() else ""
        return Media(
            sent=sum(map(int, re.findall(r"TX: packets=(\d+)", text))),
            received=sum(map(int, re.findall(r"rcvd=(\d+)", text))),
        )

    def wait_for_media(self, *, beyond: Media | None = None, seconds: float = ANSWER_SECONDS) -> Media:
        """Wait until packets have come and gone (since `beyond` was taken)."""
        start = Media(sent=0, received=0) if beyond is None else beyond

        def flows() -> bool:
            now = self.media()
            return now.sent > start.sent and now.received > start.received

        self._program.until(flows, "sound flows both ways", seconds=seconds)
        return self.media()

    def log(self) -> str:
        """Everything it printed, every SIP message it sent or got included."""
        return self._program.output()

    def has_call(self) -> bool:
        """Whether a call is up."""
        # In-call commands are unknown without one.
        return "ESTABLISHED" in self.command("listcalls")

    def _listens(self) -> bool:
        return is_bound(CONTROL_HOST, self.port + CONTROL_OFFSET, pid=self._program.pid, protocol="tcp")

    def _read(self, wanted: Callable[[Mapping[str, Any]], bool], what: str, seconds: float) -> Mapping[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            while (message := self._next_message()) is not None:
                if wanted(message):
                    return message
                if "event" in message:
                    self._events.append(message)
            self._control.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                received = self._control.recv(65536)
            except TimeoutError:
                raise self._program.failure(f"not within {seconds:g} s: {what}") from None
            if not received:
                raise self._program.failure(f"baresip is gone before: {what}")
            self._received += received

    def _next_message(self) -> Mapping[str, Any] | None:
        """The next netstring (`12:hello world!,`) of what was received."""
        length, colon, rest = self._received.partition(b":")
        if not colon or len(rest) <= int(length):
            return None
        self._received = rest[int(length) + 1 :]
        message: Mapping[str, Any] = json.loads(rest[: int(length)])
        return message


def _with_plain_contact(baresip: Path, directory: Path) -> Path:
    """A copy of the program that leaves its own mark out of Contact: no setting does that."""
    program = baresip.read_bytes()
    if program.count(CONTACT_FORMAT) != 1:
        missing("this baresip makes its Contact in another way than 1.0")
    copy = directory / "baresip"
    copy.write_bytes(program.replace(CONTACT_FORMAT, b"\0%r".ljust(len(CONTACT_FORMAT), b"\0")))
    copy.chmod(0o755)
    return copy


def _config(address: str, port: int) -> str:
    settings = [
        ("sip_listen", f"{address}:{port}"),
        ("ctrl_tcp_listen", f"{CONTROL_HOST}:{port + CONTROL_OFFSET}"),
        ("module_path", str(MODULES)),
        ("audio_source", "ausine,440"),
        ("ausrc_srate", "48000"),  # the only rate and
        ("ausrc_channels", "2"),  # the only channels that the sine source has
        ("audio_player", "aubridge,nobody"),
        ("audio_alert", "aubridge,nobody"),
        *(("module", f"{name}.so") for name in LOADED),
    ]
    return "".join(f"{name} {value}\n" for name, value in settings)
