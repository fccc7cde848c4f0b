"""How many datagrams came, left, were answered and dropped, and why?  Plain integers, for the packet path."""

from __future__ import annotations

from collections import defaultdict

import attrs

from dispatcher.outcome import DropReason, Refusal
from health.latency import Histogram
from health.sending import SendOutcome


@attrs.define
class Counters:
    """Everything that a service counts.  Destinations are counted under their numbers, which survive a reload."""

    received: int = 0
    received_bytes: int = 0
    by_fast_path: int = 0
    """Of those received, what the compiled path has dealt with; Python was left the others, some in vain (OVERLOAD)."""
    forwarded: int = 0
    """Requests and replies handed to the kernel."""
    answered: defaultdict[int, int] = attrs.field(factory=lambda: defaultdict(int))
    """Answers of our own by status."""
    refused: defaultdict[Refusal, int] = attrs.field(factory=lambda: defaultdict(int))
    dropped: defaultdict[DropReason, int] = attrs.field(factory=lambda: defaultdict(int))
    unsent: defaultdict[SendOutcome, int] = attrs.field(factory=lambda: defaultdict(int))
    """Datagrams that the kernel did not take."""
    network_errors: defaultdict[int, int] = attrs.field(factory=lambda: defaultdict(int))
    """ICMP errors by errno."""
    requests: defaultdict[int, int] = attrs.field(factory=lambda: defaultdict(int))
    """Requests by the number of the destination that they went to."""
    replies: defaultdict[tuple[int, int], int] = attrs.field(factory=lambda: defaultdict(int))
    """Replies by (number of the destination, first digit of the status)."""
    last_seen: dict[int, float] = attrs.field(factory=dict)
    """When something last went to a destination or came from it, by number: seconds of the loop's clock."""
    answer_times: defaultdict[int, Histogram] = attrs.field(factory=lambda: defaultdict(Histogram))
    """How long the servers took to answer, by number."""
    lookups: int = 0
    """Names of next hops that had to be asked for."""

    def forget(self, number: int) -> None:
        """Begin anew with a destination."""
        self.requests.pop(number, None)
        self.last_seen.pop(number, None)
        self.answer_times.pop(number, None)
        for digit in range(1, 7):
            self.replies.pop((number, digit), None)
