"""Which messages are both proxies asked?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.dispatcher.oracle.calls import (
    INITIAL,
    NATTED,
    PHONE,
    SDP,
    SERVER,
    SIX,
    Case,
    Fields,
    invite,
    request,
)  # fmt: skip
from tests.dispatcher.oracle.corpus_replies import replies

TORTURE = Path(__file__).resolve().parents[2] / "torture"

METHODS = tuple(
    "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK SUBSCRIBE NOTIFY PUBLISH INFO REFER MESSAGE UPDATE".split()
)
IN_DIALOG = tuple("BYE ACK INVITE UPDATE INFO PRACK REFER NOTIFY SUBSCRIBE MESSAGE OPTIONS".split())


def corpus() -> list[Case]:
    """Every message, each with a name of its own."""
    cases = [
        *_initial(), *_in_dialog(), *_beside_dialog(), *_options(), *_registers(), *replies(), *_syntax(), *_hops(),
        *_extensions_and_schemes(), *_routes(), *_vias(), *_torture(),
    ]  # fmt: skip
    assert len({case.name for case in cases}) == len(cases)
    return cases


def _initial() -> Iterator[Case]:
    for label, (who, uri, fields) in INITIAL.items():
        for method in (*METHODS, "NEWMETHOD", "invite"):
            yield Case(
                f"initial {method} {label}", who, request(method, uri, {**fields, "Call-ID": f"{label}-{method}"})
            )
    yield Case("INVITE with SDP", "phone", invite("phone"))
    for name, uri in (
        ("a listed destination", "sip:8006@10.0.0.31:5060"),
        ("a destination's other port", "sip:8006@10.0.0.31:5999"),
        ("a foreign domain", "sip:8006@elsewhere.example.org"),
        ("a foreign address", "sip:8006@203.0.113.77"),
        ("our domain", "sip:8006@pbx.example.com"),
        ("our domain and another port", "sip:8006@pbx.example.com:5999"),
        ("our address and another port", "sip:8006@{PROXY}:5999"),
        ("a name that exists", "sip:8006@trunk.example.net"),
    ):
        yield Case(f"phone calls {name}", "phone", request("INVITE", uri, Call_ID="phone-calls"))
        yield Case(f"server calls {name}", "server", request("INVITE", uri, SERVER, Call_ID="server-calls"))
    for name, uri in (
        ("a name that does not exist", "sip:8006@nowhere.example.net"),
        ("a name with a port", "sip:8006@trunk.example.net:5080"),
        ("an address with maddr", "sip:8006@trunk.example.net;maddr=203.0.113.60"),
        ("another transport", "sip:8006@203.0.113.50;transport=tcp"),
        ("the other server", "sip:8006@10.0.0.32"),
        ("IPv6", "sip:8006@[2001:db8:1::7]:40001"),
        ("a telephone number", "tel:+493012345"),
        ("a dotted number that is no address", "sip:8006@198.51.300.7"),
    ):
        yield Case(f"server calls {name}", "server", request("INVITE", uri, SERVER, Call_ID="server-calls"))
    yield Case("server's other port calls", "server-5080", request("INVITE", "sip:+4930@203.0.113.9", SERVER))


def _in_dialog() -> Iterator[Case]:
    """As each end of each call sends them."""
    for label, (who, _, fields) in INITIAL.items():
        callee = f"server:{label}" if label != "out" else "phone"
        for method in IN_DIALOG:
            to = fields["To"]
            assert isinstance(to, str)
            sdp = SDP if method == "INVITE" else ""
            yield Case(
                f"caller's {method} in {label}", who if label != "out" else "server:out",
                request(
                    method, f"{{CONTACT:{label}}}", fields, sdp,
                    To=f"{to};tag=callee", Route=f"{{CALLER:{label}}}", CSeq=f"2 {method}", Record_Route=None,
                ),
            )  # fmt: skip
            yield Case(
                f"callee's {method} in {label}", callee,
                request(
                    method, _bare(fields["Contact"]), PHONE if label == "out" else SERVER, sdp,
                    Via=PHONE["Via"] if label == "out" else "SIP/2.0/UDP 10.0.0.31:5060;branch=z9hG4bKx;rport",
                    From=f"{to};tag=callee", To=fields["From"], Call_ID=fields["Call-ID"],
                    Route=f"{{CALLEE:{label}}}", CSeq=f"7 {method}",
                ),
            )  # fmt: skip
    for label in INITIAL:
        _, uri, fields = INITIAL[label]
        to = fields["To"]
        who = INITIAL[label][0] if label != "out" else "server:out"
        yield Case(f"CANCEL of {label}", who, request("CANCEL", uri, fields, Contact=None))
        yield Case(
            f"ACK to a failure in {label}", who, request("ACK", uri, fields, To=f"{to};tag=callee", Contact=None)
        )


def _beside_dialog() -> Iterator[Case]:
    """A To tag, but not along our Route; and what follows an answer of the proxy's own."""
    tagged = "<sip:8006@{PROXY}>;tag=callee"
    for method in ("BYE", "INVITE", "ACK", "INFO", "OPTIONS"):
        yield Case(f"{method} with a To tag, no Route", "phone", request(method, "sip:8006@{PROXY}", To=tagged))
        yield Case(
            f"{method} with a To tag, no Route, from a server", "server",
            request(method, "sip:8005@198.51.100.7:40001", SERVER, To="<sip:8005@{PROXY}>;tag=callee"),
        )  # fmt: skip
    for name, cseq in (("", "1 ACK"), (", of another transaction", "2 ACK")):
        to = "<sip:8006@{PROXY}>;tag={TAG}"
        yield Case(
            f"ACK to the proxy's answer{name}", "phone",
            request("ACK", "sip:8006@{PROXY}", To=to, Call_ID="refused", Contact=None, CSeq=cseq),
        )  # fmt: skip
    for who, fields in (("nat", NATTED), ("phone", PHONE)):
        yield Case(
            f"INVITE along the Path to {who}", "server",
            request("INVITE", _bare(fields["Contact"]), SERVER, SDP, Route="{PATH}", Call_ID="path-call"),
        )  # fmt: skip
    yield Case(
        "OPTIONS along the Path", "server", request("OPTIONS", "sip:8007@192.168.1.44:5060", SERVER, Route="{PATH}")
    )


def _options() -> Iterator[Case]:
    for uri in (
        "sip:{PROXY}", "sip:{PROXY}:5060", "sip:s@{PROXY}", "sip:ping@{PROXY}:5060", "sip:alice@{PROXY}", "SIP:{PROXY}",
        "sip:pbx.example.com", "sip:pbx.example.com:5060", "sip:PBX.Example.COM", "sip:{PROXY};transport=udp",
        "sip:{PROXY};transport=tcp", "sip:{PROXY};lr", "sip:{PROXY}:5999", "sip:[{PROXY6}]", "sips:{PROXY}",
        "sip:203.0.113.77", "sip:{PROXY};maddr=203.0.113.77", "sip:s:secret@{PROXY}", "sip:S@{PROXY}",
    ):  # fmt: skip
        yield Case(f"OPTIONS {uri}", "phone", request("OPTIONS", uri))
    yield Case("OPTIONS of a server for the proxy", "server", request("OPTIONS", "sip:{PROXY}", SERVER))
    yield Case("OPTIONS over IPv6", "six", request("OPTIONS", "sip:[{PROXY6}]:5060", SIX))
    yield Case("OPTIONS with Route", "phone", request("OPTIONS", "sip:{PROXY}", Route="<sip:{PROXY};lr>"))
    yield Case("OPTIONS to us with Require", "phone", request("OPTIONS", "sip:{PROXY}", Require="100rel"))
    yield Case("OPTIONS with Accept and body", "phone", request("OPTIONS", "sip:{PROXY}", body="x", Accept="*/*"))


def _registers() -> Iterator[Case]:
    me: Fields = {**PHONE, "To": "<sip:8005@{PROXY}>", "Call-ID": "reg"}
    for name, changed in (
        ("offers path", {"Supported": "path, gruu"}),
        ("offers path in another case", {"Supported": "gruu, PATH"}),
        ("offers something else", {"Supported": "gruu"}),
        ("offers in the compact form", {"k": "path"}),
        ("has a Path already", {"Path": "<sip:203.0.113.99;lr>"}),
        ("removes all", {"Contact": "*", "Expires": "0"}),
        ("asks only", {"Contact": None}),
        ("has three contacts", {"Contact": ["<sip:a@198.51.100.7>;q=0.7", "sip:b@198.51.100.7, <sip:c@x.example>"]}),
        ("has credentials", {"Authorization": 'Digest username="8005", realm="a, b", nonce="1/2", response="0"'}),
        ("has an instance", {"Contact": '<sip:8005@198.51.100.7>;+sip.instance="<urn:uuid:0c67>";reg-id=1'}),
    ):  # fmt: skip
        yield Case(f"REGISTER {name}", "phone", request("REGISTER", "sip:{PROXY}", {**me, **changed}))
    yield Case("REGISTER with a user", "phone", request("REGISTER", "sip:8005@{PROXY}", me))
    yield Case("REGISTER for our domain", "phone", request("REGISTER", "sip:pbx.example.com", me))
    yield Case("REGISTER of a server elsewhere", "server", request("REGISTER", "sip:203.0.113.9", SERVER))


def _syntax() -> Iterator[Case]:
    plain = request("INVITE", "sip:8006@{PROXY}", Call_ID="syntax")
    compact = (
        b"INVITE sip:8006@{PROXY} SIP/2.0\r\nv:SIP/2.0/UDP 198.51.100.7:40001 ;branch=z9hG4bK1; rport\r\n"
        b"f:<sip:8005@{PROXY}>;tag=caller\r\nt:sip:8006@{PROXY}\r\ni:compact\r\nCSeq:1 INVITE\r\n"
        b"m:<sip:8005@198.51.100.7:40001>\r\nMax-Forwards:70\r\nk:timer\r\nc:text/plain\r\nl:5\r\n\r\nhello"
    )
    yield Case("compact forms", "phone", compact)
    yield Case(
        "compact forms in upper case", "phone", compact.replace(b"\r\nv:", b"\r\nV:").replace(b"\r\nl:", b"\r\nL:")
    )
    for name, fields in (
        (
            "everything folded",
            {
                "Via": "SIP/2.0/UDP 198.51.100.7:40001\r\n ;branch=z9hG4bKf\r\n\t;rport",
                "From": '"A\r\n B" <sip:8005@{PROXY}>\r\n ;tag=caller',
                "To": "\r\n <sip:8006@{PROXY}>",
                "Call-ID": "\r\n folded",
                "CSeq": "1\r\n INVITE",
                "Max-Forwards": "\r\n 70",
            },
        ),
        ("names in odd cases", {"Via": None, "vIA": PHONE["Via"], "Max-Forwards": None, "MAX-FORWARDS": "70"}),
        ("blanks before the colons", {"Via": None, "Via ": PHONE["Via"], "To": None, "To\t": PHONE["To"]}),
        ("a display name in UTF-8", {"From": '"J\u00fcrgen" <sip:8005@{PROXY}>;tag=caller'}),
        ("a display name without quotes", {"From": "Alice B <sip:8005@{PROXY}>;tag=caller"}),
        ("a display name with a comma", {"From": '"B, Alice" <sip:8005@{PROXY}>;tag=caller'}),
        ("quotes in a display name", {"From": '"a \\" <sip:x@y>" <sip:8005@{PROXY}>;tag=caller'}),
        ("From without brackets", {"From": "sip:8005@{PROXY};tag=caller"}),
        ("From without a tag", {"From": "<sip:8005@{PROXY}>"}),
        ("From with parameters", {"From": "<sip:8005@{PROXY};user=phone>;x=y;tag=caller;z"}),
        ("To of another scheme", {"To": "<tel:+4930>"}),
        ("an unknown field", {"X-Anything": "@:;,<>\"'{}"}),
        ("an empty field", {"Subject": ""}),
        ("a long field", {"Subject": "x" * 3000}),
        ("many fields", {"X-Line": [str(number) for number in range(60)]}),
        ("CSeq with zeroes", {"CSeq": "0001 INVITE"}),
        ("CSeq with much white space", {"CSeq": "1 \t  INVITE"}),
        ("the largest CSeq", {"CSeq": "2147483647 INVITE"}),
        ("CSeq of 32 bits", {"CSeq": "4294967295 INVITE"}),
        ("CSeq too large", {"CSeq": "36893488147419103232 INVITE"}),
        ("another method in CSeq", {"CSeq": "1 OPTIONS"}),
        ("CSeq without a number", {"CSeq": "INVITE"}),
        ("no Contact", {"Contact": None}),
        ("no Content-Length", {"Content-Length": None}),
        ("no Via", {"Via": None}),
        ("no From", {"From": None}),
        ("no To", {"To": None}),
        ("no Call-ID", {"Call-ID": None}),
        ("no CSeq", {"CSeq": None}),
        ("two From", {"From": [str(PHONE["From"]), "<sip:other@x>;tag=o"]}),
        ("two Call-IDs", {"Call-ID": ["one", "two"]}),
        ("a length too large", {"Content-Length": "100"}),
        ("a negative length", {"Content-Length": "-1"}),
        ("a length that is none", {"Content-Length": "x"}),
        ("an IPv6 literal in From and To", {"From": "<sip:a@[2001:db8::9]>;tag=caller", "To": "<sip:b@[::1]:5070>"}),
        ("an IPv6 literal in Contact", {"Contact": "<sip:a@[2001:db8::9]:5070;transport=udp>"}),
        ("Expires too large", {"Expires": "99999999999"}),
        ("a line without a colon", {"": "this is no header field"}),
        ("an empty name", {"": ": nothing"}),
    ):
        yield Case(name, "phone", request("INVITE", "sip:8006@{PROXY}", {**PHONE, "Call-ID": "syntax", **fields}))
    yield Case("line feeds only", "phone", plain.replace(b"\r\n", b"\n"))
    yield Case("leading line ends", "phone", b"\r\n\r\n" + plain)
    yield Case("bytes after the body", "phone", plain + b"more")
    yield Case(
        "a body that is shorter than the datagram", "phone", plain.replace(b"Length: 0", b"Length: 4") + b"wholemore"
    )
    yield Case("a body with NULs", "phone", plain.replace(b"Length: 0", b"Length: 3") + b"a\0b")
    yield Case("no empty line at the end", "phone", plain[:-2])
    yield Case("cut within the fields", "phone", plain[:150])
    yield Case("two blanks in the start line", "phone", plain.replace(b" sip:", b"  sip:", 1))
    yield Case("a blank after the start line", "phone", plain.replace(b" SIP/2.0\r\n", b" SIP/2.0 \r\n", 1))
    yield Case("keepalive", "phone", b"\r\n\r\n")
    yield Case("zero bytes", "phone", b"\0\0\0\0")
    yield Case("not SIP", "phone", b"GET / HTTP/1.1\r\nHost: {PROXY}\r\n\r\n")


def _hops() -> Iterator[Case]:
    for value in (
        "0",
        "1",
        "2",
        "69",
        "70",
        "71",
        "255",
        "256",
        "00",
        "0070",
        "-1",
        "x",
        "",
        "70 ",
        "7 0",
        "9999999999",
    ):
        yield Case(f"Max-Forwards {value!r}", "phone", request("INVITE", "sip:8006@{PROXY}", Max_Forwards=value))
    for method in ("INVITE", "REGISTER", "OPTIONS", "BYE"):
        yield Case(f"{method} without Max-Forwards", "phone", request(method, "sip:8006@{PROXY}", Max_Forwards=None))
        yield Case(f"{method} with no hops left", "phone", request(method, "sip:8006@{PROXY}", Max_Forwards="0"))
    for method in ("ACK", "CANCEL"):
        yield Case(f"{method} with no hops left", "phone", request(method, "sip:8006@{PROXY}", Max_Forwards="0"))
    yield Case("OPTIONS to us with no hops left", "phone", request("OPTIONS", "sip:{PROXY}", Max_Forwards="0"))
    yield Case("two Max-Forwards", "phone", request("INVITE", "sip:8006@{PROXY}", Max_Forwards=["70", "5"]))


def _extensions_and_schemes() -> Iterator[Case]:
    for name, fields in (
        ("Proxy-Require", {"Proxy-Require": "foo"}),
        ("two in Proxy-Require", {"Proxy-Require": "foo, bar"}),
        ("two Proxy-Require", {"Proxy-Require": ["foo", "bar"]}),
        ("Require", {"Require": "foo"}),
    ):
        for method in ("INVITE", "ACK", "CANCEL", "OPTIONS"):
            yield Case(f"{method} with {name}", "phone", request(method, "sip:8006@{PROXY}", {**PHONE, **fields}))
    for uri in (
        "sips:8006@{PROXY}", "tel:+49-30-12345", "tel:12345;phone-context=example.com", "urn:service:sos", "http://x/y",
        "mailto:a@b", "nobodyKnowsThisScheme:totallyopaque", "8006", "8006@{PROXY}", "sip:", "sip:@", "sip:8006@",
        "sip:8006", "<sip:8006@{PROXY}>", "sip:8006@{PROXY}?Subject=x", "sip:8006@{PROXY};user=phone;x=%20y",
        "sip:8006@{PROXY};;",
        "sip:a%20b@{PROXY}", "sip:a%zz@{PROXY}", "sip:%00@{PROXY}", "sip:a;b=c@{PROXY}", "sip:a@b@{PROXY}",
        "sip:*97#@{PROXY}",
        "sip:8006@{PROXY}:0", "sip:8006@{PROXY}:65536", "sip:8006@{PROXY}:x", "sip:8006@[::1", "sip:8006@[zz]",
        "sip:8006@999.1.1.1", "sip:8006@-x.example.com", "sip:j\u00fcrgen@{PROXY}", "sip:8006@under_score.example", "*",
    ):  # fmt: skip
        yield Case(f"Request-URI {uri}", "phone", request("INVITE", uri, Call_ID="uri"))
    for version in ("SIP/1.0", "SIP/3.0", "SIP/7.0", "sip/2.0", "SIP/2.00", "SIP/2", "HTTP/1.1", ""):
        text = request("INVITE", "sip:8006@{PROXY}").replace(b" SIP/2.0\r\n", f" {version}\r\n".encode(), 1)
        yield Case(f"version {version!r}", "phone", text)


def _routes() -> Iterator[Case]:
    own = "<sip:{PROXY};lr>"
    for name, route in (
        ("our Route", own),
        ("our Route with a port", "<sip:{PROXY}:5060;lr>"),
        ("our Route without lr", "<sip:{PROXY}>"),
        ("our Route by name", "<sip:pbx.example.com;lr>"),
        ("our Route twice", f"{own}, {own}"),
        ("our Route twice in two fields", [own, own]),
        ("our Route with a user", "<sip:anybody@{PROXY};lr>"),
        ("our Route with a display name", '"a, <b>" <sip:{PROXY};lr>;x="y, z"'),
        ("our Route folded", "\r\n <sip:{PROXY};lr>"),
        ("our Route and a destination", f"{own}, <sip:10.0.0.31;lr>"),
        ("our Route and a foreign one", f"{own}, <sip:203.0.113.77;lr>"),
        ("our Route and a strict one", f"{own}, <sip:203.0.113.77>"),
        ("our Route and two foreign ones in three fields", [own, "<sip:203.0.113.77;lr>", "<sip:203.0.113.78;lr>"]),
        ("a foreign Route", "<sip:203.0.113.77;lr>"),
        ("a foreign Route above ours", f"<sip:203.0.113.77;lr>, {own}"),
        ("a Route with maddr", "<sip:{PROXY};maddr=203.0.113.77;lr>"),
        ("our Route at another port", "<sip:{PROXY}:5999;lr>"),
        ("a Route without brackets", "sip:{PROXY};lr"),
        ("a Route that nobody can read", "<sip:{PROXY};lr"),
        ("an empty Route", ""),
    ):
        for who, uri, fields in (
            ("phone", "sip:8006@{PROXY}", PHONE),
            ("server", "sip:8005@198.51.100.7:40001", SERVER),
        ):
            yield Case(
                f"{who} with {name}", who, request("INVITE", uri, {**fields, "Route": route, "Call-ID": "route"})
            )
    tagged: Fields = {"To": "<sip:8006@{PROXY}>;tag=callee", "CSeq": "2 BYE", "Contact": None}
    yield Case(
        "server calls the proxy along a foreign Route", "server",
        request("INVITE", "sip:8006@{PROXY}", SERVER, Route="<sip:203.0.113.77;lr>"),
    )  # fmt: skip
    along: Fields = {**PHONE, "Route": "{CALLER:phone}"}
    yield Case("OPTIONS for us along a call's Route", "phone", request("OPTIONS", "sip:{PROXY}", along))
    yield Case("INFO without a To tag for us along a call's Route", "phone", request("INFO", "sip:{PROXY}", along))
    for method in ("BYE", "ACK"):
        yield Case(
            f"caller's {method} as if the callee sent it", "phone",
            request(method, "sip:8006@10.0.0.31", {**along, **tagged, "CSeq": f"2 {method}"}, From=str(tagged["To"])),
        )  # fmt: skip
    yield Case(
        "callee's BYE with the caller's tag", "server:phone",
        request(
            "BYE", "sip:8005@198.51.100.7:40001", SERVER, Route="{CALLEE:phone}", From=PHONE["From"], To=tagged["To"],
        ),
    )  # fmt: skip
    yield Case(
        "BYE of a strict router", "phone",
        request("BYE", _bare("{CALLER:phone}"), {**PHONE, **tagged, "Route": "<{CONTACT:phone}>"}),
    )  # fmt: skip
    yield Case(
        "BYE of a strict router to another scheme", "phone",
        request("BYE", _bare("{CALLER:phone}"), {**PHONE, **tagged, "Route": "<http:x>"}),
    )  # fmt: skip
    yield Case(
        "BYE of a strict router with one hop more", "phone",
        request("BYE", _bare("{CALLER:phone}"), {**PHONE, **tagged, "Route": "<sip:10.0.0.32;lr>, <{CONTACT:phone}>"}),
    )  # fmt: skip
    for name, rest in (("loose", "<sip:203.0.113.9;lr>"), ("strict", "<sip:203.0.113.9>")):
        yield Case(
            f"callee's BYE with a {name} router behind us", "server:trunk",
            request(
                "BYE", "sip:gw@203.0.113.80:5070", SERVER, Route=["{CALLEE:trunk}", rest], Call_ID="trunk-call",
                From="<sip:8006@{PROXY}>;tag=callee", To="<sip:+4917@203.0.113.9>;tag=trunk", CSeq="7 BYE",
            ),
        )  # fmt: skip
    for name, contact in (
        ("a name", "sip:8005@trunk.example.net"),
        ("a name that does not exist", "sip:8005@laptop.local"),
        ("another transport", "sip:8005@198.51.100.7:40001;transport=tcp"),
        ("another address", "sip:8005@203.0.113.77:5070"),
        ("maddr", "sip:8005@laptop.local;maddr=203.0.113.77"),
    ):
        yield Case(
            f"callee's BYE to a Contact of {name}", "server:phone",
            request(
                "BYE", contact, SERVER, Route="{CALLEE:phone}", Call_ID="call@198.51.100.7",
                From="<sip:8006@{PROXY}>;tag=callee", To=PHONE["From"], CSeq="7 BYE",
            ),
        )  # fmt: skip
    yield Case(
        "caller's BYE to an address that is not listed", "phone",
        request("BYE", "sip:8006@203.0.113.77", {**PHONE, **tagged, "Route": "{CALLER:phone}"}),
    )  # fmt: skip


def _vias() -> Iterator[Case]:
    for via in (
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1;rport",
        "SIP/2.0/UDP 198.51.100.7:40001;rport=1;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7:40001;received=203.0.113.1;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7:40001;received=203.0.113.1;branch=z9hG4bK1;rport=9",
        "SIP/2.0/UDP 203.0.113.1:40001;branch=z9hG4bK1",
        "SIP/2.0/UDP 203.0.113.1;branch=z9hG4bK1",
        "SIP/2.0/UDP phone.example.org;branch=z9hG4bK1",
        "SIP/2.0/UDP phone.example.org:5070;branch=z9hG4bK1;rport",
        "SIP/2.0/UDP [2001:db8:1::7]:40001;branch=z9hG4bK1;rport",
        "SIP/2.0/UDP 198.51.100.7:40001;branch=oldbranch",
        "SIP/2.0/UDP 198.51.100.7:40001",
        "SIP/2.0/TCP 198.51.100.7:40001;branch=z9hG4bK1",
        "SIP/2.0/TLS 198.51.100.7;branch=z9hG4bK1",
        "SIP/2.0/NEW 198.51.100.7:40001;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7:40001;maddr=203.0.113.77;ttl=1;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7:40001;BRANCH=z9hG4bK1;RPORT",
        'SIP/2.0/UDP 198.51.100.7:40001;x="a;b,c";branch=z9hG4bK1;rport',
        "SIP / 2.0 / UDP 198.51.100.7 : 40001 ; branch = z9hG4bK1 ; rport",
        "SIP/2.0/UDP 198.51.100.7:0;branch=z9hG4bK1",
        "SIP/2.0/UDP 198.51.100.7:99999;branch=z9hG4bK1",
        "SIP/2.0/UDP ;branch=z9hG4bK1",
        "SIP/1.0/UDP 198.51.100.7:40001;branch=z9hG4bK1",
        "nonsense",
        "",
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1;rport,",
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1;rport, nonsense",
        "SIP/2.0/UDP 198.51.100.7:40001;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.1.1.1;branch=z9hG4bK0",
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1;rport (comment)",
    ):
        yield Case(f"Via {via}", "phone", request("INVITE", "sip:8006@{PROXY}", Via=via, Call_ID="via"))
        if "1:" not in via:
            yield Case(
                f"unserved, Via {via}", "phone", request("INVITE", "sip:8006@{PROXY}", Via=via, Max_Forwards="0")
            )


def _torture() -> Iterator[Case]:
    """RFC 4475."""
    for file in sorted(TORTURE.glob("*.dat")):
        yield Case(f"RFC 4475 {file.stem}", "phone", file.read_bytes())


def _bare(address: str | Sequence[str] | None) -> str:
    assert isinstance(address, str)
    return address.strip("<>") if not address.startswith("{") else address.replace("{", "{URI:")
