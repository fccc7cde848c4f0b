"""Is what the running proxy says of a message told as `sipdispatch explain` tells it?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sipdispatch.cli import main
from sipdispatch.ds_explain_words import explain_text

LABELS = ("message", "Call-ID", "side", "way", "set", "algorithm", "slot", "outcome", "listener")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    Path("a.toml").write_text(
        '[proxy]\nlisten = "192.0.2.10"\nno_destination = "panic"\n[[proxy.route]]\nuser_prefix = "8"\nset = 2\n'
    )
    Path("dispatcher.list").write_text("1 sip:192.0.2.21\n1 sip:192.0.2.22\n2 sip:192.0.2.31 1\n")
    Path("secret").write_text("5e2b7c1f09d84a63b7e1c5f2a8d3049617fb2ce85d90a4713c68f1e2b4d7a905\n")
    Path("secret").chmod(0o600)
    Path("bye.sip").write_bytes(
        b"BYE sip:8005@192.0.2.21 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bK-7\r\nMax-Forwards: 70\r\n"
        b"From: <sip:a@b>;tag=b\r\nTo: <sip:c@d>;tag=a\r\nCall-ID: 1\r\nCSeq: 2 BYE\r\n"
        b"Route: <sip:MTIzNDU2@192.0.2.10;lr>,<sip:192.0.2.99;lr>\r\nContent-Length: 0\r\n\r\n"
    )
    Path("bad.sip").write_bytes(b"INVITE sip:a SIP/2.0\r\nX\x1b\r\n\r\n")


def told(capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[list[str], list[str]]:
    """The lines of `explain`, and ours from its document."""
    assert main(["explain", "--config", "a.toml", *asked]) == 0
    words = capsys.readouterr().out.splitlines()
    assert main(["explain", "--config", "a.toml", "--json", *asked]) == 0
    return words, explain_text(json.loads(capsys.readouterr().out)).splitlines()


@pytest.mark.parametrize(
    "asked",
    [
        ("--call-id", "x"),
        ("--call-id", "x", "--uri", "sip:8006@example.com"),
        ("--call-id", "x", "--source", "192.0.2.21", "--uri", "sip:a@198.51.100.7"),
        ("bye.sip",),
        ("bad.sip",),
    ],
)
def test_the_lines_are_those_of_explain(asked: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours = told(capsys, *asked)

    def lines_of(lines: list[str]) -> dict[str, str]:
        return {line[:12].strip(): line[12:].split(" (")[0].split(" of ")[0] for line in lines if line[:12].strip()}

    expected = {label: words for label, words in lines_of(theirs).items() if label in LABELS}
    assert {label: words for label, words in lines_of(ours).items() if label in LABELS} == expected
    assert set(lines_of(ours)) >= set(lines_of(theirs)) - {"secret", "rule"}
    candidates = [[line.split()[0] for line in lines if line[12:15].strip().endswith(".")] for lines in (theirs, ours)]
    assert candidates[0] == candidates[1]


def test_routes_panic_and_rule_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, ours = told(capsys, "bye.sip")
    assert "Route       sip:MTIzNDU2@192.0.2.10;lr: ours, token: invalid" in ours
    assert "Route       sip:192.0.2.99;lr: not ours" in ours
    _, ours = told(capsys, "--call-id", "x", "--uri", "sip:8006@example.com")
    assert "rule        proxy.route[0]" in ours
    assert any(line.startswith("panic ") for line in ours)
    assert "set         2: 1 destination" in ours


def test_nothing_of_a_message_is_obeyed_by_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, ours = told(capsys, "bad.sip")
    assert all(line.isprintable() for line in ours)


def test_a_document_that_says_little_gives_little() -> None:
    assert explain_text({}) == ""
    assert explain_text({"looked_up": {"a": [], "b": ["192.0.2.1:5060"]}, "routes": 7, "choice": {"set": 1}}) == (
        "set         1: 0 destinations\nlooked up   a: no address\nlooked up   b: 192.0.2.1:5060"
    )
