"""How is one of two real Asterisks frozen or killed while calls come, and given back?

    caller 203.0.113.6 --- 203.0.113.1  edge: the balancer  10.10.1.1 --- 10.10.1.2  Asterisk 1, the one that is struck
                                                            10.10.2.1 --- 10.10.2.2  Asterisk 2

Each is a network namespace, so that a killed server's host refuses packets as another machine does.
"""

from __future__ import annotations

import enum
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs

from bench.outage_story import Outage, Story, story_of
from tests.e2e.ladder import Crossing, Ladder
from tests.peers.asterisk import Asterisk
from tests.peers.namespace import Namespace, Network
from tests.peers.program import PeerError
from tests.peers.sipp import Sipp

HERE: Final = Path(__file__).resolve().parent
VIP: Final = "203.0.113.1"
PORT: Final = 5060
CLIENT: Final = "203.0.113.6"
SERVERS: Final = ("10.10.1.2", "10.10.2.2")
VICTIM, SURVIVOR = SERVERS
LIST: Final = "".join(f"1 sip:{server}:{PORT} 0 0 weight=50\n" for server in SERVERS)


@attrs.frozen(kw_only=True)
class Pace:
    """How long things take at least, in seconds."""

    steady: float = 3.0
    """Calls come for so long before the strike."""
    outage: float = 6.0
    """By then every call that was hit is answered by the other server, and over."""
    quiet: float = 3.0
    """When a server that had a new call every 20 ms has had none for so long, it gets none."""


PACE: Final = Pace()
AFTER_SECONDS: Final = 2.0
"""Calls come for so long after the server has its first new call again."""
LONGEST_OUTAGE_SECONDS: Final = 90.0
LONGEST_RETURN_SECONDS: Final = 60.0
LAST_CALL_SECONDS: Final = 45.0
"""By then Kamailio has given up what it will give up; who has heard 100 from a server that is dead waits for ever."""
LOOK_SECONDS: Final = 0.1

DIALPLAN: Final = "exten => 700,1,Answer()\n same => n,Wait(600)\n"
QUIET_LOG: Final = {"logger.conf": "[general]\n[logfiles]\nmessages.log => notice,warning,error\n"}

Balancer = Callable[[Namespace, Path], AbstractContextManager[object]]
"""Starts a balancer for LIST on VIP in a namespace, with its files in a folder, and ends it."""


class Strike(enum.Enum):
    """How a server goes."""

    FREEZE = "SIGSTOP"
    KILL = "kill -9"


class Scene:
    """The hosts with everything running and calls coming, while the block is open.  Files go to `directory`."""

    def __init__(self, balancer: Balancer, directory: Path, *, rate: float, pace: Pace = PACE) -> None:
        self._balancer = balancer
        self._directory = directory
        self._rate = rate
        self._pace = pace
        self._stack = ExitStack()
        self._read = 0
        self._known: set[str] = set()
        self._victims_newest = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            network = stack.enter_context(Network())
            self.edge, client, *hosts = (network.host(name) for name in ("edge", "client", "one", "other"))
            network.wire(self.edge, f"{VIP}/24", client, f"{CLIENT}/24")
            # Else a look-up in the DNS, which Asterisk makes when it starts, is not even refused.
            self.edge.forward()
            for host, address in zip(hosts, SERVERS, strict=True):
                gateway = address.removesuffix("2") + "1"
                network.wire(self.edge, f"{gateway}/24", host, f"{address}/24")
                host.route("default", gateway)
            self.ladder = stack.enter_context(Ladder(self.edge, self._directory))
            self.victim, _ = (
                stack.enter_context(self._asterisk(address, host)) for host, address in zip(hosts, SERVERS, strict=True)
            )
            self.balancer = stack.enter_context(self._balancer(self.edge, self._directory))
            self.caller = stack.enter_context(
                Sipp(
                    HERE / "outage_call.xml",
                    address=CLIENT,
                    port=PORT,
                    target=(VIP, PORT),
                    options=["-r", f"{self._rate:g}", "-l", "10000", "-default_behaviors", "all,-abortunexp"],
                    directory=self._directory,
                    namespace=client,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _asterisk(self, address: str, host: Namespace) -> Asterisk:
        folder = self._directory / f"asterisk-{address}"
        folder.mkdir()
        return Asterisk(address, PORT, directory=folder, namespace=host, proxy=VIP, dialplan=DIALPLAN, files=QUIET_LOG)

    def strike(self, how: Strike) -> Outage:
        """Strike the first server once the calls run, wait until it gets no new ones, and give it back."""
        self._wait(lambda: self._newest() > 0.0, LONGEST_RETURN_SECONDS, "calls come")
        time.sleep(self._pace.steady)
        struck_at = time.time()
        if how is Strike.FREEZE:
            self.victim.signal(signal.SIGSTOP)
        else:
            self.victim.kill()
        time.sleep(self._pace.outage)
        self._wait(
            lambda: time.time() - self._newest() > self._pace.quiet,
            LONGEST_OUTAGE_SECONDS,
            "the server gets no new calls",
        )
        returned_at = time.time()
        if how is Strike.FREEZE:
            self.victim.signal(signal.SIGCONT)
        else:
            self.victim.start()
        self._wait(lambda: self._newest() > returned_at, LONGEST_RETURN_SECONDS, "it gets new calls again")
        return Outage(balancer=VIP, client=CLIENT, victim=VICTIM, struck_at=struck_at, returned_at=returned_at)

    def finish(self, seconds: float = LAST_CALL_SECONDS) -> None:
        """Let no new calls come and wait for the end of the last one, but no longer than that."""
        program = self.caller.program
        program.signal(signal.SIGUSR1)
        deadline = time.monotonic() + seconds
        while program.returncode is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def story(self, outage: Outage) -> Story:
        """What the outage did; to be asked when the block has been left."""
        crossings = self.ladder.all()
        if self.ladder.dropped():
            raise PeerError(f"tcpdump has missed {self.ladder.dropped()} packets")
        return story_of(crossings, self.ladder.refusals, outage)

    def _newest(self) -> float:
        """When the server that is struck was sent its latest new call; 0.0 for never."""
        crossings = self.ladder.all()
        for one in crossings[self._read :]:
            if one.source[0] == VIP and one.raw.startswith(b"INVITE "):
                self._note_invite(one)
        self._read = len(crossings)
        return self._victims_newest

    def _note_invite(self, one: Crossing) -> None:
        call_id = one.header("Call-ID")
        if call_id not in self._known:
            self._known.add(call_id)
            if one.target[0] == VICTIM:
                self._victims_newest = one.at

    def _wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self.caller.program.returncode is not None:
                raise self.caller.program.failure(f"SIPp has ended before: {what}")
            if time.monotonic() > deadline:
                raise PeerError(f"not within {seconds:g} s: {what}")
            time.sleep(LOOK_SECONDS)


def attempt(balancer: Balancer, how: Strike, directory: Path, *, rate: float) -> tuple[Outage, Scene]:
    """One outage from beginning to end; PeerError when it cannot be told what happened."""
    with Scene(balancer, directory, rate=rate) as scene:
        outage = scene.strike(how)
        time.sleep(AFTER_SECONDS)
        scene.finish()
    return outage, scene
