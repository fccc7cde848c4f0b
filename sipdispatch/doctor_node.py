"""Is this node set up so that it can own an address and hand it over?

Each check takes what it looks at, so that it can be tried with anything.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, Final

from sipdispatch.doctor_finding import Finding, look, ok, skipped, wrong
from sipdispatch.errors import CommandError
from sipdispatch.program_safety import require_safe
from sipdispatch.vrrp_build import programs_of
from sipdispatch.vrrp_settings import Vrrp
from vrrp.link import InterfaceFacts
from vrrp.parameters import Parameters, active_down

SYSCTL: Final = Path("/proc/sys")
_TIME_ERROR: Final = 5
"""What adjtimex(2) returns when nobody keeps the clock right."""
_CAP_SYS_NICE: Final = 23
LATE_INTERVALS: Final = 1.0
"""Lateness that is told of, in advert intervals: the peer forgives three."""

Facts = Callable[[str], InterfaceFacts]


def interfaces_of(vrrp: Vrrp) -> tuple[str, ...]:
    """That of the adverts, those of the addresses, and those that are watched."""
    names = (vrrp.interface, *(each.interface for each in vrrp.addresses), *vrrp.track.interfaces)
    return tuple(dict.fromkeys(names))


def interface_findings(vrrp: Vrrp, facts_of: Facts) -> Iterator[Finding]:
    """Whether each interface is there and up."""
    for name in interfaces_of(vrrp):
        facts = facts_of(name)
        if not facts.exists:
            yield wrong("interface", f"{name}: {facts.detail}", "write the name as ip link shows it")
        elif not facts.running:
            yield wrong("interface", f"{name} is {facts.detail}", f"ip link set {name} up; look at the cable")
        else:
            yield ok("interface", f"{name} is up")


def source_findings(vrrp: Vrrp, source: str | None, facts_of: Facts) -> Iterator[Finding]:
    """Whether adverts have an address to leave from; `source` is what was found when none is configured."""
    facts = facts_of(vrrp.interface)
    if vrrp.source is not None and vrrp.source not in facts.addresses:
        yield wrong(
            "source",
            f"{vrrp.interface} does not have the address {vrrp.source}",
            "write as source an address that this node has, or leave it out",
        )
    elif source is None:
        family = "a link-local IPv6 address" if vrrp.is_ipv6 else "an IPv4 address of its own"
        yield wrong("source", f"{vrrp.interface} does not have {family}", "give it one that stays on this node")
    else:
        yield ok("source", f"adverts leave from {source}")


def subnet_findings(vrrp: Vrrp, facts_of: Facts) -> Iterator[Finding]:
    """Whether each address is of a network of its interface: hosts there ask for it by ARP."""
    virtual = {each.address for each in vrrp.addresses}
    for each in vrrp.addresses:
        facts = facts_of(each.interface)
        own = [
            ip_interface(text)
            for text in facts.networks
            if str(ip_interface(text).ip) not in virtual and (":" in text) is each.is_ipv6
        ]
        address = ip_address(each.address)
        around = [network for network in own if address in network.network]
        if not facts.exists or not own:
            continue  # told of elsewhere, or there is nothing to compare with
        if not around:
            yield look(
                "network",
                f"{each.address} is in no network of {each.interface} ({', '.join(map(str, own))})",
                "write the interface on which its network is, unless a router sends it there",
            )
        elif each.prefix not in (address.max_prefixlen, *(network.network.prefixlen for network in around)):
            yield look(
                "network",
                f"{each.address} has the prefix length {each.prefix}, and its network on {each.interface} "
                f"{around[0].network.prefixlen}",
                f"write {each.address}/{around[0].network.prefixlen}",
            )
        else:
            yield ok("network", f"{each.address} is in {around[0].network}, on {each.interface}")


def sysctl_findings(vrrp: Vrrp, root: Path = SYSCTL) -> Iterator[Finding]:
    """The settings of the kernel that make a failover fail."""
    names = interfaces_of(vrrp)
    strict = [name for name in names if _highest(root, "rp_filter", name) == 1]
    if strict and (len({each.interface for each in vrrp.addresses} | {vrrp.interface}) > 1 or vrrp.peers):
        yield look(
            "rp_filter",
            f"{', '.join(strict)}: what comes in by another interface than its answer leaves by is dropped",
            "sysctl -w net.ipv4.conf.all.rp_filter=2, and the same in /etc/sysctl.d",
        )
    else:
        yield ok("rp_filter", "strict, and all is on one interface" if strict else "it is not strict")
    mute = [name for name in names if _highest(root, "arp_ignore", name) >= 3]
    if mute:
        yield wrong(
            "arp_ignore",
            f"{', '.join(mute)}: the kernel does not answer ARP requests for the address",
            "sysctl -w net.ipv4.conf.all.arp_ignore=1, and the interface's own, or 0",
        )
    else:
        yield ok("arp_ignore", "ARP requests are answered")
    if any(each.is_ipv6 for each in vrrp.addresses):
        off = [name for name in names if _number(root / "net/ipv6/conf" / name / "disable_ipv6") == 1]
        if off:
            yield wrong(
                "ipv6", f"it is switched off on {', '.join(off)}", "sysctl -w net.ipv6.conf.INTERFACE.disable_ipv6=0"
            )
        else:
            yield ok("ipv6", "it is on")
    yield _nonlocal(vrrp, root)


def _nonlocal(vrrp: Vrrp, root: Path) -> Finding:
    families = {"ipv6" if each.is_ipv6 else "ipv4" for each in vrrp.addresses}
    closed = sorted(each for each in families if _number(root / "net" / each / "ip_nonlocal_bind") == 0)
    if not closed:
        return ok("bind", "every program may listen on the address while it is elsewhere")
    settings = ", ".join(f"net.{each}.ip_nonlocal_bind=1" for each in closed)
    return ok("bind", f"sipdispatch proxy listens on the address while it is elsewhere; other programs need {settings}")


def _highest(root: Path, name: str, interface: str) -> int:
    """What counts for an interface: the higher one of its own value and that of `all` (ip-sysctl.rst)."""
    base = root / "net/ipv4/conf"
    return max(_number(base / each / name) for each in ("all", interface))


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return -1


# --------------------------------------------------------------------------------------------------------------------
# Secrets, commands, clock


def secret_findings(vrrp: Vrrp, read: Callable[[], object]) -> Iterator[Finding]:
    """Whether the files of secrets can be read, by us and by nobody else; `read` raises CommandError if not."""
    files = [path for path in (vrrp.password_file, vrrp.keys_file) if path is not None]
    if not files:
        return
    try:
        read()
    except CommandError as error:
        for fault in error.faults:
            yield wrong("secrets", f"{fault.where}: {fault.what}", fault.remedy)
        return
    for path in files:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield look("secrets", f"{path} can be read by others than its owner", f"chmod 600 {path}")
        else:
            yield ok("secrets", f"{path} can be read by its owner alone")


def command_findings(vrrp: Vrrp) -> Iterator[Finding]:
    """Whether the commands of tracks and of the mover can be run, and changed by nobody else."""
    programs = programs_of(vrrp)
    if not programs:
        return
    try:
        require_safe(programs)
    except CommandError as error:
        for fault in error.faults:
            yield wrong("commands", f"{fault.where}: {fault.what}", fault.remedy)
    else:
        count = len(programs)
        yield ok("commands", f"{count} {'command' if count == 1 else 'commands'} can be run")


def clock_is_kept() -> bool | None:
    """Whether something keeps this node's clock right; None if the kernel does not say."""
    buffer = ctypes.create_string_buffer(512)  # struct timex, all modes off: it is only read
    said = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return None if said < 0 else said != _TIME_ERROR


def clock_findings(vrrp: Vrrp, *, is_kept: bool | None) -> Iterator[Finding]:
    """With keys, adverts carry the time, and one that is off by seconds is refused."""
    if vrrp.keys_file is None:
        return
    if is_kept is None:
        yield skipped("clock", "the kernel does not say whether it is kept right")
    elif is_kept:
        yield ok("clock", "it is kept right; adverts with keys carry the time")
    else:
        yield look(
            "clock",
            "nobody keeps this node's clock right, and adverts with keys carry the time",
            "let chrony, ntpd or systemd-timesyncd run on both nodes",
        )


# --------------------------------------------------------------------------------------------------------------------
# Time


def lease_findings(vrrp: Vrrp) -> Iterator[Finding]:
    """Whether the address of a killed agent goes when the peer takes it."""
    version, interval = vrrp.version, vrrp.advert_interval
    lease = Parameters(
        address="0.0.0.0",  # noqa: S104 - the lease does not depend on it
        priority=vrrp.priority,
        interval=interval,
        version=version,
        wanted_lease=vrrp.lease,
    ).lease
    down = active_down(version, vrrp.priority, interval)
    if lease > down + 3:
        yield look(
            "lease",
            f"a killed agent's address stays for {lease:g} s, and the other node takes it after {down:.2g} s",
            "leave lease out: it follows the interval then",
        )
    else:
        yield ok("lease", f"{lease:g} s; without adverts a node is given up after {down:.2g} s")


def may_run_in_real_time() -> bool:
    """Whether a process of this user may take a real-time schedule."""
    if resource.getrlimit(resource.RLIMIT_RTPRIO)[0] > 0:
        return True
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_NICE & 1)
    return False


def realtime_findings(vrrp: Vrrp, status: Mapping[str, Any] | None, *, permitted: bool) -> Iterator[Finding]:
    """Whether the agent runs when its timers are due; `permitted`: for this user, if it does not run."""
    if not vrrp.realtime:
        yield look(
            "realtime", "realtime = false: under load the agent may be late and lose the address", "leave it out"
        )
    elif status is not None:
        lateness = status["lateness"]
        if "no real-time schedule" in lateness["realtime"]:
            yield look("realtime", lateness["realtime"], "start the agent by the unit of the package")
        else:
            yield ok("realtime", lateness["realtime"])
        worst = lateness["worst"]
        if worst > LATE_INTERVALS * vrrp.advert_interval:
            yield look(
                "lateness",
                f"the agent was {worst:.3g} s late once, with an interval of {vrrp.advert_interval:g} s",
                "write a longer interval, or see what keeps the processors from it: steal time, a suspended machine",
            )
    elif permitted:
        yield ok("realtime", "this user may take a real-time schedule")
    else:
        yield look(
            "realtime",
            f"the user {os.geteuid()} may not take a real-time schedule",
            "start the agent by the unit of the package, or give it LimitRTPRIO=",
        )


# --------------------------------------------------------------------------------------------------------------------
# What runs here


def agent_findings(status: Mapping[str, Any] | None, why_not: str) -> Iterator[Finding]:
    """What the running agent says of itself."""
    if status is None:
        yield look("agent", f"it cannot be asked: {why_not}", "start it: systemctl start sipdispatch-vrrp")
        return
    yield ok("agent", f"{status['state']} ({status['keepalived_state']}): {status['cause']}")
    for alarm in status["alarms"]:
        yield look("alarm", f"{alarm['field']}, {alarm['peer']}: {alarm['text']}", "see sipdispatch vrrp status")
    for track in status["tracks"]:
        if track["ok"] is False:
            yield look("track", f"{track['name']}: {track['detail']}", "this node is not well: look at what it asks")
    if status["addresses_taken"]:
        yield look(
            "taken",
            f"somebody has removed the address {status['addresses_taken']} times",
            "keep systemd-networkd (KeepConfiguration=, ManageForeignRoutes=no), NetworkManager and DHCP from it",
        )


def rival_findings(rivals: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    """Whether another program speaks VRRP on this node."""
    found = list(rivals)
    for pid, name in found:
        yield look(
            "rivals",
            f"{name} runs here too (process {pid})",
            "stop it, unless it has another virtual router: systemctl disable --now keepalived",
        )
    if not found:
        yield ok("rivals", "no other program that speaks VRRP runs here")


def rivals_here(
    names: Sequence[str] = ("keepalived", "vrrpd", "ucarp"), proc: Path = Path("/proc")
) -> Iterator[tuple[int, str]]:
    """Processes of these names in our network namespace; of those with children, the first only."""
    seen: set[str] = set()
    own = (proc / "thread-self/ns/net").stat().st_ino
    for entry in sorted((each for each in proc.iterdir() if each.name.isdigit()), key=lambda each: int(each.name)):
        try:
            name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if name in names and name not in seen and (entry / "ns/net").stat().st_ino == own:
                seen.add(name)
                yield int(entry.name), name
        except OSError:
            continue  # it has ended meanwhile
