"""How does a probe with sipsak's command line run, and what does it print?"""

from __future__ import annotations

import re
from typing import Final

import attrs

from health.digest import Credentials
from health.options import MAX_FORWARDS, Answer, Question
from health.probe import Aim, Manner, Packet
from health.report import ProbeReport
from health.template import Template
from sip.uri import Address, numeric, parse_uri
from sipdispatch.errors import CommandError
from sipdispatch.output import say
from sipdispatch.printable import printable
from sipdispatch.probe_files import read_file, template_of
from sipdispatch.probe_limits import read_pattern
from sipdispatch.probe_run import Outcome, Plan, run
from sipdispatch.probe_settings import check_request, look_up, read_source
from sipdispatch.probe_sipsak import HERE, SipsakOptions
from sipdispatch.probe_start import fault_of
from sipdispatch.probe_tally import EXIT_STATUS
from sipdispatch.probe_target import Aiming, read_host_port, read_targets
from sipdispatch.probe_text import message_text
from sipdispatch.probe_verdict import Expectation

_OK: Final = frozenset(range(200, 300))
_NAGIOS: Final = ("SIP ok", "SIP warning", "SIP failure")
_TOO_MANY_HOPS: Final = 483
_WARNING_HOST: Final = re.compile(rb"[ \t]*[0-9]{3} ([^ ]+) ")
_MARK: Final = re.compile(r"\$(user|dsthost|srchost|port|replace)\$")


def carry_out(options: SipsakOptions) -> int:
    """Probe and print; returns the exit status; raises CommandError."""
    show = _Show(options["verbose"], quiet=options["trace"])
    try:
        plan = _read_plan(options)
        status = _trace(plan, show) if options["trace"] else _shoot(plan, show, timing=options["timing"] is not None)
    except CommandError:
        if options["nagios"]:
            say(_NAGIOS[2])
        raise
    if not options["nagios"] or status >= 128:
        return status
    warned = options["warn"] is not None and show.retransmits > options["warn"]
    word = 2 if status else int(warned)
    say(_NAGIOS[word])
    return word


# --------------------------------------------------------------------------------------------------------------------
# What is printed


@attrs.define
class _Show:
    """Prints what sipsak prints: nothing, the answer, the times too, the request too."""

    verbose: int
    quiet: bool
    retransmits: int = 0
    final: Answer | None = None

    def packet(self, target: int, packet: Packet) -> None:  # noqa: ARG002 - there is one target
        if isinstance(packet.meaning, Answer) and not packet.meaning.provisional:
            self.final = packet.meaning
        text = message_text(packet.data)
        if packet.sent and self.verbose >= 3:
            say(f"request:\n{text}")
        elif packet.retransmission and self.verbose > 1:
            say("** timeout, sending again **")
        elif packet.sent or not self.verbose or self.quiet:
            return
        elif isinstance(packet.meaning, Answer):
            say(f"\nmessage received:\n{text}" if self.verbose > 1 else text)
            if packet.meaning.provisional and self.verbose > 1:
                say("   provisional received; still waiting for a final response")

    def report(self, target: int, report: ProbeReport) -> None:  # noqa: ARG002
        self.retransmits = report.retransmits
        if self.quiet:
            return
        if report.rtt_ms is not None and self.verbose > 1:
            say(f"** reply received after {report.rtt_ms:.3f} ms **\n   {_status_line(report)}\n   final received")
        elif not report.result.answered and self.verbose:
            say(f"*** giving up, {printable(report.reason)}")


def _shoot(plan: Plan, show: _Show, *, timing: bool) -> int:
    outcome = run(plan, show)
    status = _status(plan, outcome)
    trips = outcome.tallies[0].round_trips()
    if timing and trips is not None:
        say(f"{trips.min:.3f}/{trips.max:.3f}/{trips.avg:.3f} ms")  # in sipsak's order
    return status


def _trace(plan: Plan, show: _Show) -> int:
    """One probe for each proxy on the way, with Max-Forwards 0, 1, 2 ... until somebody says another thing than 483."""
    last = plan.manner.question.max_forwards
    status = 0
    for hop in range(last + 1):
        question = attrs.evolve(plan.manner.question, max_forwards=hop)
        outcome = run(attrs.evolve(plan, manner=attrs.evolve(plan.manner, question=question)), show)
        status = _status(plan, outcome)
        report = outcome.tallies[0].last
        if report is None:
            break
        if not report.result.answered:
            say(f"{hop}: {printable(report.reason)}")
            break
        say(f"{hop}: {_name_of_hop(show.final)} ({report.rtt_ms or 0.0:.3f} ms) {_status_line(report)}")
        if report.code != _TOO_MANY_HOPS:
            break
    return status


def _status_line(report: ProbeReport) -> str:
    return f"SIP/2.0 {report.code} {printable(report.reason)}".rstrip()


def _name_of_hop(answer: Answer | None) -> str:
    """The agent of a Warning (RFC 3261 20.43), else what the server says it is."""
    raw = None if answer is None else answer.message.value(b"warning")
    match = None if raw is None else _WARNING_HOST.match(raw)
    if match is not None:
        return printable(match[1].decode("utf-8", "replace"))
    return printable(answer.server) if answer is not None and answer.server else "??"


def _status(plan: Plan, outcome: Outcome) -> int:
    """The exit status of the gravest; raises CommandError for a fault on this side."""
    tally = outcome.tallies[0]
    if outcome.signal:
        return 128 + outcome.signal
    if tally.worst is None or tally.last is None:
        return 0
    status = EXIT_STATUS[tally.worst]
    if status == 2:
        raise CommandError.of(fault_of(tally.last, plan.manner))
    return status


# --------------------------------------------------------------------------------------------------------------------
# What the options say


def _read_plan(options: SipsakOptions) -> Plan:
    if options["uri"] is None:
        raise CommandError("there is no server to ask", HERE, "write -s sip:user@host:port")
    timeout_s = options["factor"] * options["t1_ms"] / 1000
    aim = _read_aim(options["uri"], options)
    manner = _read_manner(aim, options)
    codes = None if options["search"] is None else read_pattern(f"(?i){options['search']}", f"{HERE}, option -q")
    plan = Plan(
        aims=(aim,),
        timeout_s=timeout_s,
        manner=manner,
        look_up=look_up(timeout_s, None, has_names=numeric(aim.host) is None),
        judge=Expectation(codes=_OK, texts=() if codes is None else (codes,)).judge,
        count=1 if options["trace"] else options["timing"] or 1,
        interval_s=0.0,
        most_per_second=10_000.0,
    )
    check_request(plan)
    return plan


def _read_aim(uri: str, options: SipsakOptions) -> Aim:
    transport = options["transport"].lower()
    if not uri.lower().startswith("sip:"):
        raise CommandError(f"{uri} is no sip: URI", f"{HERE}, option -s", "write it as in sip:user@host:port")
    proxy = None if options["proxy"] is None else read_host_port(options["proxy"], f"{HERE}, option -p")
    (aim,) = read_targets([uri], Aiming(transport=transport, proxy=proxy))
    return aim if options["remote_port"] is None else attrs.evolve(aim, port=options["remote_port"])


def _read_manner(aim: Aim, options: SipsakOptions) -> Manner:
    source = _read_local(options, is_v6=":" in (numeric(aim.host) or ""))
    user = parse_uri(aim.uri.encode()).user or b""
    written = (options["headers"] or "").replace("\\r", "").replace("\\n", "\n").split("\n")
    fields = tuple(field.strip().encode("utf-8", "surrogateescape") for field in written if field.strip())
    max_forwards = options["max_forwards"]
    return Manner(
        question=Question(max_forwards=MAX_FORWARDS if max_forwards is None else max_forwards, fields=fields),
        template=None if options["file"] is None else _read_file(options["file"], aim, options),
        from_uri=None,
        source=source,
        sent_by=options["hostname"],
        t1_s=options["t1_ms"] / 1000,
        credentials=None if options["no_via"] else _read_credentials(user, options),
    )


def _read_local(options: SipsakOptions, *, is_v6: bool) -> Address | None:
    if options["local_ip"] is None and not options["local_port"]:
        return None
    host = "::" if is_v6 else "0.0.0.0"  # noqa: S104 - any address, at the chosen port
    if options["local_ip"] is not None:
        host, _ = read_source(options["local_ip"], "-k")
    return host, options["local_port"]


def _read_credentials(user: bytes, options: SipsakOptions) -> Credentials:
    """Always there: sipsak answers a challenge with an empty password too."""
    name = user if options["user"] is None else options["user"].encode("utf-8", "surrogateescape")
    ha1 = None if options["ha1"] is None else options["ha1"].encode("utf-8", "surrogateescape")
    return Credentials(name, options["password"].encode("utf-8", "surrogateescape"), ha1)


def _read_file(name: str, aim: Aim, options: SipsakOptions) -> Template:
    data = read_file(name, "-f")
    if options["replace"] or options["replacement"]:
        uri = parse_uri(aim.uri.encode())
        values = {
            "user": (uri.user or b"").decode("latin-1"),
            "dsthost": uri.host,
            "srchost": options["hostname"] or options["local_ip"],
            "port": str(uri.port or aim.port or uri.default_port),
            "replace": options["replacement"],
        }
        data = _MARK.sub(lambda mark: _filled(values[mark[1]]), data.decode("latin-1")).encode("latin-1", "replace")
    return template_of(data, name, verbatim=options["no_via"])


def _filled(value: str | None) -> str:
    if value is None:
        raise CommandError("nothing says what $srchost$ is", HERE, "add -H HOST or -k ADDRESS")
    return value
