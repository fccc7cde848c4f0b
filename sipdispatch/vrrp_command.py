"""What can an operator do with the address that two nodes share?

Each command is a module of its own with a `click.Command` named `command`, imported when it is used.
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import Final

import click

from sipdispatch.cli import CommandEntry
from sipdispatch.errors import USAGE, CommandError

COMMANDS: Final = {
    "run": CommandEntry("sipdispatch.vrrp_run_command", "Run the agent that moves the address."),
    "status": CommandEntry("sipdispatch.vrrp_status_command", "Say who has the address, and why."),
    "release": CommandEntry("sipdispatch.vrrp_release_command", "Hand the address over to the other node."),
    "hold": CommandEntry("sipdispatch.vrrp_hold_command", "Keep the address away from this node."),
    "resume": CommandEntry("sipdispatch.vrrp_resume_command", "Take part as usual after release or hold."),
    "events": CommandEntry("sipdispatch.vrrp_events_command", "Say when and why the role has changed."),
    "metrics": CommandEntry("sipdispatch.vrrp_metrics_command", "Print the metrics in Prometheus' text format."),
    "cleanup": CommandEntry("sipdispatch.vrrp_cleanup_command", "Remove the addresses that a killed agent has left."),
    "doctor": CommandEntry("sipdispatch.vrrp_doctor_command", "Look for what makes pairs fail."),
    "import": CommandEntry("sipdispatch.vrrp_import_command", "Write the configuration for a keepalived.conf."),
}
"""In the order in which help shows them.  A new command is one line here and a module with `command` in it."""


class VrrpCommands(click.Group):
    """The group of these commands, which says what is wrong as every command does."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = importlib.import_module(entry.module).command
        if not isinstance(found, click.Command):
            raise TypeError(f"{entry.module}.command is not a click command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = get_close_matches(name, COMMANDS, n=1)
        raise CommandError(
            f"there is no command vrrp {name}",
            ctx.command_path,
            f"did you mean {close[0]}?" if close else f"write one of {', '.join(COMMANDS)}",
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=VrrpCommands, name="vrrp", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Own the virtual IP with another node, by VRRP."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)
