"""The messages of RFC 5118 (SIP torture test messages for IPv6, Gurbani et al., February 2008), by their sections.

Retyped after the RFC: what a section is about stands as there, long identifiers are shortened and bodies are what a
proxy passes on unread.
"""

from __future__ import annotations

VALID = b"""REGISTER sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0

"""

INVALID = VALID.replace(b"sip:[2001:db8::10] SIP", b"sip:2001:db8::10 SIP")
PORT_AMBIGUOUS = VALID.replace(b"sip:[2001:db8::10] SIP", b"sip:[2001:db8::10:5070] SIP")
PORT_UNAMBIGUOUS = VALID.replace(b"sip:[2001:db8::10] SIP", b"sip:[2001:db8::10]:5070 SIP")

RECEIVED_WITH_BRACKETS = b"""BYE sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com;tag=bd76ya
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
CSeq: 321 BYE
Content-Length: 0

"""
RECEIVED_WITHOUT_BRACKETS = RECEIVED_WITH_BRACKETS.replace(b"[2001:db8::9:255]", b"2001:db8::9:255")

IN_SDP = b"""INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::20]>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp

v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
"""

BOTH_FAMILIES_IN_HEADERS = b"""BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
Content-Length: 0

"""

BOTH_FAMILIES_IN_SDP = IN_SDP.replace(b"m=audio 6000", b"m=video 8000 RTP/AVP 31\nc=IN IP4 192.0.2.30\nm=audio 6000")

MAPPED = b"""INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>
CSeq: 612 INVITE
Max-Forwards: 70
Content-Type: application/sdp

v=0
c=IN IP6 ::ffff:192.0.2.2
"""

THREE_COLONS = b"""OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0
To: sip:user@[2001:db8:::192.0.2.1]
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70
Content-Length: 0

"""

MESSAGES = {
    "4.1": VALID,
    "4.2": INVALID,
    "4.3": PORT_AMBIGUOUS,
    "4.4": PORT_UNAMBIGUOUS,
    "4.5 with brackets": RECEIVED_WITH_BRACKETS,
    "4.5 without brackets": RECEIVED_WITHOUT_BRACKETS,
    "4.6": IN_SDP,
    "4.7": BOTH_FAMILIES_IN_HEADERS,
    "4.8": BOTH_FAMILIES_IN_SDP,
    "4.9": MAPPED,
    "4.10": THREE_COLONS,
}
MESSAGES = {section: message.replace(b"\n", b"\r\n") for section, message in MESSAGES.items()}
REFUSED = ("4.2", "4.10")
