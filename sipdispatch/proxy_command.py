"""What does `sipdispatch proxy` do with its options before the proxy runs?"""

from __future__ import annotations

from pathlib import Path

import click

from sipdispatch.config import ConfigProblem, Flags
from sipdispatch.errors import CommandError, Fault
from sipdispatch.load import load


@click.command(name="proxy")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Read this TOML file.")
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDRESS",
    help="Listen here, as in udp:192.0.2.10:5060; may be given several times.",
)
@click.option("--list", "list_path", metavar="FILE", help="The dispatcher list.")
@click.option("--set", "set_id", type=int, metavar="NUMBER", help="The set that calls are dispatched to.")
@click.option("--algorithm", metavar="NAME", help="How a destination is chosen, as in weight, call-id or aor.")
@click.option("--advertise", metavar="HOST[:PORT]", help="How others reach the one listener, behind a static NAT.")
def command(
    *,
    config: Path | None,
    listen: tuple[str, ...],
    list_path: str | None,
    set_id: int | None,
    algorithm: str | None,
    advertise: str | None,
) -> int:
    """Run the SIP proxy.

    Options stand in place of the keys of the same names in the TOML file.  Stops on SIGTERM and SIGINT; reads the
    dispatcher list again when it has changed and on SIGHUP.
    """
    flags = Flags(listen=listen, list_path=list_path, set_id=set_id, algorithm=algorithm, advertise=advertise)
    loaded = load(config, flags)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(_fault(problem) for problem in loaded if problem.severity == "error"))
    from sipdispatch.proxy import run  # noqa: PLC0415 - trio and the packet path: not for --help

    return run(loaded)


def _fault(problem: ConfigProblem) -> Fault:
    what = problem.message if problem.option is not None or not problem.key else f"{problem.key}: {problem.message}"
    return Fault(what, problem.where, problem.hint)
