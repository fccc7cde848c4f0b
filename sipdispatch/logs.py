"""How does the program speak to its operator: a console for people, JSON for machines?"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping

import structlog

from sipdispatch.config import LogFormat, LogLevel


def set_up(level: LogLevel, wanted: LogFormat) -> None:
    """Log to standard error; `auto` is a console on a terminal and JSON elsewhere."""
    console = wanted == "console" or (wanted == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


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
