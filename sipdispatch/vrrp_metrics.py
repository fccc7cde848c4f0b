"""Which figures does Prometheus get of the VRRP agent?

The text format 0.0.4.  Every label but those that name a peer, a track or a version has a closed set of values, and
each of them is there from the first scrape on.  `docs/sipdispatch-vrrp.md` has this table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import attrs

from vrrp.cause import KEEPALIVED_NAMES
from vrrp.status import Status

Sample = tuple[tuple[str, ...], float]
"""The values of a family's labels, in their order, and the value."""

ALARM_FIELDS: Final = ("version", "interval", "addresses", "password", "hmac", "owner", "refused", "unsent")
"""What an alarm may be about; `vrrp.reception.Mismatch`, `vrrp.ledger.Ledger` and `vrrp.service.Agent`."""


@attrs.frozen(kw_only=True)
class Family:
    """A metric; `samples` makes its values of the status."""

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    labels: tuple[str, ...] = ()
    samples: Callable[[Status], Iterable[Sample]]


def _one(name: str, kind: Literal["counter", "gauge"], text: str, value: Callable[[Status], float]) -> Family:
    return Family(name=name, kind=kind, text=text, samples=lambda status: [((), value(status))])


def _by_label(
    name: str,
    kind: Literal["counter", "gauge"],
    text: str,
    label: str,
    values: Callable[[Status], Mapping[str, float]],
) -> Family:
    return Family(
        name=name,
        kind=kind,
        text=text,
        labels=(label,),
        samples=lambda status: [((key,), value) for key, value in values(status).items()],
    )


def _alarms(status: Status) -> dict[str, float]:
    counts: dict[str, float] = dict.fromkeys(ALARM_FIELDS, 0)
    for alarm in status.alarms:
        counts[alarm.field] = counts.get(alarm.field, 0) + 1
    return counts


FAMILIES: Final = (
    Family(
        name="sipdispatch_vrrp_info",
        kind="gauge",
        text="What runs here; always 1.",
        labels=("version", "vrid", "interface", "source"),
        samples=lambda status: [((status.version, str(status.vrid), status.interface, status.source), 1)],
    ),
    _by_label(
        "sipdispatch_vrrp_state",
        "gauge",
        "1 for the role that this node has.",
        "state",
        lambda status: {state: status.state == state for state in KEEPALIVED_NAMES},
    ),
    _one("sipdispatch_vrrp_state_since_seconds", "gauge", "Since when, Unix time.", lambda status: status.since),
    _one("sipdispatch_vrrp_start_time_seconds", "gauge", "When the agent began.", lambda status: status.started),
    _by_label(
        "sipdispatch_vrrp_transitions_total",
        "counter",
        "How often each role was taken.",
        "to",
        lambda status: {state: status.transitions.get(state, 0) for state in KEEPALIVED_NAMES},
    ),
    _one("sipdispatch_vrrp_priority", "gauge", "The configured priority.", lambda status: status.priority),
    _one(
        "sipdispatch_vrrp_effective_priority",
        "gauge",
        "The priority in force; below 100 while a track fails.",
        lambda status: status.effective_priority,
    ),
    _one(
        "sipdispatch_vrrp_released",
        "gauge",
        "1 while an operator wants the address elsewhere.",
        lambda status: status.released_until is not None,
    ),
    _one("sipdispatch_vrrp_held", "gauge", "1 while an operator keeps it away.", lambda status: status.held),
    _one("sipdispatch_vrrp_adverts_sent_total", "counter", "Adverts that left.", lambda status: status.sent),
    _one(
        "sipdispatch_vrrp_adverts_sent_priority_zero_total",
        "counter",
        "Of them, those that gave the address up.",
        lambda status: status.sent_zero,
    ),
    _one(
        "sipdispatch_vrrp_adverts_unsent_total",
        "counter",
        "Adverts that could not be sent.",
        lambda status: status.unsent,
    ),
    _one(
        "sipdispatch_vrrp_adverts_received_total",
        "counter",
        "Adverts of peers that counted.",
        lambda status: status.received,
    ),
    _one(
        "sipdispatch_vrrp_adverts_received_priority_zero_total",
        "counter",
        "Of them, those that gave the address up.",
        lambda status: status.received_zero,
    ),
    _by_label(
        "sipdispatch_vrrp_adverts_refused_total",
        "counter",
        "Packets that were not listened to, by reason.",
        "reason",
        lambda status: status.refused,
    ),
    _one(
        "sipdispatch_vrrp_announcements_total",
        "counter",
        "How often the addresses were announced by ARP and neighbour advertisements.",
        lambda status: status.announced,
    ),
    _one(
        "sipdispatch_vrrp_leases_lost_total",
        "counter",
        "Addresses that the kernel took because their lease was not renewed in time.",
        lambda status: status.leases_lost,
    ),
    _one(
        "sipdispatch_vrrp_addresses_taken_total",
        "counter",
        "Addresses that somebody else on this node removed.",
        lambda status: status.addresses_taken,
    ),
    _by_label(
        "sipdispatch_vrrp_alarms", "gauge", "Alarms that are not over, by what they are about.", "about", _alarms
    ),
    Family(
        name="sipdispatch_vrrp_track_up",
        kind="gauge",
        text="1 while the track is well, 0 while it fails, NaN before its first verdict.",
        labels=("track",),
        samples=lambda status: [
            ((each.name,), float("nan") if each.ok is None else float(each.ok)) for each in status.tracks
        ],
    ),
    Family(
        name="sipdispatch_vrrp_track_results_total",
        kind="counter",
        text="Results of the track.",
        labels=("track", "result"),
        samples=lambda status: [
            sample
            for each in status.tracks
            for sample in (
                ((each.name, "ok"), each.results - each.failures),
                ((each.name, "failed"), each.failures),
            )
        ],
    ),
    Family(
        name="sipdispatch_vrrp_peer_priority",
        kind="gauge",
        text="The priority in the last advert of a peer.",
        labels=("peer",),
        samples=lambda status: [((each.address,), each.priority) for each in status.peers],
    ),
    Family(
        name="sipdispatch_vrrp_peer_last_advert_seconds",
        kind="gauge",
        text="When the last advert of a peer came, Unix time.",
        labels=("peer",),
        samples=lambda status: [((each.address,), each.heard) for each in status.peers],
    ),
    _one(
        "sipdispatch_vrrp_timer_lateness_seconds",
        "gauge",
        "The worst lateness of a timer in this minute and the one before.",
        lambda status: status.lateness.worst_of_minute,
    ),
    _one(
        "sipdispatch_vrrp_timer_lateness_worst_seconds",
        "gauge",
        "The worst since the start.",
        lambda status: status.lateness.worst,
    ),
    _one(
        "sipdispatch_vrrp_late_step_downs_total",
        "counter",
        "How often this node gave the address up because it had not run for too long.",
        lambda status: status.lateness.step_downs,
    ),
)
"""Every metric, in the order in which it is told."""


def metrics_text(status: Status) -> str:
    """The whole scrape."""
    return "".join(_family(each, status) for each in FAMILIES)


def _family(family: Family, status: Status) -> str:
    lines = [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
    for values, number in family.samples(status):
        pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in zip(family.labels, values, strict=True))
        labels = f"{{{pairs}}}" if pairs else ""
        lines.append(f"{family.name}{labels} {_number(number)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - only NaN is unlike itself
        return "NaN"
    return str(int(value)) if value == int(value) else repr(value)
