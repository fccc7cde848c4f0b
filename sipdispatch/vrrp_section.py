"""What does the section [vrrp] of a TOML file say, and what is wrong with it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final, get_args

import attrs

from sip.uri import host_port
from sipdispatch import notice_settings, readers, vrrp_settings
from sipdispatch.config import LogFormat, LogLevel
from sipdispatch.consistency import Finding
from sipdispatch.door_tables import control_table, http_table
from sipdispatch.readers import BadValueError
from sipdispatch.tables import Table, Tables, many
from sipdispatch.vrrp_settings import (
    Driver,
    TrackCommand,
    Vrrp,
    VrrpControl,
    VrrpHttp,
    VrrpMover,
    VrrpTrack,
    is_whole,
)
from vrrp.address import VirtualAddress
from vrrp.packet import MOST_INTERVAL_S

MOST_ADDRESSES: Final = 255
"""The count of an advert has eight bits."""

_PROLONGING_S: Final = 6e-5
"""What an address of IPv4 costs at each refresh of its lease on a slow and busy node."""
_PROLONGING_PAIR_S: Final = 1.2e-6
"""The same for one of IPv6 and each other one that there is: the kernel looks at all of them for each."""

_STAND_INS: Final[Mapping[str, Any]] = {"interface": "eth0", "vrid": 1, "addresses": ["192.0.2.100/24"]}
"""Instead of keys that must be there and are wrong, so that the others can be compared with each other."""

_MISSING: Final = {
    "interface": 'write interface = "eth0", the one that both nodes see each other on',
    "vrid": "write vrid = 51, a number from 1 to 255 that no other pair on this network has",
    "addresses": 'write addresses = ["192.0.2.100/24"], the virtual IP and the length of its network',
}
_MEANT: Final = {
    "state": "leave it out: a node starts as backup, and priority decides",
    "virtual_router_id": "write vrid",
    "virtual_ipaddress": "write addresses",
    "address": "write addresses",
    "vip": "write addresses",
    "advert_int": 'write interval, as in interval = "100ms"',
    "nopreempt": 'write preempt = "never"',
    "preempt_delay": 'write preempt = "after 60s"',
    "unicast_peer": "write peers",
    "unicast_src_ip": "write source",
    "mcast_src_ip": "write source",
    "password": "write password_file, the name of a file: a password does not stand in a configuration",
    "auth_pass": "write password_file, the name of a file with the password",
    "keys": "write keys_file, the name of a file: keys do not stand in a configuration",
    "track_interface": 'write interfaces = ["eth1"] below [vrrp.track]',
    "track_script": "write a command below [[vrrp.track.command]], or sip below [vrrp.track]",
    "script": 'write command, as in ["/usr/local/bin/check"]',
    "weight": "leave it out: a node with a failed track is always worse than a healthy one",
    "notify": 'write a [[hook]] with on = ["vrrp"]',
}
"""What keepalived calls it, and what people write."""

_RISE: Final = readers.read_int(1, 1000, "a number of results in a row")
_COMMAND_TIMEOUT: Final = readers.read_duration(0.01, 3600, '"10ms" to "60m"', "1s")


@attrs.frozen
class _PlacedAddress:
    """`{ address = ..., interface = ... }`, one element of `addresses`."""

    address: str
    interface: str | None = None


_CONTROL: Final = partial(control_table, VrrpControl, "vrrp.control")
_HTTP: Final = http_table(VrrpHttp, "vrrp.http", 9276)
_MOVER: Final = Table(
    cls=VrrpMover,
    reads={
        "driver": readers.read_word(get_args(Driver)),
        "acquire": notice_settings.read_command,
        "release": notice_settings.read_command,
        "verify": notice_settings.read_command,
        "timeout": _COMMAND_TIMEOUT,
        "retries": readers.read_int(0, 100, "a number of tries after the first"),
        "every": readers.read_duration(1, 86_400, '"1s" to "24h"', "30s"),
    },
    hint="write the line [vrrp.mover] above its keys",
    meant={"command": "write acquire and release", "script": "write acquire and release", "interval": "write every"},
)
_COMMAND: Final = Table(
    cls=TrackCommand,
    reads={
        "command": notice_settings.read_command,
        "name": notice_settings.read_name,
        "interval": readers.read_duration(0.01, 3600, '"10ms" to "60m"', "1s"),
        "timeout": _COMMAND_TIMEOUT,
        "rise": _RISE,
        "fall": _RISE,
    },
    hint="write [[vrrp.track.command]] above its keys",
    missing={"command": 'write it as in command = ["/usr/local/bin/check"]'},
    meant=_MEANT,
)
_ADDRESS: Final = Table(
    cls=_PlacedAddress,
    reads={"address": readers.read_text, "interface": vrrp_settings.read_interface},
    hint='write "192.0.2.100/24" or { address = "192.0.2.100/24", interface = "eth1" }',
    missing={"address": 'write { address = "192.0.2.100/24", ... }'},
    meant={"dev": "write interface"},
)


def _track_table(tables: Tables, base: Path) -> Table:
    return Table(
        cls=VrrpTrack,
        reads={
            "sip": vrrp_settings.read_sip,
            "interval": readers.read_duration(0.02, 60, '"20ms" to "60s"', "200ms"),
            "timeout": readers.read_duration(0.01, 60, '"10ms" to "60s"', "200ms"),
            "rise": _RISE,
            "fall": _RISE,
            "serving": readers.read_bool,
            "control": vrrp_settings.read_control(base),
            "interfaces": many(vrrp_settings.read_interface, tuple),
            "file": readers.read_path(base),
            "commands": partial(_commands, tables),
        },
        hint="write the line [vrrp.track] above its keys",
        names={"commands": "command"},
        meant={**_MEANT, "interface": "write interfaces", "probe": 'write sip, as in sip = "192.0.2.11:5060"'},
    )


def _commands(tables: Tables, value: object) -> tuple[TrackCommand, ...]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise BadValueError(
            "must be a list of tables", "write [[vrrp.track.command]], with two brackets, above each command"
        )
    return many(lambda each: tables.read(each, TrackCommand), tuple)(value)  # type: ignore[no-any-return]


def _table(tables: Tables, base: Path, interface: str) -> Table:
    return Table(
        cls=Vrrp,
        reads={
            "interface": vrrp_settings.read_interface,
            "vrid": readers.read_int(1, 255, "a number"),
            "addresses": many(partial(_address, tables, interface), tuple, may_be_empty=False),
            "priority": vrrp_settings.read_priority,
            "version": vrrp_settings.read_version,
            "interval": vrrp_settings.read_interval,
            "preempt": vrrp_settings.read_preempt,
            "peers": many(vrrp_settings.read_peer, tuple),
            "multicast": readers.read_bool,
            "source": vrrp_settings.read_peer,
            "checksum": vrrp_settings.read_checksum,
            "least_ttl": readers.read_int(1, 255, "a TTL"),
            "password_file": readers.read_path(base),
            "keys_file": readers.read_path(base),
            "keys_enforced": readers.read_bool,
            "announce_every": readers.read_duration(1, 86_400, '"1s" to "24h"', "30s"),
            "lease": readers.read_duration(2, 3600, '"2s" to "60m"', "2s"),
            "realtime": readers.read_bool,
            "log_level": readers.read_word(get_args(LogLevel)),
            "log_format": readers.read_word(get_args(LogFormat)),
            "track": lambda value: tables.read(value, VrrpTrack),
            "mover": lambda value: tables.read(value, VrrpMover),
            "control": lambda value: tables.read(value, VrrpControl),
            "http": lambda value: tables.read(value, VrrpHttp),
        },
        hint="write the line [vrrp] above its keys",
        missing=_MISSING,
        meant=_MEANT,
    )


def _address(tables: Tables, interface: str, value: object) -> VirtualAddress:
    if isinstance(value, dict):
        placed = tables.read(value, _PlacedAddress)
        return vrrp_settings.read_virtual_address(placed.address, placed.interface or interface)
    return vrrp_settings.read_virtual_address(readers.read_text(value), interface)


VRRP_KEYS: Final = {
    "vrrp": _table(Tables(), Path("/"), "").keys,
    "vrrp.track": _track_table(Tables(), Path("/")).keys,
    "vrrp.track.command": _COMMAND.keys,
    "vrrp.mover": _MOVER.keys,
    "vrrp.control": _CONTROL(Path("/")).keys,
    "vrrp.http": _HTTP.keys,
}
"""The keys of each table."""


def read_vrrp_section(raw: object, base: Path) -> tuple[Vrrp | None, list[Finding]]:
    """The section, None if it has an error, and all that is wrong with it; relative paths start at `base`."""
    tables = Tables()
    interface = raw.get("interface") if isinstance(raw, dict) else None
    table = _table(tables, base, interface if isinstance(interface, str) else "eth0")
    for each in (_ADDRESS, _COMMAND, _MOVER, _HTTP, _CONTROL(base), _track_table(tables, base), table):
        tables.teach(each)
    vrrp, found = tables.try_read(raw, Vrrp, ("vrrp",))
    if vrrp is not None:
        found += vrrp_findings(vrrp)
    elif isinstance(raw, dict):  # what can be read is compared all the same, so that all mistakes are told at once
        bad = {finding.at[1] for finding in found}
        left = {key: value for key, value in raw.items() if key not in bad}
        again, _ = tables.try_read({**_STAND_INS, **left}, Vrrp, ("vrrp",))
        if again is not None:
            compared = {"source", "peers", "version"} if "addresses" in bad else set[object]()
            found += [finding for finding in vrrp_findings(again) if finding.at[1] not in bad | compared]
    if vrrp is None or any(finding.severity == "error" for finding in found):
        return None, found
    return attrs.evolve(vrrp, track=_named(vrrp.track)), found


def _named(track: VrrpTrack) -> VrrpTrack:
    """With a name for each command: those without one are called after their program, with a number where needed."""
    taken = {each.name for each in track.commands if each.name}
    named = []
    for each in track.commands:
        number, free = 1, each.name or PurePath(each.command[0]).name
        while not each.name and free in taken:
            number += 1
            free = f"{PurePath(each.command[0]).name}-{number}"
        taken.add(free)
        named.append(attrs.evolve(each, name=free))
    return attrs.evolve(track, commands=tuple(named))


# --------------------------------------------------------------------------------------------------------------------
# What does not fit together


def vrrp_findings(vrrp: Vrrp) -> list[Finding]:
    """What is wrong between the keys of the section."""
    return [
        *_version(vrrp),
        *_addresses(vrrp),
        *_pace(vrrp),
        *_peers(vrrp),
        *_secrets(vrrp),
        *_tracks(vrrp),
        *_mover(vrrp.mover),
    ]


def _version(vrrp: Vrrp) -> Iterator[Finding]:
    interval, at = vrrp.advert_interval, ("vrrp", "interval")
    if vrrp.version == 2:
        if not is_whole(interval, 1.0):
            yield Finding(at, "version 2 has whole seconds only", 'write "1s", or version = 3 on both nodes')
        if vrrp.is_ipv6:
            yield Finding(("vrrp", "version"), "version 2 has no IPv6", "write version = 3")
    elif interval > MOST_INTERVAL_S or not is_whole(interval, 0.01):
        yield Finding(at, "version 3 has hundredths of a second, up to 40.95 seconds", 'write it as in "100ms" or "1s"')
    if vrrp.lease is not None and not is_whole(vrrp.lease, 1.0):
        yield Finding(("vrrp", "lease"), "the kernel counts a lease in whole seconds", 'write it as in "2s"')


def _addresses(vrrp: Vrrp) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, each in enumerate(vrrp.addresses):
        at = ("vrrp", "addresses", index)
        if each.address in seen:
            yield Finding(at, f"{each.address} stands twice", "leave one of them out")
        seen.add(each.address)
    if not vrrp.advertised:
        family = "IPv6" if vrrp.is_ipv6 else "IPv4"
        yield Finding(
            ("vrrp", "addresses"),
            f"the nodes speak {family}, and none of the addresses is one: an advert names at least one",
            "write source or peers in the family of an address",
        )
    elif len(vrrp.advertised) > MOST_ADDRESSES:
        yield Finding(
            ("vrrp", "addresses"), f"an advert has at most {MOST_ADDRESSES} addresses", "make two pairs of it"
        )


def _pace(vrrp: Vrrp) -> Iterator[Finding]:
    """Adverts wait while the leases are prolonged: where that takes long, the other node may take over."""
    if vrrp.mover.driver == "exec":
        return
    of_ipv6 = sum(each.is_ipv6 for each in vrrp.addresses)
    seconds = (len(vrrp.addresses) - of_ipv6) * _PROLONGING_S + of_ipv6**2 * _PROLONGING_PAIR_S
    if seconds > vrrp.advert_interval:
        yield Finding(
            ("vrrp", "interval"),
            f"to prolong {len(vrrp.addresses)} addresses may take longer than the {vrrp.advert_interval * 1000:g} ms"
            " between two adverts",
            f'write "{math.ceil(seconds * 100) * 10}ms" or more on both nodes, or fewer addresses',
            "warning",
        )


def _peers(vrrp: Vrrp) -> Iterator[Finding]:
    virtual = {each.address for each in vrrp.addresses}
    if vrrp.source in virtual:
        hint = "write an address that stays on this node, or leave it out"
        yield Finding(("vrrp", "source"), f"{vrrp.source} is the address that moves", hint)
    for index, peer in enumerate(vrrp.peers):
        at = ("vrrp", "peers", index)
        if peer in virtual:
            yield Finding(at, f"{peer} is the address that moves", "write the other node's own address")
        elif peer == vrrp.source:
            yield Finding(at, f"{peer} is this node's source", "write the other node's own address")
        elif peer in vrrp.peers[:index]:
            yield Finding(at, f"{peer} stands twice", "leave it out")
        if (":" in peer) is not vrrp.is_ipv6:
            other = "source" if vrrp.source else "the first peer"
            yield Finding(at, f"{peer} is not of the family of {other}", "write addresses of one family")
    if vrrp.source is None and not vrrp.speaks_to_group:
        yield from _link_local_source(vrrp.peers)
    if not vrrp.peers and vrrp.multicast is False:
        yield Finding(("vrrp", "multicast"), "nobody would hear this node", "write peers, or leave multicast out")


def _link_local_source(peers: Sequence[str]) -> Iterator[Finding]:
    """The other node would refuse our adverts, and we those of the other one: two owners."""
    for index, peer in enumerate(peers):
        if ":" in peer and not peer.startswith("fe80:"):
            yield Finding(
                ("vrrp", "peers", index),
                f"{peer} is not link-local, and adverts leave from the link-local address without source",
                "write source, this node's own address that the other one has among its peers",
            )
            return


def _secrets(vrrp: Vrrp) -> Iterator[Finding]:
    if vrrp.password_file is not None and vrrp.version != 2:
        yield Finding(
            ("vrrp", "password_file"), "version 3 has no password", "write keys_file, or version = 2", of_key=True
        )
    if vrrp.keys_file is None and not vrrp.keys_enforced:
        yield Finding(("vrrp", "keys_enforced"), "there are no keys", "write keys_file, or leave it out", of_key=True)


def _tracks(vrrp: Vrrp) -> Iterator[Finding]:
    track, at = vrrp.track, ("vrrp", "track")
    virtual = {each.address for each in vrrp.addresses}
    if track.sip is not None and track.sip[0] in virtual:
        yield Finding(
            (*at, "sip"),
            f"{track.sip[0]} is the address that moves: on the backup it is the other node that answers there",
            "write this node's own address, and let the proxy listen there too",
        )
    if track.timeout > track.interval:
        yield Finding(
            (*at, "timeout"),
            f"a probe would wait {track.timeout:g} s, longer than the {track.interval:g} s until the next one",
            "write a timeout that is not longer than interval",
        )
    if track.serving and track.sip is None:
        yield Finding((*at, "serving"), "no SIP probe is made", "write sip, or leave it out", of_key=True)
    for index, name in enumerate(track.interfaces):
        if name == vrrp.interface or name in track.interfaces[:index]:
            yield Finding((*at, "interfaces", index), f"{name} is watched anyway", "leave it out", "warning")
    names = [each.name for each in track.commands]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            where = f"command[{names.index(name)}]"
            yield Finding((*at, "command", index, "name"), f"{where} has the same name", "give each a name of its own")


def _mover(mover: VrrpMover) -> Iterator[Finding]:
    at = ("vrrp", "mover")
    given = dict(mover.commands)
    if mover.driver == "kernel":
        for key in given:
            hint = 'write driver = "exec", or "both"'
            yield Finding((*at, key), "the kernel's driver runs no commands", hint, of_key=True)
        return
    for key in ("acquire", "release"):
        if key not in given:
            yield Finding(at, f"{key} is missing", f'write it as in {key} = ["/usr/local/bin/move-address", "{key}"]')


def listening_findings(vrrp: Vrrp, listening: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """What is wrong between the section and where the proxy of the same file listens."""
    hosts = {host for host, _ in listening}
    wild = bool(hosts & {"0.0.0.0", "::"})  # noqa: S104 - looked for, not bound
    missing = [each.address for each in vrrp.addresses if each.address not in hosts]
    if len(missing) == len(vrrp.addresses):
        yield Finding(
            ("vrrp", "addresses"),
            "the proxy listens on none of them: what is sent to the virtual IP finds nobody",
            "write them into listen of [proxy] too",
            "warning",
        )
    track = vrrp.track
    if track.sip is not None and track.sip not in listening and not wild:
        yield Finding(
            ("vrrp", "track", "sip"),
            f"the proxy does not listen on {host_port(track.sip)}",
            "write it into listen of [proxy] too",
            "warning",
        )
    if track == VrrpTrack():
        yield Finding(
            ("vrrp",),
            "nothing tells the agent whether the proxy lives: the address stays where it is when the proxy dies",
            "write [vrrp.track], and below it control = true and sip with this node's own address",
            "warning",
            of_key=True,
        )
