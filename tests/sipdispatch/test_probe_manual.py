"""Do the examples in the manual page of `probe` go as it says, and are its tables and defaults those of the program?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs
import pytest

from health.exchange import T2_S
from health.report import ProbeReport, Result
from sipdispatch.probe_document import summary
from sipdispatch.probe_tally import EXIT_STATUS, REMEMBERED
from sipdispatch.probe_verdict import Nagios
from tests.health.answerer import Answerer, Script, reply, silent
from tests.peers.ports import free_port
from tests.sipdispatch.manual import page, replay, sessions, steps
from tests.sipdispatch.probe_reports import GOOD, tally
from tests.sipdispatch.probing import probe

PAGE = page("sipdispatch-probe")


def says(status: int, reason: str) -> Script:
    """A server of the manual."""

    def answer(request: bytes, _number: int) -> Sequence[bytes]:
        return [reply(request, status, reason).replace(b"Server: small", b"Server: Asterisk PBX 16")]

    return answer


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """The servers of the manual and where they really are."""
    with (
        Answerer(says(200, "OK")) as good,
        Answerer(says(404, "Not Found")) as unknown,
        Answerer(silent) as nobody,
    ):
        yield {
            "192.0.2.21:5060": good.place,
            "192.0.2.22:5060": f"127.0.0.1:{free_port()}",
            "192.0.2.23:5060": unknown.place,
            "192.0.2.24:5060": nobody.place,
        }


def translated(text: str, table: dict[str, str]) -> str:
    for one, other in table.items():
        text = text.replace(one, other)
    return text


def without_measurements(text: str) -> list[str]:
    """The lines, every measured number `N`; in no order, since targets are probed side by side."""
    text = re.sub(r" from [0-9.]+:[0-9]+$", " from HERE", text, flags=re.MULTILINE)
    text = re.sub(r"(rtt=|rtt min/avg/max/mdev = |p50/p95/p99 = | in | after )[0-9./]+( ms|s;)", r"\1N\2", text)
    return sorted(text.splitlines())


@pytest.mark.parametrize("session", sessions(PAGE))
def test_every_session_goes_as_it_says(session: str, places: dict[str, str]) -> None:
    def run(arguments: Sequence[str]) -> tuple[int, str]:
        name, *rest = arguments
        assert name == "probe"
        ended = probe(*rest)
        return ended.code, ended.out + ended.err

    shown = translated(replay(translated(session, places), run), {real: written for written, real in places.items()})
    for (command, said), (_, expected) in zip(steps(shown), steps(session), strict=True):
        assert without_measurements(said) == without_measurements(expected), command


def rows(heading: str) -> dict[str, list[str]]:
    """The tables below a heading, by their first cell."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_every_result_is_in_the_manual_with_its_status() -> None:
    found = {name.strip("`"): row[0] for name, row in rows("Output").items() if len(row) == 2 and row[0].isdigit()}
    assert found == {result.value: str(EXIT_STATUS[result]) for result in Result}


def test_every_key_is_in_the_manual() -> None:
    described = set(re.findall(r"`([a-z0-9_]+)`", "\n".join(rows("Output"))))
    assert {field.name for field in attrs.fields(ProbeReport)} <= described
    words = set(re.findall(r"[a-z0-9_]+", " ".join(f"{key} {row[0]}" for key, row in rows("Output").items())))
    counted = summary(tally(GOOD))
    assert {*counted, *counted["rtt_ms"]} <= words


def test_the_statuses_of_nagios_are_in_the_manual() -> None:
    found = {name: row[0] for name, row in rows("Nagios").items() if name.isdigit()}
    assert found == {str(int(status)): status.name for status in Nagios}


def test_every_exit_status_is_in_the_manual() -> None:
    described = {int(digits) for name in rows("Exit status") for digits in re.findall(r"\d+", name)}
    assert described == {*EXIT_STATUS.values(), 130, 143}


def test_the_numbers_in_the_text() -> None:
    text = " ".join(PAGE.split())
    assert f"at most {T2_S:.0f} s, as RFC 3261" in text
    assert f"the last {REMEMBERED:,} round trips" in text
