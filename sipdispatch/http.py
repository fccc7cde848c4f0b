"""Where are the metrics and the status served over HTTP?

What does it is in the packages of the extra `http`: without the section `[http]` none of them is loaded.
"""

from __future__ import annotations

import errno
import importlib
import socket

import structlog
import trio

from sip.uri import Address, host_port
from sipdispatch.errors import CommandError
from sipdispatch.http_limits import Limits
from sipdispatch.operations import Telling

BACKLOG = 64
"""Connections that wait to be accepted."""
PACKAGES = ("starlette", "hypercorn", "prometheus_client")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve_http(
    address: Address,
    operations: Telling,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve at this address until cancelled; it has started, with the address it got, when clients are accepted.

    Raises CommandError when it cannot start; nothing that a client does ends it.
    """
    require_packages(address)
    with listening_socket(address) as listening:
        from sipdispatch.http_app import make_app  # noqa: PLC0415 - the extra may be missing
        from sipdispatch.http_connections import serve_connections  # noqa: PLC0415

        host, port = listening.getsockname()[:2]
        log.info("HTTP is served", url=f"http://{host_port((host, port))}/")
        task_status.started((host, port))
        await serve_connections(listening, make_app(operations, limits), limits)


def require_packages(address: Address) -> None:
    """Raise CommandError unless the extra `http` is installed."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise CommandError(
                f"HTTP needs the package {error.name or package}, which is not installed",
                f"[http] listen = {host_port(address)!r}",
                "pip install 'sipdispatch[http]', or take [http] out of the configuration",
            ) from error


def listening_socket(address: Address) -> socket.socket:
    """A socket that listens at this address and no other; raises CommandError.

    SO_REUSEADDR lets a restart have the port at once; on Linux it gives nobody a port that somebody listens on.
    """
    host, port = address
    where = f"[http] listen = {host_port(address)!r}"
    try:
        family, _, _, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(f"HTTP cannot be served there: {error.strerror}", where, "check the address") from error
    try:
        listening.settimeout(0)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(target)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _why_not(error, port, where) from error
    return listening


def _why_not(error: OSError, port: int, where: str) -> CommandError:
    match error.errno:
        case errno.EADDRINUSE:
            return CommandError(
                "HTTP cannot be served there: the port is taken by another process",
                where,
                f"choose another port, or stop what has this one (ss -ltnp 'sport = :{port}' names it)",
            )
        case errno.EACCES:
            return CommandError(
                f"HTTP cannot be served there: port {port} needs a privilege that this process does not have",
                where,
                "choose a port from 1024 up, or give it CAP_NET_BIND_SERVICE",
            )
        case errno.EADDRNOTAVAIL:
            return CommandError(
                "HTTP cannot be served there: the address is not on this node",
                where,
                "write an address that the node itself has, not its virtual IP",
            )
        case _:
            return CommandError(f"HTTP cannot be served there: {error.strerror}", where, "check the address")
