"""How do phones, servers and trunks write the messages of a whole call?

Each writer is a template; the fields in braces are those of the call.  The shapes are those that the named programs
send, cut to what a proxy may look at.
"""

from __future__ import annotations

import attrs

from sip.uri import Address, host_port

SDP = (
    "v=0\r\no=- 3947 3947 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 40100 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)

_WITH_BODY = ("INVITE", "INFO", "MESSAGE", "NOTIFY")

WRITERS = {
    "pjsip": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};rport;branch=z9hG4bKPj{branch}
Max-Forwards: 70
From: <sip:8005@{domain}>;tag={from_tag}
To: <sip:8006@{domain}>{to_tag}
Contact: <sip:8005@{contact};ob>
Call-ID: {call_id}
CSeq: {cseq} {method}
{route}Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS
Supported: replaces, 100rel, timer, norefersub
User-Agent: PJSUA v2.14
Content-Length:  {length}
""",
    "linphone": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK.{branch};rport
From: "Alice" <sip:8005@{domain}>;tag={from_tag}
To: sip:8006@{domain}{to_tag}
CSeq: {cseq} {method}
Call-ID: {call_id}
Max-Forwards: 70
{route}Supported: replaces, outbound, gruu, path, record-aware
Contact: <sip:8005@{contact};transport=udp>;+sip.instance="<urn:uuid:0e5a-1>";+org.linphone.specs="lime,groupchat"
User-Agent: LinphoneiOS/5.1 (iPhone)
Content-Length: {length}
""",
    "baresip": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch};rport
Contact: <sip:8005-0x5634@{contact}>
Max-Forwards: 70
{route}To: <sip:8006@{domain}>{to_tag}
From: "8005" <sip:8005@{domain}>;tag={from_tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
User-Agent: baresip v3.6.0 (x86_64/Linux)
Content-Length: {length}
""",
    "sipp": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK-{branch}
From: sipp <sip:sipp@{sent_by}>;tag={from_tag}
To: sut <sip:8006@{domain}:5060>{to_tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
{route}Contact: sip:sipp@{contact}
Max-Forwards: 70
Subject: Performance Test
Content-Length:   {length}
""",
    "asterisk": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};rport;branch=z9hG4bKPj{branch}
From: "Anonymous" <sip:anonymous@{sent_by}>;tag={from_tag}
To: <sip:8006@{domain}>{to_tag}
Contact: <sip:asterisk@{contact}>
Call-ID: {call_id}
CSeq: {cseq} {method}
{route}Supported: 100rel, timer, replaces, norefersub, histinfo
Session-Expires: 1800
Min-SE: 90
Max-Forwards: 70
User-Agent: Asterisk PBX 20.5.0
Content-Length:  {length}
""",
    "compact": """\
{method} {uri} SIP/2.0
v: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch};rport
Max-Forwards: 70
f: <sip:8005@{domain}>;tag={from_tag}
t: <sip:8006@{domain}>{to_tag}
i: {call_id}
CSeq: {cseq} {method}
m: <sip:8005@{contact}>
{route}k: timer
l: {length}
""",
    "trunk": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}.0
Via: SIP/2.0/UDP 203.0.113.80:5070;received=203.0.113.81;rport=5071;branch=z9hG4bK-cc
Max-Forwards: 62
{record}From: <sip:+4917600000@{domain};user=phone>;tag={from_tag}
To: <sip:+493012345@{domain};user=phone>{to_tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
{route}Contact: <sip:gw@203.0.113.80:5070>
P-Asserted-Identity: <sip:+4917600000@carrier.example.net>
Content-Length: {length}
""",
    "joined trunk": """\
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}.0, SIP/2.0/TCP 203.0.113.80:5070;branch=z9hG4bK-cc
Max-Forwards: 62
From: <sip:+4917600000@{domain}>;tag={from_tag}
To: <sip:+493012345@{domain}>{to_tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
{route}Contact: <sip:gw@203.0.113.80:5070>
Content-Length: {length}
""",
}
"""By program.  `{route}` and `{record}` are whole lines; `{to_tag}` is `;tag=...` or nothing."""


@attrs.frozen(kw_only=True)
class Sender:
    """One end of a call: how it writes, where it is heard from, and what it takes for its own address."""

    writer: str
    source: Address
    own: Address
    domain: str
    call_id: str = "a84b4c76e66710@pc33"
    from_tag: str = "1928301774"
    to_tag: str = ""
    branch: str = "776asdhds"
    route: tuple[str, ...] = ()
    is_joined: bool = False
    """Whether it writes its Route in one line."""

    def request(self, method: str, uri: str, *, cseq: int = 1, **changed: object) -> bytes:
        """A request; `changed` are fields of the sender that are others in this one, or `cseq_method`."""
        sender = attrs.evolve(self, **changed)  # type: ignore[arg-type]  # fields of this class
        body = SDP if method in _WITH_BODY else ""
        lines = [", ".join(sender.route)] if sender.is_joined and sender.route else sender.route
        head = WRITERS[sender.writer].format(
            method=method,
            uri=uri,
            sent_by=host_port(sender.own),
            contact=host_port(sender.own),
            domain=sender.domain,
            call_id=sender.call_id,
            from_tag=sender.from_tag,
            to_tag=f";tag={sender.to_tag}" if sender.to_tag else "",
            branch=sender.branch,
            cseq=cseq,
            route="".join(f"Route: {each}\n" for each in lines),
            record="Record-Route: <sip:203.0.113.9;lr=on;ftag=x>\n" if not sender.to_tag else "",
            length=len(body),
        )
        return (head.replace("\n", "\r\n") + "\r\n" + body).encode()
