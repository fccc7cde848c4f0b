"""How does the program speak to its operator: a console for people, JSON for machines?"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

import structlog

from sipdispatch.config import LogFormat, LogLevel
from sipdispatch.loglines import Descriptor, LogLines


def set_up(level: LogLevel, wanted: LogFormat) -> Callable[[], None]:
    """Log to standard error; `auto` is a console on a terminal and JSON elsewhere.

    A thread writes the lines, so that whoever logs neither waits for a reader nor fails with it.  What is returned has
    the last ones written, and waits a second for that at most; it is called when the interpreter ends.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    console = wanted == "console" or (wanted == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    # The plain formatter: with another one older releases of structlog warn, past the thread, of a ready traceback.
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )

    def tell_lost(count: int) -> str:
        event: structlog.typing.EventDict = {"event": "log lines were lost", "lines": count}
        for processor in (*shared, last):
            event = processor(None, "warning", event)  # type: ignore[assignment]  # the last one makes the line
        return str(event)

    lines = LogLines(_writer_to(sys.stderr), tell_lost)
    logger = _Logger(lines)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_names: logger,
        cache_logger_on_first_use=False,
    )
    atexit.register(lines.finish)
    return lines.finish


class _Logger:
    """What structlog calls with a line, by the name of its level."""

    def __init__(self, lines: LogLines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = lines.put


def _writer_to(stream: TextIO | None) -> Callable[[str], None]:
    """What writes a line to a stream, past its buffer where it has a file underneath; None was closed at the start."""
    if stream is None:
        return lambda _line: None
    try:
        return Descriptor(stream.fileno(), stream.encoding)
    except OSError:
        return lambda line: print(line, file=stream, flush=True)


def hand_over(tell: Callable[[str, str], None], level: LogLevel) -> None:
    """Write no log: call `tell` with each event as a line for people, and its level."""

    def last(_logger: object, _name: str, event: structlog.typing.EventDict) -> str:
        tell(as_line(event), event["level"])
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.add_log_level, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )


def as_line(event: Mapping[str, object]) -> str:
    """What an event says, and its fields."""
    fields = ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("event", "level"))
    return f"{event['event']}: {fields}" if fields else str(event["event"])
