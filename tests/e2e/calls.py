"""What did the two ends of each call hear?  SIPp callers and servers, and what they have noted."""

from __future__ import annotations

import math
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import attrs

from tests.e2e.scenarios import KINDS, TALK_MS, write_caller, write_server
from tests.peers.namespace import Namespace
from tests.peers.program import wait_until
from tests.peers.sipp import Sipp

SERVERS = ("127.0.0.21", "127.0.0.22")
CALL_SECONDS = 40.0

SIGMAS = 4.0
"""A share that is right is further off once in 16,000 times.  Secret, Call-IDs and duids are fixed, so that a keyed
choice is the same in every run."""
SLOT_TABLE_SHARE = 0.005
"""How far the slot table's share of a destination may be from its weight, besides chance."""

_PATIENT = ("-default_behaviors", "all,-abortunexp")
"""SIPp does not know a request again after it has sent two answers, nor an answer after it has sent two requests; where
it stopped at these, a machine that hesitates for half a second would fail the test.  What is really unexpected is found
in the notes."""


@attrs.frozen
class Line:
    """One message as SIPp has noted it.

    `place` says which server has, `at` when (seconds since 1970); `cseq` is as in `1 INVITE`, `start` the first line.
    """

    place: int
    at: float
    sent: bool
    call_id: str
    cseq: str
    start: str

    @property
    def what(self) -> str:
        """`1 INVITE` for a request, `180 1 INVITE` for an answer."""
        return f"{self.start.split()[1]} {self.cseq}" if self.start.startswith("SIP/2.0 ") else self.cseq


@attrs.frozen
class Call:
    """All that the servers have noted of one Call-ID, in the order of time."""

    lines: tuple[Line, ...]

    @property
    def servers(self) -> set[int]:
        return {line.place for line in self.lines}

    @property
    def user(self) -> str:
        """Whom the first message calls: `busy-17`."""
        return self.lines[0].start.partition("sip:")[2].partition("@")[0]

    @property
    def kind(self) -> str:
        return self.user.partition("-")[0]

    @property
    def heard(self) -> Counter[str]:
        """How often each message has come to the servers."""
        return Counter(line.what for line in self.lines if not line.sent)

    @property
    def said(self) -> Counter[str]:
        """How often the servers have sent each message."""
        return Counter(line.what for line in self.lines if line.sent)

    @property
    def begun_at(self) -> float:
        return self.lines[0].at

    @property
    def ended_at(self) -> float:
        return self.lines[-1].at


class Farm:
    """SIPp servers that know every kind of call, while the block is open."""

    def __init__(
        self, directory: Path, addresses: Sequence[str] = SERVERS, *, namespace: Namespace | None = None
    ) -> None:
        directory.mkdir(exist_ok=True)
        scenario = write_server(directory)
        self._notes = [directory / f"server{place}.notes" for place in range(len(addresses))]
        self.servers = [
            Sipp(
                scenario,
                address=address,
                options=["-rtcheck", "loose", *_noting(notes)],
                directory=directory,
                name=f"server{place}",
                namespace=namespace,
            )
            for place, (address, notes) in enumerate(zip(addresses, self._notes, strict=True))
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            for server in self.servers:
                server.until_listening()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def line(self, place: int, *, set_id: int = 1, flags: int = 0, weight: int = 50) -> str:
        """A server's line of a dispatcher list; its duid keeps the shares free of the port, another in each run."""
        server = self.servers[place]
        host = f"[{server.address}]" if ":" in server.address else server.address
        return f"{set_id} sip:{host}:{server.port} {flags} 0 duid=server{place};weight={weight}\n"

    def message_count(self) -> int:
        """How many messages the servers have received and sent so far."""
        return sum(notes.read_bytes().count(b"\n") for notes in self._notes if notes.exists())

    def calls(self, named: str = "") -> Mapping[str, Call]:
        """Every call so far by its Call-ID, of the callers whose name begins with `named`."""
        found: defaultdict[str, list[Line]] = defaultdict(list)
        for place, notes in enumerate(self._notes):
            for line in _read(notes, place):
                if line.call_id.partition("-")[2].startswith(named):
                    found[line.call_id].append(line)
        return {each: Call(tuple(sorted(lines, key=lambda line: line.at))) for each, lines in found.items()}


class Callers:
    """SIPp callers that run at the same time; each makes `calls` calls of one kind, `rate` a second.

    Without `calls` they go on until `finish`.  Their Call-IDs are `NUMBER-NAME-KIND@ADDRESS`, so that each call's
    server is the same in every run.
    """

    def __init__(self, directory: Path, *, namespace: Namespace | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._namespace = namespace
        self._running: list[tuple[Sipp, str, int | None, Path]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(
        self,
        name: str,
        kinds: Iterable[str],
        target: tuple[str, int],
        *,
        address: str,
        calls: int | None = None,
        rate: float,
        talk_ms: int = TALK_MS,
    ) -> None:
        for kind in kinds:
            notes = self._directory / f"{name}-{kind}.notes"
            caller = Sipp(
                write_caller(kind, self._directory),
                address=address,
                target=target,
                options=[
                    *([] if calls is None else ["-m", str(calls)]),
                    *("-r", f"{rate:g}", "-d", str(talk_ms), "-cid_str", f"%u-{name}-{kind}@%s", *_noting(notes)),
                ],
                directory=self._directory,
                name=f"{name}-{kind}",
                namespace=self._namespace,
            )
            self._stack.enter_context(caller)
            self._running.append((caller, kind, calls, notes))

    def finish(self) -> int:
        """Wait for the end of all calls and check that each was complete and heard nothing else; their number."""
        for caller, _, calls, _ in self._running:
            if calls is None:
                caller.program.signal(signal.SIGUSR1)  # no new calls; SIPp ends with the last one
        count = 0
        for caller, kind, calls, notes in self._running:
            status = caller.program.wait(CALL_SECONDS)
            assert status in {0, 1}, caller.program.output() + caller.errors()  # 1: a call has failed
            counted = caller.statistics()
            wanted = counted.created if calls is None else calls
            summary = (counted.created, counted.successful, counted.failed)
            assert summary == (wanted, wanted, 0), f"{caller.errors()}\n{counted}"
            _check_callers_side(notes, kind, wanted)
            count += wanted
        return count

    def retransmissions(self) -> int:
        """How many requests the callers had to send again."""
        return sum(caller.statistics().retransmissions for caller, *_ in self._running)


def check(farm: Farm, named: str, count: int) -> Mapping[str, Call]:
    """The calls of the callers with this name, when all of them are there whole, each at one server alone."""

    def unfinished() -> list[Call]:
        return [call for call in farm.calls(named).values() if set(call.heard) != KINDS[call.kind].server_hears]

    wait_until(
        lambda: len(farm.calls(named)) >= count and not unfinished(),
        f"{count} whole calls",
        seconds=5.0,
        failure=lambda what: AssertionError(f"{what}; there are {len(farm.calls(named))}, not whole: {unfinished()}"),
    )
    calls = farm.calls(named)
    assert len(calls) == count
    for call_id, call in calls.items():
        assert len(call.servers) == 1, f"{call_id} came to several servers:\n" + "\n".join(map(str, call.lines))
    return calls


def shares(calls: Iterable[Call]) -> Counter[int]:
    """How many calls each server had."""
    return Counter(server for call in calls for server in call.servers)


def tolerance(count: int, share: float) -> float:
    """How far the number of calls of one server may be from `count * share`."""
    return SIGMAS * math.sqrt(count * share * (1 - share)) + SLOT_TABLE_SHARE * count


def _check_callers_side(notes: Path, kind: str, count: int) -> None:
    heard: defaultdict[str, set[str]] = defaultdict(set)
    for line in _read(notes, 0):
        if not line.sent:
            heard[line.call_id].add(line.what)
    assert len(heard) == count
    for call_id, what in heard.items():
        assert what == KINDS[kind].caller_hears, f"{call_id} heard {sorted(what)}"


def _noting(notes: Path) -> Sequence[str]:
    return "-trace_shortmsg", "-shortmessage_file", str(notes), *_PATIENT


def _read(notes: Path, place: int) -> Iterator[Line]:
    """SIPp's short messages: date, time, seconds, S or R, Call-ID, `CSeq:1 INVITE`, first line, parted by tabs."""
    text = notes.read_text(errors="replace") if notes.exists() else ""
    for row in text[: text.rfind("\n") + 1].splitlines():
        _, _, at, direction, call_id, cseq, start = row.split("\t")
        yield Line(place, float(at), direction == "S", call_id, cseq.removeprefix("CSeq:").strip(), start)
