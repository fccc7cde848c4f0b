"""Who calls whom through both proxies, and how is a message for both of them written?

A message is written once, with `{PROXY}` and the like where it must name the proxy that it is sent to or repeat what
that proxy wrote: see `scene.left_behind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

SDP = (
    "v=0\r\no=- 3947 3947 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 40100 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)

Fields = Mapping[str, str | Sequence[str] | None]


@attrs.frozen
class Case:
    """One message; `who` sends it: a label of PEOPLE, or `server:CALL` for the server that has that call."""

    name: str
    who: str
    text: bytes

    @property
    def is_reply(self) -> bool:
        return self.text.lstrip(b"\r\n")[:4].upper() == b"SIP/"


def message(start: str, fields: Fields, body: str = "") -> bytes:
    """A message of a start line and fields in their order; a list of values stands for several fields, None none.

    A field without a name is a line of its own.
    """
    lines = [start]
    for name, value in {**fields, "Content-Length": fields.get("Content-Length", str(len(body)))}.items():
        values = [value] if isinstance(value, str) else value or []
        lines += [f"{name}: {each}" if name else each for each in values]
    return ("\r\n".join((*lines, "", "")) + body).encode()


PHONE: Fields = {
    "Via": "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-524287-1---a3b1;rport",
    "Max-Forwards": "70",
    "From": '"Alice" <sip:8005@{PROXY}>;tag=caller',
    "To": "<sip:8006@{PROXY}>",
    "Call-ID": "call@198.51.100.7",
    "CSeq": "1 METHOD",
    "Contact": "<sip:8005@198.51.100.7:40001>",
}
TRUNK: Fields = {
    **PHONE,
    "Via": [
        "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK.k1, SIP/2.0/UDP 203.0.113.80:5070;received=203.0.113.81;branch=z9h-cc",
        "SIP/2.0/TCP softswitch.example.net;branch=z9hG4bKss",
    ],
    "Max-Forwards": "62",
    "Record-Route": "<sip:203.0.113.9;lr;ftag=x>",
    "From": "<sip:+4917@203.0.113.9>;tag=trunk",
    "Call-ID": "trunk-call",
    "Contact": "<sip:gw@203.0.113.80:5070>",
}
NATTED: Fields = {
    **PHONE,
    "Via": "SIP/2.0/UDP 192.168.1.44:5060;branch=z9hG4bK7c;rport",
    "From": "<sip:8007@{PROXY}>;tag=nat",
    "Call-ID": "nat-call",
    "Contact": "<sip:8007@192.168.1.44:5060>",
}
SIX: Fields = {
    **PHONE,
    "Via": "SIP/2.0/UDP [2001:db8:1::7]:40001;branch=z9hG4bK6;rport",
    "From": "<sip:8009@[{PROXY6}]>;tag=six",
    "Call-ID": "six-call",
    "Contact": "<sip:8009@[2001:db8:1::7]:40001>",
}
SERVER: Fields = {
    "Via": "SIP/2.0/UDP 10.0.0.31:5060;rport;branch=z9hG4bKPj2a8e",
    "Max-Forwards": "70",
    "From": '"asterisk" <sip:asterisk@10.0.0.31>;tag=server',
    "To": "<sip:8005@198.51.100.7:40001>",
    "Contact": "<sip:asterisk@10.0.0.31:5060>",
    "Call-ID": "out-call",
    "CSeq": "1 METHOD",
}

INITIAL: Mapping[str, tuple[str, str, Fields]] = {
    "phone": ("phone", "sip:8006@{PROXY}", PHONE),
    "trunk": ("trunk", "sip:+493012345@{PROXY}:5060", TRUNK),
    "nat": ("nat", "sip:8006@pbx.example.com", NATTED),
    "six": ("six", "sip:8006@[{PROXY6}]", SIX),
    "out": ("server", "sip:8005@198.51.100.7:40001", SERVER),
}
"""A call's label -> who makes it, to which Request-URI, with which fields."""


def request(
    method: str, uri: str, fields: Fields = PHONE, body: str = "", **changed: str | Sequence[str] | None
) -> bytes:
    """A request; `changed` fields are named with `_` for `-`; METHOD in CSeq becomes the method."""
    every = {**fields, **{name.replace("_", "-"): value for name, value in changed.items()}}
    cseq = every.get("CSeq")
    if isinstance(cseq, str):
        every["CSeq"] = cseq.replace("METHOD", method)
    return message(f"{method} {uri} SIP/2.0", every, body)


def invite(label: str) -> bytes:
    """The request that makes the call of this label."""
    _, uri, fields = INITIAL[label]
    return request("INVITE", uri, fields, SDP, Content_Type="application/sdp")


def registration() -> bytes:
    """The REGISTER of the phone behind the NAT, after which the proxy's Path is known."""
    return request("REGISTER", "sip:{PROXY}", NATTED, To="<sip:8007@{PROXY}>", Call_ID="registration", Expires="300")


def refused() -> bytes:
    """An INVITE that each proxy answers itself, after which the To tag of its answers is known."""
    return request("INVITE", "sip:8006@{PROXY}", Max_Forwards="0", Call_ID="refused")
