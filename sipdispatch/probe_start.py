"""How does `sipdispatch probe` run and end?"""

from __future__ import annotations

import errno
import os

from health.probe import Manner
from health.report import ProbeReport, Result
from sipdispatch.errors import CommandError, Fault
from sipdispatch.output import say
from sipdispatch.probe_command import ProbeOptions
from sipdispatch.probe_run import Outcome, Plan, Show, run
from sipdispatch.probe_settings import Settings, read_settings
from sipdispatch.probe_text import People
from sipdispatch.probe_verdict import exit_status


def start(options: ProbeOptions) -> int:
    """Carry the options out; returns the exit status; raises CommandError."""
    return carry_out(read_settings(options))


def carry_out(settings: Settings) -> int:
    """Probe, print, and return the exit status; raises CommandError for what was wrong on this side."""
    outcome, status = _show_to_people(settings) if settings.format == "people" else _tell_programs(settings)
    if settings.format not in ("quiet", "nagios"):
        _tell_faults(settings.plan, outcome, status)
    return status


def _show_to_people(settings: Settings) -> tuple[Outcome, int]:
    plan = settings.plan
    labels = [aim.label for aim in plan.aims]
    people = People(say=say, labels=labels, verbose=settings.verbose, continuous=plan.count != 1)
    outcome = run(plan, people)
    people.end(outcome, [("warning", settings.warn), ("critical", settings.crit)])
    return outcome, exit_status(plan, outcome, (settings.warn, settings.crit))


def _tell_programs(settings: Settings) -> tuple[Outcome, int]:
    from sipdispatch.probe_document import (  # noqa: PLC0415 - people do not wait for it
        Collected,
        Lines,
        Nothing,
        document,
        nagios,
        prometheus,
    )

    plan = settings.plan
    collected = Collected(tuple([] for _ in plan.aims))
    shows: dict[str, Show] = {"json": collected, "jsonl": Lines(say)}
    outcome = run(plan, shows.get(settings.format, Nothing()))
    status = exit_status(plan, outcome, (settings.warn, settings.crit))
    match settings.format:
        case "json":
            say(document(plan, outcome, collected.reports, status))
        case "prom":
            say(prometheus(plan, outcome))
        case "nagios":
            plugin_status, line = nagios(plan, outcome, settings.warn, settings.crit)
            say(line)
            return outcome, plugin_status
        case _:
            pass  # told already, or not at all
    return outcome, status


def _tell_faults(plan: Plan, outcome: Outcome, status: int) -> None:
    """What failed on this side is told as any other fault of a command line."""
    if status == 2:
        last = (tally.last for tally in outcome.tallies)
        faults = [fault_of(each, plan.manner) for each in last if each is not None and _is_ours(each)]
        if faults:
            raise CommandError.of(*dict.fromkeys(faults))


def _is_ours(report: ProbeReport) -> bool:
    return report.result in (Result.DNS, Result.LOCAL)


def fault_of(report: ProbeReport, manner: Manner) -> Fault:
    """What, where and what to do, of a probe whose result is `dns` or `local`."""
    where = f"TARGET {report.target}"
    if report.result is Result.DNS:
        return Fault(f"no address is known: {report.reason}", where, "correct the name, or write a numeric address")
    if manner.interface is not None and report.reason in (os.strerror(errno.ENODEV), os.strerror(errno.EPERM)):
        remedy = "name an interface of this machine (ip link), and run with the right to bind to it (CAP_NET_RAW)"
        return Fault(f"the interface cannot be used: {report.reason}", f"--iface {manner.interface}", remedy)
    if manner.source is not None and not report.local:
        remedy = "name an address of this machine (ip address), of the target's family, and a port that is free"
        return Fault(f"the source cannot be used: {report.reason}", f"--source {manner.source[0]}", remedy)
    remedy = "look at the routes, the packet filter and the length of the request"
    return Fault(f"the request cannot be sent: {report.reason}", where, remedy)
