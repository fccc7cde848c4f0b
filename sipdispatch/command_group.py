"""Which command of a group is meant, and where is it?

Every command is a module of its own with a `click.Command` named `command`, imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import attrs
import click

from sipdispatch.errors import CommandError


@attrs.frozen
class CommandEntry:
    """Where a command is, and the line that the list of commands shows for it."""

    module: str
    summary: str


class LateCommands(click.Group):
    """A group of commands in the order of `entries`, which says what is wrong as every command does."""

    def __init__(self, *args: Any, entries: Mapping[str, CommandEntry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = self.entries.get(cmd_name)
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
        if name in self.entries or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = get_close_matches(name, self.entries, n=1)
        whole = name if ctx.parent is None else f"{ctx.info_name} {name}"
        raise CommandError(
            f"there is no command {whole}",
            ctx.command_path,
            f"did you mean {close[0]}?" if close else f"write one of {', '.join(self.entries)}",
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])


class CommandsTogether(click.Group):
    """A group of commands of one module in the order in which they stand there; it says what is wrong as they do."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.commands or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = get_close_matches(name, self.commands, n=1)
        raise CommandError(
            f"there is no command {ctx.info_name} {name}",
            ctx.command_path,
            f"did you mean {close[0]}?" if close else f"write one of {', '.join(self.commands)}",
        )

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)
