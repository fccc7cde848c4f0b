"""Does the program's log reach its operator, as JSON, as text, or by way of a command that has the terminal?"""

from __future__ import annotations

import errno
import io
import json
import sys

import pytest
import structlog

from sipdispatch import logs
from sipdispatch.config import LogFormat


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    finish = logs.set_up("info", "auto")
    log = structlog.get_logger()
    log.debug("unheard")
    log.info("ready", destinations=2)
    finish()
    event = json.loads(capsys.readouterr().err)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "ready", "destinations": 2, "level": "info"}


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    finish = logs.set_up("warning", "console")
    log = structlog.get_logger()
    log.info("unheard")
    log.warning("a destination refuses", destination="sip:192.0.2.1")
    finish()
    (line,) = capsys.readouterr().err.splitlines()
    assert "a destination refuses" in line
    assert "destination=sip:192.0.2.1" in line


def test_a_traceback_for_people_is_written_like_any_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning of the logging library's would be raised here, and written by whoever logs in the program."""
    finish = logs.set_up("info", "console")
    try:
        json.loads("{")
    except ValueError:
        structlog.get_logger().exception("a reload failed")
    finish()
    said = capsys.readouterr().err
    assert "a reload failed" in said
    assert "\njson.decoder.JSONDecodeError: " in said


def test_a_file_is_written_to_past_its_buffer(capfd: pytest.CaptureFixture[str]) -> None:
    finish = logs.set_up("info", "auto")
    structlog.get_logger().info("ready")
    finish()
    assert json.loads(capfd.readouterr().err)["event"] == "ready"


def test_without_standard_error_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    finish = logs.set_up("info", "auto")
    structlog.get_logger().info("ready")
    finish()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("json", '{"event": "log lines were lost", "lines": 1, "level": "warning"'), ("console", "lines=1")],
)
def test_lost_lines_are_told_as_all_others(monkeypatch: pytest.MonkeyPatch, wanted: LogFormat, said: str) -> None:
    class Full(io.StringIO):
        fails = 1

        def write(self, text: str) -> int:
            if self.fails:
                self.fails -= 1
                raise OSError(errno.ENOSPC, "full")
            return super().write(text)

    full = Full()
    monkeypatch.setattr(sys, "stderr", full)
    finish = logs.set_up("error", wanted)
    structlog.get_logger().error("lost")
    finish()
    assert said in full.getvalue()
    assert "log lines were lost" in full.getvalue()


def test_a_command_may_take_the_lines_itself(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, str]] = []
    logs.hand_over(lambda line, level: told.append((line, level)), "warning")
    log = structlog.get_logger()
    log.info("unheard")
    log.warning("refused", source="192.0.2.1", port=5)
    log.error("stopped")
    assert told == [("refused: source 192.0.2.1, port 5", "warning"), ("stopped", "error")]
    assert capsys.readouterr() == ("", "")
