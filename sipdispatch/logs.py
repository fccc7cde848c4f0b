"""How does the program speak to its operator: a console for people, JSON for machines?"""

from __future__ import annotations

import logging
import sys

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
