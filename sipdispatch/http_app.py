"""What is at which path?  Everything is read-only, and every mistake of a client is answered in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from health.board import Word
from sipdispatch.facts import ProxyFacts
from sipdispatch.facts_json import counts_by_state, set_text, sets_text, status_json
from sipdispatch.http_events import Follow
from sipdispatch.http_limits import Limits
from sipdispatch.http_page import LAST_EVENTS, page
from sipdispatch.http_slices import Sliced, accepts_gzip
from sipdispatch.metrics import ProcessMetrics
from sipdispatch.metrics_text import choose_format, pieces
from sipdispatch.operations import OperationError, Telling
from sipdispatch.slices import gather

FRESH_S = 0.25
"""Facts this old are told again instead of asked again, so that many clients cost little more than one."""
JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"
MOST_DIGITS = 10
"""Of a set's number or an event's."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


def make_app(operations: Telling, limits: Limits, *, fresh_s: float = FRESH_S) -> ASGIApp:
    """The application, without the guard's care for whole connections that `http_connections` takes."""
    answers = _Answers(operations, limits, fresh_s)
    app = Starlette(
        routes=[
            Route("/", answers.page),
            Route("/metrics", answers.metrics),
            Route("/healthz", answers.healthz),
            Route("/readyz", answers.readyz),
            Route("/api/v1/status", answers.status),
            Route("/api/v1/destinations", answers.destinations),
            Route("/api/v1/sets/{id}", answers.one_set),
            Route("/api/v1/events", answers.events),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return _Guard(app, limits)


class _Answers:
    def __init__(self, operations: Telling, limits: Limits, fresh_s: float) -> None:
        self._operations = operations
        self._limits = limits
        self._fresh_s = fresh_s
        self._facts: ProxyFacts | None = None
        self._asked = 0.0
        self._asking = trio.Lock()
        self._process = ProcessMetrics()
        self._followers = 0

    async def facts(self) -> ProxyFacts:
        async with self._asking:
            now = trio.current_time()
            if self._facts is None or now >= self._asked + self._fresh_s:
                self._facts = await gather(self._operations)
                self._asked = now
            return self._facts

    def _sliced(self, request: Request, content: Iterator[str], media_type: str) -> Response:
        gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        return Sliced(content, media_type, gzip=gzip, limit_s=self._limits.answer_s)

    async def page(self, request: Request) -> Response:
        last = self._operations.history()[-LAST_EVENTS:]
        return self._sliced(request, page(await self.facts(), last), HTML_TYPE)

    async def metrics(self, request: Request) -> Response:
        wanted = choose_format(request.headers.get("accept", ""))
        return self._sliced(request, pieces(await self.facts(), self._process.collect(), wanted), wanted.value)

    async def healthz(self, _request: Request) -> Response:
        """Alive is what can answer."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        facts = await self.facts()
        if facts.serving:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": why_not_serving(facts)}, 503, {"retry-after": "1"})

    async def status(self, _request: Request) -> Response:
        return JSONResponse(status_json(await self.facts()))

    async def destinations(self, request: Request) -> Response:
        return self._sliced(request, sets_text((await self.facts()).sets), JSON_TYPE)

    async def one_set(self, request: Request) -> Response:
        number = _number(request.path_params["id"])
        for one in (await self.facts()).sets:
            if one.set_id == number:
                return self._sliced(request, set_text(one), JSON_TYPE)
        raise HTTPException(404, "there is no such set in the list")

    async def events(self, request: Request) -> Response:
        asked = request.query_params
        if unknown := asked.keys() - {"follow", "set", "name"}:
            raise HTTPException(400, f"there is no parameter {min(unknown)!r}: write follow, set or name")
        wanted = asked.get("set")
        set_id = None if wanted is None else _number(wanted)
        if wanted is not None and set_id is None:
            raise HTTPException(400, "set is the number of a set")
        if "follow" in asked:
            return self._follow(request, set_id)
        try:
            past = self._operations.history(set_id, asked.get("name"))
        except OperationError as error:
            raise HTTPException(404, "; ".join(filter(None, (error.what, error.where, error.remedy)))) from error
        return self._sliced(request, _events_text([each.to_json() for each in past]), JSON_TYPE)

    def _follow(self, request: Request, set_id: int | None) -> Response:
        if "name" in request.query_params:
            raise HTTPException(400, "follow takes a set, no name")
        if self._followers >= self._limits.followers:
            raise HTTPException(503, "too many follow the events already", {"retry-after": "1"})
        last = request.headers.get("last-event-id")
        return Follow(self._operations, set_id, None if last is None else _number(last), self._counted)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A follower counts while it follows."""
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1


def why_not_serving(facts: ProxyFacts) -> str:
    """A reason, for people, why no destination takes new work."""
    counts = {state: count for state, count in counts_by_state(facts).items() if count}
    if not counts:
        return "the list has no destination"
    if not any(each.word is Word.ENABLED for each in facts.destinations):
        return "every destination is draining or disabled"
    return "no destination takes new work: " + ", ".join(f"{count} {state}" for state, count in counts.items())


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _events_text(events: list[dict[str, Any]]) -> Iterator[str]:
    yield '{"events": ['
    for place, event in enumerate(events):
        yield f"{', ' if place else ''}{json.dumps(event)}"
    yield "]}"


# --------------------------------------------------------------------------------------------------------------------
# Mistakes


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"status": status, "message": message}}, status, headers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    message = {404: "there is nothing at this path", 405: "only GET and HEAD: nothing can be changed over HTTP"}
    said = error.detail if error.detail not in ("Not Found", "Method Not Allowed") else message[error.status_code]
    return _error(error.status_code, said, dict(error.headers or {}))


async def _failed(_request: Request, _error_of_ours: Exception) -> Response:
    return _error(500, "a mistake in this program; its log has more")


class _Guard:
    """What holds everywhere: a short head, no body, no WebSocket, and headers that keep browsers from being used."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        answer: ASGIApp = self._app
        if _head_bytes(scope) > self._limits.head_bytes:
            answer = _error(
                431, f"a request's head has at most {self._limits.head_bytes} bytes", {"connection": "close"}
            )
        elif _has_body(scope):
            answer = _error(413, "a request has no body here", {"connection": "close"})
        await answer(scope, receive, send_guarded)


def _head_bytes(scope: Scope) -> int:
    """What came in one piece is not counted while it is read."""
    fields = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return fields + len(scope.get("raw_path") or b"") + len(scope["query_string"])


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in scope["headers"]
    )
