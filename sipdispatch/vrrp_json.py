"""How is the status of the agent told to programs?  Plain values, of which `sipdispatch vrrp status --json` is made."""

from __future__ import annotations

import math
from typing import Any

import attrs

from vrrp.cause import KEEPALIVED_NAMES
from vrrp.status import Status, TrackStatus


def status_json(status: Status) -> dict[str, Any]:
    """Every fact; times are Unix time, durations seconds."""
    released = status.released_until
    return {
        "version": status.version,
        "pid": status.pid,
        "now": status.now,
        "started": status.started,
        "uptime": round(status.now - status.started, 3),
        "state": status.state,
        "keepalived_state": KEEPALIVED_NAMES[status.state],
        "since": status.since,
        "cause": status.cause,
        "well": is_well(status),
        "vrid": status.vrid,
        "vrrp_version": status.vrrp_version,
        "interface": status.interface,
        "source": status.source,
        "destinations": list(status.destinations),
        "addresses": list(status.addresses),
        "priority": status.priority,
        "effective_priority": status.effective_priority,
        "interval": status.interval,
        "preempt": status.preempt,
        "held": status.held,
        "released": released is not None,
        "released_until": None if released is None or math.isinf(released) else released,
        "waits_until": status.waits_until,
        "lease": status.lease,
        "leases_lost": status.leases_lost,
        "addresses_taken": status.addresses_taken,
        "transitions": {state: status.transitions.get(state, 0) for state in KEEPALIVED_NAMES},
        "adverts": {
            "sent": status.sent,
            "sent_priority_0": status.sent_zero,
            "unsent": status.unsent,
            "received": status.received,
            "received_priority_0": status.received_zero,
            "refused": dict(status.refused),
        },
        "announced": status.announced,
        "peers": [attrs.asdict(peer) for peer in status.peers],
        "alarms": [attrs.asdict(alarm) for alarm in status.alarms],
        "tracks": [attrs.asdict(track) for track in status.tracks],
        "lateness": attrs.asdict(status.lateness),
    }


def is_well(status: Status) -> bool:
    """Whether nobody has to look: it takes part, nothing fails, nothing is asked of it, nobody disagrees with it."""
    return (
        status.state in ("active", "backup")
        and not status.alarms
        and not status.held
        and status.released_until is None
        and all(map(_is_well, status.tracks))
    )


def _is_well(track: TrackStatus) -> bool:
    return track.ok is True
