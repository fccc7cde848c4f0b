"""How do the addresses of an agent that is gone leave this node before their lease ends?

It is what the unit runs after the agent, however that has ended (`ExecStopPost` in deploy/systemd).
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Final

import click

from sipdispatch.config import DEFAULT_CONFIG
from sipdispatch.errors import CommandError
from sipdispatch.output import say
from sipdispatch.settings_options import fault_of
from sipdispatch.vrrp_build import agent_socket
from sipdispatch.vrrp_load import load_agent
from sipdispatch.vrrp_settings import Vrrp
from vrrp.address import VirtualAddress

STAYED: Final = 1
"""Exit status when an address could not be removed."""


@click.command(name="cleanup")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    metavar="FILE",
    help=f"The TOML file with the section [vrrp]; {DEFAULT_CONFIG} by default.",
)
def command(*, config: Path) -> int:
    """Remove the addresses of the section [vrrp] from this node.

    For the time after an agent that was killed: one that ends by itself leaves nothing behind, and the lease ends what
    a killed one has left.  Nothing is done while an agent runs, and an address that is not here is no error.  Addresses
    that commands move (driver = "exec") are left alone: the other node may have them already.  With driver = "both"
    those on the interfaces go, and no command is run.

    Exit status: 0 none of them is here, 1 one of them stays, 2 the configuration is wrong or the agent runs.
    """
    loaded = load_agent(config)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(fault_of(problem) for problem in loaded if problem.severity == "error"))
    vrrp = loaded.vrrp
    if vrrp.mover.driver == "exec":
        say("the addresses are moved by commands: nothing was removed")
        return 0
    _require_no_agent(vrrp)
    return STAYED if [address for address in vrrp.addresses if not _remove(address)] else 0


def _require_no_agent(vrrp: Vrrp) -> None:
    """It would set the addresses again, and take what happens for a mistake of somebody else."""
    if not vrrp.control.enabled:
        return
    path = agent_socket(vrrp, os.environ, os.geteuid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # noqa: FBT003 - a queue that is full is an agent too
        if asking.connect_ex(os.fspath(path)) in (0, errno.EAGAIN):
            raise CommandError(
                "the agent runs, and the addresses are its own", str(path), "write sipdispatch vrrp release, or stop it"
            )


def _remove(address: VirtualAddress) -> bool:
    """Whether it is not here any more."""
    from vrrp import link  # noqa: PLC0415 - pyroute2 is slow to import

    if address.address not in link.facts_of(address.interface).addresses:
        say(f"{address} was not here")
        return True
    kernel = link.Addresses()
    try:
        kernel.remove(address)
    except OSError as error:
        say(f"{address} cannot be removed: {error.strerror}")
        return False
    finally:
        kernel.close()
    say(f"{address} removed")
    return True
