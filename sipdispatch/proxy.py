"""What does `sipdispatch proxy` run, from its first check to the last datagram?"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

import attrs
import structlog
import trio

from dispatcher.counters import Counters
from dispatcher.destination import Destination, Entry
from dispatcher.engine import Engine, usable_cores
from dispatcher.fastpath import MAKE_IT, PacketPath, packet_path
from dispatcher.hopcache import NextHops
from dispatcher.keyed import derive
from dispatcher.limits import Limits
from dispatcher.listener import Listener
from dispatcher.outcome import DropReason, Refusal
from dispatcher.problem import Problem
from dispatcher.recent import RecentChoices
from dispatcher.refresh import ListNames
from dispatcher.resolver import Resolver
from dispatcher.service import Service
from dispatcher.snapshot import Policy
from dispatcher.sockets import ListenError, OpenListener, open_listener
from dispatcher.watch import Reading, signature, watch
from dispatcher.wildcard import expand_wildcard
from health.board import Change
from health.sending import SendOutcome
from sipdispatch import logs, secret, servicemanager, statefile
from sipdispatch.config import Config, Control, Proxy, Sections
from sipdispatch.control_methods import METHODS
from sipdispatch.control_path import default_control_path
from sipdispatch.control_server import serve_control
from sipdispatch.control_socket import open_control_socket
from sipdispatch.errors import CommandError, Fault
from sipdispatch.garbage import Garbage
from sipdispatch.limiting import Limiting
from sipdispatch.listread import read_list, tell
from sipdispatch.load import load
from sipdispatch.notifiers import run_notifiers
from sipdispatch.running import Identity, Running
from sipdispatch.statefile import StateFile
from sipdispatch.steering import Steering
from sipdispatch.upkeep import AtRest, Upkeep
from sipdispatch.version import version_number

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that reads a list may hold the interpreter while datagrams wait (CPython's default is 5 ms)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def run(config: Config) -> int:
    """Run the proxy until SIGTERM or SIGINT; raises CommandError when it cannot start."""
    logs.set_up(config.proxy.log_level, config.proxy.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(partial(serve, config, at_rest=Garbage().at_rest))
    return 0


async def serve(
    config: Config,
    *,
    at_rest: AtRest = nullcontext,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """The whole proxy as one task; it has started when it forwards."""
    settings = config.proxy
    known = {path: signature(path) for path in (settings.list_path, *([config.path] if config.path else []))}
    readings = {path: Reading.of(path) for path in known}
    with ExitStack() as stack:
        secrets, listeners, entries, problems = await _take_up(settings, stack)
        tell(problems)
        for warning in config.warnings:
            log.warning(str(warning))
        resolver = Resolver()
        state_path = settings.state_dir / statefile.NAME
        running = Running(_identity_of(config, listeners, secrets[0]))
        audience = _Audience(running)
        kept = await trio.to_thread.run_sync(statefile.read, state_path)
        upkeep = _upkeep_of(config, secrets, listeners, ListNames(resolver), kept=kept, audience=audience)
        upkeep.at_rest, upkeep.known = at_rest, readings[settings.list_path]
        states = audience.states = StateFile(state_path, upkeep.kept)
        next_hops = NextHops(resolver)
        async with trio.open_nursery() as nursery:
            changes = _Changes(config, upkeep, nursery, readings.get(config.path) if config.path else None)
            await nursery.start(_obey_signals, changes)
            await upkeep.follow_list(entries, nursery)
            assert upkeep.snapshot is not None  # noqa: S101 - follow_list has made it
            nursery.start_soon(next_hops.keep_fresh)
            nursery.start_soon(upkeep.follow_board)
            nursery.start_soon(states.keep)
            states.changed()  # so that a disk that takes nothing is said now, and not when the first server is down
            await nursery.start(upkeep.vitals.serve)
            engine = _engine_of(settings) if running.identity.packet_path.compiled else None
            service = upkeep.service = Service(
                listeners,
                upkeep.snapshot,
                names=next_hops,
                recent=RecentChoices(settings.recent_choices) if engine is None else engine.recent,
                rng=random.Random(),  # noqa: S311 - spreads calls, keeps no secret
                witness=upkeep.vitals,
                engine=engine,
                limits=Limits(settings.limits, seed=os.urandom(16)),
            )
            running.begin(upkeep, service)
            nursery.start_soon(running.look)
            limiting = Limiting(service, running.chronicle)
            nursery.start_soon(limiting.watch)
            await _serve_control(
                config, Steering(running, upkeep, service, next_hops, nursery, settings.list_path, limiting), nursery
            )
            await _run_notifiers(config.sections, running, nursery)
            _start_threads(service, settings, stack)
            running.started()
            await _serve_http(config.sections, running, nursery)
            nursery.start_soon(partial(watch, list(known), changes.files, known=known))
            nursery.start_soon(servicemanager.keep_alive)
            _say_started(listeners, service, secrets[0], running.packet_path)
            task_status.started(service)
            await service.serve()
            limiting.end()
            running.end()
            nursery.cancel_scope.cancel()
        await states.write_last()
    _say_stopped(upkeep.service)


def _upkeep_of(
    config: Config,
    secrets: tuple[bytes, ...],
    listeners: Sequence[OpenListener],
    names: ListNames,
    *,
    kept: tuple[statefile.Kept, ...],
    audience: _Audience,
) -> Upkeep:
    settings = config.proxy
    return Upkeep(
        settings,
        policy_of(settings),
        tuple(derive(raw) for raw in secrets),
        [opened.listener for opened in listeners],
        names,
        health=config.sections.health,
        kept=kept,
        audience=audience,
    )


async def _take_up(
    settings: Proxy, stack: ExitStack
) -> tuple[tuple[bytes, ...], list[OpenListener], tuple[Entry, ...], tuple[Problem, ...]]:
    """Secrets, open listeners, list and its warnings; raises CommandError with all that is wrong with any of them."""
    faults: list[Fault] = []
    path = packet_path(settings.fastpath)
    if settings.fastpath == "on" and not path.compiled:
        faults.append(Fault(path.why_not, 'fastpath = "on"', MAKE_IT))
    secrets: tuple[bytes, ...] = ()
    listeners: list[OpenListener] = []
    try:
        secrets = secret.read_or_create(settings.secret_file)
    except CommandError as error:
        faults += error.faults
    try:
        listeners = _open(settings, stack)
    except CommandError as error:
        faults += error.faults
    entries, problems = await read_list(settings.list_path, settings)
    if entries is None:
        faults += [fault_of(problem) for problem in problems if problem.severity == "error"]
    if entries is None or faults:
        raise CommandError.of(*faults)
    return secrets, listeners, entries, problems


def _identity_of(config: Config, listeners: Sequence[OpenListener], secret_in_use: bytes) -> Identity:
    return Identity.of(
        listeners,
        list_path=str(config.proxy.list_path),
        secret_fingerprint=secret.fingerprint(secret_in_use),
        probing=config.sections.health.enabled,
        packet_path=packet_path(config.proxy.fastpath),
    )


def _engine_of(settings: Proxy) -> Engine:
    return Engine(settings.recent_choices, settings.workers or usable_cores(), settings.limits)


def _start_threads(service: Service, settings: Proxy, stack: ExitStack) -> None:
    """Start those of the fast path; raises CommandError where they cannot be had and the proxy must not do without."""
    service.start()
    if service.engine is not None:
        stack.callback(partial(service.engine.stop, at_once=True))  # what comes before `serve` may fail
    if service.why_no_threads and settings.fastpath == "on":
        raise CommandError(
            f"the fast path cannot start its threads: {service.why_no_threads}",
            'fastpath = "on"',
            'write fewer workers, allow the proxy more tasks and open files (TasksMax=, LimitNOFILE=), or write "auto"',
        )


async def _serve_control(config: Config, steering: Steering, nursery: trio.Nursery) -> None:
    """Let the proxy be steered; where only the default place cannot be had, that is said and it runs all the same."""
    control = config.sections.control
    if not control.enabled:
        return
    path = control.socket or default_control_path(os.environ, os.geteuid())
    try:
        opened = open_control_socket(path, owner=control.owner, group=control.group)
    except CommandError as error:
        if control != Control():
            raise
        fault = error.faults[0]
        log.warning("there is no control socket", reason=fault.what, path=str(path), hint=fault.remedy)
        return
    await nursery.start(serve_control, opened, steering, METHODS)


async def _run_notifiers(sections: Sections, running: Running, nursery: trio.Nursery) -> None:
    """Tell hooks and people what happens from now on, where there are any."""
    if sections.hooks or sections.notifiers:
        hears = partial(run_notifiers, running.chronicle, sections.hooks, sections.notifiers, socket.gethostname())
        await nursery.start(partial(hears, left_of=running.left_of))


async def _serve_http(sections: Sections, running: Running, nursery: trio.Nursery) -> None:
    """Let programs and browsers look, where [http] says so."""
    if sections.http is not None:
        from sipdispatch.http import serve_http  # noqa: PLC0415 - without [http] nothing of it is loaded

        await nursery.start(serve_http, sections.http.listen, running)


@attrs.define
class _Audience:
    """Who hears of what happens: those who ask the running proxy, and the file that outlives it."""

    running: Running
    states: StateFile | None = None

    def changed(self, change: Change, destination: Destination) -> None:
        self.running.changed(change, destination)
        if self.states is not None:
            self.states.changed(at_once=change.what == "word")

    def removed(self, number: int, destination: Destination) -> None:
        self.running.removed(number, destination)
        if self.states is not None:
            self.states.changed()

    def reloaded(self, text: str, *, done: bool) -> None:
        self.running.reloaded(text, done=done)


def _say_stopped(service: Service | None) -> None:
    log.info("stopped", **sums(Counters() if service is None else service.counters))


def sums(counters: Counters) -> dict[str, object]:
    """What has been done with all that came in, for the log; reasons that never occurred are left out."""
    return {
        "received": counters.received,
        "forwarded": counters.forwarded,
        "answered": {str(status): count for status, count in sorted(counters.answered.items())},
        "refused": {refusal.label: counters.refused[refusal] for refusal in Refusal if counters.refused[refusal]},
        "dropped": {reason.label: counters.dropped[reason] for reason in DropReason if counters.dropped[reason]},
        "unsent": {outcome.label: counters.unsent[outcome] for outcome in SendOutcome if counters.unsent[outcome]},
    }


def policy_of(settings: Proxy) -> Policy:
    """What the packet path needs of the configuration."""
    return Policy(
        default_set=settings.set_id,
        algorithm=settings.algorithm,
        rules=settings.routes,
        domains=frozenset(settings.domains),
        core_networks=settings.core_networks,
        aor_domain=settings.aor_domain,
        rewrite_host=settings.rewrite_host,
        force_rport=settings.force_rport,
        no_destination=None if settings.no_destination == "panic" else settings.no_destination,
        retry_after=settings.retry_after,
        server=settings.server_header.encode(),
    )


@attrs.define
class _Changes:
    """What is done about files that have changed and signals that arrive."""

    config: Config
    upkeep: Upkeep
    nursery: trio.Nursery
    _checked: Reading | None = None
    """The configuration as it was looked at last."""
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def files(self, changed: tuple[Path, ...]) -> None:
        """What the watcher has seen; what a signal or an operator has had read meanwhile is left alone."""
        path = self.config.proxy.list_path
        async with self._turn:
            the_list = path in changed and await _differs(path, self.upkeep.known)
            own = self.config.path
            the_configuration = own is not None and own in changed and await _differs(own, self._checked)
            await self._follow(the_list=the_list, the_configuration=the_configuration)

    async def follow(self) -> None:
        """Read everything again, as it may have changed."""
        async with self._turn:
            await self._follow(the_list=True, the_configuration=True)

    async def _follow(self, *, the_list: bool, the_configuration: bool) -> None:
        """Read again what has changed; whatever goes wrong, what is in force stays."""
        try:
            if the_list:
                await self.upkeep.reload(self.nursery)
            if the_configuration and self.config.path is not None:
                await self._check_configuration()
        except Exception:  # a mistake of ours costs a reload, not the proxy
            log.exception("a reload failed by a mistake in this program; what is in force stays")

    async def _check_configuration(self) -> None:
        """A changed TOML file is checked and needs a restart to count."""
        assert self.config.path is not None  # noqa: S101 - the caller looked
        self._checked = await trio.to_thread.run_sync(Reading.of, self.config.path)
        loaded = await trio.to_thread.run_sync(load, self.config.path, self.config.flags)
        if isinstance(loaded, tuple):
            for problem in loaded:
                (log.error if problem.severity == "error" else log.warning)(str(problem))
            log.error("the changed configuration is wrong: a restart would fail", path=str(self.config.path))
        elif loaded.of_proxy != self.config.of_proxy:
            log.warning("the configuration has changed: restart the proxy to use it", path=str(self.config.path))


async def _differs(path: Path, known: Reading | None) -> bool:
    """Whether a file is another than the one that was read."""
    return await trio.to_thread.run_sync(Reading.of, path) != known


async def _obey_signals(changes: _Changes, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """SIGHUP reloads beside everything else, SIGTERM and SIGINT stop: at once where nothing is forwarded yet."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as arriving:
        task_status.started()
        signals: AsyncIterator[int] = arriving
        async for number in signals:
            service = changes.upkeep.service
            if number != signal.SIGHUP:
                log.info("stopping", signal=signal.Signals(number).name)
                servicemanager.tell("STOPPING=1")
                if service is None:
                    changes.nursery.cancel_scope.cancel()
                else:
                    service.stop()
            elif service is not None:
                changes.nursery.start_soon(changes.follow)


def _open(settings: Proxy, stack: ExitStack) -> list[OpenListener]:
    """Open every listener, a wildcard as the node's addresses; raises CommandError with all that is wrong."""
    opened: list[OpenListener] = []
    faults: list[Fault] = []
    for wanted in expanded(settings.listen):
        try:
            one = open_listener(
                wanted,
                receive_buffer_bytes=settings.receive_buffer,
                send_buffer_bytes=settings.send_buffer,
            )
        except ListenError as error:
            faults.append(Fault(error.what, error.where, error.hint))
            continue
        stack.callback(one.close)
        opened.append(one)
    if faults:
        raise CommandError.of(*faults)
    return opened


def expanded(wanted: Sequence[Listener]) -> list[Listener]:
    """The listeners with wildcards as the node's addresses; an address that is named besides keeps what it says.

    Raises CommandError where a wildcard stands for no address.
    """
    named = {listener.address for listener in wanted}
    listeners = []
    for listener in wanted:
        if not listener.is_wildcard:
            listeners.append(listener)
            continue
        addresses = expand_wildcard(listener)
        if not addresses:
            raise CommandError(
                "the wildcard stands for no address: the node has none of this family",
                str(listener),
                "write the address to listen on",
            )
        listeners += [attrs.evolve(listener, address=address) for address in addresses if address not in named]
    return listeners


def _say_started(listeners: Sequence[OpenListener], service: Service, first_secret: bytes, path: PacketPath) -> None:
    for opened in listeners:
        if opened.shortfall is not None:
            log.warning(opened.shortfall)
    log.info(
        "ready",
        version=version_number(),
        packet_path=str(path),
        **({"packet_path_why": path.why_not} if path.why_not else {}),
        **({"workers": service.engine.workers} if path.compiled and service.engine is not None else {}),
        listen=[str(opened.listener) for opened in listeners],
        receive_buffer_bytes=[opened.receive_buffer_bytes for opened in listeners],
        destinations=len(service.snapshot.destinations),
        secret=secret.fingerprint(first_secret),
    )
    servicemanager.tell("READY=1")


def fault_of(problem: Problem) -> Fault:
    """What is wrong with the list, for the command line."""
    where = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    return Fault(problem.message, where, problem.hint)
