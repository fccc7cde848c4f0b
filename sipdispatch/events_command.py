"""What has happened in the running proxy, and what happens now?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Unpack

import click

from sipdispatch.control_client import ControlClient
from sipdispatch.control_options import FORMAT_VERSION, ControlOptions, connect, control_options
from sipdispatch.event_words import event_words
from sipdispatch.options import together
from sipdispatch.output import say

PAST = 100
PAST_OF_FOLLOWER = 10


event_options = together(
    click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C."),
    click.option(
        "--limit",
        "-n",
        type=click.IntRange(0),
        metavar="NUMBER",
        help=f"How much of the past; {PAST} if not given, with --follow {PAST_OF_FOLLOWER}.",
    ),
)


@click.command(name="events")
@event_options
@control_options
def command(*, follow: bool, limit: int | None, **options: Unpack[ControlOptions]) -> None:
    """Say what has happened in the running proxy, or follow it.

    Verdicts of probes and traffic, words of operators, reloads; oldest first.
    """
    with connect(options) as proxy:
        if follow:
            follow_events(proxy, PAST_OF_FOLLOWER if limit is None else limit, json_wanted=options["json_wanted"])
        else:
            past = proxy.call("dispatcher.history", {"limit": PAST if limit is None else limit})["events"]
            say_past(past, json_wanted=options["json_wanted"])


def say_past(past: list[Mapping[str, Any]], *, json_wanted: bool) -> None:
    """A line for each event, or one document."""
    if json_wanted:
        say(json.dumps({"version": FORMAT_VERSION, "events": past}, indent=2))
    else:
        say("\n".join(map(event_words, past)) or "nothing has happened")


def follow_events(proxy: ControlClient, limit: int, *, json_wanted: bool, history: str = "dispatcher.history") -> None:
    """A line for each event, as it comes; in JSON too.  `history` is the method that tells the past."""

    def tell(event: Mapping[str, Any]) -> None:
        say(json.dumps(event) if json_wanted else event_words(event))

    proxy.call("events")
    past = proxy.call(history, {"limit": max(1, limit)})["events"]
    newest = past[-1]["sequence"] if past else 0
    for event in past[len(past) - min(limit, len(past)) :]:
        tell(event)
    for event in proxy.events():
        lost = event["sequence"] - newest - 1
        if lost < 0:
            continue
        if lost:
            click.echo(f"{lost} event{'' if lost == 1 else 's'} lost: what reads this is too slow", err=True)
        newest = event["sequence"]
        tell(event)
