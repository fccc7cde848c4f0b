"""What is wrong with a message, by RFC 3261's grammar, in what a proxy has to read?

An implementation of its own, straight from section 25.1: where the two proxies disagree about whether a message may
pass, this one decides.  It is as liberal as the project wants to be, and says where.
"""

from __future__ import annotations

import ipaddress
import re

from tests.dispatcher.oracle.meaning import COMPACT, members

_TOKEN = r"[A-Za-z0-9.!%*_+`'~-]+"
_BLANKS = r"[ \t]*"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
"""Liberal: underscores, which DNS has."""
_VALUE = rf"(?:{_QUOTED}|[^;,\"<> \x00-\x1f\x7f]*)"
"""Of a parameter.  Liberal: anything without blanks, or nothing."""
_PARAM = rf";{_BLANKS}{_TOKEN}{_BLANKS}(?:={_BLANKS}{_VALUE})?{_BLANKS}"
_PARAMS = rf"(?P<params>(?:{_PARAM})*)"
_VIA = re.compile(
    rf"SIP{_BLANKS}/{_BLANKS}2\.0{_BLANKS}/{_BLANKS}{_TOKEN}[ \t]+"
    rf"(?P<host>{_HOST}){_BLANKS}(?::{_BLANKS}(?P<port>\d+))?{_BLANKS}{_PARAMS}",
    re.IGNORECASE,
)
_USER = r"(?:[A-Za-z0-9_.!~*'()&=+$,;?/#-]|%[0-9A-Fa-f]{2})+"
"""Liberal: the hash key, which phones dial."""
_PASSWORD = r"(?:[A-Za-z0-9_.!~*'()&=+$,-]|%[0-9A-Fa-f]{2})*"
_SIP_URI = re.compile(
    rf"sips?:(?:{_USER}(?::{_PASSWORD})?@)?(?P<host>{_HOST})(?::(?P<port>\d+))?"
    r"(?P<params>(?:;(?:%[0-9A-Fa-f]{2}|[^;?%@\x00-\x20\x7f\"<>])+)*)"
    r"(?P<headers>\?(?:%[0-9A-Fa-f]{2}|[^@\x00-\x20\x7f\"<>%])*)?",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DISPLAY = rf"(?:{_QUOTED}{_BLANKS}|[^\",;:<>\\\x00-\x08\x0a-\x1f\x7f]*)"
"""Liberal: more than tokens without quotes, such as UTF-8."""
_ANY_URI = r"(?P<uri>[A-Za-z][A-Za-z0-9+.-]*:[^<>\"\x00-\x20\x7f%s]+)"
_NAME_ADDR = re.compile(rf"{_DISPLAY}<{_BLANKS}{_ANY_URI % ''}{_BLANKS}>{_BLANKS}{_PARAMS}", re.DOTALL)
_ADDR_SPEC = re.compile(rf"{_ANY_URI % ',;?'}{_BLANKS}{_PARAMS}")
_CSEQ = re.compile(rf"(\d+)[ \t]+({_TOKEN})")
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([^ \t]+) SIP/2\.0", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: .*)?", re.IGNORECASE)
"""Liberal: the blank before no phrase may be missing."""
_ONCE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length")
_NEEDED = ("via", "from", "to", "call-id", "cseq")


def faults(data: bytes) -> tuple[str, ...]:
    """What is wrong, in words; nothing for a message that a proxy must pass or answer for what it asks."""
    return tuple(_Judge(data).faults)


def is_sip_uri(text: str) -> bool:
    """Whether a text is a sip: or sips: URI."""
    judge = _Judge(b"")
    before = len(judge.faults)
    judge.judge_sip_uri("URI", text, headers=True)
    return len(judge.faults) == before


class _Judge:
    def __init__(self, data: bytes) -> None:
        self.faults: list[str] = []
        head, body = self._split(data.lstrip(b"\r\n"))
        lines = head.decode("latin-1").split("\n")
        self.start = lines[0]
        self.fields = [self._field(line) for line in lines[1:]]
        self.body = body
        for name in _ONCE:
            if len(self._all(name)) > 1:
                self.faults.append(f"more than one {name}")
        if self.start[:4].upper() == "SIP/":
            self._judge_reply()
        else:
            self._judge_request()

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """Head with unfolded lines, and body (RFC 3261 7.3.1, and section 7's line ends, liberal: LF alone)."""
        match = re.search(rb"\n\r?\n", data)
        if match is None:
            self.faults.append("no empty line")
            head, body = data, b""
        else:
            head, body = data[: match.start()], data[match.end() :]
        head = head.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if b"\r" in head:
            self.faults.append("a carriage return within a line")
        if head.count(b"\0") != head.count(b"\\\0"):
            self.faults.append("NUL")
        if re.match(rb"[^\n]*\n[ \t]", head):
            self.faults.append("white space before the first field")
        if re.search(rb"\n(?![ \t])[^:\n]*\n[ \t]", head):
            self.faults.append("a fold before the colon")
        return re.sub(rb"\n[ \t]+", b" ", head), body

    def _field(self, line: str) -> tuple[str, str]:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(_TOKEN, name.rstrip(" \t")):
            self.faults.append(f"no header field: {line!r}")
        name = name.strip().lower()
        return COMPACT.get(name, name), value.strip(" \t\r\n")

    def _all(self, name: str) -> list[str]:
        return [value for own, value in self.fields if own == name]

    def _judge_request(self) -> None:
        match = _REQUEST_LINE.fullmatch(self.start)
        if match is None:
            self.faults.append("start line")
        else:
            self._judge_request_uri(match[2])
        for name in _NEEDED:
            if not self._all(name):
                self.faults.append(f"no {name}")
        self._judge_via(0)
        for name in ("from", "to"):
            for value in self._all(name)[:1]:
                self._judge_address(name, value)
        self._judge_call_id()
        self._judge_cseq("" if match is None else match[1])
        for value in self._all("max-forwards")[:1]:
            if not re.fullmatch(r"\d+", value) or int(value) > 255:
                self.faults.append("Max-Forwards")
        self._judge_length()
        for value in self._all("route"):
            for member in members(value):
                self._judge_address("route", member)

    def _judge_reply(self) -> None:
        if not _STATUS_LINE.fullmatch(self.start):
            self.faults.append("start line")
        for name in ("via", "from", "call-id", "cseq"):  # liberal: To is the client's to miss
            if not self._all(name):
                self.faults.append(f"no {name}")
        self._judge_via(0)
        self._judge_via(1)
        for value in self._all("from")[:1]:
            self._judge_address("from", value)
        self._judge_call_id()
        self._judge_cseq("")
        self._judge_length()

    def _judge_call_id(self) -> None:
        for value in self._all("call-id")[:1]:
            if not re.fullmatch(r"[\x21-\x7e\x80-\xff]+", value):  # liberal: any word
                self.faults.append("Call-ID")

    def _judge_cseq(self, method: str) -> None:
        """`method` is the request's, "" where it does not matter."""
        for value in self._all("cseq")[:1]:
            cseq = _CSEQ.fullmatch(value)
            if cseq is None or int(cseq[1]) >= 2**31:
                self.faults.append("CSeq")
            elif method and cseq[2] != method:
                self.faults.append("method of CSeq")

    def _judge_length(self) -> None:
        for value in self._all("content-length")[:1]:
            if not re.fullmatch(r"\d+", value) or int(value) > len(self.body):
                self.faults.append("Content-Length")

    def _judge_request_uri(self, uri: str) -> None:
        scheme = _SCHEME.match(uri)
        if scheme is None or scheme[1].lower() not in ("sip", "sips"):
            known = scheme is not None and scheme[1].lower() in ("tel", "urn")
            if not known or not re.fullmatch(r"[!#-;=?-~]+", uri) or len(uri) == len(scheme[0] if scheme else ""):
                self.faults.append("Request-URI")
            return
        self.judge_sip_uri("Request-URI", uri, headers=False)

    def judge_sip_uri(self, what: str, uri: str, *, headers: bool) -> None:
        match = _SIP_URI.fullmatch(uri)
        if match is None or not _port_is_legal(match["port"]) or not _host_is_legal(match["host"]):
            self.faults.append(what)
            return
        if match["headers"] and not headers:
            self.faults.append(f"header fields in {what}")
        names = [_unescaped(piece.partition("=")[0]).lower() for piece in match["params"].split(";")[1:]]
        if len(set(names)) != len(names) or "" in names:
            self.faults.append(f"parameters of {what}")
        for piece in match["params"].split(";")[1:]:
            name, _, value = piece.partition("=")
            if _unescaped(name).lower() == "maddr" and not re.fullmatch(_HOST, _unescaped(value)):
                self.faults.append(f"maddr of {what}")

    def _judge_address(self, name: str, value: str) -> None:
        match = _NAME_ADDR.fullmatch(value) or _ADDR_SPEC.fullmatch(value)
        if match is None:
            self.faults.append(name)
        elif _repeats(match["params"]):
            self.faults.append(f"parameters of {name}")

    def _judge_via(self, place: int) -> None:
        """The Via at a place from the top; replies are routed by the second."""
        if place == 0 and any('"' in re.sub(_QUOTED, "", value) for value in self._all("via")[:1]):
            self.faults.append("Via")  # a quote that never ends leaves open where the first value does
            return
        found = [member for value in self._all("via") for member in members(value)]
        if place >= len(found):
            return
        match = _VIA.fullmatch(found[place])
        if match is None or not _port_is_legal(match["port"]) or not _host_is_legal(match["host"]):
            self.faults.append("Via")
            return
        if _repeats(match["params"]):
            self.faults.append("parameters of Via")
        for piece in _pieces(match["params"]):
            name, _, value = (part.strip() for part in piece.partition("="))
            if name.lower() == "rport" and value and not (_port_is_legal(value) and value.isdigit()):
                self.faults.append("rport")
            if name.lower() == "received" and not _is_numeric(value.strip("[]")):
                self.faults.append("received")


def _pieces(params: str) -> list[str]:
    return re.findall(rf";((?:{_QUOTED}|[^;\"])*)", params)


def _repeats(params: str) -> bool:
    names = [piece.partition("=")[0].strip().lower() for piece in _pieces(params)]
    return len(set(names)) != len(names)


def _unescaped(text: str) -> str:
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)


def _port_is_legal(port: str | None) -> bool:
    return port is None or (port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536)


def _host_is_legal(host: str) -> bool:
    if not host.startswith("["):
        return True
    return ":" in host and _is_numeric(host[1:-1])


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
