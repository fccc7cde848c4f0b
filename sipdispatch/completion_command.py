"""How does a shell learn to complete this program's commands and options?"""

from __future__ import annotations

import os
from typing import Final

import click
from click.shell_completion import get_completion_class

from sipdispatch.errors import CommandError
from sipdispatch.output import say

SHELLS: Final = ("bash", "zsh", "fish")


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def command(ctx: click.Context, shell: str | None) -> None:
    r"""Print the completion script of a shell.

    \b
    bash: sipdispatch completion bash > /etc/bash_completion.d/sipdispatch
    zsh:  sipdispatch completion zsh > "${fpath[1]}/_sipdispatch"
    fish: sipdispatch completion fish > ~/.config/fish/completions/sipdispatch.fish

    Without SHELL, the script is for the shell that $SHELL names.
    """
    shell = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - a name, not a path
    kind = get_completion_class(shell) if shell in SHELLS else None
    if kind is None:
        raise CommandError(
            f"there is no completion for {shell or 'a shell without a name'}",
            "environment variable SHELL",
            f"write {ctx.command_path} and one of {', '.join(SHELLS)}",
        )
    say(kind(ctx.find_root().command, {}, "sipdispatch", "_SIPDISPATCH_COMPLETE").source())
