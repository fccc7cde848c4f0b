"""How is each of the agents that are compared told about one and the same virtual router, and started?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs

from bench.failover_watch import SIP_PORT, VIP
from tests.peers.keepalived import Instance, Keepalived
from tests.peers.namespace import Namespace
from tests.peers.program import Program
from vrrp.parameters import Parameters

VRID = 51
OURS, KEEPALIVED = "sipdispatch", "keepalived"


@attrs.frozen(kw_only=True)
class Pair:
    """What both nodes have in common; `priorities` are those of A and of B, `interval` in seconds."""

    interval: float = 0.1
    version: int = 3
    priorities: tuple[int, int] = (150, 100)
    unicast: bool = False
    preempt: bool = True

    @property
    def lease(self) -> float:
        """How long our agent's address outlives it at most."""
        both = (Parameters(address="", priority=each, interval=self.interval) for each in self.priorities)
        return max(parameters.lease for parameters in both)


@attrs.frozen(kw_only=True)
class Seat:
    """Where an agent runs; its own files are in `directory`, `alive` and `proxy` are those of the node's service."""

    host: Namespace
    interface: str
    address: str
    peer: str
    priority: int
    directory: Path
    alive: Path
    proxy: Path


class Agent(Protocol):
    """Starts an agent; SIGTERM asks it to end, SIGHUP to read its configuration again."""

    def __call__(self, seat: Seat, pair: Pair, *, tracking: bool) -> Program:
        """`tracking`: the health of the node's service counts."""


def ours(seat: Seat, pair: Pair, *, tracking: bool) -> Program:
    """Our agent, with its own probe of the service and an eye on the control socket."""
    seat.directory.mkdir(parents=True, exist_ok=True)
    path = seat.directory / "sipdispatch.toml"
    path.write_text(configuration(seat, pair, tracking=tracking))
    argv: list[str | Path] = [sys.executable, "-m", "sipdispatch", "vrrp", "run", "-c", path]
    return Program(argv, log=seat.directory / "agent.log", namespace=seat.host)


def configuration(seat: Seat, pair: Pair, *, tracking: bool) -> str:
    """Our agent's configuration."""
    lines = [
        "[vrrp]",
        f'interface = "{seat.interface}"',
        f"vrid = {VRID}",
        f"priority = {seat.priority}",
        f'addresses = ["{VIP}/24"]',
        f"version = {pair.version}",
        f'interval = "{1000 * pair.interval:g}ms"',
        f'preempt = "{"always" if pair.preempt else "never"}"',
        *([f'peers = ["{seat.peer}"]'] if pair.unicast else []),
        "[vrrp.control]",
        f'socket = "{seat.directory / "vrrp.sock"}"',
    ]
    if tracking:
        lines += ["[vrrp.track]", f'sip = "{seat.address}:{SIP_PORT}"', f'control = "{seat.proxy}"']
    return "\n".join(lines) + "\n"


def keepalived(seat: Seat, pair: Pair, *, tracking: bool) -> Keepalived:
    """keepalived, with a script that fails while the service is not there, as often as its version 2.2 can ask."""
    more: Sequence[str] = () if pair.preempt else ("nopreempt",)
    script = ""
    if tracking:
        more = (*more, "track_script {\n    service\n}")
        asking = ("interval 1", "timeout 1", "fall 2", "rise 2", "user root")
        lines = (f'script "/usr/bin/test -e {seat.alive}"', *asking)
        script = "\n    ".join(("vrrp_script service {", *lines)) + "\n}\n"
    instance = Instance(
        interface=seat.interface,
        priority=seat.priority,
        addresses=(f"{VIP}/24",),
        version=pair.version,
        interval=pair.interval,
        vrid=VRID,
        peers=(seat.peer,) if pair.unicast else (),
        source=seat.address if pair.unicast else None,
        more=more,
    )
    for left_behind in seat.directory.glob("*.pid"):
        # By one that was killed; it would wait for that to be gone, and end.
        left_behind.unlink()
    return Keepalived(script + instance.configuration(), namespace=seat.host, directory=seat.directory)


AGENTS: dict[str, Agent] = {OURS: ours, KEEPALIVED: keepalived}
