"""Where is a slot table built, so that forwarding does not wait for it?

In a process of its own.  Half a second of arithmetic in a thread would take the interpreter lock for 5 ms at a time
(`sys.getswitchinterval`) after every system call of the forwarding loop, and for the 50 ms of a sort in one piece.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import structlog
import trio

import dispatcher
from dispatcher import slots
from dispatcher.destination import Destination
from dispatcher.keyed import Key
from dispatcher.selection import Groups, Pool, Ranking, sketch, tabled, wanted
from dispatcher.slices import in_slices
from dispatcher.slotprogram import encode

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LONGEST_S = 60.0
"""For one table, which takes a second, and ten where everything else is busy: a process that is stuck ends here."""

_START = "import sys; sys.path.append(sys.argv[1]); from dispatcher.slotprogram import main; main()"


class BuildError(Exception):
    """Why the process did not deliver a table."""


async def make_pool_apart(
    set_id: int,
    destinations: Sequence[Destination],
    key: Key,
    *,
    rankings: Collection[Ranking] = (Ranking.WEIGHT,),
    known: Iterable[Pool] = (),
) -> Pool:
    """What `make_pool` makes, with the tables built apart; those that a known pool has already are taken from it.

    Raises ValueError for more than 65,535 destinations.
    """
    pool = await in_slices(sketch.steps(set_id, destinations, key))
    tables = {table.groups: table.packed for old in known for table in old.tables if table.packed is not None}
    for groups in wanted(pool, rankings):
        if groups not in tables:
            tables[groups] = await build_apart(groups)
    return tabled(pool, rankings, tables.__getitem__)


async def build_apart(groups: Groups) -> bytes:
    """The slot table of these groups; in a thread, with a warning, where no process can be started."""
    if all(len(group) == 1 for group in groups):
        return await trio.to_thread.run_sync(slots.build, groups)  # nothing to throw for: 20 ms
    try:
        return await _in_a_process(groups)
    except (OSError, BuildError) as error:
        log.warning("slot table is built in a thread, which slows forwarding down meanwhile", reason=str(error))
        # Not waited for at the end: whoever stops the service ends that process too, and this would start then.
        return await trio.to_thread.run_sync(slots.build, groups, abandon_on_cancel=True)


async def _in_a_process(groups: Groups) -> bytes:
    if not sys.executable:
        raise BuildError("the interpreter does not know its own path")
    # -I -S: the standard library and ours is all that it needs, and a third of the time to start.
    root = str(Path(dispatcher.__file__).parent.parent)
    stdin = await in_slices(encode.steps(groups))
    done: subprocess.CompletedProcess[bytes] | None = None
    with trio.move_on_after(LONGEST_S):
        done = await trio.run_process(
            [sys.executable, "-I", "-S", "-c", _START, root],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            # Ctrl-C in the terminal is for the proxy, which ends this one.  A session of its own would be a scheduling
            # group of its own too (sched(7), autogroup), in which it gives way to nobody.
            process_group=0,
        )
    if done is None:
        raise BuildError(f"no table within {LONGEST_S:g} seconds")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BuildError(f"exit code {done.returncode}: {said[-1] if said else 'no message'}")
    if len(done.stdout) != slots.TABLE_SIZE:
        raise BuildError(f"{len(done.stdout)} bytes instead of {slots.TABLE_SIZE}")
    return done.stdout
