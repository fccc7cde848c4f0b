"""Which destinations does a dispatcher list name, and what is wrong with its lines?

The grammar is Kamailio's, `setid destination [flags [priority [attrs]]]`, read strictly and in file order.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

import attrs

from dispatcher.destination import KNOWN_FLAGS, NO_DNS_ARES, NO_PING, PROBING, TRYING, Entry
from dispatcher.listattrs import MAX_NUMBER, Attributes, read_attributes
from dispatcher.listsets import Placed, check_identities, check_shares
from dispatcher.listuri import read_destination
from dispatcher.listword import Findings, Word, shown
from dispatcher.problem import Problem, refuses
from dispatcher.steps import Steps, stepwise

KAMAILIO_LINE_BYTES: Final = 1023
"""What Kamailio reads of a line before it takes the rest for a new line."""

_COLUMNS_BEFORE_ATTRIBUTES = 4
_FORBIDDEN = (
    ("\0", "NUL byte", "save the file as UTF-8 text"),
    ("\r", "carriage return inside a line", "end lines with a line feed"),
)
_WORD = re.compile(r"[^ \t]+")
_STRANGE = re.compile(r"[^\x20-\x7e\t]")
_DIGITS = re.compile(r"[0-9]+")
_HEXADECIMAL = re.compile(r"0x([0-9A-Fa-f]{1,8})")
_GLUED = re.compile(r"([0-9]+)(sips?:.*)", re.IGNORECASE)
_GLUED_ATTRIBUTES = re.compile(r"([0-9]+)([A-Za-z_].*)")
_URI = re.compile(r"sips?:", re.IGNORECASE)
_HOST = re.compile(r"\[|[^.:]*[.:]")
_NUMBER_HINT = f"write a number from 0 to {MAX_NUMBER}"
_FLAGS_HINT = "write 0 or the sum of 1 inactive, 2 trying, 4 disabled, 8 probed, 16 no lookup, 32 never probed"
_PROBE_ATTRIBUTES = ("ping_from", "probe_interval", "probe_timeout", "rise", "fall", "reply_codes")


@stepwise
def parse_list(text: bytes, path: str) -> Steps[tuple[tuple[Entry, ...], tuple[Problem, ...]]]:
    """Every destination in file order and every problem in order of its place; never raises, whatever the bytes.

    `path` only names the file in the problems.  When one of them is an error the list is refused as a whole: there
    are no entries then, so that nobody can use half a list.
    """
    found = Findings(path)
    start = Word("", 1, 1)
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found.error(start, "file is UTF-16", "save it as UTF-8")
        return (), tuple(found.problems)
    lines = text.removeprefix(codecs.BOM_UTF8)
    if len(lines) < len(text):
        found.warning(start, "byte order mark: Kamailio takes it for a part of the first line", "save it without")
    placed = []
    for number, line in enumerate(lines.split(b"\n"), 1):
        words = _words(line, number, found)
        read = _read_line(words, found) if words else None
        if read is not None:
            placed.append(read)
        yield
    yield from check_identities.steps(placed, found)
    if not refuses(found.problems):
        yield from check_shares.steps(placed, found)
        if not placed:
            found.warning(start, "no destination in the list: no call can be sent anywhere", "write: 1 sip:HOST")
    problems = tuple(sorted(found.problems))
    return () if refuses(problems) else tuple(line.entry for line in placed), problems


def _words(raw: bytes, number: int, found: Findings) -> list[Word]:
    """The words of a line up to its comment; none when it is empty or cannot be told apart into words."""
    raw = raw.rstrip(b" \t\r")
    line = raw.decode("utf-8", "surrogateescape")
    if len(raw) > KAMAILIO_LINE_BYTES:
        cut = len(raw[:KAMAILIO_LINE_BYTES].decode("utf-8", "ignore"))
        message = (
            f"line of {len(raw)} bytes: Kamailio cuts it after {KAMAILIO_LINE_BYTES} and reads the rest as a new line"
        )
        found.warning(Word("", number, cut + 1), message, "write a shorter line if both read this list")
    for character, message, hint in _FORBIDDEN:
        if character in line:
            found.error(Word("", number, line.index(character) + 1), message, hint)
            return []
    words: list[Word] = []
    for match in _WORD.finditer(line):
        word = Word(match[0], number, match.start() + 1)
        hash_at = word.text.find("#")
        if hash_at == 0:
            break
        if hash_at > 0 and len(words) < _COLUMNS_BEFORE_ATTRIBUTES:
            if len(words) < 2 and "@" in word.text[hash_at:]:
                message = "'#' begins a comment, even inside a URI"
                found.error(word.part(hash_at), message, "write %23 for a '#' in the user part")
                return []
            found.warning(word.part(hash_at), f"comment begins inside '{shown(word.text)}'", "write a space before '#'")
            words.append(word.part(0, hash_at))
            break
        words.append(word)
    return words if all(_is_clean(word, found) for word in words) else []


def _is_clean(word: Word, found: Findings) -> bool:
    """Whether the word has only characters that can be seen; the first that cannot is reported."""
    for match in _STRANGE.finditer(word.text):
        code = ord(match[0])
        at = word.part(match.start())
        if 0xDC80 <= code <= 0xDCFF:  # where surrogateescape leaves the bytes that it could not decode
            found.error(at, f"byte 0x{code - 0xDC00:02X} is not UTF-8", "save the file as UTF-8")
        elif match[0].isspace():
            found.error(at, f"character U+{code:04X} looks like a space but is none", "write a plain space")
        elif not match[0].isprintable():
            found.error(at, f"invisible character U+{code:04X}", "delete it")
        else:
            continue
        return False
    return True


@attrs.frozen
class _Columns:
    """The words behind the destination by their column, None for those that the line leaves out."""

    flags: Word | None
    priority: Word | None
    attributes: Word | None


def _read_line(words: list[Word], found: Findings) -> Placed | None:
    """One line as a value; None when set id or destination say nothing.  Every fault of the line is reported."""
    set_id, rest = _read_set_id(words, found)
    if not rest:
        if set_id is not None:
            message = f"destination is missing after set id {set_id} (Kamailio refuses the whole list)"
            found.error(words[0], message, f"write: {set_id} sip:HOST")
        return None
    target = read_destination(rest[0], found)
    columns = _columns(f"{1 if set_id is None else set_id} {rest[0].text}", rest[1:], found)
    flags = 0 if columns.flags is None else _read_flags(columns.flags, found)
    priority = 0 if columns.priority is None else _number(columns.priority, "priority", found) or 0
    attributes = Attributes() if columns.attributes is None else read_attributes(columns.attributes, target, found)
    fields = dict(attributes.fields)
    if fields.setdefault("priority", priority) != priority and priority != 0:
        found.error(
            attributes.words["priority"],
            f"attribute priority says {fields['priority']} and the fourth column says {priority}",
            "write it once, in the fourth column",
        )
    unused = [name for name in _PROBE_ATTRIBUTES if name in attributes.words]
    if flags & NO_PING and unused:
        message = f"{', '.join(unused)} without effect: flag {NO_PING} says never to probe this destination"
        found.warning(attributes.words[unused[0]], message, f"leave out the attribute or flag {NO_PING}")
    if set_id is None or target is None:
        return None
    entry = Entry(
        set_id=set_id,
        uri=rest[0].text,
        target=target,
        flags=flags,
        attributes=attributes.written,
        line=rest[0].line,
        **fields,
    )
    return Placed(entry=entry, destination=rest[0], priority=columns.priority or rest[0], attributes=attributes.words)


def _read_set_id(words: list[Word], found: Findings) -> tuple[int | None, list[Word]]:
    """The set id (None after an error) and the words from the destination on."""
    word, rest = words[0], words[1:]
    glued = _GLUED.fullmatch(word.text)
    if _DIGITS.fullmatch(word.text):
        return _number(word, "set id", found), rest
    if glued:
        message = f"no space between set id and destination (Kamailio reads set {shown(glued[1])})"
        found.error(word, message, f"write: {shown(glued[1] + ' ' + _join([word.part(glued.start(2)), *rest]))}")
        return _number(word.part(0, glued.end(1)), "set id", found), [word.part(glued.start(2)), *rest]
    if _URI.match(word.text) or (_HOST.match(word.text) and not (rest and _URI.match(rest[0].text))):
        message = "set id is missing (Kamailio puts the destination into set 0 or skips the line)"
        scheme = "" if _URI.match(word.text) else "sip:"
        found.error(word, message, f"write: {shown(f'1 {scheme}{_join(words)}')}")
        return None, words
    return _number(word, "set id", found), rest


def _columns(before: str, after: list[Word], found: Findings) -> _Columns:
    """Tell the words behind the destination apart; `before` is what the line should say up to there."""
    numbers: list[Word] = []
    for column in ("flags", "priority"):
        if not after or "=" not in after[0].text:
            numbers += after[:1]
            after = after[1:]
            continue
        at = after[0]
        glued = _GLUED_ATTRIBUTES.fullmatch(at.text)
        if glued:
            message = f"no space between {column} and attributes (Kamailio reads {column} {shown(glued[1])})"
            numbers.append(at.part(0, glued.end(1)))
            after = [at.part(glued.start(2)), *after[1:]]
        else:
            missing = "flags and priority are" if column == "flags" else "priority is"
            message = f"{missing} missing before the attributes (Kamailio reads 0)"
        better = [before, *(number.text for number in numbers), *["0"] * (2 - len(numbers)), _join(after)]
        found.error(at, message, f"write: {shown(' '.join(better))}")
        break
    flags, priority = [*numbers, None, None][:2]
    return _Columns(flags, priority, _only_word(after, found))


def _only_word(attributes: list[Word], found: Findings) -> Word | None:
    """The attributes column; None when there is none or spaces have torn it."""
    if len(attributes) < 2:
        return attributes[0] if attributes else None
    first, second = attributes[:2]
    if first.text.count('"') % 2 or first.text.count("'") % 2:
        message = "quotes cannot hold a space (Kamailio cuts the line there and skips the destination)"
        found.error(first, message, "write another character for the space")
        return None
    message = f"words after the attributes: {shown(_join(attributes[1:]))} (Kamailio drops them silently)"
    found.error(second, message, f"attributes are one word; write: {shown(_glue(attributes))}")
    torn = first.text[-1] in "=;," or second.text[0] in "=;,"
    return None if torn else first


def _join(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


def _glue(words: list[Word]) -> str:
    """Attributes torn by spaces, put together again."""
    text = re.sub(r" *([=;]) *", r"\1", _join(words)).replace(" ", ";")
    return re.sub(";+", ";", text.replace(",;", ";")).removesuffix(";")


def _number(word: Word, column: str, found: Findings, hint: str = _NUMBER_HINT) -> int | None:
    """The decimal number of a column; None, and the reason in `found`, when it is none."""
    text = word.text
    digits = text.lstrip("0") or "0"
    if text.startswith("-") and _DIGITS.fullmatch(text, 1):
        message = f"{column} cannot be negative: {shown(text)} (Kamailio reads 0 and mistakes it for the next column)"
        found.error(word, message, hint)
    elif not _DIGITS.fullmatch(text):
        found.error(word, f"{column} '{shown(text)}' is not a number", hint)
    elif len(digits) > len(str(MAX_NUMBER)) or int(digits) > MAX_NUMBER:
        found.error(word, f"{column} {shown(text)} is too large", hint)
    else:
        return int(digits)
    return None


def _read_flags(word: Word, found: Findings) -> int:
    """The flags as a number, 0 after an error."""
    hexadecimal = _HEXADECIMAL.fullmatch(word.text)
    if hexadecimal is not None:
        flags = int(hexadecimal[1], 16)
        if not flags & ~KNOWN_FLAGS:
            message = f"flags {word.text}: before version 6.0 Kamailio reads 0 and takes the rest for the attributes"
            found.warning(word, message, f"write {flags}")
    elif word.text[:2] in ("0x", "0X"):
        message = f"flags '{shown(word.text)}' are not a number (Kamailio reads hexadecimal after 0x only)"
        found.error(word, message, _FLAGS_HINT)
        return 0
    elif _URI.match(word.text):
        found.error(word, "second destination in one line", f"write it in a line of its own: {shown(word.text)}")
        return 0
    else:
        flags = _number(word, "flags", found, _FLAGS_HINT) or 0
    if flags & ~KNOWN_FLAGS:
        message = f"flags {shown(word.text)} have bits that mean nothing: {flags & ~KNOWN_FLAGS}"
        found.error(word, message, _FLAGS_HINT)
        return 0
    _warn_of_flags(word, flags, found)
    return flags


def _warn_of_flags(word: Word, flags: int, found: Findings) -> None:
    better = flags & ~TRYING & ~NO_DNS_ARES
    if flags & NO_PING and flags & PROBING:
        better &= ~PROBING
        message = f"flags {PROBING} (probed) and {NO_PING} (never probed) contradict each other: {NO_PING} wins"
        found.warning(word, message, f"write {better}")
    if flags & TRYING:
        message = f"flag {TRYING} (trying) has no effect: only probes make a destination suspect"
        found.warning(word, message, f"write {better}")
    if flags & NO_DNS_ARES:
        message = f"flag {NO_DNS_ARES} (no address lookup) has no effect: every host name is looked up, SRV first"
        found.warning(word, message, f"write {better}")
