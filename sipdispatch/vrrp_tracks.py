"""Who tells the agent whether this node can do the work: which tracks are there, and who asks them?

That of the interface of the adverts is asked by whoever opens its sockets (`vrrp.lastingwire`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import attrs
import structlog
import trio

from sipdispatch.vrrp_settings import Vrrp
from sipdispatch.vrrp_track import Say
from sipdispatch.vrrp_track_command import ask_command
from sipdispatch.vrrp_track_control import attend_proxy
from sipdispatch.vrrp_track_file import watch_file
from sipdispatch.vrrp_track_link import watch_link
from sipdispatch.vrrp_track_sip import ask_sip
from vrrp.tracking import Track

AGAIN_S: Final = 1.0
"""After a mistake of ours."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Report(Protocol):
    """Takes a result of a track: `vrrp.service.Agent.report`."""

    def __call__(self, name: str, *, ok: bool, detail: str) -> None: ...


Ask = Callable[[Say], Awaitable[None]]


@attrs.frozen
class _Asked:
    """A track, and what asks it."""

    track: Track
    ask: Ask


def link_name(interface: str) -> str:
    """What the track of an interface is called."""
    return f"interface {interface}"


def tracks_of(vrrp: Vrrp) -> tuple[Track, ...]:
    """All tracks but that of the interface of the adverts, in the order in which status shows them."""
    return tuple(each.track for each in _asked(vrrp, Path()))


async def run_tracks(
    vrrp: Vrrp,
    report: Report,
    *,
    proxy_socket: Path,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Ask all of them again and again until cancelled.  `proxy_socket`: what `control = true` means."""
    async with trio.open_nursery() as nursery:
        for each in _asked(vrrp, proxy_socket):
            nursery.start_soon(_keep_asking, each, report)
        task_status.started()
        await trio.sleep_forever()


async def _keep_asking(asked: _Asked, report: Report) -> None:
    name = asked.track.name
    while True:
        try:
            await asked.ask(partial(report, name))
        except Exception:  # a mistake of ours costs a track, not the address
            log.exception("a track failed by a mistake in this program; please report it", track=name)
        report(name, ok=False, detail="it cannot be asked, by a mistake in this program")
        await trio.sleep(AGAIN_S)


def _asked(vrrp: Vrrp, proxy_socket: Path) -> Iterator[_Asked]:
    settings = vrrp.track
    # An address cannot be where its interface is not; what `interfaces` names is only worse without.
    carrying = {each.interface: True for each in vrrp.addresses}
    for interface, fault in {**dict.fromkeys(settings.interfaces, False), **carrying}.items():
        if interface != vrrp.interface:
            yield _Asked(Track(name=link_name(interface), fault=fault), partial(watch_link, interface))
    if settings.control:
        path = proxy_socket if settings.control is True else settings.control
        yield _Asked(Track(name="control", vital=True), partial(attend_proxy, path))
    if settings.sip is not None:
        track = Track(name="sip", rise=settings.rise, fall=settings.fall)
        yield _Asked(track, partial(ask_sip, settings))
    if settings.file is not None:
        yield _Asked(Track(name="file"), partial(watch_file, settings.file))
    for command in settings.commands:
        track = Track(name=f"command {command.name}", rise=command.rise, fall=command.fall)
        yield _Asked(track, partial(ask_command, command))
