"""Does this node's own proxy answer a SIP OPTIONS?

It is asked at the node's own address, never at the virtual one: from the backup that would ask the other node.  Any
final answer that is strictly the answer to this question shows that the proxy lives; whether it has a server left (503)
is shown, and counts only where it is asked for, since the other node has the same servers.
"""

from __future__ import annotations

from typing import Final

import trio

from health.options import Answer
from health.probe import Aim, Manner, probe
from health.report import ProbeReport, Result
from sip.uri import host_port
from sipdispatch.vrrp_settings import VrrpTrack
from sipdispatch.vrrp_track import Say, first_line

NO_SERVER: Final = 503
SOONER: Final = 0.25
"""Of the interval: until the next question, while failures are too few for a verdict."""


async def ask_sip(settings: VrrpTrack, say: Say) -> None:
    """Ask every interval until cancelled."""
    assert settings.sip is not None  # noqa: S101 - else there is no such track
    where = host_port(settings.sip)
    aim = Aim(uri=f"sip:{where}", host=settings.sip[0], port=settings.sip[1])
    # One datagram that is lost is no failure.
    manner = Manner(t1_s=settings.timeout / 2)
    due, failures = trio.current_time(), 0
    while True:
        report = await probe(aim, timeout=settings.timeout, manner=manner, judge=_any_answer)
        ok = report.result.answered and not (settings.serving and report.code == NO_SERVER)
        say(ok=ok, detail=_tell(report, where))
        failures = 0 if ok else failures + 1
        due += settings.interval * (SOONER if 0 < failures < settings.fall else 1.0)
        due = max(due, trio.current_time())
        await trio.sleep_until(due)


def _any_answer(_: Answer) -> Result:
    return Result.OK


def _tell(report: ProbeReport, where: str) -> str:
    """Without a time where it may be the cause of something: a cause is the same while nothing changes."""
    if report.code:
        said = first_line(f"{report.code} {report.reason}")
        return said if report.code == NO_SERVER else f"{said} in {report.rtt_ms or 0.0:.1f} ms"
    if report.result is Result.REFUSED:
        return f"nobody listens on {where}"
    return first_line(report.reason)
