"""How do the addresses of an agent that is gone leave this node before their lease ends?

It is what the unit runs after the agent, however that has ended (`ExecStopPost` in deploy/systemd).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Sequence
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
    return 0 if _remove(vrrp.addresses) else STAYED


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


def _remove(addresses: Sequence[VirtualAddress]) -> bool:
    """Remove those that are here; whether all went."""
    from vrrp import link  # noqa: PLC0415 - trio is slow to import

    try:
        with contextlib.closing(link.Addresses()) as kernel:
            here = kernel.here(addresses)
            reasons = {each.address: each.reason for each in kernel.remove(here)}
    except OSError as error:
        say(f"the addresses cannot be removed: {error.strerror or error}")
        return False
    for address in addresses:
        if address not in here:
            say(f"{address} was not here")
        elif address in reasons:
            say(f"{address} cannot be removed: {reasons[address]}")
        else:
            say(f"{address} removed")
    return not reasons
