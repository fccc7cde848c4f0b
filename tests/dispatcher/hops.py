"""A proxy, and calls and registrations through it that have a token."""

from __future__ import annotations

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.snapshot import Policy
from health.board import State, Verdict
from sip.uri import Address, host_port
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    VIP,
    Dialog,
    Node,
    make_snapshot,
    request,
    set_up,
    values,
)

DOWN = State(verdict=Verdict.DOWN).code
UP = State().code
TRUNK: Address = ("203.0.113.20", 5060)
INNER = Listener("udp", ("10.0.0.1", 5060))
OWN_DOMAIN = Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)))

BEHIND_NAT = {"via": "192.168.1.5:5062", "contact": "<sip:8005@192.168.1.5:5062>"}
"""What PHONE sends from its private network."""


def node(*addresses: Address, policy: Policy = OWN_DOMAIN, liveness: bytes | None = None) -> Node:
    names = {
        "vip.example.org": (VIP.address,),
        "trunk.example.org": (("2001:db8:9::1", 5060), TRUNK),
        "v6.example.org": (("2001:db8:9::1", 5060),),
        "gone.example.org": (),
    }
    return Node(make_snapshot(*(addresses or (SERVER_A,)), policy=policy, liveness=liveness), names=names)


def without(node_: Node, *rest: Address) -> Node:
    """The same proxy after its list has changed."""
    return Node(make_snapshot(*rest, policy=OWN_DOMAIN), names=node_.names)


def goes(node_: Node, datagram: bytes, source: Address) -> Address:
    return node_.forward(datagram, source)[1].address


def called_by_edge(node_: Node) -> Dialog:
    return set_up(node_, request(**BEHIND_NAT), PHONE)  # type: ignore[arg-type]


def registered(node_: Node, **pieces: str) -> tuple[str, ...]:
    """The Route by which the registrar reaches PHONE: the Path of its registration."""
    message, _ = node_.forward(request("REGISTER", "sip:example.com", **{**BEHIND_NAT, **pieces}), PHONE)  # type: ignore[arg-type]
    return tuple(f"Route: {path}" for path in values(message, "path"))


def called_by_core_through_path(node_: Node) -> Dialog:
    invite = request(uri="sip:8005@192.168.1.5:5062", via=host_port(SERVER_A), extra=registered(node_))
    return set_up(node_, invite, SERVER_A)


def called_by_core(node_: Node) -> Dialog:
    return set_up(node_, request(uri=f"sip:4930@{TRUNK[0]}", via=host_port(SERVER_A)), SERVER_A)
