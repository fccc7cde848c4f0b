"""Which figures does Prometheus get?  Every metric family of the proxy in one table, and what each shows of the facts.

Names follow Prometheus' rules: base units, `_total` on counters, `_info` on facts that are text.  Every label but those
that name a destination, a set, a listener, the list or a version has a closed set of values, and each of its values is
there from the first scrape on.  `docs/metrics.md` is this table for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Literal

import attrs
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector

from dispatcher.outcome import DropReason, Refusal
from health.board import State, Verdict, Word
from health.latency import BUCKETS_S
from health.sending import SendOutcome
from sip.uri import host_port
from sipdispatch.facts import DestinationFacts, ProxyFacts
from sipdispatch.facts_json import REPLY_CLASSES, STATES, state_of

Kind = Literal["counter", "gauge", "info", "histogram"]
Values = Sequence[float]
Sample = tuple[tuple[str, ...], float]
"""The values of a family's labels, in their order, and the value."""

UNKNOWN = float("nan")
"""The value of a gauge that has none yet: the series is there, and is no number."""
OWN_ANSWERS = ("200", "400", "403", "414", "416", "420", "482", "483", "500", "503", "505", "513")
"""The statuses of our own answers that are there from the start; `no_destination` may add one."""
ICMP_ERRORS = (
    *("EACCES", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EMSGSIZE"),
    *("ENETUNREACH", "ENONET", "ENOPROTOOPT", "EOPNOTSUPP", "EPROTO"),
)
"""What the kernel makes of ICMP errors (icmp_err_convert of net/ipv4/icmp.c and its fellow for IPv6)."""
FINGERPRINT_DIGITS = 12
"""Of a fingerprint, enough to tell two lists apart."""
WHICH = ("set", "uri", "address")
"""The labels that name a destination."""
VERDICTS = tuple(verdict.name.lower() for verdict in Verdict)
WORDS = tuple(word.name.lower() for word in Word)

_SUFFIXES: Mapping[Kind, str] = {"counter": "_total", "info": "_info"}


@attrs.frozen(kw_only=True)
class ProxyFamily:
    """A family about the whole proxy; `name` is that of its samples, which `samples` makes of the facts."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    samples: Callable[[ProxyFacts], Iterable[Sample]]

    @property
    def base(self) -> str:
        """The name without `_total` and `_info`, as OpenMetrics calls the family."""
        return self.name.removesuffix(_SUFFIXES.get(self.kind, ""))


@attrs.frozen(kw_only=True)
class Series:
    """One of the series that each destination has in a family: what follows the name, and a label beside WHICH."""

    suffix: str = ""
    label: str = ""
    value: str = ""


@attrs.frozen(kw_only=True, slots=False)
class DestinationFamily:
    """A family with the same series for every destination; `values` gives one number for each of `series`."""

    name: str
    kind: Kind
    text: str
    series: tuple[Series, ...] = (Series(),)
    values: Callable[[DestinationFacts], Values]

    @property
    def base(self) -> str:
        """The name without `_total`, as OpenMetrics calls the family."""
        return self.name.removesuffix(_SUFFIXES.get(self.kind, ""))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """WHICH and those of the series."""
        return (*WHICH, *dict.fromkeys(one.label for one in self.series if one.label))


def which(destination: DestinationFacts) -> tuple[str, str, str]:
    """The values of the labels WHICH."""
    return str(destination.set_id), destination.uri, host_port(destination.address)


# --------------------------------------------------------------------------------------------------------------------
# The proxy


def _counted(known: Iterable[str], counts: Mapping[str, int]) -> Iterator[Sample]:
    """Each known label from the start, and whatever else has been counted."""
    for label, count in {**dict.fromkeys(known, 0), **counts}.items():
        yield (label,), count


def _set_states(facts: ProxyFacts) -> Iterator[Sample]:
    for one in facts.sets:
        counts = Counter(map(state_of, one.destinations))
        for state in STATES:
            yield (str(one.set_id), state), counts[state]


def _single(
    name: str, kind: Kind, text: str, value: Callable[[ProxyFacts], float], labels: tuple[str, ...] = ()
) -> ProxyFamily:
    """A family with one sample."""
    return ProxyFamily(name=name, kind=kind, text=text, labels=labels, samples=lambda facts: [((), value(facts))])


def _info(
    name: str, text: str, labels: tuple[str, ...], rows: Callable[[ProxyFacts], Iterable[tuple[str, ...]]]
) -> ProxyFamily:
    """A family whose labels are what it says; its value is 1."""
    return ProxyFamily(
        name=name, kind="info", text=text, labels=labels, samples=lambda facts: ((row, 1) for row in rows(facts))
    )


def _by_label(
    name: str, text: str, label: str, known: Iterable[str], counts: Callable[[ProxyFacts], Mapping[str, int]]
) -> ProxyFamily:
    """A counter for each value of a label."""
    values = tuple(known)
    return ProxyFamily(
        name=name, kind="counter", text=text, labels=(label,), samples=lambda facts: _counted(values, counts(facts))
    )


PROXY_FAMILIES: tuple[ProxyFamily, ...] = (
    _info(
        "sipdispatch_build_info",
        "The version of the program and the path that its packets take.",
        ("version", "packet_path"),
        lambda facts: [(facts.version, facts.packet_path)],
    ),
    _single(
        "sipdispatch_start_time_seconds",
        "gauge",
        "When the proxy started, in Unix time.",
        lambda facts: facts.started,
    ),
    _single(
        "sipdispatch_serving",
        "gauge",
        "1 while a destination takes new work, which is also what an OPTIONS to the proxy is told.",
        lambda facts: int(facts.serving),
    ),
    _info(
        "sipdispatch_listener_info",
        "A listener and the address under which others know it.",
        ("address", "advertised"),
        lambda facts: [(one.address, one.advertised) for one in facts.listeners],
    ),
    ProxyFamily(
        name="sipdispatch_listener_receive_buffer_bytes",
        kind="gauge",
        text="What the receive buffer of a listener holds.",
        labels=("address",),
        samples=lambda facts: [((one.address,), one.receive_buffer) for one in facts.listeners],
    ),
    _single("sipdispatch_received_datagrams_total", "counter", "Datagrams that came in.", lambda facts: facts.received),
    _single(
        "sipdispatch_received_bytes_total",
        "counter",
        "Bytes that came in, without headers of IP and UDP.",
        lambda facts: facts.received_bytes,
    ),
    _single(
        "sipdispatch_fastpath_datagrams_total",
        "counter",
        "Datagrams, of those that came in, that the fast path has dealt with; the others were left to Python.",
        lambda facts: facts.by_fast_path,
    ),
    _single(
        "sipdispatch_forwarded_datagrams_total",
        "counter",
        "Requests and replies that were passed on to the kernel.",
        lambda facts: facts.forwarded,
    ),
    _by_label(
        "sipdispatch_answered_total",
        "Answers of the proxy itself, by status.",
        "status",
        OWN_ANSWERS,
        lambda facts: facts.answered,
    ),
    _by_label(
        "sipdispatch_refused_total",
        "Requests that were answered with a failure, by its reason.",
        "reason",
        (refusal.label for refusal in Refusal),
        lambda facts: facts.refused,
    ),
    _by_label(
        "sipdispatch_dropped_total",
        "Datagrams that ended here, by the reason.",
        "reason",
        (reason.label for reason in DropReason),
        lambda facts: facts.dropped,
    ),
    _by_label(
        "sipdispatch_unsent_total",
        "Datagrams that the kernel did not take, by the reason.",
        "reason",
        (outcome.label for outcome in SendOutcome if outcome is not SendOutcome.SENT),
        lambda facts: facts.unsent,
    ),
    _by_label(
        "sipdispatch_network_errors_total",
        "ICMP errors that came back for what was sent, by the kernel's name for them.",
        "error",
        ICMP_ERRORS,
        lambda facts: facts.network_errors,
    ),
    _single(
        "sipdispatch_limits_rate",
        "gauge",
        "Messages a second that a source may send; NaN without a limit.",
        lambda facts: UNKNOWN if facts.limits.rate is None else facts.limits.rate,
    ),
    _single(
        "sipdispatch_limits_sources_over",
        "gauge",
        "Sources that are over their limit.",
        lambda facts: facts.limits.over,
    ),
    _single(
        "sipdispatch_limits_banned",
        "gauge",
        "Sources and networks that are banned.",
        lambda facts: facts.limits.banned,
    ),
    _single(
        "sipdispatch_limits_bans_total",
        "counter",
        "Bans that have begun, by hand and by the limits themselves.",
        lambda facts: facts.limits.bans,
    ),
    _single(
        "sipdispatch_lookups_total",
        "counter",
        "Names of next hops that had to be asked for.",
        lambda facts: facts.lookups,
    ),
    _info(
        "sipdispatch_list_info",
        "The list in force: its path and the beginning of its fingerprint, alike on nodes with the same list.",
        ("path", "fingerprint"),
        lambda facts: [(facts.list_path, facts.list_fingerprint[:FINGERPRINT_DIGITS])],
    ),
    _info(
        "sipdispatch_secret_info",
        "The beginning of the secret's fingerprint, alike on nodes with the same secret.",
        ("fingerprint",),
        lambda facts: [(facts.secret_fingerprint[:FINGERPRINT_DIGITS],)],
    ),
    _single(
        "sipdispatch_snapshot_version",
        "gauge",
        "The number of the snapshot in force; it rises with everything that changes choices.",
        lambda facts: facts.snapshot_version,
    ),
    _single(
        "sipdispatch_last_reload_successful",
        "gauge",
        "1 when the last reading of the list put it in force, 0 when it was refused and the one before stayed.",
        lambda facts: 1 if facts.reload is None else int(facts.reload.done),
    ),
    _single(
        "sipdispatch_last_reload_timestamp_seconds",
        "gauge",
        "When the list was read last, in Unix time; before the first reload that is the start.",
        lambda facts: facts.started if facts.reload is None else facts.reload.at,
    ),
    _info(
        "sipdispatch_set_info",
        "A set of the list and the algorithm that the proxy's policy gives it.",
        ("set", "algorithm"),
        lambda facts: [(str(one.set_id), one.algorithm) for one in facts.sets],
    ),
    ProxyFamily(
        name="sipdispatch_set_destinations",
        kind="gauge",
        text="Destinations of a set by state: the operator's word unless it is enabled, else the verdict.",
        labels=("set", "state"),
        samples=_set_states,
    ),
    _info(
        "sipdispatch_destination_info",
        "A destination and its duid, the name that the list gives it.",
        (*WHICH, "duid"),
        lambda facts: ((*which(one), one.attributes.get("duid", "")) for one in facts.destinations),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# The destinations

_BUCKETS = tuple(Series(suffix="_bucket", label="le", value=str(float(bound))) for bound in BUCKETS_S)
_NO_SAMPLES = (0.0,) * (len(BUCKETS_S) + 3)


def _times(destination: DestinationFacts) -> Values:
    """The buckets, cumulative, with that of infinity, the sum and the count."""
    times = destination.answer_times
    if times is None:
        return _NO_SAMPLES
    buckets = list(accumulate(times.counts))
    return (*buckets, times.total, buckets[-1])


def _one(name: str, kind: Kind, text: str, value: Callable[[DestinationFacts], float]) -> DestinationFamily:
    """A family with one series for each destination."""
    return DestinationFamily(name=name, kind=kind, text=text, values=lambda facts: (value(facts),))


def _is_one_of(label: str, labels: Sequence[str]) -> tuple[Series, ...]:
    return tuple(Series(label=label, value=value) for value in labels)


DESTINATION_FAMILIES: tuple[DestinationFamily, ...] = (
    _one(
        "sipdispatch_destination_up",
        "gauge",
        "0 when the verdict is down, else 1.",
        lambda facts: int(facts.verdict is not Verdict.DOWN),
    ),
    _one(
        "sipdispatch_destination_takes_new_work",
        "gauge",
        "1 when both the operator's word and the verdict let new work go there.",
        lambda facts: int(State(facts.word, facts.verdict).takes_new_work),
    ),
    DestinationFamily(
        name="sipdispatch_destination_verdict",
        kind="gauge",
        text="1 for the verdict that holds, 0 for the others.",
        series=_is_one_of("verdict", VERDICTS),
        values=lambda facts: [int(facts.verdict is verdict) for verdict in Verdict],
    ),
    DestinationFamily(
        name="sipdispatch_destination_word",
        kind="gauge",
        text="1 for the operator's word that holds, 0 for the others.",
        series=_is_one_of("word", WORDS),
        values=lambda facts: [int(facts.word is word) for word in Word],
    ),
    _one(
        "sipdispatch_destination_last_change_timestamp_seconds",
        "gauge",
        "When word or verdict changed last, in Unix time.",
        lambda facts: facts.since,
    ),
    _one(
        "sipdispatch_destination_last_seen_timestamp_seconds",
        "gauge",
        "When anything was last forwarded to it or from it, in Unix time; 0 when nothing was.",
        lambda facts: facts.last_seen or 0,
    ),
    _one(
        "sipdispatch_destination_requests_total",
        "counter",
        "Requests that were forwarded to it.",
        lambda facts: facts.requests,
    ),
    DestinationFamily(
        name="sipdispatch_destination_replies_total",
        kind="counter",
        text="Replies of it that were forwarded, by class.",
        series=_is_one_of("class", tuple(REPLY_CLASSES.values())),
        values=lambda facts: [facts.replies.get(digit, 0) for digit in REPLY_CLASSES],
    ),
    _one(
        "sipdispatch_destination_calls_begun_total",
        "counter",
        "Calls that were given to it.",
        lambda facts: facts.calls_begun,
    ),
    _one(
        "sipdispatch_destination_calls_active",
        "gauge",
        "Calls of it that have begun and, as far as the traffic shows, not ended.",
        lambda facts: facts.calls_active,
    ),
    DestinationFamily(
        name="sipdispatch_destination_answer_time_seconds",
        kind="histogram",
        text="How long its first answers to requests took, from the traffic.",
        series=(
            *_BUCKETS,
            Series(suffix="_bucket", label="le", value="+Inf"),
            Series(suffix="_sum"),
            Series(suffix="_count"),
        ),
        values=_times,
    ),
    _one(
        "sipdispatch_destination_probes_total", "counter", "Probes whose result is known.", lambda facts: facts.probes
    ),
    _one(
        "sipdispatch_destination_probe_failures_total",
        "counter",
        "Probes that failed.",
        lambda facts: facts.probe_failures,
    ),
    _one(
        "sipdispatch_destination_probe_rtt_seconds",
        "gauge",
        "How long the answer to the last answered probe took; NaN before the first.",
        lambda facts: UNKNOWN if facts.rtt is None else facts.rtt,
    ),
    _one(
        "sipdispatch_destination_latency_seconds",
        "gauge",
        "The moving average of the probes' answer times; NaN before the first.",
        lambda facts: UNKNOWN if facts.latency is None else facts.latency,
    ),
    _one(
        "sipdispatch_destination_weight",
        "gauge",
        "Its weight in the list; NaN when the list gives none.",
        lambda facts: UNKNOWN if facts.weight is None else facts.weight,
    ),
    _one(
        "sipdispatch_destination_share_ratio",
        "gauge",
        "Its part, 0 to 1, of its set's new work by weight, among those that take any now.",
        lambda facts: facts.share,
    ),
    _one("sipdispatch_destination_priority", "gauge", "Its priority in the list.", lambda facts: facts.priority),
)

Family = ProxyFamily | DestinationFamily
FAMILIES: tuple[Family, ...] = (*PROXY_FAMILIES, *DESTINATION_FAMILIES)


class ProcessMetrics:
    """Processor time, memory and file descriptors of this process; what the kernel does not tell is left out."""

    def __init__(self) -> None:
        self._collector = ProcessCollector(registry=None)

    def collect(self) -> list[Metric]:
        try:
            return list(self._collector.collect())
        except ValueError:  # a limit that is "unlimited" is no number
            return []
