"""Which messages lie beside one of the corpus: the same but for one to three small changes?"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.dispatcher.oracle.calls import Case

_Change = Callable[[random.Random, bytes, bytes], bytes]

_WORDS = tuple(
    word.encode().decode("unicode_escape").encode("latin-1")
    for word in r"""
    , ; : < > " \" = ? @ % / [ ] ( ) \\ % %20 %00 %zz \t \r \n \r\n \r\n\x20 \x00 \xff \xc3\xbc 0 00 -1 65536
    99999999999 *
    SIP/2.0 SIP/3.0 sip: sips: tel:1 urn:x ;lr ;tag= ;tag=x ;rport ;rport=9 ;received=203.0.113.1 ;branch=z9hG4bK
    ;maddr=10.0.0.31
    ;transport=tcp ;x="a,;b" [::1] 10.0.0.31 10.0.0.32 203.0.113.77 {PROXY} pbx.example.com trunk.example.net :5060
    :5070
    INVITE ACK CANCEL <sip:{PROXY};lr> <sip:203.0.113.77;lr> <sip:203.0.113.77> <sip:10.0.0.31;lr>
    """.split()
)
_LINES = (
    b"Route: <sip:{PROXY};lr>", b"Route: <sip:203.0.113.77;lr>", b"Route: {CALLER:phone}", b"Route: {CALLEE:phone}",
    b"Record-Route: <sip:203.0.113.9;lr>", b"Via: SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKlow",
    b"v: SIP/2.0/UDP 10.9.9.9", b"f: <sip:x@y>;tag=z", b"Contact: <sip:1@203.0.113.77>", b"CSeq: 1 INVITE",
    b"Max-Forwards: 3", b"Max-Forwards: 0", b"Proxy-Require: x", b"Require: x", b"Supported: path",
    b"Content-Length: 1", b"l: 0", b"X: y", b" folded", b"\tfolded", b":",
)  # fmt: skip
_OWN_VIA = re.compile(rb"\{VIA:[a-z]+(?::other)?\}")
_SHORT = {b"Via": b"v", b"From": b"f", b"To": b"t", b"Call-ID": b"i", b"Contact": b"m", b"Content-Length": b"l"}
_NUMBERS = (b"0", b"1", b"007", b"70", b"255", b"256", b"5060", b"65535", b"65536", b"2147483648", b"4294967296")


def mutations(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """`count` messages; the same for the same seed."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        case = rng.choice(cases)
        text = case.text
        for _ in range(rng.choice((1, 1, 2, 3))):
            text = rng.choice(_CHANGES)(rng, text, rng.choice(cases).text)
        if not text.lstrip(b"\r\n").startswith(b"SIP/"):  # each proxy's Via is its own: not for a client to send
            text = _OWN_VIA.sub(b"SIP/2.0/UDP 203.0.113.99;branch=z9hG4bK-another-proxy", text)
        found.append(Case(f"mutation {number} of {case.name}", case.who, text))
    return found


def _delete(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + text[at + rng.choice((1, 1, 1, 2, 5, 20)) :]


def _insert(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_WORDS) + text[at:]


def _insert_at_mark(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    """Where the grammar has something to say."""
    marks = [match.end() for match in re.finditer(rb'[;:,<>"=@ ]|\r\n', text)] or [0]
    at = rng.choice(marks)
    return text[:at] + rng.choice(_WORDS) + text[at:]


def _replace_byte(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + bytes((rng.randrange(256),)) + text[at + 1 :]


def _on_lines(change: Callable[[random.Random, list[bytes], list[bytes]], None]) -> _Change:
    def changed(rng: random.Random, text: bytes, other: bytes) -> bytes:
        head, end, body = text.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        change(rng, lines, other.partition(b"\r\n\r\n")[0].split(b"\r\n"))
        return b"\r\n".join(lines) + end + body

    return changed


def _remove_line(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    del lines[rng.randrange(len(lines))]


def _repeat_line(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(lines[1:] or lines))


def _move_line(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    line = lines.pop(rng.randrange(1, len(lines))) if len(lines) > 1 else b"X: y"
    lines.insert(rng.randrange(1, len(lines) + 1), line)


def _add_line(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(_LINES))


def _borrow_line(rng: random.Random, lines: list[bytes], other: list[bytes]) -> None:
    """A field of another message in place of ours of that name, or besides."""
    line = rng.choice(other)
    name = line.partition(b":")[0].lower()
    same = [at for at, own in enumerate(lines) if own.partition(b":")[0].lower() == name]
    if same and rng.random() < 0.8:
        lines[rng.choice(same)] = line
    else:
        lines.insert(rng.randrange(1, len(lines) + 1), line)


def _change_case(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    at = rng.randrange(len(lines))
    name, colon, value = lines[at].partition(b":")
    lines[at] = rng.choice((name.lower() + colon + value, name.upper() + colon + value, lines[at].swapcase()))


def _fold(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    at = rng.randrange(len(lines))
    places = [match.start() for match in re.finditer(rb"[; ,=]", lines[at])]
    if places:
        place = rng.choice(places)
        lines[at] = lines[at][:place] + rng.choice((b"\r\n ", b"\r\n\t", b"  ", b"\t")) + lines[at][place:]


def _shorten(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    for at, line in enumerate(lines):
        name, colon, value = line.partition(b":")
        if name in _SHORT and rng.random() < 0.7:
            lines[at] = _SHORT[name] + colon + value


def _change_number(rng: random.Random, lines: list[bytes], _other: list[bytes]) -> None:
    at = rng.randrange(len(lines))
    numbers = list(re.finditer(rb"[0-9]+", lines[at]))
    if numbers:
        match = rng.choice(numbers)
        lines[at] = lines[at][: match.start()] + rng.choice(_NUMBERS) + lines[at][match.end() :]


def _lose_cr(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    places = [match.start() for match in re.finditer(rb"\r\n", text)]
    if not places or rng.random() < 0.3:
        return text.replace(b"\r\n", b"\n")
    at = rng.choice(places)
    return text[:at] + text[at + 1 :]


def _truncate(rng: random.Random, text: bytes, _other: bytes) -> bytes:
    return text[: rng.randrange(len(text) + 1)]


_ON_LINES = (
    _remove_line, _repeat_line, _move_line, _add_line, _borrow_line, _borrow_line, _change_case, _fold, _fold, _shorten,
    _change_number, _change_number,
)  # fmt: skip
_CHANGES: tuple[_Change, ...] = (
    _delete, _insert, _insert_at_mark, _insert_at_mark, _replace_byte, _lose_cr, _truncate, *map(_on_lines, _ON_LINES),
)  # fmt: skip
