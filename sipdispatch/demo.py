"""What does `sipdispatch demo` put on the stage: two answerers, the proxy between them and a phone, and a death?"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from dispatcher.received import Received
from dispatcher.service import Service
from sip.message import unfold
from sip.uri import Address, host_port
from sipdispatch import logs
from sipdispatch.config import Config, Control, Flags
from sipdispatch.demo_answerer import Answerer
from sipdispatch.demo_caller import Caller
from sipdispatch.demo_screen import Scene, Screen
from sipdispatch.demo_tally import Act, Tally, Target, counted, find_failures
from sipdispatch.errors import INTERRUPTED, CommandError, Fault
from sipdispatch.load import load
from sipdispatch.output import say
from sipdispatch.printable import printable
from sipdispatch.proxy import SWITCH_INTERVAL_S, serve

PROXY_HOST: Final = "127.0.0.1"
TARGETS: Final = (("127.0.0.2", 70), ("127.0.0.3", 30))
"""Address and weight of the answerers: other addresses than the phones', for a source that is a destination's is on the
servers' side.  All of 127.0.0.0/8 is this machine."""

SET_ID: Final = 1
BUFFER_BYTES: Final = 128 * 1024
"""Of the proxy's sockets: what every kernel grants to every user."""
FRAMES_A_SECOND: Final = 10
MOST_CALLS_TO_COME_BACK: Final = 4
"""Times the calls of an act: after so many without one for the answerer that is back, it does not get any."""

_STATES: Final = {
    (True, True): "up",
    (True, False): "back, avoided",
    (False, True): "killed",
    (False, False): "killed, avoided",
}
"""By whether an answerer lives and whether the proxy gives it calls."""

_TOLD_BY_THE_DEMO: Final = frozenset(("ready", "stopping", "stopped"))
"""What the proxy logs of its start and end."""

_HOW_TO_CALL: Final = """
The proxy and the answerers keep running.

To ask the proxy whether it serves:

    sipsak -vv -s sip:s@{proxy}

To call: a soft phone with {proxy} as domain and as outbound proxy, over
UDP, with any user and any password.  Any number reaches an answerer, which
picks up.  There is no audio.

To change the weights: edit this list, and the proxy reads it again.

    {folder}/dispatcher.list

Ctrl-C ends the demo.
"""

FAILED: Final = 1
"""Exit status when a call was lost or the calls did not move."""


@attrs.frozen(kw_only=True)
class Settings:
    """The options.  `calls` are placed in each act, `rate` is calls a second."""

    port: int
    calls: int
    rate: float
    once: bool


def run(settings: Settings) -> int:
    """Run the demo; the exit status.  Raises CommandError when it cannot start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipdispatch-demo-")))
            demo = Demo(settings, folder)
            config = demo.make_configuration()
        except OSError as error:
            raise CommandError(
                f"no temporary folder can be made: {error.strerror}",
                "the system's folder for temporary files",
                "free some space there, or name another folder in the environment variable TMPDIR",
            ) from error
        return trio.run(demo.run, config)


class Demo:
    """One run.  Everything that it makes is in `folder`, which the caller removes."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._proxy: Address = (PROXY_HOST, settings.port)
        self._targets = tuple(Target((host, settings.port), weight) for host, weight in TARGETS)
        self._killed = self._targets[0]
        self._tally = Tally()
        self._scene = Scene(targets=self._targets, killed=self._killed, tally=self._tally)
        self._screen = Screen(self._scene)
        self._answerers = {target: Answerer(target.address, self._heard) for target in self._targets}
        self._act: Act | None = None
        self._status: int | None = None

    async def run(self, config: Config) -> int:
        """The exit status."""
        logs.hand_over(self._note, "info")
        try:
            async with trio.open_nursery() as nursery:
                with _port_blamed(self._settings.port):
                    for answerer in self._answerers.values():
                        await nursery.start(answerer.serve)
                    service: Service = await nursery.start(self._run_proxy, config, nursery.cancel_scope)
                self._introduce()
                await self._play(service, nursery)
                self._conclude()
                if self._settings.once:
                    service.stop()
        finally:
            self._screen.abort()
        if not self._settings.once:
            say("\nThe demo has ended; nothing is left running.")
        if self._status is None:
            return INTERRUPTED if self._settings.once else 0
        return self._status

    # ---------------------------------------------------------------------------------------------------------------
    # The stage

    def make_configuration(self) -> Config:
        """The list, and the configuration as the command line of `sipdispatch proxy` would give it."""
        path = self._folder / "dispatcher.list"
        path.write_text(self._list_text, encoding="ascii")
        flags = Flags(listen=(host_port(self._proxy),), list_path=str(path), set_id=SET_ID)
        config = load(None, flags, environ={"STATE_DIRECTORY": str(self._folder / "state")})
        if not isinstance(config, Config):
            raise CommandError.of(*(Fault(each.message, each.where, each.hint) for each in config))
        return attrs.evolve(
            config,
            proxy=attrs.evolve(config.proxy, receive_buffer=BUFFER_BYTES, send_buffer=BUFFER_BYTES),
            sections=attrs.evolve(config.sections, control=Control(enabled=False)),
        )

    @property
    def _list_text(self) -> str:
        return "".join(f"{SET_ID} sip:{target} 0 0 weight={target.weight}\n" for target in self._targets)

    async def _run_proxy(
        self, config: Config, everything: trio.CancelScope, *, task_status: trio.TaskStatus[Service]
    ) -> None:
        """The proxy itself, which takes Ctrl-C and SIGTERM; when it has ended, so does the demo."""
        await serve(config, task_status=task_status)
        everything.cancel()

    def _note(self, line: str, level: str) -> None:
        if line.partition(":")[0] not in _TOLD_BY_THE_DEMO:
            self._screen.note(line, level)

    def _heard(self, address: Address, received: Received) -> None:
        """Tell of the requests that a person sends when the show is over."""
        if self._status is None:
            return
        message = received.request.message
        caller = printable(unfold(message.first[b"from"]).partition(b";tag")[0].decode("utf-8", "backslashreplace"))
        uri = printable(message.uri.decode("utf-8", "backslashreplace"))
        say(f"{host_port(address)} answers {message.method.decode()} {uri} from {caller}")

    # ---------------------------------------------------------------------------------------------------------------
    # The show

    async def _play(self, service: Service, nursery: trio.Nursery) -> None:
        settings, killed = self._settings, self._killed
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.bind((PROXY_HOST, 0))
            caller = Caller(sock, self._proxy, partial(random.SystemRandom().getrandbits, 64))
            self._screen.open()
            async with trio.open_nursery() as helpers:
                helpers.start_soon(caller.listen)
                helpers.start_soon(self._repaint, service)

                self._begin(Act.BOTH, "1. Both answerers are up: the weights share out the calls.")
                async with trio.open_nursery() as calls:
                    await self._place(caller, calls, Act.BOTH, settings.calls)

                # Between two calls: what a server takes with it when it dies no proxy can save.
                await self._answerers[killed].kill()
                self._begin(Act.ONE, f"2. {killed} is killed: its calls move to the other.")
                async with trio.open_nursery() as calls:
                    await self._place(caller, calls, Act.ONE, settings.calls)
                    self._note_states(service)
                    self._act = None  # from here on the answerer is neither dead nor back
                    await nursery.start(self._answerers[killed].serve)
                    self._begin(Act.BACK, f"3. {killed} is back: two good probes, and the proxy trusts it again.")
                    while not self._is_usable(service, killed):
                        await self._place(caller, calls, Act.ONE, 1)
                self._screen.act(f"4. The proxy has heard {killed}: its calls come back.")
                async with trio.open_nursery() as calls:
                    await self._place(caller, calls, Act.BACK, settings.calls)
                    most = MOST_CALLS_TO_COME_BACK * settings.calls
                    while not self._tally.answered[Act.BACK, killed.address] and self._tally.placed[Act.BACK] < most:
                        await self._place(caller, calls, Act.BACK, 1)
                self._note_states(service)
                helpers.cancel_scope.cancel()
        self._screen.close()

    async def _place(self, caller: Caller, calls: trio.Nursery, act: Act, count: int) -> None:
        """Place calls at the rate that was asked for; they go on in `calls`."""
        started_at = trio.current_time()
        for number in range(1, count + 1):
            self._tally.begin(act)
            calls.start_soon(self._hold, caller, act)
            await trio.sleep_until(started_at + number / self._settings.rate)

    async def _hold(self, caller: Caller, act: Act) -> None:
        ended = await caller.call()
        if act is Act.ONE and ended.answered_by == self._killed.address:
            act = Act.BACK  # placed in the moment before the proxy tried it again
        self._tally.end(act, ended)

    def _begin(self, act: Act, sentence: str) -> None:
        self._act = act
        for target in self._targets:
            self._scene.states[act, target] = ""
        self._screen.act(sentence)

    async def _repaint(self, service: Service) -> None:
        while True:
            self._note_states(service)
            self._screen.refresh()
            await trio.sleep(1 / FRAMES_A_SECOND)

    def _note_states(self, service: Service) -> None:
        if self._act is None:
            return
        for target, answerer in self._answerers.items():
            usable = self._is_usable(service, target)
            self._scene.states[self._act, target] = _STATES[answerer.alive, usable]

    def _is_usable(self, service: Service, target: Target) -> bool:
        """Whether the proxy gives it calls."""
        place = service.snapshot.listed(*target.address)
        return place is not None and service.snapshot.is_usable(place)

    # ---------------------------------------------------------------------------------------------------------------
    # What is said before and after

    def _introduce(self) -> None:
        say(f"The proxy is on {host_port(self._proxy)}, with this dispatcher list:\n")
        say("".join(f"    {line}\n" for line in self._list_text.splitlines()))

    def _conclude(self) -> None:
        tally = self._tally
        say(f"{counted(tally.placed.total(), 'call')} placed, {tally.complete} complete, {tally.lost} lost.")
        if tally.rescued:
            say(
                f"In {counted(tally.rescued, 'call')} nobody answered at first: the phone sent its INVITE again\n"
                "half a second later, as every phone does, and a server that lives took the call."
            )
        failures = find_failures(tally, self._targets, self._killed)
        for failure in failures:
            say(f"This went wrong: {failure}.")
        self._status = FAILED if failures else 0
        if not self._settings.once:
            say(_HOW_TO_CALL.format(proxy=host_port(self._proxy), folder=self._folder))


@contextmanager
def _port_blamed(port: int) -> Iterator[None]:
    """Say of an address that is taken which option changes it."""
    try:
        yield
    except CommandError as error:
        remedy = f"stop it, or choose another port: sipdispatch demo --port {port + 10 if port < 65000 else 5070}"
        raise CommandError.of(
            *(attrs.evolve(fault, remedy=remedy) if fault.where.startswith("udp:") else fault for fault in error.faults)
        ) from error
