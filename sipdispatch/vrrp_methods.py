"""What can be asked of the VRRP agent over its control socket, with which parameters, and what is answered?"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any, Final

from sipdispatch.control_call import Asking, Method, Methods, echo, follow_events
from sipdispatch.control_params import BadValueError, Parameter, read_number, read_seconds
from sipdispatch.vrrp_json import status_json
from sipdispatch.vrrp_metrics import metrics_text
from sipdispatch.vrrp_running import RunningAgent

MOST_EVENTS: Final = 1000
"""How many `vrrp.history` tells when nobody says how many."""


async def _list_methods(_: Asking[RunningAgent]) -> list[str]:
    return sorted(METHODS)


async def _version(asking: Asking[RunningAgent]) -> str:
    return f"sipdispatch {asking.operations.status().version} (VRRP agent)"


async def _uptime(asking: Asking[RunningAgent]) -> dict[str, Any]:
    status = asking.operations.status()
    return {
        "now": time.ctime(status.now),
        "up_since": time.ctime(status.started),
        "uptime": int(status.now - status.started),
    }


async def _status(asking: Asking[RunningAgent]) -> dict[str, Any]:
    return status_json(asking.operations.status())


async def _release(asking: Asking[RunningAgent], seconds: float) -> dict[str, Any]:
    return status_json(asking.operations.release(seconds, by=asking.by))


async def _hold(asking: Asking[RunningAgent]) -> dict[str, Any]:
    return status_json(asking.operations.hold(by=asking.by))


async def _resume(asking: Asking[RunningAgent]) -> dict[str, Any]:
    return status_json(asking.operations.resume(by=asking.by))


async def _metrics(asking: Asking[RunningAgent]) -> str:
    return metrics_text(asking.operations.status())


async def _history(asking: Asking[RunningAgent], limit: int) -> Iterator[str]:
    past = asking.operations.history()
    told = [happening.to_json() for happening in (past[-limit:] if limit else ())]
    return iter((json.dumps({"events": told}),))


def _read_for(value: Any) -> float:
    seconds = read_seconds(value)
    if not seconds:
        raise BadValueError("0 is no time", "write seconds, or leave it out for as long as nobody says resume")
    return seconds


METHODS: Final[Methods] = {
    "core.echo": Method(echo, takes_anything=True),
    "core.uptime": Method(_uptime),
    "core.version": Method(_version),
    "system.listMethods": Method(_list_methods),
    "vrrp.status": Method(_status),
    "vrrp.release": Method(_release, (Parameter("for", _read_for, math.inf),), changes=True),
    "vrrp.hold": Method(_hold, changes=True),
    "vrrp.resume": Method(_resume, changes=True),
    "vrrp.metrics": Method(_metrics),
    "vrrp.history": Method(_history, (Parameter("limit", read_number, MOST_EVENTS),)),
    "events": Method(follow_events),
}
"""Every method; the order of its parameters is that by position."""
