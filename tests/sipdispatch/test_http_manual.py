"""Does the manual page of HTTP say what the program does?"""

from __future__ import annotations

import re

import httpx
import pytest

from sipdispatch.http_app import make_app
from sipdispatch.http_events import ALIVE_S, RETRY_MS
from sipdispatch.http_limits import Limits
from sipdispatch.http_page import REFRESH_S
from tests.sipdispatch.fake_operations import FakeOperations, with_destinations
from tests.sipdispatch.manual import ROOT, page

PAGE = page("http")
LIMITS = Limits()
PATHS = re.findall(r"^\| `(/[^`]*)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_of_the_manual_is_there(path: str) -> None:
    app = make_app(FakeOperations(with_destinations(1)), LIMITS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
        assert (await client.head(path.replace("{id}", "1"))).status_code == 200


def test_every_path_is_in_the_manual() -> None:
    source = (ROOT / "sipdispatch" / "http_app.py").read_text(encoding="utf-8")
    assert {path.partition("?")[0] for path in PATHS} == set(re.findall(r'Route\("([^"]*)"', source))


def test_the_limits_in_the_manual_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| ([a-z][^|]*?) \| (\d+)", PAGE, re.MULTILINE))
    assert rows == {
        "connections at once": f"{LIMITS.connections}",
        "of them, following events": f"{LIMITS.followers}",
        "request line and header fields": f"{LIMITS.head_bytes}",
        "time for the head of a request, and between two": f"{LIMITS.idle_s:g}",
        "time for a client to take a piece of an answer": f"{LIMITS.send_s:g}",
        "time for a whole answer but that of `follow`": f"{LIMITS.answer_s:g}",
    }
    assert f"A comment every {ALIVE_S:g} s" in PAGE
    assert f"retry: {RETRY_MS}" in PAGE
    assert f"again every {REFRESH_S} s" in PAGE
