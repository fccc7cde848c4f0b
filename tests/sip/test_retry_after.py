"""Is Retry-After read as RFC 3261 20.33 writes it, and is the rest left alone?"""

from __future__ import annotations

import pytest

from sip.message import Message
from sip.retry_after import read_retry_after


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("Retry-After: 18000;duration=3600", 18000),
        ("Retry-After: 120 (I'm in a meeting)", 120),
        ("Retry-After: 0", 0),
        ("RETRY-AFTER:5", 5),
        ("Retry-After:\r\n 5\r\n ;duration=1", 5),
        ("Retry-After: 5(no)", 5),
        ("Retry-After: 4294967296", 4294967296),
        ("Retry-After: 7\r\nRetry-After: 8", 7),
        ("Retry-After: 99999999999", None),
        ("Retry-After: -5", None),
        ("Retry-After: 5.5", None),
        ("Retry-After: 5s", None),
        ("Retry-After: 5,6", None),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("Retry-After: (120)", None),
        ("Retry-After:", None),
        ("X-Retry-After: 5", None),
    ],
)
def test_the_seconds_are_read(field: str, seconds: int | None) -> None:
    message = Message.parse(f"SIP/2.0 503 Service Unavailable\r\n{field}\r\n\r\n".encode())
    assert read_retry_after(message) == seconds
