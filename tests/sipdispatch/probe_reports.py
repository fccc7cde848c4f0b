"""Reports of probes that never took place."""

from __future__ import annotations

import attrs

from health.report import ProbeReport, Result
from sipdispatch.probe_tally import Tally

GOOD = ProbeReport(
    target="pbx:5060",
    ip="192.0.2.1",
    port=5060,
    transport="udp",
    seq=1,
    t=1_700_000_000.5,
    result=Result.OK,
    code=200,
    reason="OK",
    rtt_ms=0.84,
    dns_ms=None,
    connect_ms=None,
    elapsed_ms=1.0,
    retransmits=0,
    strays=0,
    server="small",
    local="192.0.2.9:41022",
)
BUSY = attrs.evolve(GOOD, result=Result.STATUS, code=503, reason="Service Unavailable", rtt_ms=0.91, seq=3)
OTHER = attrs.evolve(GOOD, result=Result.NO_MATCH)
LOST = attrs.evolve(
    GOOD,
    result=Result.TIMEOUT,
    code=0,
    reason="no answer in 2000 ms",
    rtt_ms=None,
    server="",
    seq=2,
    elapsed_ms=2000.0,
    retransmits=3,
)
NAMELESS = attrs.evolve(
    LOST, result=Result.DNS, reason="the DNS does not know the name", ip="", port=0, local="", retransmits=0
)


def tally(*reports: ProbeReport, target: str = "pbx:5060") -> Tally:
    """What these reports come to."""
    made = Tally(target)
    for report in reports:
        made.add(report)
    return made
