"""Messages that RFC 3261 allows, drawn by hypothesis: every form that a proxy has to understand."""

from __future__ import annotations

import re

from hypothesis import strategies as st

EOLS = ["\r\n", "\n"]

TOKEN = st.text("aZ09-.!%*_+`'~", min_size=1, max_size=4)
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
FOLDS = st.sampled_from([" ", "  ", "\r\n ", " \r\n\t"])
HOSTS = [
    "a",
    "a.example.com",
    "A-1.b",
    "_x.y.",
    "192.0.2.1",
    "10.255.0.9",
    "[2001:db8::1]",
    "[::ffff:192.0.2.1]",
    "[::]",
]
hosts = st.sampled_from(HOSTS)
ports = st.sampled_from(["", "", ":1", ":5060", ":65535"])
quoted = st.text('a ,;<>@\\"\u00fc', max_size=6).map(lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text) + '"')
USERS = ["", "8006@", "+49-30@", "a%40b@", "a;b=c,d?e/f@", "(a)'!~*&=+$@", "a:@", "a:b&=+$,%20@"]
users = st.sampled_from(USERS)
params = st.sampled_from(["", ";x", ";x=y", ";X='`;y=[::1]:5", ';x="a, b;tag=c\\"";y', " ; x = y"])
uri_params = st.sampled_from(["", ";lr", ";user=phone", ";transport=tcp;x", ";%6Cr;x=%41/&+$"])
uris = st.builds("{}:{}{}{}{}".format, st.sampled_from(["sip", "sips", "SIP"]), users, hosts, ports, uri_params)
display_names = quoted | st.sampled_from(["", "Alice", "a-1 b~2 %", "Dr. J\u00fcrgen (1)"])
addresses = st.builds("{}{}<{}>".format, display_names, st.sampled_from([" ", "", "  "]), uris).map(str.strip)


@st.composite
def via_values(draw: st.DrawFn) -> str:
    """One Via value; blanks round its slashes, colons and equal signs are legal."""
    slash = draw(st.sampled_from(["/", " / ", "/ "]))
    start = (
        f"{draw(st.sampled_from(['SIP', 'sip']))}{slash}2.0{slash}{draw(st.sampled_from(['UDP', 'TCP', 'TLS', 'udp']))}"
    )
    pieces = [f";branch=z9hG4bK{draw(TOKEN)}"] if draw(st.booleans()) else []
    pieces += draw(st.lists(st.sampled_from([";rport", ";rport=40001", "; RPORT = 9", ";rport="]), max_size=1))
    pieces += draw(st.lists(st.sampled_from([";received=192.0.2.7", ";Received=[2001:db8::7]"]), max_size=1))
    others = [";l=0123abcd", ";t=09az;i=ab", ";maddr=192.0.2.3;ttl=1", ';x="a, b;c"']
    pieces += draw(st.lists(st.sampled_from(others), max_size=1))
    order = draw(st.permutations(pieces))
    return f"{start}{draw(st.sampled_from([' ', '  ']))}{draw(hosts)}{draw(ports)}{''.join(order)}"


@st.composite
def headers(draw: st.DrawFn) -> tuple[str, str]:
    """A field that no proxy reads: any name, any text, folded or not."""
    name = draw(TOKEN.map("X-{}".format) | st.sampled_from(["Subject", "Accept", "user-agent"]))
    words = draw(st.lists(st.text('ab\u00fc\u5fd9,;:<>"=', min_size=1, max_size=6), max_size=4))
    return name, draw(FOLDS).join(words)


def _fold(draw: st.DrawFn, value: str) -> str:
    """The value with one blank outside of quotes turned into a fold."""
    places = [found.start() for found in re.finditer(r"(?<!\n) ", value) if value[: found.start()].count('"') % 2 == 0]
    if not places or not draw(st.booleans()):
        return value
    at = draw(st.sampled_from(places))
    return value[:at] + draw(FOLDS) + value[at + 1 :]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request or reply with the fields that both must have, in any order and form."""
    method = draw(st.sampled_from(["INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS"]) | TOKEN)
    reply = draw(st.booleans())
    phrase = st.text("a b\u00fc", max_size=5)
    start = f"SIP/2.0 {draw(st.integers(100, 699))} {draw(phrase)}"
    if not reply:
        start = f"{method} {draw(uris | st.just('tel:+4930;x=y'))} SIP/2.0"
    values = draw(st.lists(via_values(), min_size=1, max_size=3))
    vias = [", ".join(values)] if draw(st.booleans()) else values
    tag = f";tag={draw(TOKEN)}"
    body = draw(st.binary(max_size=20))
    found = [(draw(st.sampled_from(["Via", "v", "VIA"])), value) for value in vias]
    found += [
        (draw(st.sampled_from(["From", "f", "FROM"])), draw(addresses) + tag + draw(params)),
        (draw(st.sampled_from(["To", "t", "tO"])), draw(addresses) + draw(params)),
        (draw(st.sampled_from(["Call-ID", "i", "call-id"])), draw(TOKEN) + draw(st.sampled_from(["", "@a", "<x>"]))),
        ("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}"),
    ]
    if draw(st.booleans()):
        found.append(("Max-Forwards", str(draw(st.integers(0, 255)))))
    if draw(st.booleans()):
        found.append((draw(st.sampled_from(["Content-Length", "l"])), str(len(body))))
    if draw(st.booleans()):
        found.append(("Route", ", ".join(draw(st.lists(addresses, min_size=1, max_size=3)))))
    found += draw(st.lists(headers(), max_size=3))
    lines = [f"{name}{draw(BLANKS)}:{draw(FOLDS)}{_fold(draw, value)}" for name, value in draw(st.permutations(found))]
    eol = draw(st.sampled_from(EOLS))
    return eol.join((start, *lines, "", "")).replace("\r\n", eol).encode() + body


def forms(written: bytes) -> set[str]:
    """Which forms a message is written in: fold, joined, compact."""
    head = re.split(rb"\r?\n\r?\n", written, maxsplit=1)[0]
    patterns = {"fold": rb"\n[ \t]", "joined": rb"(?i)\n(via|v)[ \t]*:[^\n]*,", "compact": rb"\n[a-z][ \t]*:"}
    return {form for form, pattern in patterns.items() if re.search(pattern, head)}
