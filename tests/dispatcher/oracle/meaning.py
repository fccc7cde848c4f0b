"""What does a datagram mean that a proxy has sent: where it goes, and what of it matters to whoever gets it?

The reading is this module's own and as lenient as can be: the parser under test must not be its own judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from sip.uri import Address

COMPACT = {
    "c": "content-type", "f": "from", "i": "call-id", "k": "supported", "l": "content-length", "m": "contact",
    "t": "to", "v": "via", "e": "content-encoding", "s": "subject", "r": "refer-to", "o": "event",
}  # fmt: skip
_LISTS = ("via", "route", "record-route", "path")
_VIA = re.compile(r"\s*(\S+\s*/\s*\S+\s*/\s*\S+)\s+(\[[^\]]*\]|[^\s:;]*)\s*(?::\s*(\d+))?\s*(;.*)?", re.DOTALL)
_TAG = re.compile(r";\s*tag\s*=\s*([^;\s]+)", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")


@attrs.frozen
class Raw:
    """A datagram's start line, fields (name in lower case and long form, value in one line) and body."""

    start: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> Raw:
        data = data.lstrip(b"\r\n")
        end = re.search(rb"\n\r?\n", data)
        head, body = (data, b"") if end is None else (data[: end.start()].removesuffix(b"\r"), data[end.end() :])
        lines = re.sub(rb"\r?\n[ \t]+", b" ", head).replace(b"\r\n", b"\n").split(b"\n")
        start, *rest = (line.decode("latin-1") for line in lines)
        fields = []
        for line in rest:
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            fields.append(
                (COMPACT.get(name, name) if colon else "", _BLANKS.sub(" ", value if colon else line).strip())
            )
        return cls(start, tuple(fields), body)

    def values(self, name: str) -> list[str]:
        """Every value of a field, members of lists one by one."""
        found = [value for own, value in self.fields if own == name]
        return [each for value in found for each in members(value)] if name in _LISTS else found

    def value(self, name: str) -> str:
        return next((value for own, value in self.fields if own == name), "")

    @property
    def method(self) -> str:
        return "" if self.is_reply else self.start.partition(" ")[0]

    @property
    def uri(self) -> str:
        return self.start.partition(" ")[2].rpartition(" ")[0]

    @property
    def is_reply(self) -> bool:
        return self.start[:4].upper() == "SIP/"

    @property
    def status(self) -> str:
        return self.start.split(" ")[1]

    @property
    def length(self) -> int:
        """What Content-Length says, the body's own length where it says nothing."""
        value = self.value("content-length")
        return int(value) if value.isdigit() else len(self.body)

    @property
    def tags(self) -> tuple[str, str]:
        """Of From and To, "" where there is none."""
        return tag_in(self.value("from")), tag_in(self.value("to"))


@attrs.frozen
class Via:
    """One Via as far as it can be read; `text` is all that there is of one that cannot."""

    transport: str = ""
    host: str = ""
    port: int = 0
    params: tuple[tuple[str, str | None], ...] = ()
    text: str = ""

    @classmethod
    def read(cls, value: str) -> Via:
        match = _VIA.fullmatch(value)
        if match is None:
            return cls(text=value)
        protocol, host, port, params = match.groups()
        pairs = []
        for piece in (params or "").split(";")[1:]:
            name, equals, text = piece.partition("=")
            pairs.append((name.strip().lower(), text.strip() if equals and text.strip() else None))
        return cls(re.sub(r"\s", "", protocol).upper(), host.lower(), int(port or 5060), tuple(sorted(pairs, key=str)))

    def param(self, name: str) -> str | None:
        """A parameter's value, "" for a flag, None when it is absent."""
        return next((value or "" for own, value in self.params if own == name), None)

    def without(self, *names: str) -> Via:
        return attrs.evolve(self, params=tuple(pair for pair in self.params if pair[0] not in names))


@attrs.frozen
class Output:
    """One datagram's meaning.  `kind` is `request`, `reply` (passed back) or `answer` (the proxy's own)."""

    kind: str
    hop: str
    """`a destination`, `the client` (who sent what was asked) or an address."""
    what: str
    """Method and Request-URI, or the status code."""
    vias: tuple[Via, ...]
    routes: tuple[str, ...] = ()
    max_forwards: str = ""
    own_record_routes: int = 0
    record_routes: tuple[str, ...] = ()
    own_paths: int = 0
    supported: str = ""
    tags: tuple[str, str] = ("", "")
    unsupported: str = ""
    others: tuple[tuple[str, str], ...] = ()
    """The other fields in order; none for an answer."""
    body: str = ""


@attrs.frozen
class Names:
    """What must be called the same for both proxies: its addresses, and the texts that only it has written."""

    own: tuple[Address, ...]
    destinations: tuple[Address, ...]
    texts: Mapping[str, str]
    """What this proxy wrote -> its placeholder."""
    vias: Mapping[str, str]
    """The same for whole Vias that a mutation may have moved into another field."""

    def same(self, text: str) -> str:
        for written, placeholder in self.texts.items():
            text = text.replace(written, placeholder)
        return text

    def same_field(self, value: str) -> str:
        for written, placeholder in self.vias.items():
            value = value.replace(written, placeholder)
        return self.same(value)


def meaning(payload: bytes, to: Address, *, source: Address, asked: Raw, names: Names) -> Output:
    """What `payload`, sent to `to`, means after `source` has sent `asked`."""
    raw = Raw.read(payload)
    own_hosts = {f"[{host}]" if ":" in host else host for host, _ in names.own}
    hop = names.same(f"{to[0]}:{to[1]}")
    if to in names.destinations:
        hop = "a destination"
    if to == source:
        hop = "the client"
    if raw.is_reply:
        return _passed_back(raw, hop, names) if asked.is_reply else _answered(raw, hop, names)
    vias = [Via.read(names.same(value)) if at else Via.read(value) for at, value in enumerate(raw.values("via"))]
    if vias and vias[0].host in own_hosts:
        vias[0] = Via(vias[0].transport, "the proxy", vias[0].port)
    recorded, paths = _own_on_top(raw, "record-route", own_hosts), _own_on_top(raw, "path", own_hosts)
    return Output(
        "request",
        hop,
        f"{raw.method} {names.same(raw.uri)}",
        tuple(vias),
        routes=tuple(names.same(value) for value in raw.values("route")),
        max_forwards=raw.value("max-forwards"),
        own_record_routes=recorded,
        record_routes=tuple(names.same(value) for value in raw.values("record-route")[recorded:]),
        own_paths=paths,
        supported=",".join(sorted(raw.values("supported"))),
        tags=(names.same(raw.tags[0]), names.same(raw.tags[1])),
        others=_others(raw, names),
        body=names.same(raw.body.decode("latin-1")),
    )


def _passed_back(raw: Raw, hop: str, names: Names) -> Output:
    return Output(
        "reply",
        hop,
        raw.status,
        tuple(Via.read(names.same(value)) for value in raw.values("via")),
        tags=(names.same(raw.tags[0]), names.same(raw.tags[1])),
        others=_others(raw, names),
        body=names.same(raw.body.decode("latin-1")),
    )


def _answered(raw: Raw, hop: str, names: Names) -> Output:
    return Output(
        "answer",
        hop,
        raw.status,
        tuple(Via.read(names.same(value)) for value in raw.values("via")),
        tags=(names.same(raw.tags[0]), "generated" if raw.tags[1] else ""),
        unsupported=raw.value("unsupported"),
    )


def members(value: str) -> list[str]:
    """The members of a list; commas within quotes and angle brackets do not count."""
    found, start, quoted, depth, at = [], 0, False, 0, 0
    while at < len(value):
        each = value[at]
        if quoted:
            if each == "\\":
                at += 1
            quoted = each != '"'
        elif each == '"':
            quoted = True
        elif each == "<":
            depth = 1
        elif each == ">":
            depth = 0
        elif each == "," and not depth:
            found.append(value[start:at])
            start = at + 1
        at += 1
    return [each.strip(" \t") for each in (*found, value[start:])]


def tag_in(value: str) -> str:
    match = _TAG.search(value.rpartition(">")[2] if ">" in value else value)
    return match[1] if match else ""


def _own_on_top(raw: Raw, name: str, hosts: set[str]) -> int:
    """How many members from the top name the proxy."""
    count = 0
    for value in raw.values(name):
        match = re.match(r"<sips?:(?:[^@>]*@)?(\[[^\]]*\]|[^:;>]*)", value)
        if match is None or match[1] not in hosts:
            break
        count += 1
    return count


def _others(raw: Raw, names: Names) -> tuple[tuple[str, str], ...]:
    skipped = ("via", "route", "record-route", "path", "max-forwards", "supported")
    return tuple((names.same(name), names.same_field(value)) for name, value in raw.fields if name not in skipped)
