"""Which command did the person ask for, and how does it end?

Every command is a module of its own with a `click.Command` named `command`; COMMANDS names them all.  A module is
imported when its command is used, so that `--version` and `check` do not wait for the proxy's imports.  A command
prints with `sipdispatch.output.say`, returns its exit status or None, and raises CommandError for what the caller can
put right.

However a command ends, nobody sees a traceback: exit status 2 with what, where and what to do for what the caller can
put right, 70 with one line for a mistake of this program, 130 after Ctrl-C, and silence when the reader of the output
has gone.  SIPDISPATCH_DEBUG=1 in the environment adds the traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from sipdispatch.command_group import CommandEntry, LateCommands
from sipdispatch.errors import INTERNAL, INTERRUPTED, PIPE_CLOSED, USAGE, CommandError, Fault
from sipdispatch.output import give_up, say

PROGRAM: Final = "sipdispatch"
COMPLETION_VARIABLE: Final = "_SIPDISPATCH_COMPLETE"
"""Set by the scripts of `sipdispatch completion` when a shell asks what may follow."""


COMMANDS: Final = {
    "demo": CommandEntry("sipdispatch.demo_command", "Show the proxy at work, on this machine alone."),
    "proxy": CommandEntry("sipdispatch.proxy_command", "Run the SIP proxy."),
    "vrrp": CommandEntry("sipdispatch.vrrp_command", "Own the virtual IP with another node, by VRRP."),
    "ds": CommandEntry("sipdispatch.ds_command", "See and steer the destinations of the running proxy."),
    "limits": CommandEntry("sipdispatch.limits_command", "See and steer what sources may send, and who is banned."),
    "status": CommandEntry("sipdispatch.status_command", "Say how the running proxy is."),
    "events": CommandEntry("sipdispatch.events_command", "Say what has happened in the running proxy, or follow it."),
    "probe": CommandEntry("sipdispatch.probe_command", "Ask SIP servers whether they are alive, as ping does."),
    "check": CommandEntry("sipdispatch.check_command", "Check dispatcher lists and configuration files."),
    "explain": CommandEntry("sipdispatch.explain_command", "Say where a message would go, and why."),
    "notify": CommandEntry("sipdispatch.notify_command", "Try the notices and hooks of the configuration."),
    "completion": CommandEntry("sipdispatch.completion_command", "Print the completion script of a shell."),
}
"""In the order in which help shows them.  A new command is one line here and a module with `command` in it."""


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted and not ctx.resilient_parsing:
        from sipdispatch.version import version_line  # noqa: PLC0415 - the metadata of packages is slow to import

        say(version_line())
        ctx.exit()


@click.command(
    cls=LateCommands,
    entries=COMMANDS,
    name=PROGRAM,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
@click.pass_context
def group(ctx: click.Context) -> None:
    """A SIP load balancer that owns its own virtual IP."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


# --------------------------------------------------------------------------------------------------------------------
# How it ends


_EXPECTED: Final = (CommandError, click.ClickException, click.Abort, KeyboardInterrupt, EOFError, BrokenPipeError)
"""Ways to end that are no mistake of this program."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (the process's own by default) and return the exit status."""
    _never_fail_to_print()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        _flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as error:  # noqa: BLE001 - this is the one place where everything ends
        return _tell(error, _command_named(words))
    return status


def _run(words: list[str]) -> int:
    """What `click.Command.main` does, which would end a closed pipe and an interrupt in its own way."""
    completing = os.environ.get(COMPLETION_VARIABLE)
    if completing:
        return shell_complete(group, {}, PROGRAM, COMPLETION_VARIABLE, completing)
    try:
        with group.make_context(PROGRAM, words) as ctx:
            status = group.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return status if isinstance(status, int) else 0


def _never_fail_to_print() -> None:
    """A terminal that has no letter for what is printed gets its code instead of a UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """What cannot be written is found out here, not after the interpreter has said goodbye."""
    if sys.stdout is not None:
        say("", newline=False)


def _tell(error: BaseException, command: str) -> int:
    """Print what ended the command to standard error; returns the exit status."""
    status, text = _told(error, command)
    with contextlib.suppress(OSError):
        if os.environ.get("SIPDISPATCH_DEBUG") == "1":
            traceback.print_exception(error)
        if text:
            click.echo(text, err=True)
    return status


def _told(error: BaseException, command: str) -> tuple[int, str]:
    leaves = tuple(_leaves(error))
    known = tuple(leaf for leaf in leaves if isinstance(leaf, CommandError | click.ClickException))
    strange = tuple(leaf for leaf in leaves if not isinstance(leaf, _EXPECTED))
    if strange:
        what = " ".join(f"{type(strange[0]).__name__}: {strange[0]}".split())
        return INTERNAL, f"{PROGRAM}: internal error: {what}; please report it, with what SIPDISPATCH_DEBUG=1 shows"
    if known:
        return USAGE, "\n".join(str(fault) for leaf in known for fault in _faults(leaf, command))
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        give_up()
        return PIPE_CLOSED, ""
    return INTERRUPTED, ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, out of the groups that a trio nursery raises."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _faults(error: CommandError | click.ClickException, command: str) -> Iterable[Fault]:
    return error.faults if isinstance(error, CommandError) else (_fault_of_click(error, command),)


def _fault_of_click(error: click.ClickException, command: str) -> Fault:
    """What click says about a command line, in the form of this program."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    path = command if ctx is None else ctx.command_path
    help_remedy = f"run {path} --help for what can be written"
    match error:
        case click.NoSuchOption(option_name=option, possibilities=possibilities):
            remedy = f"did you mean {possibilities[0]}?" if possibilities else help_remedy
            return Fault(f"there is no option {option}", path, remedy)
        case click.BadOptionUsage(option_name=option) if "argument" in error.message:
            return Fault(f"option {option} needs a value", path, help_remedy)
        case click.MissingParameter(param=parameter) if parameter is not None and ctx is not None:
            usage = " ".join((path, *ctx.command.collect_usage_pieces(ctx)))
            return Fault(f"{parameter.human_readable_name} is missing", path, f"write {usage}")
        case click.BadParameter(param=parameter) if parameter is not None:
            name = (
                f"option {parameter.opts[-1]}" if isinstance(parameter, click.Option) else parameter.human_readable_name
            )
            return Fault(error.message.rstrip("."), f"{path}, {name}", help_remedy)
        case _:
            what = error.format_message()
            return Fault(what[:1].lower() + what[1:].rstrip("."), path, help_remedy)


def _command_named(arguments: Sequence[str]) -> str:
    """The command line's command, for what goes wrong before click knows it."""
    return next((f"{PROGRAM} {argument}" for argument in arguments[:1] if argument in COMMANDS), PROGRAM)
