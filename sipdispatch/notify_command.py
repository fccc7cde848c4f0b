"""What does `sipdispatch notify test` do: would a notice arrive, and a hook run?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

from sipdispatch.config import DEFAULT_CONFIG
from sipdispatch.errors import USAGE, CommandError
from sipdispatch.load import read_config
from sipdispatch.notice_sections import NoticeSections, read_notice_sections
from sipdispatch.output import say
from sipdispatch.readers import suggestion
from sipdispatch.settings_options import fault_of

DELIVERED = 0
FAILED = 1


def read_sections(path: Path) -> NoticeSections:
    """The hooks and notifiers of a TOML file; raises CommandError with all that is wrong with them.

    What is wrong elsewhere in the file is the business of `sipdispatch check`.
    """
    loaded = read_config(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        raise CommandError.of(*map(fault_of, loaded.problems)) from None
    sections, found = read_notice_sections(tree, path.absolute().parent)
    wrong = [loaded.placed(finding) for finding in found if finding.severity == "error"]
    if wrong:
        raise CommandError.of(*map(fault_of, wrong))
    if not sections.hooks and not sections.notifiers:
        raise CommandError("there is nobody to tell", str(path), "write a section [[notify]] or [[hook]]")
    return sections


def chosen(sections: NoticeSections, names: Sequence[str], where: str) -> NoticeSections:
    """Those of these names, or all without any; raises CommandError for a name that nobody has."""
    known = (*(hook.name for hook in sections.hooks), *(notify.name for notify in sections.notifiers))
    for name in names:
        if name not in known:
            raise CommandError(f"there is no hook or notifier {name}", where, suggestion(name, known))
    if not names:
        return sections
    return NoticeSections(
        tuple(hook for hook in sections.hooks if hook.name in names),
        tuple(notify for notify in sections.notifiers if notify.name in names),
    )


@click.group(name="notify", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Try the notices and hooks of the configuration."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


@command.command(name="test")
@click.option(
    "-c",
    "--config",
    type=click.Path(readable=False, path_type=Path),
    default=DEFAULT_CONFIG,
    metavar="FILE",
    help=f"Read this TOML file instead of {DEFAULT_CONFIG}.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
def test_command(*, config: Path, names: tuple[str, ...]) -> int:
    """Send a test notice by each notifier and run each hook once, or those of these names.

    Exit status: 0 all have succeeded, 1 one has failed, 2 the configuration is wrong.
    """
    sections = chosen(read_sections(config), names, str(config))
    import trio  # noqa: PLC0415 - not for --help

    from sipdispatch import logs  # noqa: PLC0415 - the same
    from sipdispatch.notify_trial import try_all  # noqa: PLC0415 - the same

    logs.hand_over(lambda line, _level: click.echo(line, err=True), "warning")
    tested = trio.run(try_all, sections, os.uname().nodename)
    for each in tested:
        say(str(each))
    return DELIVERED if all(each.succeeded for each in tested) else FAILED
