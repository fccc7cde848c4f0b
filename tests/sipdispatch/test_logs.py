"""Does the program's log reach its operator, as JSON, as text, or by way of a command that has the terminal?"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from sipdispatch import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "auto")
    log = structlog.get_logger()
    log.debug("unheard")
    log.info("ready", destinations=2)
    event = json.loads(capsys.readouterr().err)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "ready", "destinations": 2, "level": "info"}


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning", "console")
    log = structlog.get_logger()
    log.info("unheard")
    log.warning("a destination refuses", destination="sip:192.0.2.1")
    (line,) = capsys.readouterr().err.splitlines()
    assert "a destination refuses" in line
    assert "destination=sip:192.0.2.1" in line


def test_a_command_may_take_the_lines_itself(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, str]] = []
    logs.hand_over(lambda line, level: told.append((line, level)), "warning")
    log = structlog.get_logger()
    log.info("unheard")
    log.warning("refused", source="192.0.2.1", port=5)
    log.error("stopped")
    assert told == [("refused: source 192.0.2.1, port 5", "warning"), ("stopped", "error")]
    assert capsys.readouterr() == ("", "")
