"""What does each path answer, and what do mistakes get?"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import attrs
import httpx
import pytest
import trio
from starlette.types import Message

from health.board import Verdict, Word
from sipdispatch.facts import ProxyFacts, ReloadFacts
from sipdispatch.facts_json import status_json
from sipdispatch.http_app import make_app, why_not_serving
from sipdispatch.http_limits import Limits
from sipdispatch.http_slices import CHUNK_BYTES, Sliced, accepts_gzip
from tests.sipdispatch.fake_operations import (
    EMPTY,
    FakeOperations,
    destination,
    happening,
    sets_json,
    with_destinations,
    with_these,
)

PATHS = (
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/destinations",
    "/api/v1/sets/1",
    "/api/v1/events",
)
EVIL = "<script>alert(1)</script>&\"'"


def client(operations: FakeOperations, limits: Limits = Limits(), fresh_s: float = 0) -> httpx.AsyncClient:  # noqa: B008
    transport = httpx.ASGITransport(make_app(operations, limits, fresh_s=fresh_s), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://proxy")


async def get(path: str, told: ProxyFacts = EMPTY, **options: Any) -> httpx.Response:
    async with client(FakeOperations(told)) as asking:
        return await asking.get(path, **options)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["status"] == answer.status_code
    return answer.status_code, error["message"]


# --------------------------------------------------------------------------------------------------------------------
# The paths


async def test_alive_is_what_answers() -> None:
    operations = FakeOperations()
    async with client(operations) as asking:
        answer = await asking.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert operations.asked == 0


async def test_ready_is_what_serves() -> None:
    assert (await get("/readyz")).json() == {"status": "ready"}
    down = attrs.evolve(with_these(destination(1, verdict=Verdict.DOWN)), serving=False)
    answer = await get("/readyz", down)
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reason": "no destination takes new work: 1 down"}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (EMPTY, "the list has no destination"),
        (
            with_these(destination(1, word=Word.DRAINING), destination(2, word=Word.DISABLED)),
            "every destination is draining or disabled",
        ),
        (
            with_these(destination(1, word=Word.DRAINING), destination(2, verdict=Verdict.DOWN)),
            "no destination takes new work: 1 down, 1 draining",
        ),
    ],
)
def test_not_ready_has_a_reason(facts: ProxyFacts, reason: str) -> None:
    assert why_not_serving(facts) == reason


async def test_status_is_all_but_the_destinations() -> None:
    facts = attrs.evolve(with_destinations(3), reload=ReloadFacts(at=1.0, done=True, text="1 added"))
    answer = (await get("/api/v1/status", facts)).json()
    assert answer == status_json(facts)
    assert answer["destinations"] == {"up": 3, "suspect": 0, "down": 0, "draining": 0, "disabled": 0}
    assert answer["reload"] == {"at": 1.0, "done": True, "text": "1 added"}
    assert (await get("/api/v1/status")).json()["reload"] is None


async def test_destinations_are_those_of_the_control_socket() -> None:
    facts = with_these(
        destination(1, attributes={"duid": "a"}), destination(2, answer_times=None, rtt=None), destination(3, set_id=9)
    )
    everything = (await get("/api/v1/destinations", facts)).json()
    assert everything == json.loads(json.dumps(sets_json(facts)))
    assert [one["set"] for one in everything["sets"]] == [1, 9]
    first = everything["sets"][0]["destinations"][0]
    assert (first["state"], first["letters"], first["replies"]["4xx"], first["replies"]["6xx"]) == ("up", "AP", 3, 0)
    assert (await get("/api/v1/sets/9", facts)).json() == everything["sets"][1]
    assert (await get("/api/v1/destinations")).json() == {"sets": []}


async def test_metrics_are_text_or_openmetrics() -> None:
    plain = await get("/metrics", with_destinations(2))
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "process_open_fds" in plain.text
    assert (
        'sipdispatch_destination_requests_total{set="1",uri="sip:10.0.0.2:5060",address="10.0.0.2:5060"} 101\n'
        in plain.text
    )
    other = await get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert other.text.endswith("# EOF\n")


async def test_events_are_the_history() -> None:
    operations = FakeOperations(past=[happening(1), happening(2, set_id=2), happening(3, kind="list", set_id=None)])
    async with client(operations) as asking:
        everything = (await asking.get("/api/v1/events")).json()["events"]
        assert [event["sequence"] for event in everything] == [1, 2, 3]
        assert everything[0] == operations.past[0].to_json()
        assert [event["sequence"] for event in (await asking.get("/api/v1/events?set=2")).json()["events"]] == [2]
        assert error_of(await asking.get("/api/v1/events?name=sip:nobody")) == (
            404,
            "no destination is called sip:nobody; set 1; see sipdispatch ds list",
        )


async def test_facts_are_not_asked_for_more_often_than_they_change_much(autojump_clock: trio.testing.MockClock) -> None:
    operations = FakeOperations()
    async with client(operations, fresh_s=0.25) as asking:
        for _ in range(5):
            await asking.get("/api/v1/status")
        assert operations.asked == 1
        await trio.sleep(0.25)
        operations.told = attrs.evolve(EMPTY, snapshot_version=8)
        assert (await asking.get("/api/v1/status")).json()["snapshot_version"] == 8


# --------------------------------------------------------------------------------------------------------------------
# The page


class Tags(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


async def test_the_page_shows_every_destination_and_the_last_events() -> None:
    facts = attrs.evolve(
        with_these(
            destination(1), destination(2, verdict=Verdict.DOWN, letters="IP", rtt=None, latency=None, weight=None)
        ),
        reload=ReloadFacts(at=1_790_000_050.0, done=False, text="no such file"),
    )
    operations = FakeOperations(facts, past=[happening(number) for number in range(1, 31)])
    async with client(operations) as asking:
        answer = await asking.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script" not in answer.headers["content-security-policy"]
    page = Tags(answer.text)
    said = " ".join(page.words)
    for expected in (
        "sip:10.0.0.2:5060",
        "up (AP)",
        "down (IP)",
        "25.0%",
        "2.5 ms",
        "2026-09-21 14:13:20 UTC",
        "no such file",
    ):
        assert expected in said
    assert said.count("no answer in 500 ms") == 20
    assert ("meta", {"http-equiv": "refresh", "content": "5"}) in page.found


async def test_nothing_on_the_page_is_from_elsewhere_or_obeyed() -> None:
    everywhere: Any = dict.fromkeys(
        ("version", "packet_path", "list_path", "list_fingerprint", "secret_fingerprint"), EVIL
    )
    facts = attrs.evolve(
        with_these(destination(1, uri=EVIL, cause=EVIL, letters=EVIL, address=(EVIL, 1))),
        **everywhere,
        reload=ReloadFacts(at=1.0, done=True, text=EVIL),
        listeners=tuple(attrs.evolve(one, address=EVIL, advertised=EVIL) for one in EMPTY.listeners),
    )
    facts = attrs.evolve(facts, sets=tuple(attrs.evolve(one, algorithm=EVIL) for one in facts.sets))
    evil: Any = dict.fromkeys(("kind", "uri", "address", "before", "after", "cause"), EVIL)
    operations = FakeOperations(facts, past=[happening(1, **evil)])
    async with client(operations) as asking:
        page = Tags((await asking.get("/")).text)
    assert "script" not in {tag for tag, _ in page.found}
    assert "".join(page.words).count(EVIL) == 19
    for _, attributes in page.found:
        assert "src" not in attributes
        assert (attributes.get("href") or "/").startswith("/")
        assert not any(name.startswith("on") for name in attributes)


# --------------------------------------------------------------------------------------------------------------------
# Mistakes of clients


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nope", 404, "there is nothing at this path"),
        ("/metrics/", 404, "there is nothing at this path"),
        ("/api/v1/../../etc/passwd", 404, "there is nothing at this path"),
        ("/api/v1/sets/", 404, "there is nothing at this path"),
        ("/api/v1/sets/7", 404, "there is no such set in the list"),
        ("/api/v1/sets/one", 404, "there is no such set in the list"),
        ("/api/v1/sets/-1", 404, "there is no such set in the list"),
        (f"/api/v1/sets/{'9' * 5000}", 404, "there is no such set in the list"),
        ("/api/v1/sets/%F0%9D%9F%99", 404, "there is no such set in the list"),
        ("/api/v1/events?set=x", 400, "set is the number of a set"),
        ("/api/v1/events?follow&name=x", 400, "follow takes a set, no name"),
        ("/api/v1/events?folow", 400, "there is no parameter 'folow': write follow, set or name"),
    ],
)
async def test_mistakes_are_told_in_json(path: str, status: int, message: str) -> None:
    assert error_of(await get(path, with_destinations(1))) == (status, message)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_nothing_can_be_changed(path: str, method: str) -> None:
    async with client(FakeOperations(with_destinations(1))) as asking:
        answer = await asking.request(method, path)
    assert error_of(answer) == (405, "only GET and HEAD: nothing can be changed over HTTP")
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize("path", [*PATHS, "/api/v1/events?follow"])
async def test_head_is_get_without_a_body(path: str) -> None:
    operations = FakeOperations(with_destinations(1))
    async with client(operations) as asking:
        head = await asking.head(path)
        get = head if "follow" in path else await asking.get(path)
    different = {"content-length"}  # httpx hands on what Hypercorn would leave out
    assert head.status_code == get.status_code == 200
    assert {key: text for key, text in head.headers.items() if key not in different} == {
        key: text for key, text in get.headers.items() if key not in different
    }


@pytest.mark.parametrize("path", [*PATHS, "/nope", "/api/v1/sets/7"])
async def test_browsers_are_told_to_be_careful_and_nobody_what_serves(path: str) -> None:
    answer = await get(path, with_destinations(1))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content-length": "0"}, 200),
        ({"content-length": "00"}, 200),
        ({"content-length": "1"}, 413),
        ({"transfer-encoding": "chunked"}, 413),
    ],
)
async def test_a_request_has_no_body(fields: dict[str, str], status: int) -> None:
    answer = await get("/healthz", headers=fields)
    assert answer.status_code == status
    if status == 413:
        assert error_of(answer) == (413, "a request has no body here")
        assert answer.headers["connection"] == "close"


async def test_a_head_is_short() -> None:
    for path, fields in (("/healthz", {"x": "y" * 9000}), ("/" + "y" * 9000, {}), ("/?" + "y" * 9000, {})):
        assert error_of(await get(path, headers=fields)) == (431, "a request's head has at most 8192 bytes")


async def test_a_mistake_of_ours_is_told_without_its_traceback() -> None:
    class Broken(FakeOperations):
        def facts(self) -> ProxyFacts:
            raise ZeroDivisionError

    async with client(Broken()) as asking:
        answer = await asking.get("/metrics")
    assert error_of(answer) == (500, "a mistake in this program; its log has more")
    assert answer.headers["x-content-type-options"] == "nosniff"


# --------------------------------------------------------------------------------------------------------------------
# Slices and compression


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/destinations", "/"])
async def test_long_answers_are_compressed_for_who_wants_it(path: str) -> None:
    facts = with_destinations(300)
    async with client(FakeOperations(facts)) as asking:
        plain = await asking.get(path, headers={"accept-encoding": "identity"})
        async with asking.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < len(plain.content) / 8
    unstable = r"(?m)^process_.*$"
    assert re.sub(unstable, "", gzip.decompress(raw).decode()) == re.sub(unstable, "", plain.text)


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=1.0", True),
        ("gzip;q=0.01", True),
        ("x-gzipped", False),
        ("gzip;level=9", True),
    ],
)
def test_gzip_is_for_who_accepts_it(field: str, accepted: bool) -> None:  # noqa: FBT001
    assert accepts_gzip(field) is accepted


async def test_others_have_their_turn_within_an_answer() -> None:
    """A clock that goes a tenth of a slice at each look: ten pieces are a slice."""
    moments = iter(number * 0.000025 for number in range(10_000))
    made = 0

    def pieces() -> Iterator[str]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield "x"

    turns: list[int] = []

    async def take_turns() -> None:
        while True:
            turns.append(made)
            await trio.lowlevel.checkpoint()

    async def send(_message: Message) -> None:
        pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        await Sliced(pieces(), "text/plain", gzip=False, limit_s=10, clock=partial(next, moments))(
            {"method": "GET"},
            trio.sleep_forever,
            send,
        )
        nursery.cancel_scope.cancel()
    steps = [after - before for before, after in pairwise(turns)]
    assert max(steps) <= 22  # trio draws who is first in each round
    assert made == 1000


async def test_what_is_too_slow_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    sent: list[Message] = []

    async def slow(message: Message) -> None:
        sent.append(message)
        await trio.sleep(1)

    endless = iter(partial(str, "x" * CHUNK_BYTES), "")
    await Sliced(endless, "text/plain", gzip=False, limit_s=5.5)({"method": "GET"}, trio.sleep_forever, slow)
    assert len(sent) == 7
    assert sent[-1]["more_body"] is True
