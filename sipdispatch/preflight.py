"""Does a dispatcher list fit the proxy that will use it?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

import attrs

from dispatcher.algorithm import Kind
from dispatcher.destination import Entry
from dispatcher.problem import Problem, Severity
from dispatcher.steps import Steps, stepwise
from sip.uri import host_port
from sipdispatch.config import Proxy
from sipdispatch.consistency import Finding
from sipdispatch.toml_positions import KeyPath


@attrs.frozen
class Misfits:
    """What is wrong with the two together although each is right by itself: keys of [proxy], and lines of the list."""

    settings: tuple[Finding, ...]
    lines: tuple[Problem, ...]


@stepwise
def find_misfits(proxy: Proxy, entries: Sequence[Entry]) -> Steps[Misfits]:
    """Compare the proxy's settings with its list."""
    lines = yield from _lines(proxy, entries)
    return Misfits(tuple(_missing_sets(proxy, entries)), (*lines, *_idle_limits(proxy, entries)))


def _missing_sets(proxy: Proxy, entries: Iterable[Entry]) -> Iterator[Finding]:
    """A set without destinations answers every call with `no_destination`."""
    there = sorted({entry.set_id for entry in entries})
    wanted: list[tuple[KeyPath, int | None]] = [(("proxy", "set"), proxy.set_id)]
    wanted += [(("proxy", "route", index, "set"), rule.set_id) for index, rule in enumerate(proxy.routes)]
    for at, set_id in wanted:
        if set_id is not None and set_id not in there:
            yield Finding(
                at,
                f"set {set_id} has no destination in {proxy.list_path}",
                f"write a set that is there ({', '.join(map(str, there))}), or fill this one" if there else "fill it",
            )


def _lines(proxy: Proxy, entries: Iterable[Entry]) -> Steps[list[Problem]]:
    path = str(proxy.list_path)
    problems: list[Problem] = []
    own = {listener.address for listener in proxy.listen} | {listener.advertised for listener in proxy.listen}
    sockets = {listener.address for listener in proxy.listen}
    wildcard_ports = {listener.address[1] for listener in proxy.listen if listener.is_wildcard}

    def note(entry: Entry, severity: Severity, message: str, hint: str) -> None:
        problems.append(Problem(path, entry.line, 1, severity=severity, message=message, hint=hint))

    for entry in entries:
        yield
        target = entry.target
        port = target.default_port if target.port is None else target.port
        if (target.host, port) in own:
            note(
                entry,
                "error",
                f"{entry.uri} is this proxy itself: every call would come back until it is refused with 482",
                "write the server's own address",
            )
            continue
        if entry.socket is not None and entry.socket not in sockets and entry.socket[1] not in wildcard_ports:
            note(
                entry,
                "error",
                f"socket {host_port(entry.socket)} is not in listen: nothing can be sent from it",
                "write the address of a listener, or add it to listen",
            )
        if target.numeric_host is not None:
            reach = _unreachable(proxy, target.numeric_host)
            if reach:
                note(entry, "warning", f"{entry.uri} cannot be reached: {reach}", "add a listener that can")
    return problems


def _idle_limits(proxy: Proxy, entries: Iterable[Entry]) -> Iterator[Problem]:
    """Whoever limits calls counts on it: say where nothing looks at `maxload`, once a set."""
    used = [(proxy.set_id, proxy.algorithm)]
    used += [
        (proxy.set_id if rule.set_id is None else rule.set_id, rule.algorithm or proxy.algorithm)
        for rule in proxy.routes
    ]
    counted = {set_id for set_id, algorithm in used if algorithm.kind is Kind.CALL_LOAD}
    for entry in entries:
        if entry.maxload and entry.set_id not in counted:
            counted.add(entry.set_id)
            yield Problem(
                str(proxy.list_path),
                entry.line,
                1,
                severity="warning",
                message=f"set {entry.set_id}: maxload has no effect: no calls are counted for this set",
                hint='write algorithm = "call-load" for it',
            )


def _unreachable(proxy: Proxy, host: str) -> str:
    """Why no listener can send there, "" when one can."""
    address = ip_address(host)
    listeners = [listener for listener in proxy.listen if listener.family == address.version]
    if not listeners:
        return f"there is no IPv{address.version} listener"
    if not address.is_loopback and all(ip_address(listener.address[0]).is_loopback for listener in listeners):
        return f"every IPv{address.version} listener is on loopback"
    return ""
