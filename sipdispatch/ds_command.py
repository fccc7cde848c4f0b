"""What can an operator do with the destinations of the running proxy?

Each command asks the proxy once, over its control socket, and says in one line what has been done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Unpack

import attrs
import click

from sipdispatch.command_group import CommandsTogether
from sipdispatch.control_client import TIMEOUT_S, ControlClient, RefusedError
from sipdispatch.control_options import FORMAT_VERSION, ControlOptions, connect, control_options
from sipdispatch.ds_explain_words import explain_text
from sipdispatch.ds_tables import list_text
from sipdispatch.errors import USAGE, CommandError, Fault
from sipdispatch.events_command import PAST, say_past
from sipdispatch.explain_options import MessageOptions, message_options
from sipdispatch.finite import Finite
from sipdispatch.output import say
from sipdispatch.printable import printable
from sipdispatch.screen import CLEAR, standard_output
from sipdispatch.time_words import span

NOT_DRAINED: Final = 1
"""Exit status when the time for draining is over and something is left."""
CHANGE_TIMEOUT_S: Final = 120.0
"""For a list to be read, its names looked up and its tables built; or for a word to reach all of a large set."""
LONG_CALL_S: Final = 7200.0
"""Calls without a sign of life for so long are over; the proxy counts them no longer than that."""

MOST_S: Final = 1_000_000
"""For waiting: eleven days; poll(2) takes twice as many."""

_DONE: Final = {"enabled": "enabled", "draining": "draining, takes no new work", "disabled": "disabled"}


@click.group(cls=CommandsTogether, name="ds", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """See and steer the destinations of the running proxy.

    A destination is named by its URI in the list, its address and port, or its duid; all is every one of a set.

    Exit status: 0 done, 1 not drained in time, 2 what you can put right.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


_set_option = click.option(
    "--set", "set_id", type=click.IntRange(0), metavar="NUMBER", help="The set; needed where the name is in several."
)


_NAMED: Final = "[SET] DESTINATION"


def _who(named: tuple[str, ...], set_id: int | None) -> tuple[int | None, str]:
    """The set and the destination, also in the order of kamcmd: `1 sip:192.0.2.21`; raises CommandError."""
    if len(named) == 1:
        return set_id, named[0]
    if len(named) == 2 and named[0].isascii() and named[0].isdigit() and set_id in (None, int(named[0])):
        return int(named[0]), named[1]
    what = f"{' '.join(named)} is not one destination" if named else "DESTINATION is missing"
    raise CommandError(what, "sipdispatch ds", "write one, after its set if need be, as in 1 sip:192.0.2.21")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps({"version": FORMAT_VERSION, **document}, indent=2)


# --------------------------------------------------------------------------------------------------------------------
# Seeing


@command.command(name="list")
@click.option("--set", "set_id", type=click.IntRange(0), metavar="NUMBER", help="Only this set.")
@click.option("--watch", type=Finite(0.1, MOST_S), metavar="SECONDS", help="Show it again and again, until Ctrl-C.")
@control_options
def list_destinations(*, set_id: int | None, watch: float | None, **options: Unpack[ControlOptions]) -> None:
    """Show the destinations: state, share, traffic, replies, why."""
    screen = standard_output()
    while True:
        with connect(options) as proxy:
            shown = proxy.call("dispatcher.show", {"set": set_id})
        text = _json(shown) if options["json_wanted"] else list_text(shown, screen)
        if watch is None:
            say(text)
            return
        say(f"{CLEAR}{text}" if screen.can_clear else f"{text}\n")
        time.sleep(watch)


class ExplainOptions(MessageOptions, ControlOptions):
    """What click hands to `ds explain`."""


@command.command(name="explain")
@message_options
@control_options
def explain(**options: Unpack[ExplainOptions]) -> None:
    """Say where the running proxy would send a message, and why.

    FILE has the message as it arrives at the proxy, - is standard input; or the options make a request.
    """
    from sipdispatch.explain_request import asked_in, read_file  # noqa: PLC0415 - the packet path: not for --help

    question = attrs.asdict(asked_in(options))
    file, question["from"] = question.pop("file"), question.pop("from_")
    if file is not None:
        try:
            question["message"] = read_file(file).decode()
        except UnicodeDecodeError as error:
            raise CommandError(
                "the message is not UTF-8, and only text can be asked about",
                file,
                "take sipdispatch explain, which asks no proxy",
            ) from error
    with connect(options) as proxy:
        document = proxy.call("dispatcher.explain", question)
    say(json.dumps(document, indent=2) if options["json_wanted"] else explain_text(document))


@command.command(name="history")
@click.argument("destination", required=False)
@_set_option
@click.option(
    "--limit", "-n", type=click.IntRange(0), default=PAST, metavar="NUMBER", help="How much; 100 if not given."
)
@control_options
def history(*, destination: str | None, set_id: int | None, limit: int, **options: Unpack[ControlOptions]) -> None:
    """Say what has happened to a destination, or to all, oldest first."""
    with connect(options) as proxy:
        past = proxy.call("dispatcher.history", {"destination": destination, "set": set_id, "limit": limit})["events"]
    say_past(past, json_wanted=options["json_wanted"])


# --------------------------------------------------------------------------------------------------------------------
# Words


@command.command(name="set-state")
@click.argument("state")
@click.argument("named", nargs=-1, metavar=_NAMED)
@_set_option
@control_options
def set_state(*, state: str, named: tuple[str, ...], set_id: int | None, **options: Unpack[ControlOptions]) -> None:
    """Enable, drain or disable a destination.

    STATE is enabled, draining, disabled, or Kamailio's a (enabled), t (enabled), i (draining), d (disabled).
    """
    set_id, destination = _who(named, set_id)
    with connect(options) as proxy:
        done = proxy.call(
            "dispatcher.set_word", {"word": state, "destination": destination, "set": set_id}, timeout=CHANGE_TIMEOUT_S
        )
    _say_word(done, options)


@command.command(name="drain")
@click.argument("destination")
@_set_option
@click.option("--wait", is_flag=True, help="Return when its last call has ended.")
@click.option("--timeout", type=Finite(0, MOST_S), metavar="SECONDS", help="Wait at most so long.")
@control_options
def drain(
    *, destination: str, set_id: int | None, wait: bool, timeout: float | None, **options: Unpack[ControlOptions]
) -> int:
    """Give a destination no new work; what has begun goes on.

    Exit status: 0 done, 1 with --wait: something is left when the time is over.
    """
    if timeout is not None and not wait:
        raise CommandError("--timeout is about waiting", "sipdispatch ds drain", "write --wait, or leave it out")
    with connect(options) as proxy:
        done = proxy.call("dispatcher.drain", {"destination": destination, "set": set_id}, timeout=CHANGE_TIMEOUT_S)
        if not wait:
            _say_word(done, options)
            return 0
        if not options["json_wanted"]:
            _say_word(done, options)
        where = {"destination": destination, "set": done["set"]}
        patience = None if timeout is None else timeout + TIMEOUT_S
        waited = proxy.call("dispatcher.wait_drained", {**where, "timeout": timeout}, timeout=patience)
        if options["json_wanted"]:
            say(_json({**done, **waited}))
        elif waited["drained"]:
            say(f"drained after {waited['waited']:.0f} s: no call is left{_unless_older(waited)}")
        else:
            say(f"not drained after {waited['waited']:.0f} s: {_left(proxy, done)}")
    return 0 if waited["drained"] else NOT_DRAINED


def _unless_older(waited: Mapping[str, Any]) -> str:
    """What to keep in mind where the proxy has not seen all calls begin that may be going on."""
    age = time.time() - waited["known_since"]
    return (
        "" if age > LONG_CALL_S else f"; but calls from before the proxy was started, {span(age)} ago, it does not know"
    )


def _left(proxy: ControlClient, done: Mapping[str, Any]) -> str:
    """What is still under way at the destination that was named, or in its set where many were."""
    shown = proxy.call("dispatcher.show", {"set": done["set"]})["sets"]
    calls = sum(each["calls_active"] for one in shown for each in one["destinations"] if each["word"] == "draining")
    return f"{calls} call{'' if calls == 1 else 's'} at what drains in set {done['set']}"


@command.command(name="undrain")
@click.argument("destination")
@_set_option
@control_options
def undrain(*, destination: str, set_id: int | None, **options: Unpack[ControlOptions]) -> None:
    """Give a destination new work again."""
    with connect(options) as proxy:
        done = proxy.call("dispatcher.undrain", {"destination": destination, "set": set_id}, timeout=CHANGE_TIMEOUT_S)
    _say_word(done, options)


def _say_word(done: Mapping[str, Any], options: ControlOptions) -> None:
    if options["json_wanted"]:
        say(_json(done))
        return
    count = done["destinations"]
    which = "" if count == 1 else f", {count} destinations"
    say(printable(f"{done['destination']} in set {done['set']}{which}: {_DONE.get(done['word'], done['word'])}"))


# --------------------------------------------------------------------------------------------------------------------
# The list


@command.command(name="reload")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--reset-state", is_flag=True, help="Forget words and verdicts: as the list says.")
@control_options
def reload(*, dry_run: bool, reset_state: bool, **options: Unpack[ControlOptions]) -> int:
    """Read the list again, and say what that changes."""
    params = {"dry_run": dry_run, "reset_state": reset_state, "report": True}
    return _change("dispatcher.reload", params, options, "reloaded", would="dry run, nothing is changed")


@command.command(name="add")
@click.argument("set_id", metavar="SET", type=click.IntRange(0))
@click.argument("uri")
@click.argument("flags", required=False, type=click.IntRange(0))
@click.argument("priority", required=False, type=click.IntRange(0))
@click.argument("attributes", required=False)
@click.option("--save", is_flag=True, help="Write the line into the list too.")
@control_options
def add(
    *,
    set_id: int,
    uri: str,
    flags: int | None,
    priority: int | None,
    attributes: str | None,
    save: bool,
    **options: Unpack[ControlOptions],
) -> int:
    """Add a destination, in the words of a line of the list: SET URI [FLAGS [PRIORITY [ATTRIBUTES]]]."""
    params = {
        "group": set_id,
        "address": uri,
        "flags": flags,
        "priority": priority,
        "attrs": attributes or None,
        "save": save,
        "report": True,
    }
    return _change("dispatcher.add", params, options, "added, and written into the list" if save else "added")


@command.command(name="remove")
@click.argument("named", nargs=-1, metavar=_NAMED)
@_set_option
@click.option("--save", is_flag=True, help="Take the line out of the list too.")
@control_options
def remove(*, named: tuple[str, ...], set_id: int | None, save: bool, **options: Unpack[ControlOptions]) -> int:
    """Take a destination out; calls that run there go on."""
    set_id, destination = _who(named, set_id)
    params = {"address": destination, "group": set_id, "save": save, "report": True}
    return _change("dispatcher.remove", params, options, "removed, and taken out of the list" if save else "removed")


def _change(method: str, params: Mapping[str, Any], options: ControlOptions, done: str, *, would: str = "") -> int:
    """Change the list in force and say what is different; the exit status."""
    with connect(options) as proxy:
        try:
            report = proxy.call(method, params, timeout=CHANGE_TIMEOUT_S)
        except RefusedError as error:
            report = error.details.get("report")
            if not isinstance(report, dict):
                raise
    if options["json_wanted"]:
        say(_json(report))
    elif report["refused"] or not (report["done"] or report["dry_run"]):
        raise CommandError.of(*_faults(report))
    else:
        summary = _summary(report, would if report["dry_run"] else done, counted=bool(would))
        say("\n".join(map(printable, (*_difference(report), summary))))
    return USAGE if report["refused"] or not (report["done"] or report["dry_run"]) else 0


def _difference(report: Mapping[str, Any]) -> list[str]:
    return [
        *(f"+ {line}" for line in report["added"]),
        *(f"- {line}" for line in report["removed"]),
        *(f"~ {line}" for line in report["changed"]),
        *(f"{_place(problem)}: warning: {_advice(problem)}" for problem in report["problems"]),
    ]


def _summary(report: Mapping[str, Any], verb: str, *, counted: bool) -> str:
    counts = ((len(report[name]), name) for name in ("added", "removed", "changed"))
    difference = ", ".join(f"{count} {name}" for count, name in counts if count) or "nothing is different"
    count = report["destinations"]
    shown = f"{verb}: {difference}" if counted else verb
    if report["dry_run"]:
        return shown
    return f"{shown}; {count} destination{'' if count == 1 else 's'}"


def _faults(report: Mapping[str, Any]) -> list[Fault]:
    errors = [problem for problem in report["problems"] if problem["severity"] == "error"]
    faults = [
        Fault(each["message"], _place(each), each["hint"] or "look at it with sipdispatch check") for each in errors
    ]
    return faults or [Fault("the list is not taken over", "the proxy", "look at its log")]


def _place(problem: Mapping[str, Any]) -> str:
    return f"{problem['path']}:{problem['line']}:{problem['column']}" if problem["line"] else str(problem["path"])


def _advice(problem: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (problem["message"], problem["hint"])))
