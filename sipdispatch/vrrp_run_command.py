"""What does `sipdispatch vrrp run` do with its options before the agent runs?"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click

from sipdispatch.config import VrrpConfig, VrrpFlags
from sipdispatch.errors import CommandError
from sipdispatch.settings_options import fault_of


class RunOptions(TypedDict):
    """What click hands over."""

    config: Path | None
    interface: str | None
    vrid: int | None
    priority: int | None
    addresses: tuple[str, ...]
    peers: tuple[str, ...]
    version: int | None
    interval: str | None
    preempt: str | None


@click.command(name="run")
@click.option("-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="Read this TOML file.")
@click.option("--interface", metavar="NAME", help="The interface that the nodes see each other on.")
@click.option("--vrid", type=int, metavar="NUMBER", help="The number of the pair on this network, 1 to 255.")
@click.option("--priority", type=int, metavar="NUMBER", help="100 to 254; the higher one gets the address.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS/LENGTH",
    help="The virtual IP, as in 192.0.2.100/24; may be given several times.",
)
@click.option("--peer", "peers", multiple=True, metavar="ADDRESS", help="Speak to this node, and not to the group.")
@click.option("--protocol", "version", type=int, metavar="VERSION", help="3, or 2 for an old peer.")
@click.option("--interval", metavar="TIME", help="Between two adverts, as in 100ms.")
@click.option("--preempt", metavar="WHEN", help='always, never, or "after 60s".')
def command(**options: Unpack[RunOptions]) -> int:
    """Run the agent that moves the address.

    Options stand in place of keys of [vrrp] in the TOML file.  Stops on SIGTERM and SIGINT, and hands the address over
    before; reads the file again on SIGHUP.
    """
    config = read_settings(options)
    from sipdispatch.vrrp_run import run  # noqa: PLC0415 - trio and netlink: not for --help

    return run(config)


def read_settings(options: RunOptions) -> VrrpConfig:
    """The configuration that the options and the file make; raises CommandError with all that is wrong."""
    from sipdispatch.vrrp_load import load_agent  # noqa: PLC0415 - slow to import

    flags = VrrpFlags(
        interface=options["interface"],
        vrid=options["vrid"],
        priority=options["priority"],
        addresses=options["addresses"],
        peers=options["peers"],
        version=options["version"],
        interval=options["interval"],
        preempt=options["preempt"],
    )
    loaded = load_agent(options["config"], flags)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(fault_of(problem) for problem in loaded if problem.severity == "error"))
    return loaded
