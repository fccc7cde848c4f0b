"""Who is to blame for bytes that are not SIP, and what may be answered to them?"""

from __future__ import annotations


class SipError(ValueError):
    """Bytes from outside break a rule of the grammar; the peer is at fault, never this program.

    `args[0]` is a short sentence fit for a reason phrase; `status` is the code a server would answer with.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def reason(self) -> str:
        return str(self.args[0])


class ShortError(SipError):
    """The body ends before its Content-Length."""
