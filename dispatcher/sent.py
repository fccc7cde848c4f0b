"""Was a destination really sent the request that an ICMP error quotes, or that a reply answers?

Anybody can send an ICMP error for our address and port.  Only who saw the request knows the branch in it.  A phone that
was sent a request can answer it under the address of a server; no server was sent that branch.
"""

from __future__ import annotations

from dispatcher.branch import COOKIE, MAC_LENGTH
from sip.uri import Address

KEPT = 16_384
"""Branches that are kept at least, and twice as many at most: 8 s at 2,000 requests a second, in 8 MiB.

A closed port answers within a round trip.  Of a host that is gone our own kernel tells, when nobody has answered its
ARP requests for 3 s, and it quotes requests with up to a hundred later ones behind them.
"""

_BRANCH = b";branch=" + COOKIE
_BRANCH_LENGTH = len(_BRANCH)


class SentBranches:
    """The branches of the latest requests and where each was sent; one that is sent anew counts where it went last."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        # Two generations: forgetting costs nothing for each request, and bytes and shared addresses no garbage runs.
        self._latest: dict[bytes, Address] = {}
        self._before: dict[bytes, Address] = {}

    def remember(self, address: Address, payload: bytes) -> None:
        """A request has been sent there, with our Via in its first field."""
        if len(self._latest) >= self._kept:
            self._latest, self._before = {}, self._latest
        self._latest[_branch(payload)] = address

    def was_sent(self, address: Address, quoted: bytes) -> bool:
        """Whether a quoted beginning of a datagram has the branch of a request that was sent there."""
        return self.went(address, _branch(quoted))

    def went(self, address: Address, branch: bytes) -> bool:
        """Whether a request with this branch, without the cookie, was sent there."""
        return address in (self._latest.get(branch), self._before.get(branch))


def _branch(text: bytes) -> bytes:
    """What follows the cookie in the top Via; never what a sender may have put into the start line to look like it."""
    try:
        at = text.index(_BRANCH, text.index(b"\n")) + _BRANCH_LENGTH
    except ValueError:
        return b""
    return text[at : at + MAC_LENGTH]
