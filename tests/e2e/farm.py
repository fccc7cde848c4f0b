"""How does a test get a whole telephone system?  Phones inside and outside a NAT, the proxy, two Asterisks, a carrier.

    phones 8005, 8007        nat             edge: the proxy          asterisk 1, asterisk 2
    192.168.77.5  ---  192.168.77.1
                       203.0.113.7   ---  203.0.113.1 | 10.10.0.1  ---  10.10.0.11, 10.10.0.12
    phones 8006, 8008
    203.0.113.6, .8, carrier .50  ---

The edge is a router too: sound goes straight through it.  A SIP message that tries the same is counted and dropped.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs

from tests.e2e.ladder import Ladder
from tests.e2e.proxy import ROOT, Proxy
from tests.peers.asterisk import Asterisk
from tests.peers.baresip import Phone
from tests.peers.namespace import Namespace, Network
from tests.peers.program import PeerError

VIP: Final = "203.0.113.1"
INNER: Final = "10.10.0.1"
SERVERS: Final = ("10.10.0.11", "10.10.0.12")
NAT: Final = "203.0.113.7"
NAT_PORTS: Final = "7000-7999"
CARRIER: Final = "203.0.113.50"
DOMAIN: Final = "pbx.example"
"""Nobody can look it up: phones that use it have the proxy as outbound proxy."""
PASSWORD: Final = "choose-a-long-one"
QUALIFY_SECONDS: Final = 1

BEHIND_NAT: Final = ("8005", "8007")
PUBLIC: Final = ("8006", "8008")
PHONES: Final = BEHIND_NAT + PUBLIC


@attrs.frozen
class Layout:
    """How the proxy listens, and what is written behind each server in the list."""

    listen: tuple[str, ...]
    attributes: str
    toward_servers: str
    """The address that the servers see it by."""


ONE_LISTENER: Final = Layout((f"udp:{VIP}:5060",), "weight=50", VIP)
TWO_LISTENERS: Final = Layout((f"udp:{VIP}:5060", f"udp:{INNER}:5060"), f"weight=50;socket=udp:{INNER}:5060", INNER)


class Farm:
    """All of them running and registered, while the block is open.  Files go to `directory`."""

    def __init__(self, layout: Layout, directory: Path) -> None:
        self.layout = layout
        self.directory = directory
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _start(self, stack: contextlib.ExitStack) -> None:
        self._wire(stack.enter_context(Network()))
        self.ladder = stack.enter_context(Ladder(self.edge, self.directory))
        self.asterisks = {
            address: stack.enter_context(self._asterisk(address, host))
            for address, host in zip(SERVERS, self._server_hosts, strict=True)
        }
        self.proxy = stack.enter_context(
            Proxy(
                self.layout.listen,
                self.list_of(SERVERS),
                directory=self.directory / "proxy",
                settings='algorithm = "aor"',
                probing=True,
                namespace=self.edge,
            )
        )
        self.phones = {user: stack.enter_context(self._phone(user)) for user in PHONES}
        for phone in self.phones.values():
            phone.wait_for("REGISTER_OK")

    def _wire(self, network: Network) -> None:
        outside, inside = network.switch("outside"), network.switch("inside")
        self.edge, nat, self.carrier = (network.host(label) for label in ("edge", "nat", "carrier"))
        self._server_hosts = [network.host(f"asterisk{number}") for number in (1, 2)]
        network.plug(self.edge, outside, f"{VIP}/24")
        network.plug(self.edge, inside, f"{INNER}/24")
        self.edge.forward()
        self.edge.nft(_FIREWALL)
        for host, address in zip(self._server_hosts, SERVERS, strict=True):
            network.plug(host, inside, f"{address}/24")
            host.route("default", INNER)
        self.private_host = network.host("private")
        network.wire(nat, "192.168.77.1/24", self.private_host, "192.168.77.5/24")
        self.private_host.route("default", "192.168.77.1")
        nat.masquerade(network.plug(nat, outside, f"{NAT}/24"), ports=NAT_PORTS)
        nat.route("default", VIP)
        self._hosts = dict.fromkeys(BEHIND_NAT, self.private_host)
        for user in PUBLIC:
            self._hosts[user] = self._public(network, outside, user, f"203.0.113.{user[-1]}")
        network.plug(self.carrier, outside, f"{CARRIER}/24")
        self.carrier.route("default", VIP)

    @staticmethod
    def _public(network: Network, outside: Namespace, user: str, address: str) -> Namespace:
        host = network.host(f"phone{user}")
        network.plug(host, outside, f"{address}/24")
        host.route("default", VIP)
        return host

    def _asterisk(self, address: str, host: Namespace) -> Asterisk:
        """With the configuration that operators copy, but for the addresses and how often phones are asked."""
        examples = ROOT / "deploy/asterisk"
        pjsip = _substitute(
            (examples / "pjsip.conf.example").read_text(),
            {
                "bind=192.168.0.1:5060": f"bind={address}:5060",
                "match=192.168.0.100,192.168.0.101,192.168.0.102": f"match={self.layout.toward_servers}",
                "outbound_proxy=sip:192.168.0.100": f"outbound_proxy=sip:{self.layout.toward_servers}",
                "contact=sip:198.51.100.20:5060": f"contact=sip:{CARRIER}:5060",
                "qualify_frequency=25": f"qualify_frequency={QUALIFY_SECONDS}",
            },
        )
        for user in ("8007", "8008"):
            pjsip += (
                f"[{user}](phone)\nauth={user}\naors={user}\n[{user}](phone-aor)\n"
                f"[{user}](phone-auth)\nusername={user}\npassword={PASSWORD}\n"
            )
        dialplan = (examples / "extensions.conf.example").read_text()
        directory = self.directory / f"asterisk-{address}"
        directory.mkdir()
        files = {"pjsip.conf": pjsip, "extensions.conf": dialplan}
        return Asterisk(address, 5060, directory=directory, namespace=host, files=files)

    def _phone(self, user: str) -> Phone:
        """8006 knows the domain and the proxy as its outbound proxy, the others register at the proxy's address."""
        preloaded = user == "8006"
        return Phone(
            user,
            registrar=(DOMAIN if preloaded else VIP, 5060),
            namespace=self._hosts[user],
            address="192.168.77.5" if user in BEHIND_NAT else f"203.0.113.{user[-1]}",
            port=5070 if user == "8007" else 5060,
            directory=self.directory,
            password=PASSWORD,
            outbound=f"sip:{VIP};lr" if preloaded else None,
            register_seconds=600,
            answers=False,
            plain_contact=True,
        )

    # ----------------------------------------------------------------------------------------------------------------
    # What it is asked and told

    def list_of(self, servers: Iterable[str]) -> str:
        """A dispatcher list with these servers."""
        return "".join(f"1 sip:{server}:5060 0 0 {self.layout.attributes}\n" for server in servers)

    def server_of(self, user: str) -> str:
        """The address of the one Asterisk where a phone is registered."""
        found = [
            address
            for address, asterisk in self.asterisks.items()
            if any(contact.startswith(f"{user}/") for contact in asterisk.contacts())
        ]
        assert len(found) == 1, f"{user} is registered at {found}"
        return found[0]

    def address_of(self, user: str) -> str:
        """The address that the edge sees a phone by."""
        return NAT if user in BEHIND_NAT else f"203.0.113.{user[-1]}"

    def dial(self, caller: str, callee: str) -> None:
        """Let a phone call another one, which rings then."""
        domain = DOMAIN if caller == "8006" else VIP
        self.phones[caller].dial(f"sip:{callee}@{domain}")
        self.phones[callee].wait_for("CALL_INCOMING")

    def connect(self, caller: str, callee: str) -> None:
        """Let a phone call another one and that one answer."""
        self.dial(caller, callee)
        self.phones[callee].answer()
        for user in (caller, callee):
            self.phones[user].wait_for("CALL_ESTABLISHED")

    def hang_up(self, user: str, *users: str) -> None:
        """Let a phone hang up, or decline; `users` are those in the call, who are told of its end."""
        self.phones[user].hang_up()
        self.wait_for_end(*users)

    def wait_for_end(self, *users: str) -> None:
        """Wait until these phones have been told that their call is over, and no Asterisk has a channel left."""
        for user in users:
            self.phones[user].wait_for("CALL_CLOSED")
        self.ladder.until(self._is_idle, "no Asterisk has a channel left")

    def end_calls(self) -> None:
        """End what a test that failed has left, as far as that can be done."""
        for phone in self.phones.values():
            if phone.has_call():
                phone.hang_up()
        for asterisk in self.asterisks.values():
            asterisk.cli("channel request hangup all")
        with contextlib.suppress(PeerError):  # a channel whose BYE nobody answers lives on for half a minute
            self.ladder.until(self._is_idle, "no Asterisk has a channel left")
        for phone in self.phones.values():
            phone.forget_events()

    def _is_idle(self) -> bool:
        return all("0 active channels" in asterisk.cli("core show channels") for asterisk in self.asterisks.values())

    def ask(self, method: str, uri: str) -> str:
        """The status line that a stranger behind the NAT gets for a request outside any dialog."""
        with self.private_host.udp("192.168.77.5") as client:
            port = client.getsockname()[1]
            client.sendto(
                f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.77.5:{port};rport;branch=z9hG4bK-{port}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:asker@192.168.77.5>;tag=1\r\nTo: <{uri}>\r\nCall-ID: ask-{port}\r\n"
                f"CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n".encode(),
                (VIP, 5060),
            )
            return client.recv(65536).partition(b"\r\n")[0].decode()

    def path_of(self, user: str) -> str:
        """The Path that Asterisk keeps with a phone's registration."""
        rows = self.asterisks[self.server_of(user)].cli("database show registrar/contact").splitlines()
        row = next(row for row in rows if row.startswith(f"/registrar/contact/{user};"))
        return str(json.loads(row[row.index("{") :])["path"])

    def contact_status(self, user: str) -> str:
        """What Asterisk thinks of a phone that it asks with OPTIONS: `Avail`, `Unavail`, `NonQual`."""
        rows = self.asterisks[self.server_of(user)].cli("pjsip show contacts").splitlines()
        return next(row.split()[3] for row in rows if f" {user}/" in row)

    def packets(self) -> dict[str, int]:
        """Packets routed by the edge so far: sound `from_nat`, `to_nat`, `from_public`, `to_public`; SIP `astray`."""
        listing = json.loads(self.edge.run("nft", "-j", "list", "counters"))["nftables"]
        return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listing if "counter" in entry}

    def logs(self) -> str:
        """What all parties have said, for whoever must find out why a test failed."""
        parts = {"messages across the edge": self.ladder.text(), "proxy": self.proxy.output()}
        parts |= {f"asterisk {address}": asterisk.log() for address, asterisk in self.asterisks.items()}
        parts |= {f"phone {user}": phone.log() for user, phone in self.phones.items()}
        return "".join(f"\n===== {name}\n{text[-20_000:]}\n" for name, text in parts.items())


def _substitute(text: str, replacements: dict[str, str]) -> str:
    """The example with other values; each old one must be there, or the example has changed without its test."""
    for old, new in replacements.items():
        assert re.search(rf"(?m)^{re.escape(old)}", text), f"pjsip.conf.example has no {old}"
        text = text.replace(old, new)
    return text


_FIREWALL: Final = f"""
table ip edge {{
    counter astray {{ }}
    counter from_nat {{ }}
    counter to_nat {{ }}
    counter from_public {{ }}
    counter to_public {{ }}
    chain forward {{
        type filter hook forward priority filter
        udp dport 5060 counter name astray drop
        udp sport 5060 counter name astray drop
        meta l4proto udp ip saddr {NAT} ip daddr 10.10.0.0/24 counter name from_nat
        meta l4proto udp ip saddr 10.10.0.0/24 ip daddr {NAT} counter name to_nat
        meta l4proto udp ip saddr 203.0.113.0/24 ip saddr != {NAT} ip daddr 10.10.0.0/24 counter name from_public
        meta l4proto udp ip saddr 10.10.0.0/24 ip daddr 203.0.113.0/24 ip daddr != {NAT} counter name to_public
    }}
}}
"""
