"""Do the values of the configuration fit each other, and do they do what the operator will expect in the field?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

import attrs

from dispatcher.algorithm import Algorithm
from dispatcher.limits import LimitPolicy
from dispatcher.listener import Listener
from dispatcher.problem import Severity
from dispatcher.rules import Network, Rule
from sip.uri import host_port
from sipdispatch.config import Proxy, Sections
from sipdispatch.toml_positions import KeyPath

LEAST_RATE = 10
"""Messages a second: fewer hold back a phone that takes a call while it registers."""
WIDEST_PUBLIC = {4: 16, 6: 32}
"""Prefix lengths, by IP version: a public network as wide as this holds more than one's own servers."""


@attrs.frozen
class Finding:
    """Something wrong or doubtful about the value at a key of the tree, or about the key itself."""

    at: KeyPath
    message: str
    hint: str
    severity: Severity = "error"
    of_key: bool = attrs.field(default=False, kw_only=True)


def findings(proxy: Proxy, advertise: tuple[str, int | None] | None) -> tuple[Finding, ...]:
    """Everything that is wrong between the keys of [proxy]; `advertise` is the section's own, not a listener's."""
    return (
        *_listeners(proxy.listen, advertised=advertise is not None),
        *_advertise(proxy.listen, advertise),
        *_core_networks(proxy.core_networks, proxy.listen),
        *_domains(proxy.domains),
        *_files(proxy),
        *_algorithms(proxy),
        *_rules(proxy.routes, proxy.listen),
        *_limits(proxy.limits),
    )


def section_findings(proxy: Proxy, sections: Sections) -> Iterator[Finding]:
    """What is wrong between the keys of the other sections, and between them and [proxy]."""
    health = sections.health
    if health.timeout > health.interval:
        yield Finding(
            ("health", "timeout"),
            f"a probe would wait {health.timeout:g} s, longer than the {health.interval:g} s until the next one",
            "write a timeout that is not longer than interval",
        )
    families = [":" in address for address in health.source]
    if len(set(families)) < len(families):
        yield Finding(
            ("health", "source"), "two addresses of one family", "write one IPv4 and one IPv6 address at most"
        )
    listening = {listener.address[0] for listener in proxy.listen}
    moving = None if sections.vrrp is None else {each.address for each in sections.vrrp.addresses}
    for index, address in enumerate(health.source):
        if moving is not None and address in moving:
            message = f"{address} is the virtual IP: the standby cannot probe from it"
        elif moving is None and address in listening and len(listening) > 1:
            message = f"{address} is a listener too: if it is the virtual IP, the standby cannot probe from it"
        else:
            continue
        yield Finding(
            ("health", "source", index), message, "write the node's own address, or leave source out", "warning"
        )


def _listeners(listen: Sequence[Listener], *, advertised: bool) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    named: dict[tuple[int, str, int], int] = {}
    for index, listener in enumerate(listen):
        at = ("proxy", "listen", index)
        first = seen.setdefault(str(listener), index)
        if first != index:
            yield Finding(at, f"{listener} stands twice, in listen[{first}] too", "leave one of them out")
            continue
        host, port = listener.advertised
        if listener.is_wildcard:
            if listener.advertise is None and not advertised:
                yield Finding(
                    at,
                    f"{listener} means the addresses that the node has when the proxy starts",
                    "list a virtual IP by its address as well, for it may come later",
                    "warning",
                )
            continue
        first = named.setdefault((listener.family, host, port), index)
        if first != index:
            yield Finding(
                at,
                f"listen[{first}] is advertised as {host_port((host, port))} too, so that what comes back cannot be"
                " told apart",
                "give each listener a name or a port of its own in advertise",
            )


def _advertise(listen: Sequence[Listener], advertise: tuple[str, int | None] | None) -> Iterator[Finding]:
    if advertise is None:
        return
    host, port = advertise
    at = ("proxy", "advertise")
    if len(listen) > 1:
        listener = listen[0]
        name = host if port is None else host_port((host, port))
        yield Finding(
            at,
            f"there are {len(listen)} listeners, and this names one",
            f'write it with its listener: listen = [{{ address = "{listener}", advertise = "{name}" }}, ...]',
        )
    elif listen and listen[0].advertise is not None:
        yield Finding(at, "the listener has an advertise of its own", "leave one of the two out")


def _core_networks(networks: Sequence[Network], listen: Sequence[Listener]) -> Iterator[Finding]:
    for index, network in enumerate(networks):
        at = ("proxy", "core_networks", index)
        wider = _holder(network, networks, index)
        if wider is not None:
            what = f"{network} stands twice" if wider == network else f"{network} is in {wider} already"
            yield Finding(at, what, "leave it out", "warning")
        if network.is_global and network.prefixlen <= WIDEST_PUBLIC[network.version]:
            yield Finding(
                at,
                f"every host in {network} counts as a server of yours and may send anywhere through the proxy",
                "write only the networks that your own servers are in",
                "warning",
            )
    hosts = [ip_address(listener.address[0]) for listener in listen if not listener.is_wildcard]
    if networks and hosts and all(any(host in network for network in networks) for host in hosts):
        yield Finding(
            ("proxy", "core_networks"),
            "every listener is inside these networks: phones there count as servers, and what they send to a domain"
            " that is not in domains is not dispatched but looked up and sent there",
            "write only the networks, or the single addresses, of your servers",
            "warning",
        )


def _holder(network: Network, networks: Sequence[Network], index: int) -> Network | None:
    """Another network of the list that has this one inside; of two equal ones the first."""
    for other_index, other in enumerate(networks):
        if other_index == index or other.version != network.version:
            continue
        holds = int(other.network_address) <= int(network.network_address) and int(network.broadcast_address) <= int(
            other.broadcast_address
        )
        if holds and (other != network or other_index < index):
            return other
    return None


def _domains(domains: Sequence[str]) -> Iterator[Finding]:
    for index, domain in enumerate(domains):
        if domain in domains[:index]:
            yield Finding(("proxy", "domains", index), f"{domain} stands twice", "leave it out", "warning")


def _files(proxy: Proxy) -> Iterator[Finding]:
    if proxy.list_path == proxy.secret_file:
        yield Finding(("proxy", "secret_file"), "the secret and the list are the same file", "name another file")
    if proxy.state_dir in {proxy.list_path, proxy.secret_file}:
        yield Finding(("proxy", "state_dir"), "the folder for state is the name of a file", "name another folder")


def _limits(limits: LimitPolicy) -> Iterator[Finding]:
    at = ("proxy", "limits")
    if limits.rate is None:
        for key, value in (("burst", limits.burst), ("ban_after", limits.ban_after)):
            if value is not None:
                yield Finding((*at, key), "there is no limit that this belongs to", "write rate, in messages a second")
    elif limits.rate < LEAST_RATE:
        yield Finding(
            (*at, "rate"),
            f"a call has seven messages and more, and {limits.rate} a second are few for a phone",
            f"write {LEAST_RATE} or more, and more yet where many phones share an address",
            "warning",
        )
    for index, network in enumerate(limits.allow):
        if network.prefixlen == 0:
            yield Finding(
                (*at, "allow", index), f"{network} is everybody: nobody is limited", "write smaller networks", "warning"
            )


def _algorithms(proxy: Proxy) -> Iterator[Finding]:
    used: list[tuple[KeyPath, Algorithm]] = [(("proxy", "algorithm"), proxy.algorithm)]
    for index, rule in enumerate(proxy.routes):
        if rule.algorithm is not None:
            used.append((("proxy", "route", index, "algorithm"), rule.algorithm))
    for at, algorithm in used:
        if not algorithm.soft:
            continue
        if proxy.recent_choices == 0:
            yield Finding(
                at,
                f"{algorithm} remembers its choices, and recent_choices = 0 leaves no room for them: a CANCEL would"
                " not find its INVITE",
                "leave recent_choices out, or write a keyed algorithm such as weight",
            )
        else:
            yield Finding(
                at,
                f"{algorithm} keeps a call's messages together by memory only: a transaction that is under way when"
                " the other node takes over may be lost",
                "write a keyed algorithm such as weight, unless you can live with that",
                "warning",
            )


def _rules(rules: Sequence[Rule], listen: Iterable[Listener]) -> Iterator[Finding]:
    listeners = {str(listener): listener for listener in listen}
    wildcards: set[tuple[int, int]] = {
        (listener.family, listener.address[1]) for listener in listeners.values() if listener.is_wildcard
    }
    unconditional: int | None = None
    for index, rule in enumerate(rules):
        at = ("proxy", "route", index)
        if rule.set_id is None and rule.algorithm is None:
            yield Finding(at, "the rule decides nothing", "write set, algorithm or both")
        yield from _rule_listeners(at, rule, listeners, wildcards)
        conditions = attrs.evolve(rule, set_id=None, algorithm=None)
        same = next(
            (i for i, r in enumerate(rules[:index]) if attrs.evolve(r, set_id=None, algorithm=None) == conditions), None
        )
        if unconditional is not None:
            yield Finding(
                at,
                f"the rule is never reached: route[{unconditional}] has no condition and matches everything",
                "put the rule without a condition last",
                "warning",
            )
        elif same is not None:
            yield Finding(
                at,
                f"the rule is never reached: route[{same}] has the same conditions, and the first match wins",
                "leave one of the two out",
                "warning",
            )
        if unconditional is None and rule.is_unconditional():
            unconditional = index


def _rule_listeners(
    at: KeyPath, rule: Rule, listeners: dict[str, Listener], wildcards: set[tuple[int, int]]
) -> Iterator[Finding]:
    for name in sorted(rule.listeners - listeners.keys()):
        family = 6 if "[" in name else 4
        if (family, int(name.rpartition(":")[2])) not in wildcards:
            yield Finding((*at, "listener"), f"{name} is not in listen", f"write one of {', '.join(sorted(listeners))}")
