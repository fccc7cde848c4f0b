"""Where are the agent's metrics served over HTTP?  With what serves the proxy's: the packages of the extra `http`."""

from __future__ import annotations

import structlog
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sip.uri import Address, host_port
from sipdispatch.http import listening_socket, require_packages
from sipdispatch.http_limits import Limits
from sipdispatch.vrrp_json import status_json
from sipdispatch.vrrp_metrics import metrics_text
from sipdispatch.vrrp_running import RunningAgent

TEXT = "text/plain; version=0.0.4; charset=utf-8"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def make_app(running: RunningAgent) -> ASGIApp:
    """The application."""

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(metrics_text(running.status()), media_type=TEXT)

    async def status(_: Request) -> Response:
        return JSONResponse(status_json(running.status()))

    async def healthz(_: Request) -> Response:
        """Alive is what can answer."""
        return JSONResponse({"status": "alive"})

    async def active(_: Request) -> Response:
        """200 on the node that has the address, as other load balancers want to know it."""
        state = running.status().state
        return JSONResponse({"state": state}, 200 if state == "active" else 503)

    async def refused(_: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        return JSONResponse({"error": {"status": code, "message": "there is nothing here"}}, code)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/active", active),
            Route("/api/v1/vrrp", status),
        ],
        exception_handlers={HTTPException: refused},
    )


async def serve_metrics(
    address: Address,
    running: RunningAgent,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve at this address until cancelled; raises CommandError when it cannot start."""
    require_packages(address)
    with listening_socket(address) as listening:
        from sipdispatch.http_connections import serve_connections  # noqa: PLC0415 - the extra may be missing

        host, port = listening.getsockname()[:2]
        log.info("HTTP is served", url=f"http://{host_port((host, port))}/metrics")
        task_status.started((host, port))
        await serve_connections(listening, make_app(running), limits)
