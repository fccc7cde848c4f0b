"""How is a failure told to the person at the command line?"""

from __future__ import annotations

import attrs

from sipdispatch.printable import printable

USAGE = 2
"""Exit status of every failure that the caller can put right."""
INTERNAL = 70
"""Exit status of a failure of this program (EX_SOFTWARE of sysexits.h)."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it: 128 + SIGINT."""
PIPE_CLOSED = 141
"""Exit status when the reader of our output went away, as a shell reports it: 128 + SIGPIPE."""


@attrs.frozen
class Fault:
    """One thing that is wrong: what, where it is, and what to do about it; each is one line without a full stop."""

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        what, where, remedy = (printable(" ".join(text.split())) for text in (self.what, self.where, self.remedy))
        return f"sipdispatch: error: {what}\n  where: {where}\n  to do: {remedy}"


class CommandError(Exception):
    """Ends a command: its faults are printed, the exit status is 2, and no traceback is shown.

    Any code below the command line may raise it, from inside a trio nursery too.
    """

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what)
        self.faults: tuple[Fault, ...] = (Fault(what, where, remedy),)

    @classmethod
    def of(cls, *faults: Fault) -> CommandError:
        """Several faults told at once; there is at least one."""
        first = faults[0]
        error = cls(first.what, first.where, first.remedy)
        error.faults = faults
        return error

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)
