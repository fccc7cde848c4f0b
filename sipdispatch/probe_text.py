"""How are probes shown to people?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from health.options import Answer, Stray
from health.probe import Packet
from health.report import ProbeReport, Result
from sip.uri import host_port
from sipdispatch.printable import printable
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome
from sipdispatch.probe_tally import Tally
from sipdispatch.probe_verdict import exceeded

Say = Callable[[str], None]


@attrs.frozen(kw_only=True)
class People:
    """Shows each probe in a line, as ping does; with `continuous` a head and statistics round them.

    `verbose` shows packets too: 1 the final answers, 2 the other answers, 3 all.
    """

    say: Say
    labels: Sequence[str]
    verbose: int = 0
    continuous: bool = False

    def packet(self, target: int, packet: Packet) -> None:
        """Show a packet, if it is wanted."""
        text = packet_text(packet, self.verbose)
        if text:
            self.say(self._prefix(target) + text)

    def report(self, target: int, report: ProbeReport) -> None:
        """Show a probe."""
        if self.continuous and report.seq == 1:
            self.say(_head(report))
        self.say(self._prefix(target) + line(report))

    def end(self, outcome: Outcome, limits: Sequence[tuple[str, Thresholds]]) -> None:
        """Show what it comes to."""
        for tally in outcome.tallies:
            if self.continuous or outcome.signal:
                self.say(statistics(tally))
            for name, limit in limits:
                for what in exceeded(tally, limit):
                    self.say(f"{printable(tally.target)}: {name}: {what}")

    def _prefix(self, target: int) -> str:
        return f"{printable(self.labels[target])}: " if len(self.labels) > 1 else ""


def line(report: ProbeReport) -> str:
    """One probe."""
    place = host_port((report.ip, report.port)) if report.ip else ""
    repeated = f" ({_counted(report.retransmits, 'retransmission')})" if report.retransmits else ""
    strays = f" ({_counted(report.strays, 'stray')})" if report.strays and report.result.answered else ""
    if report.result.answered:
        said = f"{report.code} {printable(report.reason)}".rstrip()
        server = f' server="{printable(report.server)}"' if report.server else ""
        rtt = "" if report.rtt_ms is None else f" rtt={report.rtt_ms:.2f} ms"
        verdict = {Result.STATUS: "  NOT OK", Result.NO_MATCH: "  NO MATCH"}.get(report.result, "")
        return f"{said}  from={place} seq={report.seq}{rtt}{server}{repeated}{strays}{verdict}"
    whither = f" to={place}" if place else ""
    after = f"seq={report.seq} after {report.elapsed_ms:.0f} ms"
    return f"{report.result.value} {whither} {after}{repeated}: {printable(report.reason)}"


def _head(report: ProbeReport) -> str:
    place = f" ({host_port((report.ip, report.port))} {report.transport})" if report.ip else ""
    local = f" from {report.local}" if report.local else ""
    return f"PROBE {printable(report.target)}{place}{local}"


def statistics(tally: Tally) -> str:
    """What many probes come to."""
    lines = [
        f"--- {printable(tally.target)} statistics ---",
        (
            f"{tally.sent} sent, {tally.answered} answered ({tally.ok} ok), {tally.loss_percent:.1f}% loss, "
            f"{_counted(tally.retransmits, 'retransmission')}, {_counted(tally.strays, 'stray reply', 'stray replies')}"
        ),
    ]
    trips = tally.round_trips()
    if trips is not None:
        lines.append(
            f"rtt min/avg/max/mdev = {trips.min:.3f}/{trips.avg:.3f}/{trips.max:.3f}/{trips.mdev:.3f} ms   "
            f"p50/p95/p99 = {trips.p50:.2f}/{trips.p95:.2f}/{trips.p99:.2f} ms"
        )
    return "\n".join(lines)


def packet_text(packet: Packet, verbose: int) -> str:
    """A packet as far as it is wanted, "" when it is not."""
    if packet.sent:
        least = 2 if packet.retransmission else 3
        what = "retransmitted to" if packet.retransmission else "sent to"
    elif isinstance(packet.meaning, Answer):
        least = 2 if packet.meaning.provisional else 1
        what = "received from"
    else:
        least = 2
        what = f"stray ({packet.meaning.mismatch.value}) from" if isinstance(packet.meaning, Stray) else "noise from"
    if verbose < least:
        return ""
    if packet.sent and verbose < 3:
        return f"{what} {host_port(packet.address)}"
    return f"{what} {host_port(packet.address)}\n{message_text(packet.data)}"


def message_text(data: bytes) -> str:
    """A message in lines, harmless for a terminal."""
    return "\n".join(printable(each) for each in data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"))


def _counted(number: int, word: str, plural: str = "") -> str:
    return f"{number} {word if number == 1 else plural or word + 's'}"
