"""How is a real keepalived given one virtual router, and what does it say of its state?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.peers.namespace import Namespace
from tests.peers.need import require
from tests.peers.program import Program

READY_SECONDS = 15.0


@attrs.frozen(kw_only=True)
class Instance:
    """One `vrrp_instance`; `interval` in seconds, `addresses` with their prefix lengths.

    `peers` makes it unicast, from `source`; `more` are further lines inside the block.
    """

    interface: str
    priority: int
    addresses: Sequence[str]
    version: int = 3
    interval: float = 0.1
    vrid: int = 51
    password: str | None = None
    peers: Sequence[str] = ()
    source: str | None = None
    more: Sequence[str] = ()

    def configuration(self) -> str:
        """The whole keepalived.conf; nothing of it names a script, a mail or a path."""
        lines = [
            "state BACKUP",
            f"interface {self.interface}",
            f"virtual_router_id {self.vrid}",
            f"priority {self.priority}",
            f"advert_int {self.interval:g}",
            f"version {self.version}",
            *self.more,
        ]
        if self.source is not None:
            lines.append(f"unicast_src_ip {self.source}")
        if self.peers:
            lines.append(_block("unicast_peer", self.peers))
        if self.password is not None:
            lines.append(_block("authentication", ["auth_type PASS", f"auth_pass {self.password}"]))
        lines.append(_block("virtual_ipaddress", self.addresses))
        return f"{_block('global_defs', ['router_id test'])}\n{_block('vrrp_instance VI', lines)}\n"


def _block(name: str, lines: Sequence[str]) -> str:
    inside = "\n".join(lines).replace("\n", "\n    ")
    return f"{name} {{\n    {inside}\n}}"


class Keepalived(Program):
    """keepalived in the foreground, VRRP only, with its own files in `directory`.

    SIGTERM ends it as an operator would: one advert with priority 0.  A killed one leaves its addresses behind.
    """

    def __init__(self, instance: Instance | str, *, namespace: Namespace, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.configuration = directory / "keepalived.conf"
        self.configure(instance)
        argv: list[str | Path] = [require("keepalived"), "--dont-fork", "--log-console", "--log-detail", "--vrrp"]
        argv += ["--use-file", self.configuration, "--pid", directory / "all.pid", "--vrrp_pid", directory / "vrrp.pid"]
        super().__init__(argv, log=directory / "keepalived.log", namespace=namespace)

    def configure(self, instance: Instance | str) -> None:
        """Write the configuration; SIGHUP makes a running one read it."""
        self.configuration.write_text(instance if isinstance(instance, str) else instance.configuration())

    @property
    def states(self) -> list[str]:
        """MASTER, BACKUP and FAULT in the order it entered them, from its log; FAULT may be said more than once."""
        return re.findall(r"[Ee]ntering (MASTER|BACKUP|FAULT) (?:STATE|state)", self.output())

    @property
    def state(self) -> str:
        """The last of them; empty before the first."""
        return (self.states or [""])[-1]

    def until_state(self, state: str, *, seconds: float = READY_SECONDS) -> None:
        """Wait until it is there; PeerError with its log when it does not get there."""
        self.until(lambda: self.state == state, f"keepalived is {state}", seconds=seconds)
