"""What became of one probe?"""

from __future__ import annotations

import enum

import attrs


class Result(enum.Enum):
    """How a probe ended; the value stands in documents."""

    OK = "ok"
    STATUS = "status"
    """A final answer, but not one that is wanted."""
    NO_MATCH = "nomatch"
    """A wanted answer that does not say what it should."""
    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    CONNECT = "connect"
    """A connection that ended before the answer did."""
    MALFORMED = "malformed"
    """What came was no SIP."""
    MISMATCH = "mismatch"
    """What came answers something else."""
    LOCAL = "local"
    """Nothing could be sent: the fault is on this node."""

    @property
    def answered(self) -> bool:
        """Whether there was a final answer to the probe."""
        return self in (Result.OK, Result.STATUS, Result.NO_MATCH)


@attrs.frozen(kw_only=True)
class ProbeReport:
    """One probe; times are in milliseconds, None where that part did not take place."""

    target: str
    """As it was asked for."""
    ip: str
    """Where it went, "" before that is known."""
    port: int
    transport: str
    seq: int
    t: float
    """When it began, Unix time in seconds."""
    result: Result
    code: int
    """The status of the final answer, 0 without one."""
    reason: str
    """The phrase of the final answer, else why there is none."""
    rtt_ms: float | None
    """From the first sending of the request that was answered to its answer."""
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None = None
    """Always None: of a transport still to come, as is the next."""
    cert_expires: float | None = None
    elapsed_ms: float
    """The whole probe."""
    retransmits: int
    strays: int
    """Messages that answered something else, and bytes that were no SIP."""
    server: str
    local: str
    """Where it left from, as HOST:PORT; "" when it never left."""
