"""Does a scrape say what the facts say, in the formats and by the rules of Prometheus, and does its manual page?"""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
import pytest
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from dispatcher.outcome import DropReason, Refusal
from health.board import Verdict, Word
from health.latency import BUCKETS_S
from health.sending import SendOutcome
from sipdispatch import metrics_text
from sipdispatch.facts import Histogram, ProxyFacts, ReloadFacts
from sipdispatch.facts_json import STATES
from sipdispatch.metrics import (
    DESTINATION_FAMILIES,
    FAMILIES,
    OWN_ANSWERS,
    PROXY_FAMILIES,
    WHICH,
    ProcessMetrics,
    which,
)
from sipdispatch.metrics_text import Format, choose_format, pieces
from tests.peers import need
from tests.sipdispatch.fake_operations import EMPTY, destination, with_destinations, with_these
from tests.sipdispatch.manual import blocks, page

PAGE = page("metrics")
UGLY = 'sip:a"b\\c@10.0.0.9'
MIXED = with_these(
    destination(1, attributes={"duid": 'x"\\y'}, weight=None),
    destination(
        2, uri=UGLY, verdict=Verdict.DOWN, rtt=None, latency=None, answer_times=None, last_seen=None, share=0.0
    ),
    destination(3, address=("2001:db8::3", 5060), set_id=20, word=Word.DRAINING, verdict=Verdict.SUSPECT),
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def written(facts: ProxyFacts, wanted: Format = Format.TEXT, process: Iterable[Metric] = ()) -> str:
    return "".join(pieces(facts, process, wanted))


class ProxyCollector(Collector):
    """The families as prometheus-client wants them, for a registry: what `metrics_text` writes in slices."""

    def __init__(self, facts: Callable[[], ProxyFacts]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts()
        for family in PROXY_FAMILIES:
            metric = Metric(family.base, family.text, family.kind)
            for values, number in family.samples(facts):
                metric.add_sample(family.name, dict(zip(family.labels, values, strict=True)), number)
            yield metric
        for each in DESTINATION_FAMILIES:
            metric = Metric(each.base, each.text, each.kind)
            for one in facts.destinations:
                named = dict(zip(WHICH, which(one), strict=True))
                for series, number in zip(each.series, each.values(one), strict=True):
                    labels = {**named, series.label: series.value} if series.label else named
                    metric.add_sample(each.name + series.suffix, labels, number)
            yield metric


def samples(families: Iterable[Metric]) -> Samples:
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def spelled(found: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], str]:
    """So that NaN is like NaN."""
    return {key: str(float(number)) for key, number in found.items()}


def value(facts: ProxyFacts, name: str, **labels: str) -> float:
    """The one sample of this name with these labels among its own."""
    [found] = values(facts, name, **labels)
    return found


def values(facts: ProxyFacts, name: str, **labels: str) -> list[float]:
    return [
        number
        for (sample, labelled), number in samples(read_text(written(facts))).items()
        if sample == name and labels.items() <= dict(labelled).items()
    ]


def label_values(facts: ProxyFacts, name: str, label: str) -> dict[str, float]:
    return {
        dict(labelled)[label]: number
        for (sample, labelled), number in samples(read_text(written(facts))).items()
        if sample == name
    }


# --------------------------------------------------------------------------------------------------------------------
# Formats


@pytest.mark.parametrize("facts", [EMPTY, MIXED, with_destinations(60)], ids=["none", "mixed", "sixty"])
def test_the_text_says_what_the_collector_says(facts: ProxyFacts) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProxyCollector(lambda: facts))
    ours, theirs = (samples(read_text(text)) for text in (written(facts), generate_latest(registry).decode()))
    assert spelled(ours) == spelled(theirs)


@pytest.mark.parametrize("facts", [EMPTY, MIXED], ids=["none", "mixed"])
def test_openmetrics_says_the_same_and_is_read_by_its_own_parser(facts: ProxyFacts) -> None:
    text = written(facts, Format.OPENMETRICS)
    assert text.endswith("# EOF\n")
    families = list(read_openmetrics(text))  # type: ignore[no-untyped-call]
    assert spelled(samples(families)) == spelled(samples(ProxyCollector(lambda: facts).collect()))
    assert {family.name: family.type for family in families} == {family.base: family.kind for family in FAMILIES}


def test_the_metrics_of_the_process_are_in_both_formats() -> None:
    process = ProcessMetrics().collect()
    for text, read in (
        (written(EMPTY, Format.TEXT, process), read_text),
        (written(EMPTY, Format.OPENMETRICS, process), read_openmetrics),
    ):
        found = {name: number for (name, _), number in samples(read(text)).items()}
        assert found["process_open_fds"] > 0
        assert found["process_cpu_seconds_total"] > 0


def test_a_limit_that_is_no_number_costs_the_process_metrics_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlimited(_self: object) -> Iterator[Metric]:
        yield Metric("process_max_fds", "", "gauge")
        raise ValueError

    monkeypatch.setattr("sipdispatch.metrics.ProcessCollector.collect", unlimited)
    assert ProcessMetrics().collect() == []


def test_labels_are_escaped() -> None:
    line = next(line for line in written(MIXED).splitlines() if "requests_total{" in line and "a\\" in line)
    assert 'uri="sip:a\\"b\\\\c@10.0.0.9"' in line
    assert metrics_text._escaped('a\nb"\\') == 'a\\nb\\"\\\\'


def test_pieces_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is between two pieces is what the packets wait for."""
    monkeypatch.setattr(metrics_text, "PIECE_LINES", 20)
    monkeypatch.setattr(metrics_text, "PIECE_LABELS", 5)
    longest = max(piece.count("\n") for piece in pieces(with_destinations(100), [], Format.TEXT))
    assert longest < 20 + len(BUCKETS_S) + 3 + 2
    assert max(len(DropReason), len(OWN_ANSWERS)) < metrics_text.PIECE_LINES


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html, */*;q=0.1", Format.TEXT),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", Format.TEXT),
        ("Application/OpenMetrics-Text; Q=0.5, text/plain; q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=much,text/plain", Format.TEXT),
        (";;,,=,q", Format.TEXT),
    ],
)
def test_the_client_chooses_the_format(accept: str, expected: Format) -> None:
    assert choose_format(accept) is expected


# --------------------------------------------------------------------------------------------------------------------
# What is said


def test_whatever_may_happen_to_a_proxy_is_there_before_it_happens() -> None:
    facts = attrs.evolve(EMPTY, answered={}, refused={}, dropped={}, unsent={}, network_errors={})
    for name, label, expected in (
        ("sipdispatch_refused_total", "reason", {refusal.label for refusal in Refusal}),
        ("sipdispatch_dropped_total", "reason", {reason.label for reason in DropReason}),
        ("sipdispatch_unsent_total", "reason", {outcome.label for outcome in SendOutcome} - {"sent"}),
        ("sipdispatch_answered_total", "status", set(OWN_ANSWERS)),
    ):
        assert label_values(facts, name, label) == dict.fromkeys(expected, 0.0)
    assert value(facts, "sipdispatch_network_errors_total", error="ECONNREFUSED") == 0


def test_what_is_counted_under_a_label_that_is_not_known_is_there_too() -> None:
    facts = attrs.evolve(EMPTY, answered={"404": 2}, network_errors={"EIO": 1})
    assert value(facts, "sipdispatch_answered_total", status="404") == 2
    assert value(facts, "sipdispatch_network_errors_total", error="EIO") == 1


def test_every_destination_has_every_series_from_the_first_scrape() -> None:
    idle = destination(
        4, replies={}, rtt=None, latency=None, answer_times=None, weight=None, last_seen=None, requests=0, probes=0
    )
    busy, new = (
        {
            (name, frozenset(label for label in labels if label[0] not in ("uri", "address", "duid")))
            for name, labels in samples(read_text(written(with_these(one))))
        }
        for one in (destination(1), idle)
    )
    assert busy == new


def test_word_and_verdict_are_one_of_their_states() -> None:
    named = {"uri": "sip:10.0.0.4:5060", "set": "20", "address": "[2001:db8::3]:5060"}
    verdicts = {
        each: value(MIXED, "sipdispatch_destination_verdict", verdict=each, **named)
        for each in ("up", "suspect", "down")
    }
    words = {
        each: value(MIXED, "sipdispatch_destination_word", word=each, **named)
        for each in ("enabled", "draining", "disabled")
    }
    assert verdicts == {"up": 0, "suspect": 1, "down": 0}
    assert words == {"enabled": 0, "draining": 1, "disabled": 0}
    assert value(MIXED, "sipdispatch_destination_up", **named) == 1
    assert value(MIXED, "sipdispatch_destination_takes_new_work", **named) == 0
    assert value(MIXED, "sipdispatch_destination_up", uri=UGLY) == 0
    assert label_values(with_these(destination(1, verdict=Verdict.DOWN)), "sipdispatch_set_destinations", "state") == {
        **dict.fromkeys(STATES, 0.0),
        "down": 1.0,
    }


def test_buckets_are_cumulative() -> None:
    times = Histogram(bounds=BUCKETS_S, counts=(2, 0, 3, *[0] * (len(BUCKETS_S) - 3), 4), total=7.5)
    facts = with_these(destination(1, answer_times=times))
    name = "sipdispatch_destination_answer_time_seconds"
    assert list(label_values(facts, f"{name}_bucket", "le").values()) == [2, 2, *[5] * (len(BUCKETS_S) - 2), 9]
    assert label_values(facts, f"{name}_bucket", "le").keys() == {*(str(bound) for bound in BUCKETS_S), "+Inf"}
    assert (value(facts, f"{name}_sum"), value(facts, f"{name}_count")) == (7.5, 9)


def test_what_is_not_known_is_no_number() -> None:
    facts = with_these(destination(1, rtt=None, latency=None, weight=None, last_seen=None))
    for name in ("probe_rtt_seconds", "latency_seconds", "weight"):
        assert math.isnan(value(facts, f"sipdispatch_destination_{name}"))
    assert value(facts, "sipdispatch_destination_last_seen_timestamp_seconds") == 0


def test_fingerprints_are_short_and_tell_nodes_apart() -> None:
    assert value(EMPTY, "sipdispatch_list_info", fingerprint="0123456789ab", path=EMPTY.list_path) == 1
    assert value(EMPTY, "sipdispatch_secret_info", fingerprint="89abcdef") == 1


def test_the_last_reload_is_the_start_until_there_was_one() -> None:
    failed = attrs.evolve(EMPTY, reload=ReloadFacts(at=1_790_000_050.0, done=False, text="no such file"))
    names = ("sipdispatch_last_reload_successful", "sipdispatch_last_reload_timestamp_seconds")
    assert [value(EMPTY, name) for name in names] == [1, EMPTY.started]
    assert [value(failed, name) for name in names] == [0, 1_790_000_050.0]


# --------------------------------------------------------------------------------------------------------------------
# Names and the manual page


def promtool(*arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    program = need.require("promtool")
    return subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.peers
def test_promtool_finds_nothing_wrong_with_the_names() -> None:
    found = promtool("check", "metrics", text=written(MIXED, Format.TEXT, ProcessMetrics().collect()))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    wrong = promtool("check", "metrics", text="# TYPE a_total gauge\na_total 1\n")
    assert wrong.returncode != 0


@pytest.mark.peers
def test_promtool_understands_the_examples_of_the_manual(tmp_path: Path) -> None:
    queries = [query for _, query in blocks(PAGE, "promql")]
    assert len(queries) > 3
    rules = [{"record": f"example:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))
    found = promtool("check", "rules", str(path), text="")
    assert found.returncode == 0, found.stderr
    names = {*(family.name for family in FAMILIES), *(f"{family.name}_bucket" for family in FAMILIES)}
    assert set(re.findall(r"\bsipdispatch_\w+", "".join(queries))) <= names


def test_the_manual_lists_every_metric_with_its_type_labels_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.*?) \|$", PAGE, re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
    process = {name: known for name, known in listed.items() if name.startswith("process_")}
    ours = {family.name: (family.kind, family.labels, family.text) for family in FAMILIES}
    assert {name: known for name, known in listed.items() if name not in process} == ours
    found = {
        metric.name + ("_total" if metric.type == "counter" else ""): metric.type
        for metric in ProcessMetrics().collect()
    }
    assert {name: kind for name, (kind, _, _) in process.items()} == found


def test_the_manual_explains_every_reason() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", PAGE, re.MULTILINE))
    expected = {
        reason.label: reason.sentence for reason in DropReason if reason.label not in {each.label for each in Refusal}
    }
    expected |= {outcome.label: outcome.sentence for outcome in SendOutcome if outcome is not SendOutcome.SENT}
    assert expected.items() <= rows.items()
    assert {refusal.label for refusal in Refusal} <= rows.keys()
