"""Would this node's nftables let an advert in and out?

The rules are those of `nft -j list ruleset` (libnftables-json(5)), which has those of iptables-nft too.  What a rule
asks that cannot be answered beforehand, as a rate or a mark, leaves both ways open.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any, Final

import attrs

from sipdispatch.doctor_finding import Finding, ok, skipped, wrong
from vrrp.packet import GROUP_IPV4, GROUP_IPV6, PROTOCOL

_HOOKS: Final = {True: ("prerouting", "input"), False: ("output", "postrouting")}
"""Where a packet that comes in, or goes out, meets chains."""
_NUMBERS: Final = {"vrrp": PROTOCOL, "tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58}
_OWN_PROTOCOL: Final = ("tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "esp", "ah", "comp", "udplite", "igmp", "gre")
"""Headers that an advert does not have: a rule that looks into one is not about it."""


class Way(enum.Enum):
    """What can become of a packet at a rule or in a chain."""

    ACCEPT = "accept"
    DROP = "drop"
    ON = "on"
    """To the next rule."""
    BACK = "back"
    """To the chain that jumped here, or to the policy."""


_ACCEPT, _DROP, _ON, _BACK = (frozenset({way}) for way in (Way.ACCEPT, Way.DROP, Way.ON, Way.BACK))
_UNCLEAR: Final = frozenset({Way.ACCEPT, Way.DROP, Way.ON})
Ways = frozenset[Way]
Chain = tuple[str, str, str]
"""Family, table and name."""


@attrs.frozen(kw_only=True)
class Advert:
    """The packet: `source` None: it may be anybody's."""

    incoming: bool
    interface: str
    source: str | None
    destination: str

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.destination

    @property
    def is_multicast(self) -> bool:
        return self.destination in (GROUP_IPV4, GROUP_IPV6)


class Ruleset:
    """The tables of one network namespace."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        items = [item for item in document.get("nftables", ()) if isinstance(item, dict)]
        self._chains = [item["chain"] for item in items if "chain" in item]
        self._rules: dict[Chain, list[Sequence[Any]]] = {}
        for rule in (item["rule"] for item in items if "rule" in item):
            key = (rule.get("family", ""), rule.get("table", ""), rule.get("chain", ""))
            self._rules.setdefault(key, []).append(rule.get("expr", ()))
        self._sets = {
            (each.get("family"), each.get("table"), each.get("name")): each.get("elem", ())
            for item in items
            for each in (item.get("set"), item.get("map"))
            if isinstance(each, dict)
        }

    def judge(self, advert: Advert) -> Iterator[tuple[str, Ways]]:
        """Each base chain that an advert meets, as people call it, and what can become of it there."""
        families = ("inet", "ip6" if advert.is_ipv6 else "ip")
        for chain in self._chains:
            if chain.get("hook") not in _HOOKS[advert.incoming] or chain.get("family") not in families:
                continue
            if chain.get("type") == "nat":
                continue
            key = (chain["family"], chain["table"], chain["name"])
            ways = self._walk(key, advert, {})
            policy = _DROP if chain.get("policy") == "drop" else _ACCEPT
            told = frozenset(ways - _BACK) | (policy if Way.BACK in ways else frozenset())
            yield " ".join(key), told

    def _walk(self, key: Chain, advert: Advert, walked: dict[Chain, Ways]) -> Ways:
        """What can become of the advert in a chain; each is walked once, and one that is in itself leaves all open."""
        if key in walked:
            return walked[key]
        walked[key] = _UNCLEAR
        walked[key] = self._through(key, advert, walked)
        return walked[key]

    def _through(self, key: Chain, advert: Advert, walked: dict[Chain, Ways]) -> Ways:
        found: set[Way] = set()
        for expressions in self._rules.get(key, ()):
            is_match, ways = self._rule(key, expressions, advert, walked)
            if is_match is False:
                continue
            found |= ways - _ON
            if is_match and Way.ON not in ways:
                return frozenset(found)
        return frozenset(found) | _BACK

    def _rule(
        self, key: Chain, expressions: Iterable[Any], advert: Advert, walked: dict[Chain, Ways]
    ) -> tuple[bool | None, Ways]:
        """Whether a rule is about the advert, None if that is not known; and what it then does."""
        is_match: bool | None = True
        for expression in expressions:
            ((name, value),) = (
                expression.items() if isinstance(expression, dict) and len(expression) == 1 else ((None, None),)
            )
            if name == "match":
                said = self._match(key, value, advert)
                if said is False:
                    return False, _ON
                is_match = None if said is None else is_match
            elif name in ("limit", "quota", "xt", "ct count", "meter", None):
                is_match = None
                if name == "xt":
                    return None, _UNCLEAR
            elif name == "vmap":
                return self._map(key, value, advert, walked, is_match=is_match)
            else:
                ways = self._verdict(key, expression, advert, walked)
                if ways is not None:
                    return is_match, ways
        return is_match, _ON

    def _verdict(
        self, key: Chain, expression: Mapping[str, Any], advert: Advert, walked: dict[Chain, Ways]
    ) -> Ways | None:
        ((name, value),) = expression.items()
        match name:
            case "accept":
                return _ACCEPT
            case "drop" | "reject":
                return _DROP
            case "queue":
                return _UNCLEAR
            case "return":
                return _BACK
            case "jump" | "goto":
                ways = self._walk((*key[:2], value.get("target", "")), advert, walked)
                if Way.BACK not in ways:
                    return ways
                return (ways - _BACK) | (_ON if name == "jump" else _BACK)
            case _:
                return None

    def _map(
        self, key: Chain, value: Any, advert: Advert, walked: dict[Chain, Ways], *, is_match: bool | None
    ) -> tuple[bool | None, Ways]:
        data = value.get("data")
        pairs = self._sets.get((*key[:2], data[1:]), ()) if isinstance(data, str) else (data or {}).get("set", ())
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2:
                continue
            said = self._match(key, {"op": "==", "left": value.get("key"), "right": pair[0]}, advert)
            if said is None:
                return None, _UNCLEAR
            if said:
                ways = self._verdict(key, pair[1], advert, walked)
                return is_match, _ON if ways is None else ways
        return False, _ON

    def _match(self, key: Chain, match: Any, advert: Advert) -> bool | None:
        if not isinstance(match, dict):
            return None
        left, right, operation = match.get("left"), match.get("right"), match.get("op", "==")
        value = _value_of(left, advert)
        if value is _NOT_THERE:
            return False
        if value is None:
            return None
        if isinstance(right, str) and right.startswith("@"):
            right = {"set": list(self._sets.get((*key[:2], right[1:]), ()))}
        if operation in ("<", ">", "<=", ">="):
            return _compare(value, operation, right)
        said = _is_in(value, right)
        return None if said is None else said is (operation != "!=")


_NOT_THERE: Final = object()
"""The packet has no such field, so that the rule is not about it."""


def _value_of(left: Any, advert: Advert) -> Any:
    """What stands in the packet; None if that is not known beforehand."""
    ((name, value),) = left.items() if isinstance(left, dict) and len(left) == 1 else (("", {}),)
    if not isinstance(value, dict):
        return None
    match name:
        case "meta":
            return _meta(value.get("key"), advert)
        case "payload":
            return _payload(value.get("protocol"), value.get("field"), advert)
        case "fib" if value.get("result") == "type" and value.get("flags") == ["daddr"]:
            return ("multicast" if advert.is_multicast else "local") if advert.incoming else None
        case "ct" if value.get("key") == "state":
            return "new" if advert.is_multicast else None
        case _:
            return None


def _meta(key: Any, advert: Advert) -> Any:
    here = advert.interface
    return {
        "l4proto": PROTOCOL,
        "iifname": here if advert.incoming else "",
        "iif": here if advert.incoming else "",
        "oifname": "" if advert.incoming else here,
        "oif": "" if advert.incoming else here,
        "nfproto": "ipv6" if advert.is_ipv6 else "ipv4",
        "protocol": "ip6" if advert.is_ipv6 else "ip",
        "pkttype": "multicast" if advert.is_multicast else "host",
    }.get(key)


def _payload(protocol: Any, field: Any, advert: Advert) -> Any:
    if protocol in _OWN_PROTOCOL or protocol == ("ip" if advert.is_ipv6 else "ip6"):
        return _NOT_THERE
    if protocol not in ("ip", "ip6"):
        return None
    return {
        "saddr": advert.source,
        "daddr": advert.destination,
        "ttl": 255,
        "hoplimit": 255,
        "protocol": PROTOCOL,
        "nexthdr": PROTOCOL,
    }.get(field)


def _is_in(value: Any, right: Any) -> bool | None:
    match right:
        case list():
            return _any(_is_in(value, each) for each in right)
        case {"set": elements}:
            return _any(_is_in(value, each) for each in (elements if isinstance(elements, list) else [elements]))
        case {"elem": {"val": element}}:
            return _is_in(value, element)
        case {"prefix": {"addr": address, "len": length}}:
            return _in_network(value, f"{address}/{length}")
        case {"range": [low, high]}:
            return _any((_between(value, low, high),))
        case str() | int():
            return _is_same(value, right)
        case _:
            return None


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    if True in known:
        return True
    return None if None in known else False


def _is_same(value: Any, right: str | int) -> bool:
    if isinstance(value, int):
        return str(value) == str(_NUMBERS.get(str(right), right))
    one, other = _address(value), _address(right)
    if one is not None and other is not None:
        return bool(one == other)
    return str(value) == str(right) or (str(right).endswith("*") and fnmatchcase(str(value), str(right)))


def _in_network(value: Any, network: str) -> bool | None:
    address = _address(value)
    try:
        return None if address is None else address in ip_network(network, strict=False)
    except ValueError:
        return None


def _between(value: Any, low: Any, high: Any) -> bool | None:
    if isinstance(value, int):
        return _NUMBERS.get(low, low) <= value <= _NUMBERS.get(high, high) if _are_numbers(low, high) else None
    own, least, most = _address(value), _address(low), _address(high)
    if own is None or least is None or most is None or len({own.version, least.version, most.version}) > 1:
        return None
    return int(least) <= int(own) <= int(most)


def _compare(value: Any, operation: str, right: Any) -> bool | None:
    if not isinstance(value, int) or not isinstance(right, int):
        return None
    answers: dict[str, bool] = {"<": value < right, ">": value > right, "<=": value <= right, ">=": value >= right}
    return answers[operation]


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(each, int) or each in _NUMBERS for each in values)


def _address(value: Any) -> Any:
    try:
        return ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


# --------------------------------------------------------------------------------------------------------------------
# Findings


def firewall_findings(ruleset: Ruleset, adverts: Sequence[Advert]) -> Iterator[Finding]:
    """One for what comes in and one for what goes out."""
    for incoming in (True, False):
        name = "adverts in" if incoming else "adverts out"
        own = [advert for advert in adverts if advert.incoming is incoming]
        met = [(advert, chain, ways) for advert in own for chain, ways in ruleset.judge(advert)]
        blocked = next((each for each in met if Way.ACCEPT not in each[2]), None)
        if blocked is not None:
            advert, chain, _ = blocked
            yield wrong(
                name,
                f"nftables drops protocol 112 in the chain {chain}, {_words(advert)}",
                f"nft insert rule {chain} {'ip6 nexthdr' if advert.is_ipv6 else 'ip protocol'} 112 accept, and the "
                "same in the file that the rules come from",
            )
        elif any(Way.DROP in ways for _, _, ways in met):
            chain = next(chain for _, chain, ways in met if Way.DROP in ways)
            yield skipped(name, f"whether the chain {chain} of nftables lets adverts pass is not to be seen beforehand")
        else:
            yield ok(name, f"nftables lets protocol 112 pass, {len({chain for _, chain, _ in met})} chains looked at")


def _words(advert: Advert) -> str:
    who = advert.source or "anybody"
    return f"from {who} to {advert.destination} on {advert.interface}"
