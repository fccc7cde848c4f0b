"""How is a scrape written down?  The text format 0.0.4 of Prometheus and OpenMetrics 1.0, in small pieces.

prometheus-client needs half a second for 2,000 destinations, and holds everything in memory twice.  Here the labels of
a destination are written once for all families, and each piece is at most PIECE_LINES lines, so that whoever sends
them may let the packets through in between.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import Metric

from sipdispatch.facts import ProxyFacts
from sipdispatch.metrics import DESTINATION_FAMILIES, PROXY_FAMILIES, WHICH, DestinationFamily, Kind, which

PIECE_LINES = 100
"""Of the destinations' series: about 0.1 ms."""
PIECE_LABELS = 25
"""Lines or destinations whose labels are written in one piece: about 0.1 ms too."""


class Format(enum.Enum):
    """The two formats, by their Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def choose_format(accept: str) -> Format:
    """What a client's Accept field asks for: OpenMetrics when it is wanted more than plain text (RFC 9110 12.5.1)."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        media_type, *parameters = (text.strip().lower() for text in part.split(";"))
        if media_type in wanted:
            wanted[media_type] = max(wanted[media_type], _quality(parameters))
    openmetrics, text = wanted.values()
    return Format.OPENMETRICS if openmetrics > text or openmetrics == text > 0 else Format.TEXT


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def pieces(facts: ProxyFacts, process: Iterable[Metric], wanted: Format) -> Iterator[str]:
    """The whole scrape: the proxy, its process, its destinations."""
    for family in PROXY_FAMILIES:
        yield _head(family.base, family.name, family.kind, family.text, wanted)
        lines = []
        for values, number in family.samples(facts):
            lines.append(f"{family.name}{_braces(family.labels, values)} {_number(number)}\n")
            if len(lines) == PIECE_LABELS:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)
    for metric in process:
        yield _foreign(metric, wanted)
    written = []
    for destination in facts.destinations:
        written.append(_pairs(WHICH, which(destination)))
        if len(written) % PIECE_LABELS == 0:
            yield ""
    for each in DESTINATION_FAMILIES:
        yield _head(each.base, each.name, each.kind, each.text, wanted)
        yield from _destinations(each, facts, written)
    if wanted is Format.OPENMETRICS:
        yield "# EOF\n"


def _destinations(family: DestinationFamily, facts: ProxyFacts, written: Sequence[str]) -> Iterator[str]:
    """The series of all destinations, `written` being their labels."""
    frames = [
        (f"{family.name}{series.suffix}{{", f',{series.label}="{series.value}"}} ' if series.label else "} ")
        for series in family.series
    ]
    values = family.values
    lines: list[str] = []
    for destination, labels in zip(facts.destinations, written, strict=True):
        for (name, rest), number in zip(frames, values(destination), strict=True):
            lines.append(f"{name}{labels}{rest}{number if number == number else 'NaN'}\n")  # noqa: PLR0124
        if len(lines) >= PIECE_LINES:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def _foreign(metric: Metric, wanted: Format) -> str:
    """A counter or gauge of prometheus-client itself."""
    kind: Kind = "counter" if metric.type == "counter" else "gauge"
    name = f"{metric.name}_total" if kind == "counter" else metric.name
    lines = "".join(
        f"{sample.name}{_braces(tuple(sample.labels), tuple(sample.labels.values()))} {_number(sample.value)}\n"
        for sample in metric.samples
    )
    return _head(metric.name, name, kind, metric.documentation, wanted) + lines


def _head(base: str, name: str, kind: Kind, text: str, wanted: Format) -> str:
    """HELP and TYPE; only OpenMetrics knows info, and names a counter without `_total`."""
    said = _escaped(text) if wanted is Format.OPENMETRICS else text.replace("\\", r"\\").replace("\n", r"\n")
    if wanted is Format.OPENMETRICS:
        return f"# HELP {base} {said}\n# TYPE {base} {kind}\n"
    return f"# HELP {name} {said}\n# TYPE {name} {'gauge' if kind == 'info' else kind}\n"


def _braces(labels: Sequence[str], values: Sequence[str]) -> str:
    return f"{{{_pairs(labels, values)}}}" if values else ""


def _pairs(labels: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return f"{value}" if value == value else "NaN"  # noqa: PLR0124 - only NaN is unlike itself
