"""Both proxies side by side, and what each has written into the calls that have gone through it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from sip.uri import Address
from tests.dispatcher.oracle.calls import INITIAL, Case, invite, refused, registration
from tests.dispatcher.oracle.judge import faults
from tests.dispatcher.oracle.levelling import Asked
from tests.dispatcher.oracle.meaning import Names, Output, Raw, Via, meaning
from tests.dispatcher.oracle.wire import Sent, Wire
from tests.e2e.proxy import Proxy
from tests.peers.kamailio import Kamailio
from tests.peers.namespace import Network

OURS: tuple[Address, ...] = (("192.0.2.201", 5060), ("2001:db8::201", 5060))
THEIRS: tuple[Address, ...] = (("192.0.2.202", 5060), ("2001:db8::202", 5060))
PROXIES = {"ours": OURS, "theirs": THEIRS}

DESTINATIONS: tuple[Address, ...] = (("10.0.0.31", 5060), ("10.0.0.32", 5060))
LIST = "1 sip:10.0.0.31 0 0\n1 sip:10.0.0.32 4 0\n"
"""One that takes calls, so that both choose the same, and one that is disabled: on the core side all the same."""

PEOPLE: dict[str, Address] = {
    "phone": ("198.51.100.7", 40001),
    "nat": ("203.0.113.200", 61000),
    "trunk": ("203.0.113.9", 5060),
    "six": ("2001:db8:1::7", 40001),
    "server": DESTINATIONS[0],
    "server-5080": ("10.0.0.31", 5080),
    "server-2": DESTINATIONS[1],
}
NAMES = {"trunk.example.net": "203.0.113.50"}

MODULES = ("sl", "pv", "rr", "textops", "siputils", "maxfwd", "sanity", "path", "dispatcher")


@attrs.define
class Scene:
    """Both proxies, ready to be asked, while the block is open."""

    directory: Path
    _stack: ExitStack = attrs.field(init=False, repr=False, factory=ExitStack)
    _wire: Wire = attrs.field(init=False, repr=False)
    _values: dict[str, dict[str, str]] = attrs.field(init=False, repr=False)
    """By proxy: placeholder -> what stands for it."""
    _written: dict[str, dict[str, str]] = attrs.field(init=False, repr=False)
    """By proxy: what only it writes -> what that is called for both."""
    _transactions: set[tuple[object, ...]] = attrs.field(init=False, repr=False, factory=set)
    """Of the calls that went through our proxy: a reply to one of these is genuine."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            namespace = stack.enter_context(Network()).host("oracle")
            self._wire = stack.enter_context(Wire(namespace, PROXIES, present=[*PEOPLE.values()], names=NAMES))
            listing = self.directory / "kamailio.list"
            listing.write_text(LIST)
            configuration = (Path(__file__).parent / "kamailio.cfg").read_text().replace("@LIST@", str(listing))
            stack.enter_context(
                Kamailio(configuration, listen=THEIRS, modules=MODULES, directory=self.directory, namespace=namespace)
            )
            stack.enter_context(
                Proxy(
                    [f"udp:{f'[{host}]' if ':' in host else host}:{port}" for host, port in OURS],
                    LIST,
                    directory=self.directory / "ours",
                    settings='domains = ["pbx.example.com"]\n',
                    namespace=namespace,
                )
            )
            self._learn()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def ask(self, case: Case) -> Asked:
        """What was sent, and what each proxy did with it."""
        source = PEOPLE[case.who.partition(":")[0]]
        datagrams, sent = self._send(case.text, source)
        outputs: dict[str, tuple[Output, ...]] = {}
        for label, each in sent.items():
            raw, names = Raw.read(datagrams[label]), self._names(label)
            outputs[label] = tuple(meaning(one.payload, one.to, source=source, asked=raw, names=names) for one in each)
        raw = Raw.read(datagrams["ours"])
        return Asked(
            case, datagrams["ours"], raw, source, faults(datagrams["ours"]), outputs["ours"], outputs["theirs"],
            is_genuine=_transaction(raw) in self._transactions,
        )  # fmt: skip

    def filled(self, text: bytes, label: str) -> bytes:
        """A message as it is sent to one of the proxies."""
        for placeholder, value in self._values[label].items():
            text = text.replace(placeholder.encode(), value.encode("latin-1"))
        return text

    def _send(self, text: bytes, source: Address) -> tuple[dict[str, bytes], dict[str, tuple[Sent, ...]]]:
        datagrams = {label: self.filled(text, label) for label in PROXIES}
        family = 1 if ":" in source[0] else 0
        is_patient = source in DESTINATIONS and not text.lstrip(b"\r\n").startswith(b"SIP/")
        to = {label: (datagram, PROXIES[label][family]) for label, datagram in datagrams.items()}
        return datagrams, self._wire.ask(source, to, patient=("ours",) if is_patient else ())

    def _names(self, label: str) -> Names:
        """Longest first, so that a host does not spoil the Route that it is part of."""
        texts = dict(sorted(self._written[label].items(), key=lambda pair: -len(pair[0])))
        below = {text: key for key, text in self._values[label].items() if key.startswith("{BELOW:")}
        return Names(PROXIES[label], DESTINATIONS, texts, below)

    def _learn(self) -> None:
        """Make each call once, and note what each proxy has written into it."""
        self._values = {label: {"{PROXY}": four[0], "{PROXY6}": six[0]} for label, (four, six) in PROXIES.items()}
        self._written = {label: {four[0]: "{PROXY}", six[0]: "{PROXY6}"} for label, (four, six) in PROXIES.items()}
        for call, (who, _, _) in INITIAL.items():
            for label, sent in self._make(invite(call), who).items():
                left = left_behind(call, sent, label)
                self._values[label].update(left)
                self._written[label].update({text: "{ROUTE}" for key, text in left.items() if key.startswith("{URI:")})
                for own in (left[f"{{VIA:{call}}}"], left[f"{{VIA:{call}:other}}"]):
                    self._written[label][own[own.index(";") :]] = ";branch={BRANCH}"
                if label == "ours":
                    self._transactions.add(_transaction(sent))
        for label, sent in self._make(registration(), "nat").items():
            path = sent.values("path")[0]
            self._values[label]["{PATH}"] = path
            self._written[label][path.strip("<>")] = "sip:{PROXY};lr"
        for label, sent in self._make(refused(), "phone").items():
            self._values[label]["{TAG}"] = tag = sent.tags[1]
            self._written[label][tag] = "{TAG}"

    def _make(self, text: bytes, who: str) -> dict[str, Raw]:
        _, sent = self._send(text, PEOPLE[who])
        assert all(len(each) == 1 for each in sent.values()), (text, sent)
        return {label: Raw.read(each[0].payload) for label, each in sent.items()}


def _transaction(raw: Raw) -> tuple[object, ...]:
    """What a branch of ours hangs on, read leniently from a message with our Via on top."""
    vias = [Via.read(value) for value in raw.values("via")[:2]]
    cseq = re.match(r"[0-9]+", raw.value("cseq"))
    below = [
        (each.param("branch"), each.host, each.port, each.param("received"), each.param("rport")) for each in vias[1:]
    ]
    branch = vias[0].param("branch") if vias else None
    return branch, *below, raw.value("call-id"), raw.tags[0], int(cseq[0]) if cseq else None


def left_behind(call: str, sent: Raw, label: str) -> dict[str, str]:
    """What a call leaves behind: the Vias of its replies, and the Route of each end's later requests.

    `{VIA:call}` and `{BELOW:call}` are the proxy's Via and the one below as the proxy left it; with `:other` a branch
    or a port that it never wrote.  `{CALLER:call}` and `{CALLEE:call}` are Route values (RFC 3261 12.1), `{URI:...}`
    their first URI, `{CONTACT:call}` where the callee is.
    """
    own, below = sent.values("via")[:2]
    hosts = [f"[{host}]" if ":" in host else host for host, _ in PROXIES[label]]
    recorded = [value for value in sent.values("record-route") if any(host in value for host in hosts)]
    caller, callee = ", ".join(reversed(recorded)), ", ".join(recorded)
    return {
        f"{{VIA:{call}}}": own,
        f"{{VIA:{call}:other}}": own.replace("branch=z9hG4bK", "branch=z9hG4bKother"),
        f"{{BELOW:{call}}}": below,
        f"{{BELOW:{call}:other}}": below.replace("rport=40001", "rport=40002"),
        f"{{CALLER:{call}}}": caller,
        f"{{CALLEE:{call}}}": callee,
        f"{{URI:CALLER:{call}}}": recorded[-1].strip("<>"),
        f"{{URI:CALLEE:{call}}}": recorded[0].strip("<>"),
        f"{{CONTACT:{call}}}": "sip:8005@198.51.100.7:40001" if call == "out" else "sip:8006@10.0.0.31:5060",
    }
