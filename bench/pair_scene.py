"""How do callers, phones and two real Asterisks live with an address that two nodes share?

    edge A 192.168.0.101 --+                  +-- 192.168.0.1, .2  Asterisk
    edge B 192.168.0.102 --+---- a switch ----+-- 192.168.0.15, .16  phones
    callers 192.168.0.20 --+                  +-- 192.168.0.21  the beat: an OPTIONS each 2 ms

Each is a network namespace; the address 192.168.0.100 is A's as long as nothing has happened.  Edges and Asterisks have
the configuration that operators copy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.failover_scene import Console
from bench.failover_watch import Watch, hurry
from bench.pair_edge import Edge
from bench.pair_story import BEAT, Cast
from tests.e2e.ladder import Crossing, Ladder
from tests.e2e.proxy import ROOT
from tests.peers.asterisk import Asterisk
from tests.peers.baresip import Phone
from tests.peers.namespace import Namespace, Network
from tests.peers.program import PeerError, wait_until
from tests.peers.sipp import Sipp

HERE: Final = Path(__file__).resolve().parent
VIP: Final = "192.168.0.100"
PORT: Final = 5060
NODES: Final = {"A": "192.168.0.101", "B": "192.168.0.102"}
SERVERS: Final = ("192.168.0.1", "192.168.0.2")
CALLER: Final = "192.168.0.20"
BEATER: Final = "192.168.0.21"
PHONES: Final = {"8005": "192.168.0.15", "8006": "192.168.0.16"}
PASSWORD: Final = "choose-a-long-one"
"""The one of the example."""
BEAT_S: Final = 0.002
NICE: Final = -15
STARTING_S: Final = 30.0
LAST_CALL_S: Final = 45.0
"""By then whoever gets no answer has given up: 64 times T1 after it asked, RFC 3261 17.1."""
DIALPLAN: Final = "exten => _7.,1,Answer()\n same => n,Wait(600)\n"
QUIET_LOG: Final = "[general]\n[logfiles]\nmessages.log => notice,warning,error\n"


class Beats:
    """Asks the address for its proxy, every `pace` seconds while the block is open; the switch sees who answers."""

    def __init__(self, host: Namespace, pace: float) -> None:
        self._pace = pace
        self._socket = host.udp(BEATER, PORT)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def __enter__(self) -> Self:
        self._socket.settimeout(0.0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        hurry()
        due = time.monotonic()
        number = 0
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            number += 1
            due = max(due + self._pace, time.monotonic())
            with contextlib.suppress(OSError):
                self._socket.sendto(_beat(number), (VIP, PORT))
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._socket.recv(4096)


class Scene:
    """All of them running and A serving, while the block is open.  Files go to `directory`.

    `rate` calls a second come as soon as `call` is told, each with `talk` seconds before a re-INVITE and after it;
    `beat` seconds lie between two beats.
    """

    def __init__(self, directory: Path, *, interval: float, rate: float, talk: float, beat: float = BEAT_S) -> None:
        self.interval, self.talk = interval, talk
        self._directory, self._rate, self._beat = directory, rate, beat
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_first())
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _start(self, stack: contextlib.ExitStack) -> None:
        network = stack.enter_context(Network())
        self._switch = network.switch("switch")
        addresses = {**NODES, **{one: one for one in (*SERVERS, CALLER, BEATER)}, **PHONES}
        self.hosts = {label: network.host(label.replace(".", "-")) for label in addresses}
        interfaces = {
            label: network.plug(self.hosts[label], self._switch, f"{address}/24")
            for label, address in addresses.items()
        }
        self._ports = {label: f"eth{number}" for number, label in enumerate(addresses)}
        self._links = stack.enter_context(Console("ip", self._switch))
        nodes = {label: (self.hosts[label], interfaces[label], address) for label, address in NODES.items()}
        client = self.hosts[BEATER], interfaces[BEATER], BEATER
        hardware = {self._hardware(label, interfaces[label]): label for label in NODES}
        self.cast = Cast(vip=VIP, caller=CALLER, beat=BEATER, nodes=hardware)
        self.ladder = stack.enter_context(Ladder(self._switch, self._directory, interface="bridge"))
        self.watch = stack.enter_context(Watch(nodes, client, {}, pace=None, vip=VIP))
        self.asterisks = [stack.enter_context(self._asterisk(address)) for address in SERVERS]
        self.edges = {
            label: stack.enter_context(
                Edge(label, self.hosts[label], self._directory / f"edge-{label}", interval=self.interval)
            )
            for label in NODES
        }
        self.until(lambda: self.edges["B"].role() == "backup", "B takes part")
        self.until_owner("A")
        self.phones = {user: stack.enter_context(self._phone(user, address)) for user, address in PHONES.items()}
        for phone in self.phones.values():
            phone.wait_for("REGISTER_OK")
        stack.enter_context(Beats(self.hosts[BEATER], self._beat))
        self._stack_of_calls = stack.enter_context(contextlib.ExitStack())

    def _hardware(self, label: str, interface: str) -> bytes:
        text = self.hosts[label].run("cat", f"/sys/class/net/{interface}/address").strip()
        return bytes.fromhex(text.replace(":", ""))

    def _asterisk(self, address: str) -> Asterisk:
        examples = ROOT / "deploy/asterisk"
        pjsip = (examples / "pjsip.conf.example").read_text().replace("bind=192.168.0.1:", f"bind={address}:")
        # The last context of the example is the one of callers from outside.
        dialplan = (examples / "extensions.conf.example").read_text() + DIALPLAN
        directory = self._directory / f"asterisk-{address}"
        directory.mkdir()
        files = {"pjsip.conf": pjsip, "extensions.conf": dialplan, "logger.conf": QUIET_LOG}
        return Asterisk(address, PORT, directory=directory, namespace=self.hosts[address], files=files)

    def _phone(self, user: str, address: str) -> Phone:
        return Phone(
            user,
            registrar=(VIP, PORT),
            namespace=self.hosts[user],
            address=address,
            directory=self._directory,
            password=PASSWORD,
            register_seconds=60,
            plain_contact=True,
        )

    # ----------------------------------------------------------------------------------------------------------------
    # What is done

    def call(self) -> None:
        """Let calls come, until as many are up as there will be, and the phones talk."""
        self.caller = self._stack_of_calls.enter_context(
            Sipp(
                HERE / "pair_call.xml",
                address=CALLER,
                port=PORT,
                target=(VIP, PORT),
                options=[
                    *("-r", f"{self._rate:g}", "-l", "10000", "-d", f"{1000 * self.talk:.0f}"),
                    *("-default_behaviors", "all,-abortunexp"),
                ],
                directory=self._directory,
                namespace=self.hosts[CALLER],
            )
        )
        begun = time.monotonic()
        self._connect("8005", "8006")
        time.sleep(max(0.0, begun + 2 * self.talk + 1.0 - time.monotonic()))

    def phones_go_on(self) -> None:
        """The phones' call takes a re-INVITE of its caller, has sound, and ends with the callee's BYE.

        Then the callee calls the caller, for the next time.  PeerError when any of that fails.
        """
        caller, callee = self._talking
        for change in (self.phones[caller].hold, self.phones[caller].resume):
            seen = len(self.ladder.all())
            change()
            self.ladder.until(partial(self._answered, caller, seen), f"a re-INVITE of {caller} is answered")
        self.phones[callee].wait_for_media(beyond=self.phones[callee].media())
        self.phones[callee].hang_up()
        self.phones[caller].wait_for("CALL_CLOSED")
        self._connect(callee, caller)

    def _connect(self, caller: str, callee: str) -> None:
        for phone in self.phones.values():
            phone.forget_events()
        self.phones[caller].dial(f"sip:{callee}@{VIP}")
        for user in (caller, callee):
            self.phones[user].wait_for("CALL_ESTABLISHED")
        self._talking = caller, callee

    def _answered(self, user: str, seen: int) -> bool:
        address = PHONES[user]
        return any(one.target[0] == address and one.what == "200 INVITE" for one in self.ladder.all()[seen:])

    def cut(self, node: str) -> None:
        """Cut a node's link."""
        self._links.say(f"link set {self._ports[node]} down")

    def mend(self, node: str) -> None:
        """Plug it in again."""
        self._links.say(f"link set {self._ports[node]} up")

    def until_owner(self, node: str, *, seconds: float = STARTING_S) -> None:
        """Wait until a node has the address and the other has not."""
        self.until(lambda: self.watch.owners() == node, f"the address is {node}'s alone", seconds=seconds)

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float = STARTING_S) -> None:
        """Wait; PeerError with the logs when it does not come."""
        wait_until(ready, what, seconds=seconds, failure=self._failure)

    def _failure(self, what: str) -> PeerError:
        told = "\n".join(f"--- {label}\n{edge.logs()[-3000:]}" for label, edge in self.edges.items())
        return PeerError(f"{what}; the address is at {self.watch.owners() or 'no node'}\n{told}")

    def finish(self, seconds: float = LAST_CALL_S) -> int:
        """Let no new calls come, wait for the end of the last one; how many the servers still have then."""
        program = self.caller.program
        program.signal(signal.SIGUSR1)
        deadline = time.monotonic() + seconds
        while program.returncode is None and time.monotonic() < deadline:
            time.sleep(0.1)
        for phone in self.phones.values():
            if phone.has_call():
                phone.hang_up()
        deadline = time.monotonic() + 5.0
        while (left := self._channels()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def crossings(self) -> Sequence[Crossing]:
        """All that crossed the network; to be asked when the block has been left."""
        if dropped := self.ladder.dropped():
            raise PeerError(f"tcpdump has missed {dropped} packets")
        return self.ladder.all()

    def _channels(self) -> int:
        told = (one.cli("core show channels count") for one in self.asterisks)
        return sum(int(text.split()[0]) for text in told)


@contextlib.contextmanager
def _first() -> Iterator[None]:
    """What this thread starts meanwhile comes before what else the machine does, where that is allowed."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def _beat(number: int) -> bytes:
    return (
        f"OPTIONS sip:{VIP} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {BEATER}:{PORT};branch=z9hG4bK-{number}\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:beat@{BEATER}>;tag={number}\r\n"
        f"To: <sip:{VIP}>\r\n"
        f"Call-ID: {BEAT}{number}\r\n"
        "CSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()
