"""How does a test get a real Asterisk with two phones' extensions and ask it what it sees?"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from tests.peers.asterisk_package import module_folder, obtain
from tests.peers.namespace import Namespace
from tests.peers.ports import is_bound
from tests.peers.program import PeerError, Program

__all__ = ["DIALPLAN", "Asterisk", "obtain"]

BOOT_SECONDS = 30.0
CLI_SECONDS = 10.0
KILL_SECONDS = 5.0

MODULES = """
    app_bridgewait app_confbridge app_dial app_echo app_playback app_stack app_verbose
    bridge_builtin_features bridge_holding bridge_native_rtp bridge_simple bridge_softmix
    chan_pjsip codec_alaw codec_gsm codec_ulaw format_gsm format_pcm format_wav
    func_channel func_db func_logic func_pjsip_contact func_pjsip_endpoint func_strings pbx_config
    res_http_websocket res_musiconhold res_pjproject res_rtp_asterisk res_sorcery_astdb res_sorcery_config
    res_sorcery_memory res_srtp res_timing_timerfd
    res_pjsip res_pjsip_acl res_pjsip_authenticator_digest res_pjsip_caller_id res_pjsip_dialog_info_body_generator
    res_pjsip_diversion res_pjsip_dtmf_info res_pjsip_endpoint_identifier_anonymous res_pjsip_endpoint_identifier_ip
    res_pjsip_endpoint_identifier_user res_pjsip_exten_state res_pjsip_logger res_pjsip_messaging res_pjsip_nat
    res_pjsip_outbound_authenticator_digest res_pjsip_outbound_registration res_pjsip_path
    res_pjsip_pidf_body_generator res_pjsip_pubsub res_pjsip_refer res_pjsip_registrar res_pjsip_rfc3326
    res_pjsip_sdp_rtp res_pjsip_session
""".split()
"""A phone system over PJSIP and no more: it boots in a second."""

EMPTY = "acl ccss cdr cel confbridge features http indications manager musiconhold pjproject rtp udptl".split()
"""Configuration files that modules look for and need nothing in."""

DIALPLAN = """\
[default]
exten => 100,1,Answer()
 same => n,Playback(hello-world)
 same => n,Hangup()
exten => 183,1,Progress()
 same => n,Playback(hello-world,noanswer)
 same => n,Answer()
 same => n,Echo()
exten => 486,1,Hangup(17)
exten => 600,1,Answer()
 same => n,Echo()
exten => _8XXX,1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
exten => s,1,Answer()
 same => n,Wait(30)
"""
"""100 says hello, 183 sends early media first, 486 is busy, 600 echoes, 8XXX rings a registered phone, s waits."""


class Asterisk:
    """An Asterisk that listens for SIP over UDP on `address`:`port` while the block is open.

    `extensions` register with their own number as the password and may call each other.  `proxy` is the address of a
    proxy in front: requests from it are trusted as of the endpoint `proxy` when their From names no extension.
    `qualify_seconds` makes it ask each registered phone with OPTIONS.  `pjsip` and `dialplan` are added to its own
    configuration; `files` replaces whole files of it, by name.  Files go to `directory`.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        directory: Path,
        namespace: Namespace | None = None,
        extensions: Sequence[str] = ("8005", "8006"),
        proxy: str | None = None,
        qualify_seconds: int = 0,
        pjsip: str = "",
        dialplan: str = "",
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.address, self.port = address, port
        self._prefix = obtain()
        self._directory = directory
        self._namespace = namespace
        # A unix socket's path holds 108 characters, which a test's own folder may use up.
        self._run_folder = Path(tempfile.mkdtemp(prefix="asterisk-"))
        phones = "".join(_phone(number, qualify_seconds) for number in extensions)
        self._write("pjsip.conf", _transport(address, port) + phones + (_proxy(proxy) if proxy else "") + pjsip)
        self._write("extensions.conf", DIALPLAN + dialplan)
        self._write("modules.conf", "[modules]\nautoload=no\n" + "".join(f"load => {name}.so\n" for name in MODULES))
        self._write("logger.conf", "[general]\n[logfiles]\nmessages.log => notice,warning,error,verbose\n")
        self._write("asterisk.conf", self._folders())
        for name in EMPTY:
            self._write(f"{name}.conf", "")
        for name, text in files.items():
            self._write(name, text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()
        shutil.rmtree(self._run_folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, again after it was killed, and wait until it listens."""
        launch: list[str | Path] = [self._prefix / "asterisk", "-f", "-C", self._etc / "asterisk.conf"]
        self._program = Program(launch, log=self._directory / "asterisk.out", namespace=self._namespace)
        try:
            self._program.until(self._has_booted, "Asterisk is fully booted", seconds=BOOT_SECONDS)
            self._program.until(self._listens, f"Asterisk listens on {self.address}:{self.port}")
        except PeerError:
            self.__exit__()
            raise

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP freezes it, SIGCONT lets it go on."""
        self._program.signal(number)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self._program.signal(signal.SIGKILL)
        self._program.wait(KILL_SECONDS)

    @property
    def pid(self) -> int:
        return self._program.pid

    def cli(self, command: str) -> str:
        """What Asterisk's console answers to a command; PeerError when nothing does."""
        done = self._ask(command)
        if done.returncode:
            raise self._program.failure(f"asterisk -rx {command!r}: {done.stdout}{done.stderr}")
        return done.stdout

    def contacts(self) -> list[str]:
        """The contacts that are registered now, each as AOR/URI: `8005/sip:8005@192.0.2.1:5060`."""
        rows = (line.split() for line in self.cli("pjsip show contacts").splitlines())
        return [row[1] for row in rows if len(row) > 2 and row[0] == "Contact:" and "/sip" in row[1]]

    def log(self) -> str:
        """Its messages so far, with the dialplan's steps."""
        return (self._directory / "log/messages.log").read_text(errors="replace")

    @property
    def _etc(self) -> Path:
        return self._directory / "etc"

    def _write(self, name: str, text: str) -> None:
        self._etc.mkdir(parents=True, exist_ok=True)
        (self._etc / name).write_text(text)

    def _folders(self) -> str:
        share = self._prefix / "root/usr/share/asterisk"
        folders: dict[str, Path] = {
            "astetcdir": self._etc,
            "astmoddir": module_folder(self._prefix),
            "astvarlibdir": share,
            "astdatadir": share,
            "astagidir": share / "agi-bin",
            "astrundir": self._run_folder,
        }
        for name in ("db", "key", "spool", "log"):
            folders[f"ast{name}dir"] = self._directory / name
            (self._directory / name).mkdir(exist_ok=True)
        lines = "".join(f"{name} => {folder}\n" for name, folder in folders.items())
        return f"[directories]\n{lines}[options]\nverbose = 3\ndocumentation_language = en_US\n"

    def _ask(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._prefix / "asterisk", "-C", self._etc / "asterisk.conf", "-rx", command],
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS,
            check=False,
        )

    def _has_booted(self) -> bool:
        return self._ask("core waitfullybooted").returncode == 0

    def _listens(self) -> bool:
        return is_bound(self.address, self.port, pid=self.pid)


def _transport(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    # By user name first: else a phone behind the proxy is taken for the proxy, and its REGISTER is refused with 403.
    return (
        "[global]\ntype=global\nendpoint_identifier_order=username,ip,anonymous\n"
        f"[transport-udp]\ntype=transport\nprotocol=udp\nbind={host}:{port}\n"
    )


def _phone(number: str, qualify_seconds: int) -> str:
    # support_path: without it Asterisk forgets the Path header, and with it the way back to the phone.
    return (
        f"[{number}]\ntype=endpoint\n{_MEDIA}aors={number}\nauth={number}-auth\n"
        f"[{number}-auth]\ntype=auth\nauth_type=userpass\nusername={number}\npassword={number}\n"
        f"[{number}]\ntype=aor\nmax_contacts=5\nsupport_path=yes\nqualify_frequency={qualify_seconds}\n"
    )


def _proxy(address: str) -> str:
    return f"[proxy]\ntype=endpoint\n{_MEDIA}[proxy-identify]\ntype=identify\nendpoint=proxy\nmatch={address}\n"


_MEDIA = "context=default\ndisallow=all\nallow=ulaw\ndirect_media=no\nrtp_symmetric=yes\n"
