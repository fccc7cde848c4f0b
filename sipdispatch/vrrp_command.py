"""What can an operator do with the address that two nodes share?

Each command is a module of its own with a `click.Command` named `command`, imported when it is used.
"""

from __future__ import annotations

from typing import Final

import click

from sipdispatch.command_group import CommandEntry, LateCommands
from sipdispatch.errors import USAGE

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


@click.group(cls=LateCommands, entries=COMMANDS, name="vrrp", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Own the virtual IP with another node, by VRRP."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)
