"""Which addresses does a name stand for (RFC 3263 without NAPTR), and so which destinations does the list have?

What was decided where RFC 3263 leaves it to the application:

- A host name stands for all its addresses, and each of them is a destination of its own.
- A numeric host is itself.  A host with a port has A and AAAA records only.  A host without one is asked for SRV
  (`_sip._udp.NAME`) first; when there are none, A and AAAA count with the transport's default port.
- Every target of the SRV records is kept.  Their priority and weight give the order, not shares: shares are the list's
  business (`weight=`, `priority=` of the entry hold for each of its addresses), and a target that only takes part when
  others are down is found out by probing, not by DNS.  A warning says so when the records differ in that.
- The order of addresses is by value, never the order of an answer: servers rotate their answers, and two nodes must
  agree.
- What cannot be sent to (unspecified, multicast, broadcast, IPv4 in IPv6) is left out: 0.0.0.0 from a DNS server that
  blocks a name would be this node itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import cast

import attrs

from dispatcher.destination import Destination, Entry, Transport
from dispatcher.problem import Problem
from dispatcher.steps import Steps, stepwise
from sip.reason import Reason
from sip.uri import Address, host_port, numeric

MAX_ADDRESSES = 64
"""Of one name; Kamailio takes 32.  An answer with more is a mistake or an attack."""
MAX_TARGETS = 32
"""SRV targets of one name that are looked up."""
MAX_TTL_S = 3600.0
MIN_TTL_S = 5.0

FAMILIES = frozenset({4, 6})

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}
_SRV_LABELS = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
# RFC 1035 2.3.4: a label has at most 63 octets; RFC 3261 25.1: the last one is no number.
_NAME = re.compile(r"(?!.{254})(?:[a-z0-9_-]{1,63}\.)*(?![0-9]+$)[a-z0-9_-]{1,63}")


class FailureKind(Reason):
    """Why a name has no address."""

    NO_SUCH_NAME = ("no_such_name", "the DNS does not know the name")
    NO_ADDRESS = ("no_address", "the name has no A or AAAA record")
    NOT_OFFERED = ("not_offered", "its SRV record says that there is no such service")
    UNUSABLE = ("unusable", "its records have no address that a message can be sent to")
    TIMEOUT = ("timeout", "the name servers do not answer")
    SERVER_FAILURE = ("server_failure", "the name servers answer with an error")
    NO_RESOLVER = ("no_resolver", "no name server is configured")
    NO_LIBRARY = ("no_library", "the DNS library cannot be loaded: install it again, then restart the program")
    BAD_NAME = ("bad_name", "it is not a host name")
    TOO_MANY = ("too_many", "there are too many names")
    PENDING = ("pending", "it is still being looked up")

    @property
    def is_answer(self) -> bool:
        """Whether the DNS said so, in contrast to a resolver that does not work."""
        return self in _ANSWERS


_ANSWERS = frozenset({FailureKind.NO_SUCH_NAME, FailureKind.NO_ADDRESS, FailureKind.NOT_OFFERED, FailureKind.UNUSABLE})


@attrs.frozen
class Lookup:
    """A question: which addresses has this host for this transport?  Made by `lookup`, so that equal is the same."""

    host: str
    port: int | None
    transport: str

    @property
    def address(self) -> Address | None:
        """The answer when there is nothing to ask: the host is numeric."""
        host = numeric(self.host)
        return None if host is None else (host, self.asked_port)

    @property
    def asked_port(self) -> int:
        """The port of A and AAAA answers: the one written, else the transport's (RFC 3261 19.1.2, RFC 7118)."""
        return _DEFAULT_PORTS.get(self.transport, 5060) if self.port is None else self.port

    @property
    def is_name(self) -> bool:
        """Whether the host can be a name in the DNS at all."""
        return _NAME.fullmatch(self.host) is not None

    def srv_name(self, host: str) -> str | None:
        """Where the SRV records of `host` are (RFC 3263 4.2); None when a port is written or none are defined."""
        label = _SRV_LABELS.get(self.transport)
        return None if self.port is not None or label is None else f"{label}.{host}"

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.host}{port};transport={self.transport}"


def lookup(host: str, port: int | None, transport: str) -> Lookup:
    """The question in its one spelling: lower case, no final dot, canonical numeric host."""
    host = host.lower().removesuffix(".")
    return Lookup(numeric(host) or host, port, transport.lower())


def lookup_of(entry: Entry) -> Lookup:
    """The question that a line of the list puts."""
    return lookup(entry.target.host, entry.target.port, entry.target.transport)


@attrs.frozen(order=True)
class Srv:
    """One SRV record (RFC 2782); `target` is a host name in lower case without the final dot, "" is no service."""

    priority: int
    weight: int
    port: int
    target: str


@attrs.frozen
class Failure:
    """A name that has no address now; `detail` is what the resolver said, for the log."""

    kind: FailureKind
    detail: str = attrs.field(default="", eq=False)


@attrs.frozen(kw_only=True)
class Found:
    """What A and AAAA said of one host name.

    `missing` are the families (4, 6) of which nothing is known because that query failed, `failure` is how the last
    unsuccessful one ended.
    """

    hosts: tuple[str, ...] = ()
    ttl_s: float = MAX_TTL_S
    missing: frozenset[int] = frozenset()
    failure: Failure | None = None


@attrs.frozen(kw_only=True)
class Answer:
    """The addresses of a name in the order of preference, and for how many seconds that holds.

    `srv` are the records it was made of, in order.  `missing` and `failure` as in Found: of these families the last
    answer's addresses stay.  `left_out` counts addresses past MAX_ADDRESSES.
    """

    addresses: tuple[Address, ...]
    ttl_s: float = MAX_TTL_S
    srv: tuple[Srv, ...] = ()
    missing: frozenset[int] = frozenset()
    failure: Failure | None = None
    left_out: int = 0


def bounded_ttl(ttl_s: float) -> float:
    """A record's time to live between 5 s, so that nobody can make us ask all the time, and an hour."""
    return min(max(ttl_s, MIN_TTL_S), MAX_TTL_S)


def ordered(records: Iterable[Srv]) -> tuple[Srv, ...]:
    """SRV records as they are used: low priority number first, then high weight; at most MAX_TARGETS."""
    return tuple(sorted(set(records), key=lambda srv: (srv.priority, -srv.weight, srv.target, srv.port))[:MAX_TARGETS])


def answer_from(asked: Lookup, found: Found) -> Answer | Failure:
    """The answer that A and AAAA records alone give."""
    return _answer([(asked.asked_port, found)], ())


def answer_from_srv(records: tuple[Srv, ...], found: Mapping[str, Found], ttl_s: float) -> Answer | Failure:
    """The answer that ordered SRV records give, with what was found for each of their targets.

    `ttl_s` is that of the SRV records.
    """
    if not any(record.target for record in records):
        return Failure(FailureKind.NOT_OFFERED)
    targets = [(record.port, found[record.target]) for record in records if record.target and record.port]
    return _answer([*targets, (0, Found(ttl_s=ttl_s))], records)


def _answer(targets: list[tuple[int, Found]], srv: tuple[Srv, ...]) -> Answer | Failure:
    distinct = dict.fromkeys((host, port) for port, found in targets for host in _in_order(found.hosts))
    addresses = tuple(address for address in distinct if can_be_sent_to(address[0]))
    failures = [found.failure for _, found in targets if found.failure is not None]
    # A resolver that failed for one target says more than another target's lack of records.
    broken = [failure for failure in failures if not failure.kind.is_answer]
    if not addresses:
        if distinct:
            return Failure(FailureKind.UNUSABLE)
        return (broken or failures or [Failure(FailureKind.NO_ADDRESS)])[0]
    return Answer(
        addresses=addresses[:MAX_ADDRESSES],
        ttl_s=bounded_ttl(min(found.ttl_s for _, found in targets)),
        srv=srv,
        missing=frozenset().union(*(found.missing for _, found in targets)),
        failure=broken[0] if broken else None,
        left_out=max(0, len(addresses) - MAX_ADDRESSES),
    )


def _in_order(hosts: Iterable[str]) -> list[str]:
    return [str(ip) for ip in sorted((ip_address(host) for host in hosts), key=lambda ip: (ip.version, ip.packed))]


@lru_cache(maxsize=8192)
def can_be_sent_to(host: str) -> bool:
    """Whether a numeric host is the address of one node."""
    ip = ip_address(host)
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped is not None or ip.scope_id is not None):
        return False
    return not (ip.is_unspecified or ip.is_multicast or host == "255.255.255.255")


@stepwise
def expand(
    entries: Iterable[Entry],
    answers: Mapping[Lookup, Answer | Failure],
    *,
    path: str = "",
    families: frozenset[int] = FAMILIES,
    own: Collection[Address] = (),
) -> Steps[tuple[tuple[Destination, ...], tuple[Problem, ...]]]:
    """The destinations that entries stand for, in the order of the list, and what is doubtful about them (warnings).

    `families` are those that there are listeners for, `own` the listeners' addresses: a message sent there would come
    back.  An entry without an answer, or whose answer is a failure, has no destination for now.  Never raises.
    """
    destinations: list[Destination] = []
    problems: list[Problem] = []
    taken: dict[tuple[int, Address, str], Entry] = {}
    for entry in entries:
        asked = lookup_of(entry)
        numeric_address = asked.address
        answer = (
            answers.get(asked, Failure(FailureKind.PENDING))
            if numeric_address is None
            else Answer(addresses=(numeric_address,))
        )
        doubts = list(_doubts(asked, answer, families))
        for address in _reachable(answer, families):
            first = taken.setdefault((entry.set_id, address, asked.transport), entry)
            if first is not entry:
                doubts.append(
                    (
                        f"{_what(asked, address)} is already in set {entry.set_id} by line {first.line}",
                        "remove one of the two",
                    )
                )
            elif address in own:
                doubts.append((f"{_what(asked, address)} is this proxy itself", "remove the line"))
            else:
                transport = cast("Transport", asked.transport)
                destinations.append(Destination(entry=entry, address=address, transport=transport))
        problems += (
            Problem(path, entry.line, 1, severity="warning", message=message, hint=hint) for message, hint in doubts
        )
        yield
    return tuple(destinations), tuple(problems)


def _reachable(answer: Answer | Failure, families: frozenset[int]) -> list[Address]:
    if isinstance(answer, Failure):
        return []
    return [address for address in answer.addresses if can_be_sent_to(address[0]) and _family(address) in families]


def _family(address: Address) -> int:
    return 6 if ":" in address[0] else 4


def _what(asked: Lookup, address: Address) -> str:
    """How an address is said: with the name that it came from."""
    return host_port(address) if asked.address is not None else f"{asked.host}, that is {host_port(address)},"


def _doubts(asked: Lookup, answer: Answer | Failure, families: frozenset[int]) -> Iterable[tuple[str, str]]:
    """(message, hint) for what a person would want to know of this answer."""
    if isinstance(answer, Failure):
        yield (
            f"no destination for {asked.host} now: {answer.kind.sentence}",
            "correct the name, or write an address; it is looked up again and again",
        )
        return
    found = {_family(address) for address in answer.addresses if can_be_sent_to(address[0])}
    if not found:
        yield f"nothing can be sent to {asked.host}", "write the address of one server"
    elif found.isdisjoint(families):
        family = min(found)
        yield f"{asked.host} has only IPv{family} and no listener has", f"add a listener with an IPv{family} address"
    if answer.left_out:
        yield f"{asked.host} has {answer.left_out} addresses too many", f"name at most {MAX_ADDRESSES} addresses"
    if len({(record.priority, record.weight) for record in answer.srv}) > 1:
        said = f"priorities or weights in the SRV records of {asked.host} do not count, all its addresses are equal"
        yield said, "list the targets one by one with weight= and priority="
