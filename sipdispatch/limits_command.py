"""What can an operator do about sources that send too much?

Each command asks the running proxy once, over its control socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Unpack

import click

from sipdispatch.command_group import CommandsTogether
from sipdispatch.control_options import FORMAT_VERSION, ControlOptions, connect, control_options
from sipdispatch.errors import USAGE, CommandError
from sipdispatch.limit_words import bans_text, limits_text, top_text
from sipdispatch.notice_text import duration
from sipdispatch.output import say
from sipdispatch.printable import printable
from sipdispatch.readers import (
    BAN_AFTER_MAXIMUM_H,
    BAN_MAXIMUM_H,
    RATE_MAXIMUM,
    BadValueError,
    read_limit_duration,
)

TOP: Final = 20
"""Sources that `limits top` shows when nobody says how many."""

_COUNT: Final = click.IntRange(0, RATE_MAXIMUM)


def _duration(hours: int, *, zero: bool = False) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Reads a time of an option, a second to so many hours, in seconds; `zero` allows 0."""
    read = read_limit_duration(hours)

    def read_option(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        if zero and value == "0":
            return 0.0
        try:
            return read(value)
        except BadValueError as error:
            raise CommandError(error.message, f"option {parameter.opts[-1]}", error.hint) from error

    return read_option


@click.group(cls=CommandsTogether, name="limits", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """See and steer what sources may send, and who is banned.

    A source is an IPv4 address or the /64 of an IPv6 address.

    Exit status: 0 done, 2 what you can put right.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


@command.command(name="show")
@control_options
def show(**options: Unpack[ControlOptions]) -> None:
    """Show what a source may send, and how many send more."""
    _ask(options, "limits.show", {}, limits_text)


@command.command(name="top")
@click.option("--limit", "-n", type=click.IntRange(1), default=TOP, metavar="NUMBER", help="How many; 20 if not given.")
@control_options
def top(*, limit: int, **options: Unpack[ControlOptions]) -> None:
    """Show the sources that are over their limit, the worst first."""
    _ask(options, "limits.top", {"limit": limit}, top_text)


@command.command(name="set")
@click.option("--rate", type=_COUNT, metavar="NUMBER", help="Messages a second of each source; 0: no limit.")
@click.option("--burst", type=_COUNT, metavar="NUMBER", help="Messages at once; 0: as many as in two seconds.")
@click.option(
    "--ban-after",
    callback=_duration(BAN_AFTER_MAXIMUM_H, zero=True),
    metavar="TIME",
    help="Ban who is over the limit for so long, as in 10s; 0: nobody.",
)
@click.option("--ban-for", callback=_duration(BAN_MAXIMUM_H), metavar="TIME", help="How long, as in 5m.")
@control_options
def set_limits(
    *,
    rate: int | None,
    burst: int | None,
    ban_after: Any,
    ban_for: Any,
    **options: Unpack[ControlOptions],
) -> None:
    """Change what a source may send, until the proxy is started again."""
    asked = {"rate": rate, "burst": burst, "ban_after": ban_after, "ban_for": ban_for}
    if all(value is None for value in asked.values()):
        raise CommandError(
            "nothing is to be set",
            "sipdispatch limits set",
            "write one or more of --rate, --burst, --ban-after, --ban-for",
        )
    _ask(options, "limits.set", asked, limits_text)


@command.command(name="bans")
@control_options
def bans(**options: Unpack[ControlOptions]) -> None:
    """Show who is banned, for how long yet, and why."""
    _ask(options, "limits.bans", {}, bans_text)


@command.command(name="ban")
@click.argument("source")
@click.option(
    "--for",
    "seconds",
    callback=_duration(BAN_MAXIMUM_H),
    metavar="TIME",
    help="For so long, as in 10m; else as long as the bans of the limits' own.",
)
@control_options
def ban(*, source: str, seconds: Any, **options: Unpack[ControlOptions]) -> None:
    """Do not hear an address or a network for a while, or until the proxy is started again."""

    def words(done: Mapping[str, Any]) -> str:
        return f"{done['source']} is banned for {duration(round(done['until'] - done['since']))}"

    _ask(options, "limits.ban", {"source": source, "for": seconds}, words)


@command.command(name="unban")
@click.argument("source")
@control_options
def unban(*, source: str, **options: Unpack[ControlOptions]) -> None:
    """Hear an address or a network again."""

    def words(done: Mapping[str, Any]) -> str:
        dropped = done["dropped"]
        return f"{done['source']} is banned no more; {dropped:,} message{'' if dropped == 1 else 's'} dropped"

    _ask(options, "limits.unban", {"source": source}, words)


def _ask(
    options: ControlOptions, method: str, params: Mapping[str, Any], words: Callable[[Mapping[str, Any]], str]
) -> None:
    """Ask the proxy and print what it says."""
    with connect(options) as proxy:
        done = proxy.call(method, params)
    if options["json_wanted"]:
        say(json.dumps({"version": FORMAT_VERSION, **done}, indent=2))
    else:
        say("\n".join(printable(line) for line in words(done).split("\n")))
