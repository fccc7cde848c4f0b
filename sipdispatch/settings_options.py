"""Which options stand for keys of the configuration, and what do they make together with the file?"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypedDict

import click

from sipdispatch.config import Config, ConfigProblem, Flags
from sipdispatch.errors import CommandError, Fault
from sipdispatch.load import load
from sipdispatch.options import together

settings_options: Final = together(
    click.option(
        "-c", "--config", type=click.Path(readable=False, path_type=Path), metavar="FILE", help="Read this TOML file."
    ),
    click.option(
        "--listen",
        multiple=True,
        metavar="ADDRESS",
        help="Listen here, as in udp:192.0.2.10:5060; may be given several times.",
    ),
    click.option("--list", "list_path", metavar="FILE", help="The dispatcher list."),
    click.option("--set", "set_id", type=int, metavar="NUMBER", help="The set that calls are dispatched to."),
    click.option("--algorithm", metavar="NAME", help="How a destination is chosen, as in weight, call-id or aor."),
    click.option("--advertise", metavar="HOST[:PORT]", help="How others reach the one listener, behind a static NAT."),
)
"""Gives a command the options of `sipdispatch proxy`."""


class SettingsOptions(TypedDict):
    """What click hands to a command with these options."""

    config: Path | None
    listen: tuple[str, ...]
    list_path: str | None
    set_id: int | None
    algorithm: str | None
    advertise: str | None


def read_settings(options: SettingsOptions) -> Config:
    """The configuration that the options and the file make; raises CommandError with all that is wrong."""
    flags = Flags(
        listen=options["listen"],
        list_path=options["list_path"],
        set_id=options["set_id"],
        algorithm=options["algorithm"],
        advertise=options["advertise"],
    )
    return config_of(options["config"], flags)


def config_of(path: Path | None, flags: Flags | None = None) -> Config:
    """The configuration of a file and of flags; raises CommandError with all that is wrong."""
    loaded = load(path, flags)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(fault_of(problem) for problem in loaded if problem.severity == "error"))
    return loaded


def fault_of(problem: ConfigProblem) -> Fault:
    """What is wrong with the configuration, for the command line."""
    what = problem.message if problem.option is not None or not problem.key else f"{problem.key}: {problem.message}"
    return Fault(what, problem.where, problem.hint)
