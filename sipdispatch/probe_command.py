"""What does `sipdispatch probe` do with its options?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypedDict, Unpack

import click

from sipdispatch.errors import CommandError
from sipdispatch.finite import Finite
from sipdispatch.output import say

SIPSAK: Final = "--sipsak"
_UNKNOWN: Final = 3
"""Nagios' status for whatever kept a plugin from finding out."""


class ProbeOptions(TypedDict):
    """What click hands to the command."""

    targets: tuple[str, ...]
    transport: str | None
    ipv4: bool
    ipv6: bool
    srv: bool | None
    proxy: str | None
    source: str | None
    iface: str | None
    method: str
    user: str | None
    from_: str | None
    to: str | None
    max_forwards: int
    header: tuple[str, ...]
    body: str | None
    file: str | None
    auth_file: str | None
    ua: str | None
    timeout: str
    t1: str
    retransmit: bool
    count: int | None
    interval: str
    deadline: str | None
    flood_safe: float
    ok: str | None
    any_reply: bool
    match: tuple[str, ...]
    grep: tuple[str, ...]
    rise: int | None
    fall: int | None
    until: str | None
    warn: str | None
    crit: str | None
    quiet: bool
    verbose: int
    json: bool
    jsonl: bool
    nagios: bool
    prom: bool
    sipsak: bool


class ProbeCommand(click.Command):
    """`probe`, or sipsak's command line behind `--sipsak`; with `--nagios` errors are told as a plugin tells them."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [SIPSAK]:
            from sipdispatch.probe_sipsak import command as sipsak  # noqa: PLC0415 - a command of its own

            return sipsak.make_context(f"{info_name} {SIPSAK}", args[1:], parent=parent, **extra)
        with _told_to_nagios(wanted="--nagios" in args and not extra.get("resilient_parsing")):
            return super().make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _told_to_nagios(wanted=bool(ctx.params.get("nagios"))):
            return super().invoke(ctx)


@contextmanager
def _told_to_nagios(*, wanted: bool) -> Iterator[None]:
    try:
        yield
    except (CommandError, click.ClickException) as error:
        if not wanted:
            raise
        fault = error.faults[0] if isinstance(error, CommandError) else None
        what = error.format_message() if isinstance(error, click.ClickException) else str(error.args[0])
        place = f" ({fault.where}; {fault.remedy})" if fault else ""
        say(f"SIP UNKNOWN - {what}{place}".replace("\n", " ").replace("|", "/"))
        raise click.exceptions.Exit(_UNKNOWN) from None


@click.command(name="probe", cls=ProbeCommand)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("-t", "--transport", type=click.Choice(["udp", "tcp", "tls", "ws", "wss"]), help="udp if not given.")
@click.option("-4", "ipv4", is_flag=True, help="Use the IPv4 address of a name.")
@click.option("-6", "ipv6", is_flag=True, help="Use the IPv6 address of a name.")
@click.option("--srv/--no-srv", default=None, help="Look names up by SRV records only, or never.")
@click.option("-p", "--proxy", metavar="HOST[:PORT]", help="Send to this next hop.")
@click.option("--source", metavar="IP[:PORT]", help="Send from this address.")
@click.option("--iface", metavar="NAME", help="Send through this interface.")
@click.option("-m", "--method", default="OPTIONS", metavar="NAME", show_default=True, help="Ask with this method.")
@click.option("-s", "--user", metavar="NAME", help="The user of targets that have none.")
@click.option("--from", "from_", metavar="URI", help="The caller.")
@click.option("--to", metavar="URI", help="The called.")
@click.option("--max-forwards", type=click.IntRange(0, 255), default=70, metavar="NUMBER", help="70 if not given.")
@click.option("-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="Add a header field.")
@click.option("--body", metavar="FILE", help="Add a body.")
@click.option("-f", "--file", metavar="FILE", help="Send the request in this file, - is standard input.")
@click.option("--auth-file", metavar="FILE", help="Answer challenges with the user:password in this file.")
@click.option("--ua", metavar="TEXT", help="The User-Agent.")
@click.option("-W", "--timeout", default="2", metavar="TIME", help="For a probe, look-up and all; 2 s if not given.")
@click.option("--t1", default="500ms", metavar="TIME", help="Until the first retransmission; 500ms if not given.")
@click.option("--no-retransmit", "retransmit", is_flag=True, default=True, flag_value=False, help="Send once.")
@click.option("-c", "--count", type=click.IntRange(0), metavar="NUMBER", help="Probes of each target; 0 without end.")
@click.option("-i", "--interval", default="1", metavar="TIME", help="Between two probes of a target; 1 s if not given.")
@click.option("-D", "--deadline", metavar="TIME", help="End after this time, whatever is missing.")
@click.option(
    "--flood-safe",
    type=Finite(0.01, 10_000),
    default=100.0,
    metavar="NUMBER",
    help="At most so many probes a second, of all targets; 100 if not given.",
)
@click.option("--ok", metavar="CODES", help="Good answers, as in 2xx,404; 2xx if not given.")
@click.option("--any-reply", is_flag=True, help="Any final answer is good.")
@click.option("--match", multiple=True, metavar="NAME=REGEX", help="A header field must match.")
@click.option("--grep", multiple=True, metavar="REGEX", help="The answer must match.")
@click.option("--until", type=click.Choice(["up", "down"]), help="Probe until the target is up, or down.")
@click.option("--rise", type=click.IntRange(1), metavar="NUMBER", help="Good probes in a row that are up; 2.")
@click.option("--fall", type=click.IntRange(1), metavar="NUMBER", help="Failed probes in a row that are down; 2.")
@click.option("--warn", metavar="LIMITS", help="Warn above these, as in rtt=100ms,loss=5%,retrans=0.")
@click.option("--crit", metavar="LIMITS", help="Critical above these.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit status tells.")
@click.option("-v", "--verbose", count=True, help="Show answers; -vv provisional ones and strays, -vvv all packets.")
@click.option("--json", is_flag=True, help="Print one JSON document at the end.")
@click.option("--jsonl", is_flag=True, help="Print each probe as a JSON object in a line.")
@click.option("--nagios", is_flag=True, help="Print a line and end as a Nagios plugin does.")
@click.option("--prom", is_flag=True, help="Print metrics in Prometheus' text format at the end.")
@click.option("--sipsak", is_flag=True, help="Take sipsak's command line; must come first.")
def command(**options: Unpack[ProbeOptions]) -> int:
    """Ask SIP servers whether they are alive, as ping does.

    TARGET is host, host:port, [v6]:port, sip:user@host or @FILE with one target a line.

    Exit status: 0 all good, 1 an answer that is not, 2 a fault on this side, 3 no valid answer, 32 no match.
    """
    from sipdispatch.probe_start import start  # noqa: PLC0415 - trio: not for --help

    return start(options)
