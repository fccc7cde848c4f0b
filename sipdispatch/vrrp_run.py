"""What does `sipdispatch vrrp run` run, from its first check to its last advert?"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

import attrs
import structlog
import trio

from sipdispatch import logs
from sipdispatch.config import VrrpConfig
from sipdispatch.control_server import serve_control
from sipdispatch.control_socket import SocketInUseError, open_control_socket
from sipdispatch.errors import CommandError, Fault
from sipdispatch.notifiers import run_notifiers
from sipdispatch.program_safety import require_safe
from sipdispatch.servicemanager import keep_alive, tell
from sipdispatch.version import version_number
from sipdispatch.vrrp_build import (
    Secrets,
    agent_socket,
    all_tracks,
    link_track,
    programs_of,
    proxy_socket,
    read_secrets,
    restart_keys,
    router_of,
    way_of,
)
from sipdispatch.vrrp_load import load_agent
from sipdispatch.vrrp_methods import METHODS
from sipdispatch.vrrp_mover import Movers, movers_of
from sipdispatch.vrrp_running import RunningAgent
from sipdispatch.vrrp_settings import Vrrp, VrrpControl
from sipdispatch.vrrp_tracks import run_tracks
from vrrp import realtime
from vrrp.address import VirtualAddress
from vrrp.lastingwire import LastingWire
from vrrp.link import facts_of, here
from vrrp.packet import PROTOCOL
from vrrp.service import Agent
from vrrp.tracking import Tracking

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def run(config: VrrpConfig) -> int:
    """Run the agent until SIGTERM or SIGINT; raises CommandError when it cannot start."""
    logs.set_up(config.vrrp.log_level, config.vrrp.log_format)
    trio.run(serve, config)
    return 0


async def serve(config: VrrpConfig, *, task_status: trio.TaskStatus[RunningAgent] = trio.TASK_STATUS_IGNORED) -> None:
    """The whole agent as one task; it has started when it takes part."""
    vrrp = config.vrrp
    secrets = read_secrets(vrrp)
    require_safe(programs_of(vrrp))
    require_privileges()
    for warning in config.warnings:
        if warning.key.startswith("vrrp"):
            log.warning(str(warning))
    running = RunningAgent(vrrp.interface, realtime.take() if vrrp.realtime else "not wanted")
    wire = LastingWire(way_of(vrrp))
    movers = movers_of(vrrp, running, source=lambda: wire.source)
    tracking = Tracking(vrrp.priority, all_tracks(vrrp))
    router = router_of(vrrp, wire.source, secrets)
    agent = Agent(router, wire, movers.mover, tracking, on_transition=running.changed)
    running.begin(agent)
    plant = _Plant(config=config, secrets=secrets, wire=wire, movers=movers, tracking=tracking, running=running)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_obey_signals, plant, nursery)
            await _serve_control(plant, nursery)
            if config.hooks or config.notifiers:
                await nursery.start(
                    partial(run_notifiers, running.chronicle, config.hooks, config.notifiers, socket.gethostname())
                )
            if vrrp.http is not None:
                from sipdispatch.vrrp_http import serve_metrics  # noqa: PLC0415 - without [vrrp.http] nothing of it

                await nursery.start(serve_metrics, vrrp.http.listen, running)
            nursery.start_soon(plant.follow_tracks)
            nursery.start_soon(wire.run, plant.link_said, plant.source_moved)
            nursery.start_soon(keep_alive)
            if movers.kernel is not None:
                _say_what_is_here(vrrp.addresses)
            _say_started(plant)
            task_status.started(running)
            await agent.run()
            nursery.cancel_scope.cancel()
    finally:
        wire.close()
        movers.close()
    log.info("stopped", **_sums(agent))


def require_privileges() -> None:
    """Raise CommandError unless this process may send adverts and set addresses."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL).close()
    except PermissionError as error:
        raise CommandError(
            "adverts cannot be sent without CAP_NET_RAW, nor addresses set without CAP_NET_ADMIN",
            f"user {os.geteuid()}",
            "start it as root, or by the unit of the package, which gives it these two and no more",
        ) from error


def _say_what_is_here(addresses: Sequence[VirtualAddress]) -> None:
    """The start takes them away, and whoever has one in the node's own configuration has to know."""
    for address in here(addresses):
        log.warning("an address that moves is here at the start: it is removed", address=str(address))


@attrs.define(kw_only=True)
class _Plant:
    """All parts of a running agent, and what becomes of them when the configuration changes."""

    config: VrrpConfig
    secrets: Secrets
    wire: LastingWire
    movers: Movers
    tracking: Tracking
    running: RunningAgent
    _asked_anew: trio.Event = attrs.field(factory=trio.Event)
    _reloading: trio.Lock = attrs.field(factory=trio.Lock)

    @property
    def agent(self) -> Agent:
        return self.running.agent

    def link_said(self, well: bool, detail: str) -> None:  # noqa: FBT001 - vrrp.lastingwire.Said
        """What the wire has seen of its interface."""
        self.agent.report(link_track(self.config.vrrp).name, ok=well, detail=detail)

    def source_moved(self, source: str) -> None:
        """Adverts leave from another address."""
        log.info("adverts are exchanged", interface=self.config.vrrp.interface, source=source)
        self.agent.change(router_of(self.config.vrrp, source, self.secrets))

    async def follow_tracks(self) -> None:
        """Ask the tracks, those of the new configuration after a change.

        A command that has to be killed takes its time to end; the others are asked anew without waiting for it.
        """
        async with trio.open_nursery() as nursery:
            while True:
                asked_anew = self._asked_anew = trio.Event()
                scope = trio.CancelScope()
                nursery.start_soon(self._ask_tracks, scope)
                await asked_anew.wait()
                scope.cancel()

    async def _ask_tracks(self, scope: trio.CancelScope) -> None:
        def report(name: str, *, ok: bool, detail: str) -> None:
            if not scope.cancel_called:  # another one of this name may be there
                self.agent.report(name, ok=ok, detail=detail)

        with scope:
            path = proxy_socket(self.config, os.environ, os.geteuid())
            await run_tracks(self.config.vrrp, report, proxy_socket=path)

    async def reload(self) -> None:
        """Read the configuration again; what is in force stays if anything is wrong with the new one."""
        if self.config.path is None:
            log.warning("there is no file to read again: everything stood in the options")
            return
        async with self._reloading:  # one after another: what was read last is in force
            await self._reload()

    async def _reload(self) -> None:
        # In a thread, which nobody waits for at the end: a file may be on a disk that hangs.
        read = await trio.to_thread.run_sync(_read_again, self.config, abandon_on_cancel=True)
        if read is None:
            return
        loaded, secrets = read
        fixed = restart_keys(self.config.vrrp, loaded.vrrp)
        if (self.config.hooks, self.config.notifiers) != (loaded.hooks, loaded.notifiers):
            fixed.append("hook and notify")
        if fixed:
            log.error("the agent has to be restarted for this change; what is in force stays", keys=fixed)
            return
        self._take_over(loaded, secrets)

    def _take_over(self, loaded: VrrpConfig, secrets: Secrets) -> None:
        before, after = self.config.vrrp, loaded.vrrp
        tracks, way, router = all_tracks(after), way_of(after), router_of(after, self.wire.source, secrets)
        asks_anew = _asked_of_tracks(self.config) != _asked_of_tracks(loaded)
        changed = [field.name for field in attrs.fields(type(after)) if _differs(before, after, field.name)]
        if secrets != self.secrets:
            changed.append("secrets")
        self.config, self.secrets = loaded, secrets
        self.tracking.change(after.priority, tracks)
        if before.addresses != after.addresses:
            self.movers.change(after.addresses)
        self.agent.change(router)
        if asks_anew:
            self._asked_anew.set()
        self.wire.change(way)  # the last: until then what has to be said goes the way that is known to work
        log.info("the configuration was read again", changed=changed or "nothing")


def _read_again(config: VrrpConfig) -> tuple[VrrpConfig, Secrets] | None:
    """The configuration as it is now, or None, and what is wrong with it is in the log."""
    loaded = load_agent(config.path, config.flags)
    if isinstance(loaded, tuple):
        for problem in loaded:
            (log.error if problem.severity == "error" else log.warning)(str(problem))
        log.error("the changed configuration is wrong; what is in force stays", path=str(config.path))
        return None
    try:
        require_safe(programs_of(loaded.vrrp))
        _require_here(config.vrrp, loaded.vrrp)
        return loaded, read_secrets(loaded.vrrp)
    except CommandError as error:
        for fault in error.faults:
            log.error("the changed configuration is wrong; what is in force stays", reason=str(fault))  # noqa: TRY400
        return None


def _require_here(before: Vrrp, after: Vrrp) -> None:
    """Raise CommandError if anything that is new names an interface or address that this node does not have.

    The start waits for them, since they may be late.  But a slip that is read on both nodes would leave the address on
    neither: what works is not given up for it.
    """
    carrying = {before.interface, *(each.interface for each in before.addresses)}
    named = {after.interface: "interface"}
    named |= {each.interface: "addresses" for each in after.addresses if each.interface not in named}
    found = [_missing(key, name) for name, key in named.items() if name not in carrying]
    tracked = set(after.track.interfaces) - {*named, *carrying, *before.track.interfaces}
    found += [_missing("track.interfaces", name) for name in sorted(tracked)]
    facts = facts_of(after.interface)
    if facts.exists and after.source not in {None, before.source, *facts.addresses}:
        what = f"{after.interface} has no address {after.source}"
        found.append(Fault(what, "vrrp.source", "correct it, or set the address first"))
    faults = [fault for fault in found if fault is not None]
    if faults:
        raise CommandError.of(*faults)


def _missing(key: str, interface: str) -> Fault | None:
    if facts_of(interface).exists:
        return None
    return Fault(f"there is no interface {interface}", f"vrrp.{key}", "correct it, or make the interface first")


def _asked_of_tracks(config: VrrpConfig) -> tuple[object, ...]:
    """What `run_tracks` goes by."""
    return config.vrrp.track, config.vrrp.addresses, proxy_socket(config, os.environ, os.geteuid())


def _differs(before: object, after: object, name: str) -> bool:
    return bool(getattr(before, name) != getattr(after, name))


async def _serve_control(plant: _Plant, nursery: trio.Nursery) -> None:
    """Let the agent be steered; where only the default place cannot be made, that is said and it runs all the same.

    Not where another agent has it: the second one would take the address again whatever the first one is told.
    """
    control = plant.config.vrrp.control
    if not control.enabled:
        return
    path = agent_socket(plant.config.vrrp, os.environ, os.geteuid())
    try:
        opened = open_control_socket(path, owner=control.owner, group=control.group)
    except SocketInUseError as error:
        raise CommandError(
            "another agent runs on this node",
            str(path),
            "stop it, or write another socket in [vrrp.control] if they are for two addresses",
        ) from error
    except CommandError as error:
        if control != VrrpControl():
            raise
        fault = error.faults[0]
        log.warning("there is no control socket", reason=fault.what, path=str(path), hint=fault.remedy)
        return
    await nursery.start(serve_control, opened, plant.running, METHODS)


async def _obey_signals(plant: _Plant, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
    """SIGHUP reloads beside everything else, SIGTERM and SIGINT stop."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as arriving:
        task_status.started()
        signals: AsyncIterator[int] = arriving
        async for number in signals:
            if number != signal.SIGHUP:
                log.info("stopping", signal=signal.Signals(number).name)
                tell("STOPPING=1")
                if plant.movers.patience:
                    tell(f"EXTEND_TIMEOUT_USEC={round(plant.movers.patience * 1e6)}")
                plant.agent.stop()
            else:
                nursery.start_soon(_surviving, plant.reload)


async def _surviving(reload: Callable[[], Awaitable[None]]) -> None:
    try:
        await reload()
    except Exception:  # a mistake of ours costs a reload, not the address
        log.exception("a reload failed by a mistake in this program; what is in force stays")


def _say_started(plant: _Plant) -> None:
    vrrp = plant.config.vrrp
    status = plant.running.status()
    log.info(
        "ready",
        version=version_number(),
        interface=vrrp.interface,
        vrid=vrrp.vrid,
        priority=vrrp.priority,
        addresses=[str(address) for address in vrrp.addresses],
        interval=vrrp.advert_interval,
        lease=status.lease,
        realtime=status.lateness.realtime,
    )
    tell("READY=1")


def _sums(agent: Agent) -> dict[str, int]:
    ledger = agent.ledger
    return {
        "sent": ledger.sent,
        "received": ledger.received,
        "refused": sum(ledger.refused.values()),
        "unsent": ledger.unsent,
    }
