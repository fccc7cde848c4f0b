"""Which header field is meant by a name as written: long or compact, in any case (RFC 3261 7.3.3)?"""

from __future__ import annotations

import re

from sip.errors import SipError

_TOKEN = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")

COMPACT = {
    b"a": b"accept-contact",
    b"b": b"referred-by",
    b"c": b"content-type",
    b"d": b"request-disposition",
    b"e": b"content-encoding",
    b"f": b"from",
    b"i": b"call-id",
    b"j": b"reject-contact",
    b"k": b"supported",
    b"l": b"content-length",
    b"m": b"contact",
    b"n": b"identity-info",
    b"o": b"event",
    b"r": b"refer-to",
    b"s": b"subject",
    b"t": b"to",
    b"u": b"allow-events",
    b"v": b"via",
    b"x": b"session-expires",
    b"y": b"identity",
}
"""The compact forms that IANA has registered."""

_COMMON = """
Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow Allow-Events
Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language
Content-Length Content-Type CSeq Date Diversion Encryption Error-Info Event Expires Feature-Caps Flow-Timer From
Geolocation Hide History-Info Identity Identity-Info In-Reply-To Info-Package Join Max-Expires Max-Forwards
MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity P-Called-Party-ID
P-Charging-Vector P-Early-Media P-Preferred-Identity P-Visited-Network-ID Path Permission-Missing Policy-Contact
Priority Privacy Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route Recv-Info Refer-Sub
Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To Request-Disposition Require Resource-Priority
Response-Key Retry-After Route RSeq Security-Client Security-Server Security-Verify Server Service-Route
Session-Expires Session-ID SIP-ETag SIP-If-Match Subject Subscription-State Supported Suppress-If-Match Target-Dialog
Timestamp To Unsupported User-Agent User-to-User Via Warning WWW-Authenticate X-Asterisk-HangupCause
X-Asterisk-HangupCauseCode
"""


def _spellings() -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = {}
    for name in _COMMON.encode().split():
        known[name] = known[name.lower()] = known[name.upper()] = name.lower()
    for short, name in COMPACT.items():
        known[short] = known[short.upper()] = name
    return known


KNOWN = _spellings()
"""Names as senders spell them -> lower case, long form.  Spares the hot path a scan of every name."""


def canonical(written: bytes, line: bytes) -> bytes:
    """The name of a field that is not spelled as usual; raises SipError when the line is no header field at all."""
    if b":" not in line:
        raise SipError("Header field without a colon")
    name = written.rstrip(b" \t")
    if _TOKEN.fullmatch(name) is None:
        raise SipError("Malformed header field name")
    lower = name.lower()
    return COMPACT.get(lower, lower)
