"""How is a command of the operator's run once, with nothing left of it whatever it does?

It gets a fixed argument list and no shell.  It runs in a session and process group of its own, in the folder /, with
nothing else open than its standard streams; when it has ended, or was given up, what it leaves in that group is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
import trio

OUTPUT_OCTETS: Final = 4_096
"""What is kept of the output of one run; the rest is read and thrown away."""
PAUSE_S: Final = 0.05
"""Between two reads of output that nobody will see: who writes without end has to wait, not the calls."""
TERM_S: Final = 2.0
"""Between SIGTERM and SIGKILL."""
DRAIN_S: Final = 0.2
"""How long output is read after the end, from what has left the group and still has the pipe."""
REAP_S: Final = 1.0
"""For a process that was killed: one that the kernel has asleep takes longer."""
ENDING_S: Final = TERM_S + DRAIN_S + REAP_S
"""To end a command at most, after its time or a cancellation."""
PLAIN_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


@attrs.frozen(kw_only=True)
class Run:
    """How a command has ended: `text` for people, and the beginning of what it has written.

    `status` is its exit status; None where it has none: not started, not ended in time, ended by a signal.
    """

    succeeded: bool
    text: str
    output: str = ""
    status: int | None = None


def _to_nobody(_: str) -> None:
    pass


async def run_command(
    command: Sequence[str],
    *,
    timeout: float,  # noqa: ASYNC109 - the time that the command has, not the caller
    environment: Mapping[str, str],
    line: bytes = b"",
    on_timeout: Callable[[str], None] = _to_nobody,
) -> Run:
    """Run it once; raises nothing but what cancels it, and leaves no process behind either way.

    `environment` is the whole of it, `line` what stands on its standard input.  `on_timeout` is told at once, in the
    words of the result, when the time is over: to end the command takes longer.
    """
    try:
        process = await trio.lowlevel.open_process(
            [os.fsdecode(word.encode()) for word in command],  # UTF-8, whatever the locale is
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: os.fsdecode(value.encode()) for name, value in environment.items()},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return Run(succeeded=False, text=f"it cannot be started: {(error.strerror or str(error)).lower()}")
    output = bytearray()
    in_time = False
    late = f"it has not ended within {timeout:g} s"
    try:
        with trio.move_on_after(timeout):
            await _attend(process, line, output)
            in_time = True
        if not in_time:
            on_timeout(late)
    finally:
        with trio.CancelScope(shield=True):
            if not in_time:
                await _end(process)
            status = await _reap(process, output)
    text = _ended(status) if in_time else late
    exit_status = status if in_time and status is not None and status >= 0 else None
    return Run(succeeded=exit_status == 0, text=text, output=output.decode("utf-8", "replace"), status=exit_status)


async def _attend(process: trio.Process, line: bytes, output: bytearray) -> None:
    """Feed it and read from it until it has ended; it is not waited for yet, so its number stays its own."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_feed, process, line)
        nursery.start_soon(_read, process, output)
        await _has_ended(process.pid)
        nursery.cancel_scope.cancel()


async def _feed(process: trio.Process, line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(trio.BrokenResourceError):  # it need not read
        await process.stdin.send_all(line)
    await process.stdin.aclose()


async def _read(process: trio.Process, output: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for octets in process.stdout:
            output += octets[: OUTPUT_OCTETS - len(output)]
            if len(output) == OUTPUT_OCTETS:
                await trio.sleep(PAUSE_S)


async def _has_ended(pid: int) -> None:
    """Return when the process has ended, and leave its status for whoever waits for it."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # Linux before 5.3; a container that does not allow it
        await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT, abandon_on_cancel=True)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _end(process: trio.Process) -> None:
    """Ask the whole group to end; what does not will be killed."""
    _signal_group(process.pid, signal.SIGTERM)
    with trio.move_on_after(TERM_S):
        await _has_ended(process.pid)


async def _reap(process: trio.Process, output: bytearray) -> int | None:
    """Kill what is left of the group, read what is left of the output, and take the status; None: it cannot die."""
    _signal_group(process.pid, signal.SIGKILL)
    with trio.move_on_after(DRAIN_S):
        await _read(process, output)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await stream.aclose()
    with trio.move_on_after(REAP_S):
        return await process.wait()
    return None


def _signal_group(pid: int, number: signal.Signals) -> None:
    """The leader has not been waited for, so nobody else can have its number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _ended(status: int | None) -> str:
    match status:
        case None:
            return "it cannot be ended"
        case 0:
            return "it has ended well"
        case int() if status < 0:
            return f"it was ended by {_signal_name(-status)}"
        case _:
            return f"exit status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
