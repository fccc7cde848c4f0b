"""How does the doctor look at a node and listen to its network?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from sipdispatch import doctor_node
from sipdispatch.config import VrrpConfig
from sipdispatch.control_client import ControlClient
from sipdispatch.doctor_finding import Finding, look, skipped
from sipdispatch.doctor_firewall import Advert, Ruleset, firewall_findings
from sipdispatch.doctor_pair import pair_findings
from sipdispatch.doctor_wire import Here, Observation, Overheard, here_of, read_frame, wire_findings
from sipdispatch.errors import CommandError
from sipdispatch.vrrp_build import Secrets, agent_socket, proxy_socket, read_secrets, router_of, way_of
from sipdispatch.vrrp_settings import Vrrp
from vrrp import frames, link
from vrrp.frames import Claim

LEAST_S: Final = 3.0
"""How long the network is listened to at least: three adverts of a keepalived as it comes."""
PROBES: Final = 3
"""Questions for each address: one may be lost."""
NFT_S: Final = 10.0
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@attrs.frozen
class Asked:
    """What a running program has said of itself, or why it has not."""

    status: Mapping[str, Any] | None
    why_not: str = ""


def examine(config: VrrpConfig, *, listen: float | None, theirs: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Make all checks; raises CommandError without the privileges to listen."""
    vrrp = config.vrrp
    uid = os.geteuid()
    agent = ask(agent_socket(vrrp, os.environ, uid), "VRRP agent", "vrrp.status")
    proxy = ask(proxy_socket(config, os.environ, uid), "proxy", "status")
    source = vrrp.source or link.primary_of(vrrp.interface, is_ipv6=vrrp.is_ipv6, virtual=way_of(vrrp).virtual)
    has_source = source is not None and source in link.facts_of(vrrp.interface).addresses
    seconds = listen if listen is not None else max(LEAST_S, 3 * vrrp.advert_interval + 1)
    found = [
        *(look("configuration", f"{each.key}: {each.message}", each.hint) for each in config.warnings),
        *_of_node(vrrp, agent, source),
    ]
    if source is None or not has_source:
        found.append(skipped("network", "it cannot be listened to before the interface and the source are right"))
    else:
        found += _of_network(vrrp, agent, source, seconds)
    found += pair_findings(vrrp, proxy.status, theirs, proxy.why_not)
    return tuple(found)


def ask(path: Path, program: str, method: str) -> Asked:
    """The status of a program with a control socket."""
    try:
        with ControlClient(path, program) as client:
            return Asked(client.call(method))
    except CommandError as error:
        return Asked(None, error.faults[0].what)


def _of_node(vrrp: Vrrp, agent: Asked, source: str | None) -> Iterator[Finding]:
    yield from doctor_node.agent_findings(agent.status, agent.why_not)
    yield from doctor_node.rival_findings(doctor_node.rivals_here())
    yield from doctor_node.interface_findings(vrrp, link.facts_of)
    yield from doctor_node.source_findings(vrrp, source, link.facts_of)
    yield from doctor_node.subnet_findings(vrrp, link.facts_of)
    yield from doctor_node.sysctl_findings(vrrp)
    yield from doctor_node.secret_findings(vrrp, partial(read_secrets, vrrp))
    yield from doctor_node.command_findings(vrrp)
    yield from doctor_node.clock_findings(vrrp, is_kept=doctor_node.clock_is_kept())
    yield from doctor_node.lease_findings(vrrp)
    yield from doctor_node.realtime_findings(vrrp, agent.status, permitted=doctor_node.may_run_in_real_time())


def _of_network(vrrp: Vrrp, agent: Asked, source: str, seconds: float) -> Iterator[Finding]:
    yield from firewall_of(vrrp, source)
    seen = trio.run(observe, vrrp, source, seconds)
    held = {each.address for each in link.here(vrrp.addresses)}
    here = Here(
        vrid=vrrp.vrid,
        priority=vrrp.priority,
        source=source,
        addresses=frozenset(each.address for each in vrrp.addresses),
        held=frozenset(held),
        **here_of(agent.status),
    )
    try:
        secrets = read_secrets(vrrp)
    except CommandError:
        secrets = Secrets()  # told of as one of the node's findings
    yield from wire_findings(seen, here, router_of(vrrp, source, secrets).reception)


# --------------------------------------------------------------------------------------------------------------------
# Firewall


def firewall_of(vrrp: Vrrp, source: str) -> Iterator[Finding]:
    """What its rules say."""
    way = way_of(vrrp)
    arrive_at = (*way.destinations[: int(way.multicast)], *([source] if vrrp.peers else []))
    adverts = [
        *(
            Advert(incoming=True, interface=vrrp.interface, source=sender, destination=destination)
            for sender in (vrrp.peers or (None,))
            for destination in arrive_at
        ),
        *(
            Advert(incoming=False, interface=vrrp.interface, source=source, destination=destination)
            for destination in way.destinations
        ),
    ]
    ruleset = read_ruleset()
    if isinstance(ruleset, Finding):
        yield ruleset
    else:
        yield from firewall_findings(ruleset, adverts)
    if Path("/proc/net/ip_tables_names").exists() and "filter" in _text(Path("/proc/net/ip_tables_names")):
        yield skipped("iptables", "old rules of iptables-legacy are not looked at", "iptables-legacy -S")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def read_ruleset() -> Ruleset | Finding:
    """The rules of nftables, or why they are not known."""
    program = shutil.which("nft", path=_PATH)
    if program is None:
        return skipped("firewall", "its rules are not looked at: there is no nft", "apt install nftables")
    try:
        argv = [program, "-j", "list", "ruleset"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=NFT_S, check=True)  # noqa: S603 - fixed
        return Ruleset(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = (error.stderr or str(error)) if isinstance(error, subprocess.CalledProcessError) else str(error)
        return skipped("firewall", f"its rules cannot be read: {said.strip()}", "nft list ruleset")


# --------------------------------------------------------------------------------------------------------------------
# Listening


async def observe(vrrp: Vrrp, source: str, seconds: float) -> Observation:
    """Listen on all interfaces that addresses are on, and ask who has these; raises CommandError."""
    with ExitStack() as stack:
        try:
            listener = _Listener(vrrp, source, stack)
        except OSError as error:
            raise CommandError(
                f"the network cannot be listened to: {error.strerror or error}",
                vrrp.interface,
                "run it as root, or with CAP_NET_RAW",
            ) from error
        unsent = listener.try_out() if way_of(vrrp).multicast else None
        with trio.move_on_after(seconds):
            await listener.run(seconds / (PROBES + 1))
    return Observation(
        seconds=seconds,
        frames=tuple(listener.heard),
        passed=frozenset(listener.passed),
        claims=tuple(listener.claims),
        unsent=unsent,
    )


class _Listener:
    """What is heard, as it comes in."""

    def __init__(self, vrrp: Vrrp, source: str, stack: ExitStack) -> None:
        self.heard: list[Overheard] = []
        self.passed: set[str] = set()
        self.claims: list[Claim] = []
        self._vrrp = vrrp
        self._virtual = {each.address for each in vrrp.addresses}
        self._adverts = link.AdvertSocket(vrrp.interface, source)
        stack.callback(self._adverts.close)
        self._frames: dict[str, link.FrameSocket] = {}
        for name in _names(vrrp):
            self._frames[name] = link.FrameSocket(name, everything=True)
            stack.callback(self._frames[name].close)

    def try_out(self) -> str:
        """Why no advert gets out of this node; empty when one does."""
        try:
            self._adverts.send_nowhere()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    async def run(self, pause: float) -> None:
        """Listen until cancelled; `pause` seconds between questions."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear_adverts)
            nursery.start_soon(self._ask, pause)
            for name in self._frames:
                nursery.start_soon(self._hear_frames, name)

    async def _hear_adverts(self) -> None:
        while True:
            await self._adverts.wait()
            self.passed.update(datagram.source for datagram in self._adverts.receive())

    async def _hear_frames(self, name: str) -> None:
        while True:
            await self._frames[name].wait()
            for frame in self._frames[name].receive():
                self._note(frame, name)

    def _note(self, frame: bytes, name: str) -> None:
        claim = frames.read_claim(frame)
        if claim is not None and claim.address in self._virtual:
            self.claims.append(claim)
        advert = read_frame(frame) if name == self._vrrp.interface else None
        if advert is not None:
            self.heard.append(Overheard(*advert, time.time()))

    async def _ask(self, pause: float) -> None:
        """Who has the addresses?"""
        for _ in range(PROBES):
            for each in self._vrrp.addresses:
                hardware = link.facts_of(each.interface).hardware
                if hardware and each.interface in self._frames:
                    with suppress(OSError):  # an interface that is down is told of elsewhere
                        self._frames[each.interface].send(frames.probe(each.address, hardware))
            await trio.sleep(pause)


def _names(vrrp: Vrrp) -> tuple[str, ...]:
    """The interfaces that frames are heard on: those that are there."""
    names = dict.fromkeys((vrrp.interface, *(each.interface for each in vrrp.addresses)))
    return tuple(name for name in names if link.facts_of(name).exists)
