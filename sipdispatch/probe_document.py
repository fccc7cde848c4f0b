"""How are probes told to programs: JSON, Nagios and Prometheus?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from health.probe import Packet
from health.report import ProbeReport
from sipdispatch.printable import printable
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome, Plan
from sipdispatch.probe_tally import Tally
from sipdispatch.probe_verdict import Nagios, exceeded, gravest_nagios, nagios_status

FORMAT_VERSION: Final = 1
"""Of the JSON document: rises when a key changes its meaning or goes."""

_ROUNDED: Final = 3


@attrs.frozen
class Collected:
    """Keeps the reports of each target for the document at the end; shows nothing before."""

    reports: tuple[list[ProbeReport], ...]

    def packet(self, target: int, packet: Packet) -> None:
        """Packets are in no document."""

    def report(self, target: int, report: ProbeReport) -> None:
        """Keep a report."""
        self.reports[target].append(report)


@attrs.frozen
class Lines:
    """Tells each probe as soon as it has ended, as a JSON object in a line."""

    say: Callable[[str], None]

    def packet(self, target: int, packet: Packet) -> None:
        """Packets are in no document."""

    def report(self, target: int, report: ProbeReport) -> None:  # noqa: ARG002 - the report names its target
        """Tell a probe."""
        self.say(json.dumps(probe_object(report)))


class Nothing:
    """Tells nothing while it goes on."""

    def packet(self, target: int, packet: Packet) -> None:
        """Not told."""

    def report(self, target: int, report: ProbeReport) -> None:
        """Not told."""


def probe_object(report: ProbeReport) -> dict[str, Any]:
    """One probe; every key is always there."""
    return {
        field.name: value.value
        if field.name == "result"
        else round(value, _ROUNDED)
        if isinstance(value, float)
        else value
        for field in attrs.fields(ProbeReport)
        for value in [getattr(report, field.name)]
    }


def document(plan: Plan, outcome: Outcome, reports: Sequence[Sequence[ProbeReport]], status: int) -> str:
    """All probes and what they come to."""
    return json.dumps(
        {
            "version": FORMAT_VERSION,
            "status": status,
            "interrupted": bool(outcome.signal),
            "targets": [
                {
                    "target": tally.target,
                    "uri": aim.uri,
                    "summary": summary(tally),
                    "probes": [probe_object(report) for report in own],
                }
                for aim, tally, own in zip(plan.aims, outcome.tallies, reports, strict=True)
            ],
        },
        indent=2,
    )


def summary(tally: Tally) -> dict[str, Any]:
    """The numbers of one target."""
    trips = tally.round_trips()
    return {
        "sent": tally.sent,
        "answered": tally.answered,
        "ok": tally.ok,
        "loss_percent": round(tally.loss_percent, _ROUNDED),
        "retransmits": tally.retransmits,
        "strays": tally.strays,
        "rtt_ms": None if trips is None else {name: round(ms, _ROUNDED) for name, ms in attrs.asdict(trips).items()},
    }


# --------------------------------------------------------------------------------------------------------------------
# Nagios


def nagios(plan: Plan, outcome: Outcome, warn: Thresholds, crit: Thresholds) -> tuple[Nagios, str]:
    """The status and the line of a plugin, with its performance data."""
    statuses = [nagios_status(tally, warn, crit) for tally in outcome.tallies]
    status = gravest_nagios(statuses)
    if len(statuses) == 1:
        said = _said(outcome.tallies[0], warn, crit)
    else:
        bad = [
            f"{printable(tally.target)}: {_said(tally, warn, crit)}"
            for tally, each in zip(outcome.tallies, statuses, strict=True)
            if each is not Nagios.OK
        ]
        said = "; ".join([f"{len(statuses) - len(bad)} of {len(statuses)} targets ok", *bad])
    labelled = len(statuses) > 1
    data = " ".join(_performance(plan, tally, warn, crit, labelled=labelled) for tally in outcome.tallies)
    return status, f"SIP {status.name} - {said.replace('|', '/')} | {data}"


def _said(tally: Tally, warn: Thresholds, crit: Thresholds) -> str:
    last = tally.last
    if last is None:
        return "not probed"
    if not last.result.answered:
        said = f"{last.result.value}: {last.reason}"
    else:
        took = "" if last.rtt_ms is None else f" in {last.rtt_ms:.1f} ms"
        said = f"{last.code} {last.reason}{took}"
        if last.result.value == "nomatch":
            said += ", which does not match"
    if tally.sent > 1:
        said += f" (last of {tally.sent}, {tally.ok} ok)"
    return "; ".join([printable(said), *dict.fromkeys((*exceeded(tally, crit), *exceeded(tally, warn)))])


def _performance(plan: Plan, tally: Tally, warn: Thresholds, crit: Thresholds, *, labelled: bool) -> str:
    """`'label'=value[unit];warn;crit;min;max`, as the plugin guidelines write it; U is unknown."""
    place = tally.target.replace("'", "").replace("=", "")

    def label(name: str) -> str:
        return f"'{printable(place)} {name}'" if labelled else name

    trips = tally.round_trips()
    rtt = "U" if trips is None else f"{trips.avg / 1000:.6g}s"
    data = (
        ("rtt", rtt, _limit(warn.rtt_s), _limit(crit.rtt_s), "0", f"{plan.timeout_s:g}"),
        ("loss", f"{tally.loss_percent:.3g}%", _limit(warn.loss_percent), _limit(crit.loss_percent)),
        ("retrans", str(tally.retransmits), _limit(warn.retrans), _limit(crit.retrans)),
    )
    return " ".join(f"{label(name)}={';'.join(values).rstrip(';')}" for name, *values in data)


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


# --------------------------------------------------------------------------------------------------------------------
# Prometheus


def prometheus(plan: Plan, outcome: Outcome) -> str:
    """The text format, as node_exporter's textfile collector reads it; all values are of this one run."""
    # A target that is named twice is one series.
    tallies = {(each.target, aim.transport): each for aim, each in zip(plan.aims, outcome.tallies, strict=True)}
    families: list[tuple[str, str, Callable[[Tally], float | None]]] = [
        ("up", "Whether the last probe was good.", lambda tally: float(tally.rise > 0)),
        ("sent", "Probes of this run.", lambda tally: tally.sent),
        ("answered", "Probes with a final answer.", lambda tally: tally.answered),
        ("ok", "Probes with a good answer.", lambda tally: tally.ok),
        ("loss_ratio", "Share of the probes without a final answer.", lambda tally: tally.loss_percent / 100),
        ("retransmissions", "Requests that were sent again.", lambda tally: tally.retransmits),
        ("strays", "Messages that answered something else.", lambda tally: tally.strays),
        ("status_code", "Status of the last final answer, 0 without one.", _code),
        ("rtt_min_seconds", "Shortest round trip.", lambda tally: _trip(tally, "min")),
        ("rtt_avg_seconds", "Average round trip.", lambda tally: _trip(tally, "avg")),
        ("rtt_max_seconds", "Longest round trip.", lambda tally: _trip(tally, "max")),
    ]
    lines = []
    for name, sentence, value_of in families:
        full = f"sipdispatch_probe_{name}"
        lines += [f"# HELP {full} {sentence}", f"# TYPE {full} gauge"]
        for (target, transport), tally in tallies.items():
            value = value_of(tally)
            if value is not None:
                lines.append(f'{full}{{target="{_escaped(target)}",transport="{transport}"}} {value:.9g}')
    return "\n".join(lines)


def _code(tally: Tally) -> float:
    return 0 if tally.last is None else tally.last.code


def _trip(tally: Tally, name: str) -> float | None:
    trips = tally.round_trips()
    return None if trips is None else getattr(trips, name) / 1000


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
