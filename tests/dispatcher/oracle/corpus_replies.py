"""Which replies are both proxies given?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.dispatcher.oracle.calls import (
    INITIAL,
    Case,
    Fields,
    message,
)  # fmt: skip

STATUSES = tuple(
    line.strip()
    for line in """
    100 Trying, 180 Ringing, 181 Call Is Being Forwarded, 183 Session Progress, 200 OK, 202 Accepted,
    301 Moved Permanently, 302 Moved Temporarily, 401 Unauthorized, 403 Forbidden, 404 Not Found,
    407 Proxy Authentication Required, 408 Request Timeout, 420 Bad Extension, 481 Call/Transaction Does Not Exist,
    486 Busy Here, 487 Request Terminated, 488 Not Acceptable Here, 491 Request Pending, 500 Server Internal Error,
    503 Service Unavailable, 504 Server Time-out, 600 Busy Everywhere, 603 Decline, 699 Whatever
    """.replace("\n", " ").split(",")
)  # fmt: skip


def _reply(status: str, label: str = "phone", **changed: str | Sequence[str] | None) -> bytes:
    _, _, fields = INITIAL[label]
    every: Fields = {
        "Via": [f"{{VIA:{label}}}", f"{{BELOW:{label}}}"],
        "Record-Route": f"{{CALLEE:{label}}}",
        "From": fields["From"],
        "To": f"{fields['To']};tag=callee",
        "Call-ID": fields["Call-ID"],
        "CSeq": "1 INVITE",
        "Contact": "<sip:8006@10.0.0.31:5060>",
        "Server": "Asterisk PBX 20.6.0",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return message(f"SIP/2.0 {status}", every)


def replies() -> Iterator[Case]:
    for label in INITIAL:
        replier = f"server:{label}" if label != "out" else "phone"
        for status in STATUSES if label == "phone" else ("180 Ringing", "200 OK", "486 Busy Here"):
            yield Case(f"{status} in {label}", replier, _reply(status, label))
    via, below = "{VIA:phone}", "{BELOW:phone}"
    for name, vias in (
        ("its Vias in one line", [f"{via}, {below}"]),
        ("its Vias in one line without blanks", [f"{via},{below}"]),
        ("three Vias", [via, below, "SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKzzz"]),
        ("three Vias in one line", [f"{via} ,{below} , SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKzzz"]),
        ("a third Via that nobody can read", [via, below, "SIP/2.0/UDP [::;;"]),
        ("our Via in a line of two lines", [f"{via},\r\n {below}"]),
        ("one Via", [via]),
        ("a foreign Via on top", ["SIP/2.0/UDP 9.9.9.9;branch=z9hG4bKforeign", below]),
        ("another branch", [via.replace("}", ":other}"), below]),
        ("somebody else below", [via, "SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK-524287-1---a3b1"]),
        ("another port below", [via, below.replace("}", ":other}")]),
    ):
        yield Case(f"200 with {name}", "server:phone", _reply("200 OK", Via=vias))
    for name, changed in (
        ("no To tag", {"To": "<sip:8006@{PROXY}>"}),
        ("another CSeq", {"CSeq": "2 INVITE"}),
        ("CSeq with zeroes", {"CSeq": "0001 INVITE"}),
        ("another Call-ID", {"Call-ID": "other"}),
        ("no CSeq", {"CSeq": None}),
        ("no From", {"From": None}),
        ("no Call-ID", {"Call-ID": None}),
        ("no To", {"To": None}),
        ("a challenge", {"WWW-Authenticate": 'Digest realm="a, b", nonce="x", qop="auth,auth-int"'}),
        ("Max-Forwards", {"Max-Forwards": "0"}),
        ("Route", {"Route": "<sip:203.0.113.9;lr>"}),
        ("a length too large", {"Content-Length": "10"}),
        ("no length", {"Content-Length": None}),
        ("compact names", {"Via": None, "v": [via, below], "Contact": None, "m": "<sip:8006@10.0.0.31>"}),
    ):
        yield Case(f"200 with {name}", "server:phone", _reply("200 OK", **changed))
    yield Case("200 with bytes after the body", "server:phone", _reply("200 OK") + b"more")
    yield Case("200 without a phrase", "server:phone", _reply("200 "))
    yield Case("200 without a phrase or blank", "server:phone", _reply("200"))
    yield Case("200 from nobody we know", "trunk", _reply("200 OK"))
    yield Case("status 99", "server:phone", _reply("99 Low"))
    yield Case("status 700", "server:phone", _reply("700 High"))
    yield Case("status 2000", "server:phone", _reply("2000 Long"))
    yield Case("a reply of SIP/3.0", "server:phone", _reply("200 OK").replace(b"SIP/2.0", b"SIP/3.0", 1))
