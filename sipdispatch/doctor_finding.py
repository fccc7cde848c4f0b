"""What has a check of the doctor's found, and how is it told?"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from sipdispatch.printable import printable
from sipdispatch.screen import Screen

FORMAT_VERSION: Final = 1
"""Of the JSON document: rises when a key changes its meaning or goes."""
FINE: Final = 0
FOUND: Final = 1


class Verdict(enum.Enum):
    """How it stands; the value is the word for people and programs."""

    OK = "ok"
    SKIPPED = "skipped"
    LOOK = "look"
    WRONG = "wrong"


_COLOURS: Final = {Verdict.OK: "green", Verdict.SKIPPED: "", Verdict.LOOK: "yellow", Verdict.WRONG: "red"}
_TOLD: Final = (Verdict.LOOK, Verdict.WRONG)
"""Those that somebody has to do something about."""


@attrs.frozen
class Finding:
    """What one check has seen; `to_do` is there when somebody has to do something."""

    check: str
    verdict: Verdict
    what: str
    to_do: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, what)


def skipped(check: str, what: str, to_do: str = "") -> Finding:
    """It could not be looked at; `to_do` says how it could."""
    return Finding(check, Verdict.SKIPPED, what, to_do)


def look(check: str, what: str, to_do: str) -> Finding:
    """It may be meant so."""
    return Finding(check, Verdict.LOOK, what, to_do)


def wrong(check: str, what: str, to_do: str) -> Finding:
    """A failover will not do what it should, or does not now."""
    return Finding(check, Verdict.WRONG, what, to_do)


def exit_status(findings: Sequence[Finding]) -> int:
    """0 when nobody has to do anything, else 1."""
    return FOUND if any(each.verdict in _TOLD for each in findings) else FINE


def as_text(findings: Sequence[Finding], screen: Screen) -> str:
    """A table: a row for each, with what to do below."""
    table = Table(box=None, show_header=False, pad_edge=False, show_edge=False)
    for heading in ("check", "verdict", "what"):
        table.add_column(heading, no_wrap=heading != "what", overflow="fold")
    for each in findings:
        table.add_row(each.check, Text(each.verdict.value, style=_COLOURS[each.verdict]), Text(printable(each.what)))
        if each.to_do:
            table.add_row("", "", Text(f"to do: {printable(each.to_do)}"))
    counts = [(word, sum(each.verdict is word for each in findings)) for word in Verdict]
    summary = ", ".join(f"{count} {word.value}" for word, count in counts if count)
    return f"{screen.text(table)}\n{len(findings)} checks: {summary}"


def as_json(findings: Sequence[Finding]) -> str:
    """One document; each finding has all of its keys."""
    document = {
        "version": FORMAT_VERSION,
        "status": exit_status(findings),
        "findings": [
            {"check": each.check, "verdict": each.verdict.value, "what": each.what, "to_do": each.to_do}
            for each in findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
