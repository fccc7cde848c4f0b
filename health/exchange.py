"""What is sent when, and which answer counts, in one probe from its first request to its final answer?

The rules of a non-INVITE client transaction (RFC 3261 17.1.2), with an end that the caller sets: over UDP the request
is repeated after T1, then twice as long each time up to T2; a provisional answer slows that down to T2 and ends
nothing.  One challenge is met, with a new request.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from health.digest import Credentials, answer_challenge
from health.options import Answer, Identity, Stray, match
from health.report import Result

T1_S = 0.5
"""RFC 3261 17.1.1.1."""
T2_S = 4.0

Compose = Callable[[Identity, tuple[bytes, ...]], bytes]
"""The bytes of the request with this identity and these further header fields."""


@attrs.frozen(kw_only=True)
class Script:
    """What the probe says; `retransmit_s` is T1, None where the transport is reliable or nothing is to be repeated."""

    compose: Compose
    identity: Identity
    method: bytes
    uri: bytes
    """The Request-URI as sent."""
    retransmit_s: float | None = T1_S
    credentials: Credentials | None = None
    cnonce: bytes = b""


class Exchange:
    """One probe.

    Order of calls: `request_to_send` at the start, at `get_timer` and after each `receive`; `receive` with what comes;
    until `final` is there or the caller's time is over, when `unanswered` says what to make of it.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._identity = script.identity
        self._request = script.compose(script.identity, ())
        self._due = -math.inf
        self._first_interval = math.inf if script.retransmit_s is None else script.retransmit_s
        self._interval = self._first_interval
        self._longest = max(self._first_interval, T2_S)
        self._challenged = False
        self._sent_at: float | None = None
        self._provisional: Answer | None = None
        self._last_stray: Stray | None = None
        self.final: Answer | None = None
        self.rtt: float | None = None
        """Seconds from the first sending of the request that was answered."""
        self.retransmissions = 0
        self.strays = 0

    def request_to_send(self, now: float) -> bytes | None:
        """What is to be sent now."""
        if now < self._due or self.final is not None:
            return None
        if self._sent_at is None:
            self._sent_at = now
        else:
            self.retransmissions += 1
        self._due = now + self._interval
        self._interval = min(self._interval * 2, self._longest)
        return self._request

    def get_timer(self) -> float:
        """When something is to be sent next; infinity when only an answer can change anything."""
        return self._due

    def receive(self, data: bytes, now: float) -> Answer | Stray | None:
        """Take a message; returns what it was."""
        found = match(data, self._identity, self._script.method)
        if isinstance(found, Answer):
            if found.provisional:
                self._provisional = found
                self._interval = self._longest
            elif not self._meet_challenge(found):
                self.final = found
                self.rtt = None if self._sent_at is None else now - self._sent_at
        else:
            self.strays += 1
            self._last_stray = found or self._last_stray
        return found

    def _meet_challenge(self, answer: Answer) -> bool:
        """Begin anew with credentials, once."""
        script = self._script
        if self._challenged or script.credentials is None:
            return False
        field = answer_challenge(
            answer.message, script.credentials, method=script.method, uri=script.uri, cnonce=script.cnonce
        )
        if field is None:
            return False
        self._challenged = True
        self._identity = self._identity.next_request()
        self._request = script.compose(self._identity, (field,))
        self._sent_at = None
        self._due = -math.inf
        self._interval = self._first_interval
        return True

    def unanswered(self, waited: str) -> tuple[Result, str]:
        """What to make of it when the time is over; `waited` says how long that was, as in `2000 ms`."""
        if self._provisional is not None:
            said = f"{self._provisional.status} {self._provisional.reason}".rstrip()
            return Result.TIMEOUT, f"only {said} in {waited}"
        if self._last_stray is not None:
            return Result.MISMATCH, f"no answer in {waited}, only strays: {self._last_stray.mismatch.value}"
        if self.strays:
            return Result.MALFORMED, f"no answer in {waited}, only what is no SIP message"
        return Result.TIMEOUT, f"no answer in {waited}"
