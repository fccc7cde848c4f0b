"""Who moves the addresses of the section [vrrp]: the kernel, the commands of [vrrp.mover], or both?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from sipdispatch.command_run import ENDING_S, PLAIN_ENVIRONMENT, run_command
from sipdispatch.vrrp_running import RunningAgent
from sipdispatch.vrrp_settings import Vrrp
from sipdispatch.vrrp_track import first_line
from vrrp.address import VirtualAddress
from vrrp.bothmovers import BothMovers
from vrrp.execmover import Command, ExecMover, Orders, Outcome, Verb
from vrrp.kernelmover import KernelMover
from vrrp.mover import Mover
from vrrp.service import boottime

STOP_S: Final = 10.0
"""What a stop may take without these commands: `TimeoutStopSec=` of the units; hooks, notices and tracks need less."""


@attrs.frozen(kw_only=True)
class Movers:
    """What the agent moves addresses with; `kernel` is the part of it that the kernel does, if it does any.

    `patience`: how long a stop may take in all because of commands, 0 without them.
    """

    mover: Mover
    kernel: KernelMover | None
    patience: float

    def change(self, addresses: Sequence[VirtualAddress]) -> None:
        """Other addresses move from now on; not where commands have been told of the old ones."""
        if self.kernel is not None:
            self.kernel.change(addresses)

    def close(self) -> None:
        """Let the sockets go."""
        if self.kernel is not None:
            self.kernel.close()


def movers_of(vrrp: Vrrp, running: RunningAgent, *, source: Callable[[], str]) -> Movers:
    """Those that the section asks for; `source` is where adverts leave from."""
    driver = vrrp.mover.driver
    if driver == "kernel":
        kernel = KernelMover(vrrp.addresses, claimed=running.claimed, clock=boottime)
        return Movers(mover=kernel, kernel=kernel, patience=0.0)
    orders = Orders(
        verifies=bool(vrrp.mover.verify),
        timeout=vrrp.mover.timeout,
        retries=vrrp.mover.retries,
        every=vrrp.mover.every,
        ending=ENDING_S,
    )
    commands = ExecMover(
        orders,
        command_of(vrrp, role=lambda: running.agent.state, source=source),
        heard=lambda: running.agent.ledger.received,
        contested=running.contested,
    )
    patience = orders.patience + STOP_S
    if driver == "exec":
        return Movers(mover=commands, kernel=None, patience=patience)
    kernel = KernelMover(vrrp.addresses, claimed=running.claimed, clock=boottime)
    # The kernel's part needs no time: the address is here before the API sends anything, and gone before it is asked.
    return Movers(mover=BothMovers(kernel, commands), kernel=kernel, patience=patience)


def command_of(vrrp: Vrrp, *, role: Callable[[], str], source: Callable[[], str]) -> Command:
    """What runs the commands of the section, and tells them by their environment what is to be moved."""
    commands = dict(vrrp.mover.commands)

    async def command(verb: Verb) -> Outcome:
        environment = {
            **PLAIN_ENVIRONMENT,
            "SIPDISPATCH_VERB": verb,
            "SIPDISPATCH_ROLE": role(),
            "SIPDISPATCH_ADDRESSES": " ".join(each.address for each in vrrp.addresses),
            "SIPDISPATCH_INTERFACE": vrrp.interface,
            "SIPDISPATCH_SOURCE": source(),
            "SIPDISPATCH_VRID": str(vrrp.vrid),
        }
        run = await run_command(commands[verb], timeout=vrrp.mover.timeout, environment=environment)
        said = first_line(run.output)
        return Outcome(run.status, run.text if run.succeeded or not said else f"{said} ({run.text})")

    return command
