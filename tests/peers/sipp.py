"""How does a test place calls with a real SIPp, answer them, and count what happened?"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import attrs

from tests.peers.namespace import Namespace
from tests.peers.need import require
from tests.peers.ports import free_port, is_bound
from tests.peers.program import Program

UAC_SECONDS = 60.0


@attrs.frozen(kw_only=True)
class Statistics:
    """SIPp's own count of its calls, from the last row of its statistics file (column names without `(C)`).

    `unexpected` counts calls that broke off at a message the scenario did not wait for, `out_of_call` the messages
    that belonged to no call, `dead_call` those that came after their call was over.
    """

    created: int
    current: int
    successful: int
    failed: int
    retransmissions: int
    unexpected: int
    out_of_call: int
    dead_call: int

    @classmethod
    def read(cls, file: Path) -> Self:
        """Parse a file that SIPp wrote with -trace_stat; all zero when it wrote nothing yet."""
        with file.open(newline="") as rows:
            last = next(iter(list(csv.DictReader(rows, delimiter=";"))[-1:]), {})
        return cls(
            created=int(last.get("TotalCallCreated", 0)),
            current=int(last.get("CurrentCall", 0)),
            successful=int(last.get("SuccessfulCall(C)", 0)),
            failed=int(last.get("FailedCall(C)", 0)),
            retransmissions=int(last.get("Retransmissions(C)", 0)),
            unexpected=int(last.get("FailedUnexpectedMessage(C)", 0)),
            out_of_call=int(last.get("OutOfCallMsgs(C)", 0)),
            dead_call=int(last.get("DeadCallMsgs(C)", 0)),
        )


class Sipp:
    """A running SIPp while the block is open; `statistics()` is complete once it has ended or was stopped.

    `scenario` is the name of a built-in one (`uas`, `uac`) or an XML file; `target` (host, port) is where a client
    sends to; `options` are SIPp's own.  Its files go to `directory`, each with `name` in front.
    """

    def __init__(
        self,
        scenario: str | Path,
        *,
        address: str,
        port: int | None = None,
        target: tuple[str, int] | None = None,
        options: Sequence[str] = (),
        directory: Path,
        name: str = "sipp",
        namespace: Namespace | None = None,
    ) -> None:
        self.address = address
        self.port = free_port(address) if port is None else port
        self._statistics = directory / f"{name}.csv"
        self.errors_file = directory / f"{name}.errors"
        self._log = directory / f"{name}.out"
        self._directory = directory
        self._namespace = namespace
        self._argv = [
            str(require("sipp")),
            *(["-sf", str(scenario)] if isinstance(scenario, Path) else ["-sn", scenario]),
            *([] if target is None else [_where(*target)]),
            *("-i", f"[{address}]" if ":" in address else address, "-p", str(self.port)),
            # By default from 6000 and 8888 on: where free_port() has given a port to the next program.
            *("-mp", str(20_000 + self.port // 2 * 2), "-cp", str(10_000 + self.port)),
            *("-trace_stat", "-stf", str(self._statistics), "-fd", "1"),
            *("-trace_err", "-error_file", str(self.errors_file)),
            "-nostdin",
            *options,
        ]

    def __enter__(self) -> Self:
        self.program = Program(self._argv, log=self._log, directory=self._directory, namespace=self._namespace)
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def until_listening(self) -> Self:
        """Wait until it has its socket."""
        self.program.until(
            lambda: is_bound(self.address, self.port, pid=self.program.pid),
            f"SIPp listens on {_where(self.address, self.port)}",
        )
        return self

    def stop(self) -> Statistics:
        """End it (SIGTERM makes it write its last row) and count."""
        self.program.stop()
        return self.statistics()

    def statistics(self) -> Statistics:
        """The counts as SIPp last wrote them: each second, and when it ends."""
        return Statistics.read(self._statistics)

    def errors(self) -> str:
        """What SIPp complained about; empty when nothing."""
        return self.errors_file.read_text(errors="replace") if self.errors_file.exists() else ""


def answer(address: str, *, directory: Path, name: str = "uas", port: int | None = None) -> Sipp:
    """SIPp's built-in server: 180, 200 and BYE's 200, and 200 to OPTIONS and other requests outside a call."""
    return Sipp("uas", address=address, port=port, options=["-aa"], directory=directory, name=name)


def call(
    target: tuple[str, int],
    *,
    calls: int,
    rate: float,
    address: str,
    directory: Path,
    scenario: str | Path = "uac",
    options: Sequence[str] = (),
    name: str = "uac",
    seconds: float = UAC_SECONDS,
) -> Statistics:
    """Place `calls` calls at `rate` a second, wait for their end and count them.

    SIPp's exit status is not looked at: the statistics say more.  PeerError when it does not end in `seconds`.
    """
    limits = ["-m", str(calls), "-r", f"{rate:g}"]
    client = Sipp(scenario, address=address, target=target, options=[*limits, *options], directory=directory, name=name)
    with client:
        client.program.wait(seconds)
    return client.statistics()


def _where(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
