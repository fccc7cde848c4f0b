"""How much may the clients of HTTP ask for, all together and each?"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Limits:
    """Numbers that a monitoring system never meets and a client gone wild does."""

    connections: int = 64
    """At once; the next one is told 503.  A handful of scrapers and browsers needs ten."""
    followers: int = 16
    """Connections that follow the events; so the others are left to the scrapers."""
    head_bytes: int = 8192
    """Request line and header fields."""
    idle_s: float = 5.0
    """For the head of a request to arrive, and between two requests."""
    send_s: float = 10.0
    """For a client to take a piece of an answer: Prometheus gives a whole scrape as long."""
    answer_s: float = 30.0
    """For a whole answer, but for the events."""
    requests: int = 1000
    """On one connection."""
