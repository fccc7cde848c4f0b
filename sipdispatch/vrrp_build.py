"""Which router, which way and which track does the section [vrrp] stand for?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from sipdispatch.config import VrrpConfig
from sipdispatch.control_path import default_agent_path, path_beside_agent
from sipdispatch.errors import CommandError
from sipdispatch.vrrp_settings import Vrrp
from sipdispatch.vrrp_tracks import link_name, tracks_of
from vrrp.lastingwire import Way
from vrrp.packet import PASSWORD_BYTES
from vrrp.parameters import Parameters
from vrrp.reception import Reception, window_for
from vrrp.router import Router
from vrrp.tracking import Track
from vrrp.trailer import Key, parse_keys

FILE_LIMIT_BYTES: Final = 65_536


@attrs.frozen(kw_only=True)
class Secrets:
    """What stands in files of its own."""

    password: bytes | None = attrs.field(default=None, repr=False)
    keys: tuple[Key, ...] = ()


def read_secrets(vrrp: Vrrp) -> Secrets:
    """Those that the section names; raises CommandError."""
    password = None
    if vrrp.password_file is not None:
        password = _read(vrrp.password_file, "password_file").encode()
        if not 1 <= len(password) <= PASSWORD_BYTES:
            raise CommandError(
                f"the password has {len(password)} bytes, and version 2 has room for {PASSWORD_BYTES}",
                str(vrrp.password_file),
                f"write 1 to {PASSWORD_BYTES} bytes, the same ones on both nodes; keepalived takes the first 8",
            )
    if vrrp.keys_file is None:
        return Secrets(password=password)
    try:
        return Secrets(password=password, keys=parse_keys(_read(vrrp.keys_file, "keys_file")))
    except ValueError as error:
        raise CommandError(str(error), str(vrrp.keys_file), "write a line: 1 hex:, and 64 hexadecimal digits") from None


def _read(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_LIMIT_BYTES).decode().strip()
    except OSError as error:
        raise CommandError(
            f"the file cannot be read: {error.strerror}",
            str(path),
            f"let the user of the agent read it, or name another one with {key}",
        ) from error
    except UnicodeDecodeError as error:
        raise CommandError("the file is not UTF-8", str(path), "write it anew") from error


def router_of(vrrp: Vrrp, source: str, secrets: Secrets) -> Router:
    """The virtual router of this node, whose adverts leave from `source`."""
    return Router(
        parameters=Parameters(
            address=source,
            priority=vrrp.priority,
            interval=vrrp.advert_interval,
            version=vrrp.version,
            preempt=vrrp.preempt,
            announce_every=vrrp.announce_every,
            wanted_lease=vrrp.lease,
        ),
        reception=Reception(
            vrid=vrrp.vrid,
            version=vrrp.version,
            addresses=vrrp.advertised,
            interval=vrrp.advert_interval,
            own=(source,),
            peers=() if vrrp.speaks_to_group else vrrp.peers,
            least_ttl=vrrp.least_ttl,
            password=secrets.password,
            keys=secrets.keys,
            enforced=vrrp.keys_enforced,
            window=window_for(vrrp.advert_interval),
        ),
        advertised=vrrp.advertised,
        excluded=vrrp.excluded,
        checksum=vrrp.checksum,
        signing_key=secrets.keys[0] if secrets.keys else None,
    )


def way_of(vrrp: Vrrp) -> Way:
    """Where adverts go."""
    return Way(
        interface=vrrp.interface,
        is_ipv6=vrrp.is_ipv6,
        source=vrrp.source,
        virtual=tuple(each.address for each in vrrp.addresses),
        peers=vrrp.peers,
        multicast=vrrp.speaks_to_group,
    )


def link_track(vrrp: Vrrp) -> Track:
    """Whether adverts can be exchanged at all: without, the node cannot own the address."""
    return Track(name=link_name(vrrp.interface), fault=True)


def all_tracks(vrrp: Vrrp) -> tuple[Track, ...]:
    """That of the link, and all others."""
    return (link_track(vrrp), *tracks_of(vrrp))


def proxy_socket(config: VrrpConfig, environ: Mapping[str, str], uid: int) -> Path:
    """The control socket of the proxy of the same file."""
    return config.control.socket or path_beside_agent(environ, uid)


def agent_socket(vrrp: Vrrp, environ: Mapping[str, str], uid: int) -> Path:
    """The agent's own."""
    return vrrp.control.socket or default_agent_path(environ, uid)


def restart_keys(before: Vrrp, after: Vrrp) -> list[str]:
    """The keys that have changed and that a running agent does not take over."""
    fixed = ("interface", "vrid", "realtime", "log_level", "log_format", "mover", "control", "http")
    changed = [key for key in fixed if getattr(before, key) != getattr(after, key)]
    told_to_commands = after.mover.driver != "kernel" and before.addresses != after.addresses
    return [*changed, *(["addresses"] if told_to_commands or before.is_ipv6 is not after.is_ipv6 else [])]


def programs_of(vrrp: Vrrp) -> list[tuple[str, str]]:
    """What the agent may run, by the key that says so."""
    tracks = [(f"vrrp.track.command {each.name}", each.command[0]) for each in vrrp.track.commands]
    return [*tracks, *((f"vrrp.mover.{key}", command[0]) for key, command in vrrp.mover.commands)]
