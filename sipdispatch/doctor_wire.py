"""What do the frames on the network say about this pair: who speaks, who has the address, who else has its number?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from sipdispatch.doctor_finding import Finding, look, ok, skipped, wrong
from vrrp.datagram import Datagram
from vrrp.frames import ETHERTYPE_IPV6, Claim
from vrrp.packet import PROTOCOL, canonical
from vrrp.reception import Heard, Reception
from vrrp.refusal import Refusal

_ETHERTYPE_IPV4: Final = 0x0800
_ETHERNET_BYTES: Final = 14
_IPV6_BYTES: Final = 40
_REMEDIES: Final[Mapping[Refusal, str]] = {
    Refusal.STRANGER: "write it into peers, or find out who it is",
    Refusal.TTL: "write least_ttl if there are routers between the nodes, else find out who it is",
    Refusal.CHECKSUM: "look for what changes packets on the way; in unicast, keepalived up to 1.3.6 needs an update",
    Refusal.HMAC_STALE: "compare the clocks of both nodes (date), and let chrony or ntpd run on both",
    Refusal.HMAC_MISSING: "give the other node the keys, or write keys_enforced = false for the change",
    Refusal.HMAC_KEY: "write the same keys on both nodes, and sign with one that both have",
    Refusal.HMAC_WRONG: "write the same keys on both nodes",
    Refusal.AUTH_TYPE: "write authentication PASS, or none, on the other node",
}
_AGREE: Final = "write the same on both nodes, and reload both"
_FIELDS: Final[Mapping[str, str]] = {
    "addresses": "write the same addresses on both nodes; if the others are not yours at all, take another vrid",
    "hmac": "write keys_file on both nodes, then leave keys_enforced = false out",
    "password": "write the same password on both nodes; keepalived takes the first 8 bytes",
}


@attrs.frozen
class Overheard:
    """An advert as it came by: `hardware` is the Ethernet address it left from, `wall` Unix time."""

    datagram: Datagram
    hardware: str
    wall: float

    @property
    def vrid(self) -> int:
        """The number of its virtual router; 0 if it is too short for one."""
        return int(self.datagram.data[1]) if len(self.datagram.data) > 1 else 0


def read_frame(frame: bytes) -> tuple[Datagram, str] | None:
    """The advert in an Ethernet frame and where it left from; None: there is none in it."""
    ethertype, packet = int.from_bytes(frame[12:14], "big"), frame[_ETHERNET_BYTES:]
    datagram = None
    if ethertype == _ETHERTYPE_IPV4 and len(packet) >= 20 and packet[0] >> 4 == 4 and packet[9] == PROTOCOL:
        header, whole = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4], "big")
        is_fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
        if not is_fragment:
            source, destination = canonical(packet[12:16]), canonical(packet[16:20])
            datagram = Datagram(packet[header:whole], source, destination, packet[8])
    elif ethertype == ETHERTYPE_IPV6 and len(packet) >= _IPV6_BYTES and packet[6] == PROTOCOL:
        whole = _IPV6_BYTES + int.from_bytes(packet[4:6], "big")
        source, destination = canonical(packet[8:24]), canonical(packet[24:40])
        datagram = Datagram(packet[_IPV6_BYTES:whole], source, destination, packet[7])
    return None if datagram is None else (datagram, frame[6:12].hex(":"))


@attrs.frozen(kw_only=True)
class Observation:
    """What was seen in `seconds`: frames of others, what came through this node's firewall, and claims by address."""

    seconds: float
    frames: tuple[Overheard, ...] = ()
    passed: frozenset[str] = frozenset()
    """The senders whose adverts a socket of this node has received."""
    claims: tuple[Claim, ...] = ()
    unsent: str | None = None
    """Why an advert to the group does not get out; empty: it does; None: not tried, for there are peers only."""


@attrs.frozen(kw_only=True)
class Here:
    """This node: `state` is the agent's, None if it does not run; `held` are virtual addresses that are set here."""

    vrid: int
    priority: int
    source: str
    addresses: frozenset[str]
    state: str | None = None
    held: frozenset[str] = frozenset()
    has_heard: bool = False
    """Whether the running agent has heard a peer."""


def wire_findings(seen: Observation, here: Here, reception: Reception) -> Iterator[Finding]:
    """Everything that the network says."""
    ours = [each for each in seen.frames if each.vrid == here.vrid and _is_for_us(each, here)]
    judged = [(each, _judge(each, reception)) for each in ours]
    heard = [(each, said) for each, said in judged if isinstance(said, Heard)]
    yield from _peer(seen, here, heard, refused=len(judged) > len(heard))
    yield from _blocked(seen, ours)
    yield from _unsent(seen)
    yield from _refused(judged)
    yield from _vrid(seen, here, ours, heard)
    yield from _agreement(heard)
    yield from _owners(here, heard)
    yield from _claims(seen, here, frozenset(each.hardware for each in ours))


def _is_for_us(each: Overheard, here: Here) -> bool:
    return (":" in each.datagram.source) is (":" in here.source)


def _judge(each: Overheard, reception: Reception) -> Heard | Refusal:
    datagram = each.datagram
    return reception.judge(
        datagram.data, source=datagram.source, destination=datagram.destination, ttl=datagram.ttl, wall=each.wall
    )


def _peer(
    seen: Observation, here: Here, heard: Sequence[tuple[Overheard, Heard]], *, refused: bool
) -> Iterator[Finding]:
    senders = dict.fromkeys(each.datagram.source for each, _ in heard)
    if senders:
        for sender in senders:
            priority, interval = next(
                (said.advert.priority, said.advert.interval)
                for each, said in reversed(heard)
                if each.datagram.source == sender
            )
            yield ok(
                "peer", f"{sender} speaks for virtual router {here.vrid}, priority {priority}, every {interval:g} s"
            )
    elif here.state == "active" and here.has_heard:
        yield ok("peer", "it is silent, as the backup has to be: this node is active, and has heard it before")
    elif here.state == "active":
        yield skipped(
            "peer",
            "this node is active and has never heard another one: a backup is silent",
            "run sipdispatch vrrp doctor on the other node: only there it is to be seen whether it hears this one",
        )
    elif not refused:
        yield look(
            "peer",
            f"nobody was heard for virtual router {here.vrid} within {seen.seconds:g} s",
            "start the agent on the other node; if it is active there, look at its firewall, at the VLAN and the "
            "interface, and at the switch: what drops multicast needs peers",
        )


def _blocked(seen: Observation, ours: Sequence[Overheard]) -> Iterator[Finding]:
    """What the frames show and no socket has received, this node's firewall has dropped."""
    there = dict.fromkeys(each.datagram.source for each in ours)
    blocked = [sender for sender in there if sender not in seen.passed]
    if blocked:
        yield wrong(
            "live adverts in",
            f"adverts of {', '.join(blocked)} reach this node and are dropped by it",
            "let protocol 112 in: nft list ruleset, iptables -S; or look at rp_filter, if its address is of another "
            "network",
        )
    elif there:
        yield ok("live adverts in", "what reaches this node reaches its agent too")
    else:
        yield skipped("live adverts in", "no advert came by to try it with")


def _unsent(seen: Observation) -> Iterator[Finding]:
    if seen.unsent:
        yield wrong(
            "live adverts out",
            f"an advert cannot be sent: {seen.unsent.lower()}",
            "let protocol 112 out: nft list ruleset, iptables -S OUTPUT",
        )
    elif seen.unsent is not None:
        yield ok("live adverts out", "an advert gets out of this node")


def _refused(judged: Sequence[tuple[Overheard, Heard | Refusal]]) -> Iterator[Finding]:
    reasons = dict.fromkeys(
        (each.datagram.source, said) for each, said in judged if isinstance(said, Refusal) and not said.expected
    )
    for source, reason in reasons:
        yield wrong(
            "refused",
            f"an advert of {source} is not listened to: {reason.sentence}",
            _REMEDIES.get(reason, "find out what sends it"),
        )


def _vrid(
    seen: Observation, here: Here, ours: Sequence[Overheard], heard: Sequence[tuple[Overheard, Heard]]
) -> Iterator[Finding]:
    strangers = dict.fromkeys(
        (each.datagram.source, " ".join(said.advert.addresses))
        for each, said in heard
        if not here.addresses & set(said.advert.addresses)
    )
    for source, addresses in strangers:
        yield wrong(
            "vrid",
            f"{source} uses the number {here.vrid} for {addresses}: that is another pair",
            f"take a vrid that is free here, such as {_free(seen)}, on both nodes",
        )
    others = sorted({each.vrid for each in seen.frames if each not in ours and each.vrid})
    if not strangers:
        told = f"; others on this network: {', '.join(map(str, others))}" if others else ""
        yield ok("vrid", f"nobody else uses the number {here.vrid}{told}")


def _free(seen: Observation) -> int:
    taken = {each.vrid for each in seen.frames}
    numbers: Sequence[int] = (*range(100, 256), *range(1, 100))
    return next((number for number in numbers if number not in taken), 0)


def _agreement(heard: Sequence[tuple[Overheard, Heard]]) -> Iterator[Finding]:
    found = dict.fromkeys(
        (each.datagram.source, mismatch.field, mismatch.ours, mismatch.theirs)
        for each, said in heard
        for mismatch in said.mismatches
    )
    for source, field, ours, theirs in found:
        yield wrong("agreement", f"{source} has another {field}: {theirs}; here {ours}", _FIELDS.get(field, _AGREE))
    if heard and not found:
        yield ok("agreement", "version, interval and addresses are the same on both nodes")


def _owners(here: Here, heard: Sequence[tuple[Overheard, Heard]]) -> Iterator[Finding]:
    last = {each.datagram.source: said.advert.priority for each, said in heard}
    active = [source for source, priority in last.items() if priority]
    if here.state == "active" and active:
        yield wrong(
            "owners",
            f"this node is active, and {', '.join(active)} too: they do not hear each other",
            "look at the firewall of both nodes, and run sipdispatch vrrp doctor there",
        )
    elif len(active) > 1:
        yield wrong(
            "owners",
            f"several nodes are active: {', '.join(active)}",
            "look at the firewall of both: they do not hear each other, or two pairs have the same vrid",
        )
    for source, priority in last.items():
        if priority == here.priority:
            yield look(
                "priority",
                f"{source} has the priority {priority}, as this node: whoever is first stays active",
                "write a higher one on the node that shall have the address, unless that is meant",
            )


# --------------------------------------------------------------------------------------------------------------------
# Who has the address


def _claims(seen: Observation, here: Here, speakers: frozenset[str]) -> Iterator[Finding]:
    """What the answers to ARP probes and neighbour solicitations say."""
    for address in sorted(here.addresses):
        claimed = sorted({claim.hardware.hex(":") for claim in seen.claims if claim.address == address})
        who = ", ".join(claimed)
        if address in here.held:
            yield _held(address, here, who)
        elif not claimed:
            yield _nobody(address, here, is_spoken_for=bool(speakers))
        elif len(claimed) > 1:
            yield wrong("address", f"{address} has several owners: {who}", "find out which of them is not of this pair")
        elif claimed[0] in speakers:
            yield ok("address", f"the other node has {address}, at {who}")
        else:
            yield wrong(
                "address",
                f"{who} has {address} and sends no adverts for it",
                "take the address from that device, or find out whose agent was killed: sipdispatch vrrp cleanup there",
            )


def _held(address: str, here: Here, claimants: str) -> Finding:
    if claimants:
        return wrong(
            "address",
            f"this node has {address}, and {claimants} says that it has it too",
            "find out whose hardware address that is, and take the address from it",
        )
    if here.state == "active":
        return ok("address", f"this node has {address}, and nobody else")
    return wrong(
        "address",
        f"this node has {address}, but its agent {'is ' + here.state if here.state else 'does not run'}",
        "take it out of the system's network configuration, stop keepalived, or run sipdispatch vrrp cleanup",
    )


def _nobody(address: str, here: Here, *, is_spoken_for: bool) -> Finding:
    if here.state == "active":
        return wrong(
            "address",
            f"this node is active and does not have {address}",
            "see what removes it: sipdispatch vrrp events, systemd-networkd, NetworkManager",
        )
    if is_spoken_for:
        return look(
            "address",
            f"somebody speaks for {address}, and nobody answers for it",
            "look at the other node: ip address, sipdispatch vrrp status",
        )
    return ok("address", f"nobody has {address}")


def here_of(status: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the agent's status says of this node."""
    if status is None:
        return {"state": None, "has_heard": False}
    return {"state": status["state"], "has_heard": bool(status["peers"])}
