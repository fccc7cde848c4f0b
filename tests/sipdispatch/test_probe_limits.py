"""Durations, codes, thresholds and patterns are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest

from sipdispatch.errors import CommandError
from sipdispatch.probe_limits import (
    Thresholds,
    read_codes,
    read_duration,
    read_field_pattern,
    read_pattern,
    read_thresholds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("0.5", 0.5), (".5", 0.5), ("2.", 2.0), ("500ms", 0.5), ("2s", 2.0), ("5m", 300.0), (" 1h ", 3600.0)],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert read_duration(text, "here", least_s=0.1, most_s=3600.0) == seconds


@pytest.mark.parametrize("text", ["", "two", "-1", "1d", "1 s", "nan", "inf", "1e3", "0", "3601"])
def test_no_duration(text: str) -> None:
    with pytest.raises(CommandError):
        read_duration(text, "here", least_s=0.1, most_s=3600.0)


def test_codes_and_classes() -> None:
    assert read_codes("404", "here") == {404}
    assert read_codes("2xx, 404,6XX", "here") == {*range(200, 300), 404, *range(600, 700)}
    assert 100 in read_codes("1xx,200", "here")


@pytest.mark.parametrize("text", ["", "2x", "700", "99", "200-299", "2xx,", "1xx", "100,183"])
def test_no_codes(text: str) -> None:
    with pytest.raises(CommandError):
        read_codes(text, "here")


def test_thresholds() -> None:
    assert read_thresholds("rtt=100ms,loss=5%, retrans=0", "here") == Thresholds(rtt_s=0.1, loss_percent=5.0, retrans=0)
    assert read_thresholds("loss=12.5", "here") == Thresholds(loss_percent=12.5)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "there is no threshold "),
        ("jitter=1", "there is no threshold jitter"),
        ("rtt", "rtt has no value or stands twice"),
        ("rtt=1,rtt=2", "rtt has no value or stands twice"),
        ("rtt=soon", "soon is not a duration"),
        ("loss=101", "101 is not a share"),
        ("loss=few", "few is not a share"),
        ("retrans=1.5", "1.5 is not a number"),
        ("retrans=\u0663", "\u0663 is not a number"),
        ("cert=14d", "certificates are not looked at: this version speaks UDP and TCP"),
    ],
)
def test_no_thresholds(text: str, what: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_thresholds(text, "here")
    assert caught.value.faults[0].what == what


def test_patterns() -> None:
    assert read_pattern("^b", "here").search("a\nb")
    name, pattern = read_field_pattern("Server = ^Aster.*=", "here")
    assert (name, pattern.pattern) == ("server", " ^Aster.*=")
    for text in ("[", "(?P<a>x)(?P<a>y)"):
        with pytest.raises(CommandError, match="is not a regular expression"):
            read_pattern(text, "here")
    for text in ("Server", "=x"):
        with pytest.raises(CommandError, match="is not NAME=REGEX"):
            read_field_pattern(text, "here")
