"""A town with honest phones, a server, and Mallory at the edge, who has seen every token and branch that he can."""

from __future__ import annotations

from ipaddress import ip_network

import attrs

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Drop, Forward, Outcome, Reply
from dispatcher.snapshot import Policy
from sip.uri import Address, host_port
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    VIP6,
    Dialog,
    Node,
    make_snapshot,
    request,
    set_up,
    values,
)

VICTIM = PHONE
MALLORY: Address = ("203.0.113.66", 5060)
TRUNK: Address = ("203.0.113.20", 5060)
HIDDEN: Address = ("10.7.0.77", 5060)
"""In core_networks, not in the list: a database, say."""
LISTENERS = (VIP, Listener("udp", ("192.0.2.2", 5080), ("sip.example.net", 5060)), VIP6)
POLICY = Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)), core_networks=(ip_network("10.7.0.0/16"),))
NAMES = {
    "victim.example.org": (VICTIM,),
    "vip.example.org": (VIP.address,),
    "hidden.example.org": (HIDDEN,),
    "10.0.0.11.": (VICTIM,),
}


@attrs.frozen(kw_only=True)
class Harvest:
    """What Mallory knows."""

    dialogs: dict[str, Dialog]
    """victim: the victim has called a server.  own: so has Mallory.  called: a server has called Mallory.
    trunk: a server has called a trunk.  hidden: one of the core that is not in the list has called Mallory."""
    paths: dict[str, str]
    """Path of the registrations of the victim and of Mallory."""
    stacks: dict[str, tuple[str, ...]]
    """The Via values of requests that have left us, by who sent them; all of them genuine."""
    came_from: dict[str, Address]
    """Where the reply to each of those belongs."""

    @property
    def tokens(self) -> tuple[tuple[str, Address, Address], ...]:
        """Every token (the user part of its URI), with the core end and the edge end of its call."""
        found = []
        for dialog in self.dialogs.values():
            core, edge = sorted((dialog.caller, dialog.callee), key=lambda end: not end[0].startswith("10."))
            found += [(user_of(value), core, edge) for value in dialog.record_routes]
        found.append((user_of(self.paths["victim"]), SERVER_A, VICTIM))
        found.append((user_of(self.paths["mallory"]), SERVER_A, MALLORY))
        return tuple(found)


def user_of(name_addr: str) -> str:
    """The user part of a URI in angle brackets."""
    return name_addr.removeprefix("<sip:").partition("@")[0]


def town(*servers: Address) -> Node:
    return Node(
        make_snapshot(*(servers or (SERVER_A, SERVER_B)), listeners=LISTENERS, policy=POLICY), names=dict(NAMES)
    )


def harvest() -> Harvest:
    """Let calls and registrations go through the town, each with a Call-ID and a tag of its own."""
    here = town(SERVER_A)

    def call(name: str, caller: Address, uri: str = "sip:8006@192.0.2.1", arrival: int = 0) -> Dialog:
        via = "192.168.1.5" if caller == VICTIM else host_port(caller)
        invite = request(uri=uri, via=via, call_id=name, from_tag=name)
        return set_up(here, invite, caller, arrival)

    dialogs = {
        "victim": call("victim", VICTIM),
        "own": call("own", MALLORY),
        "called": call("called", SERVER_A, f"sip:m@{host_port(MALLORY)}"),
        "trunk": call("trunk", SERVER_A, f"sip:t@{host_port(TRUNK)}", 1),
        "hidden": call("hidden", HIDDEN, f"sip:m@{host_port(MALLORY)}"),
    }
    paths = {}
    for name, phone in (("victim", VICTIM), ("mallory", MALLORY)):
        register = request("REGISTER", "sip:example.com", via="192.168.1.5", call_id=f"register-{name}")
        (paths[name],) = values(here.forward(register, phone)[0], "path")
    stacks, came_from = {}, {}
    for name, source, uri in (
        ("victim", VICTIM, "sip:8006@192.0.2.1"),
        ("own", MALLORY, "sip:8006@192.0.2.1"),
        ("called", SERVER_A, f"sip:m@{host_port(MALLORY)}"),
        ("hidden", HIDDEN, f"sip:m@{host_port(MALLORY)}"),
    ):
        message, _ = here.forward(request(uri=uri, via=host_port(source), call_id=name, from_tag=name), source)
        stacks[name] = tuple(values(message, "via"))
        came_from[name] = source
    return Harvest(dialogs=dialogs, paths=paths, stacks=stacks, came_from=came_from)


HARVEST = harvest()


def reachable(datagram: bytes, source: Address, listed: tuple[Address, ...]) -> frozenset[Address]:
    """The oracle: whom these bytes may reach from an edge source, if every token in them were believed.

    Those in the list; the core end of a call whose token is there, if that end still is of the core or the source is
    the call's edge end.
    """
    found = set(listed)
    hosts = {host for host, _ in listed}
    for token, core, edge in HARVEST.tokens:
        believed = core[0] in hosts or core[0].startswith("10.7.") or edge[0] == source[0]
        if believed and token.encode() in datagram:
            found.add(core)
    return frozenset(found)


def is_harmless(outcome: Outcome, source: Address, allowed: frozenset[Address]) -> bool:
    """Whether nothing leaves to the edge but an answer to the source itself, and no name is looked up."""
    if isinstance(outcome, Forward):
        return outcome.address in allowed
    if isinstance(outcome, Reply):
        return outcome.address[0] == source[0]
    return isinstance(outcome, Drop)
