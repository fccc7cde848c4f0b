"""What does a keepalived.conf say, word by word?

Its lines are read as keepalived reads them: comments from # or ! to the end, quotes with ' or ", `$NAME=value` and
`${NAME}`, lines that begin with `@node` or `@^node`.  Blocks are taken in every form that people write, without a
space before the brace or all on one line.  What is not followed (`include`, `~SEQ`, `~LST`, a definition of several
lines) is remarked upon with its line.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

DEEPEST: Final = 16
"""Blocks within blocks; keepalived has four."""
MOST_SUBSTITUTIONS: Final = 64
"""In one line: a definition may name itself."""
LONGEST_LINE: Final = 16_384
LONGEST_SHOWN: Final = 60

_INCLUDE: Final = re.compile(r"include[rmwba]?\s+(\S.*)")
_DEFINITION: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_USE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)(?=\s|$)")
_TOKEN: Final = re.compile(
    r"""\s+|[{}]|(?:\\.|\\$|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\{[^\s}]*\}?|[^\s{}"'\\])+""", re.DOTALL
)
"""Space, a brace, or a word, some of which may be quoted; `${NAME}` is a part of it."""
_PIECE: Final = re.compile(r"""\\(.)|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|[^"'\\]+|\\$""", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SECRET: Final = re.compile(r"\b(auth_pass|key)\s.*", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "E": "\x1b"}


class Fate(enum.Enum):
    """What becomes of something in the file; the value is the word for people."""

    LEFT_OUT = "left out"
    CHANGED = "changed"
    TO_DO = "to do"


@attrs.frozen
class Remark:
    """What the operator has to know about something in the file: `what` stands there, `why` is a sentence."""

    line: int
    fate: Fate
    what: str
    why: str


@attrs.frozen
class Statement:
    """A keyword and its values, and the block that follows, None without one; `line` counts from 1."""

    words: tuple[str, ...]
    line: int
    block: tuple[Statement, ...] | None = None

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def values(self) -> tuple[str, ...]:
        """The others."""
        return self.words[1:]

    @property
    def value(self) -> str:
        """The second word, or nothing."""
        return self.words[1] if len(self.words) > 1 else ""

    @property
    def inside(self) -> tuple[Statement, ...]:
        """What stands in its block."""
        return self.block or ()


@attrs.frozen
class Document:
    """The whole file, and what was not followed in it."""

    statements: tuple[Statement, ...]
    remarks: tuple[Remark, ...]


class UnreadableError(ValueError):
    """The file makes no sense from this line on: what is wrong, and what to do."""

    def __init__(self, line: int, message: str, hint: str) -> None:
        super().__init__(line, message, hint)
        self.line = line
        self.message = message
        self.hint = hint


def read_keepalived(text: str, *, node: str | None = None) -> Document:
    """Read a file; `node` is what keepalived is told with -i.  Raises UnreadableError."""
    remarks: list[Remark] = []
    tree = _Tree()
    for number, line in _Lines(node, remarks).of(text):
        tree.add(number, _tokens(number, line))
    return Document(tree.finish(), tuple(remarks))


# --------------------------------------------------------------------------------------------------------------------
# Lines


class _Lines:
    """The lines that count on a node, with the definitions put in."""

    def __init__(self, node: str | None, remarks: list[Remark]) -> None:
        self._node = node
        self._remarks = remarks
        self._known: dict[str, str] = {"_HASH": "#", "_BANG": "!"} | ({} if node is None else {"_INSTANCE": node})

    def of(self, text: str) -> Iterator[tuple[int, str]]:
        """Each with its number."""
        continued = False
        for number, raw in enumerate(text.split("\n"), start=1):
            line = _without_comment(raw).strip()
            if continued:
                continued = line.endswith("\\")
                continue
            counted = self._conditional(number, line)
            definition = _DEFINITION.match(counted)
            if definition is not None:
                continued = counted.endswith("\\")
                self._define(number, definition[1], definition[2])
            elif counted:
                yield from self._plain(number, counted)

    def _conditional(self, number: int, line: str) -> str:
        while line.startswith("@"):
            condition, _, rest = " ".join(line.split(maxsplit=1)).partition(" ")
            unless, name = condition.startswith("@^"), condition.lstrip("@^")
            if self._node is None:
                why = (
                    f"it counts {'everywhere but' if unless else 'only'} on the node {name}; say which one with --node"
                )
                self._remark(number, line, why)
                return ""
            if (self._node == name) is unless:
                return ""
            line = rest.strip()
        return line

    def _define(self, number: int, name: str, value: str) -> None:
        if value.endswith("\\"):
            self._remark(number, f"${name}", "definitions of several lines are not followed: write them out")
        else:
            self._known[name] = value.strip()

    def _plain(self, number: int, line: str) -> Iterator[tuple[int, str]]:
        line = self._substituted(line)
        if line.startswith("@"):  # a definition may be a condition
            line = self._conditional(number, line)
        included = _INCLUDE.match(line)
        if included is not None:
            self._remark(number, line, "the file that it names is not read: import it too, or paste it here")
        elif line.startswith(("~SEQ", "~LST")):
            self._remark(number, line, "lines that stand for several are not followed: write them out")
        elif line:
            yield number, line

    def _substituted(self, line: str) -> str:
        start = 0
        for _ in range(MOST_SUBSTITUTIONS):
            found = _USE.search(line, start)
            if found is None or len(line) > LONGEST_LINE:
                break
            value = self._known.get(found[1] or found[2])
            if value is None:
                start = found.end()
            else:
                line = line[: found.start()] + value + line[found.end() :]
                start = found.start()
        return line

    def _remark(self, number: int, what: str, why: str) -> None:
        self._remarks.append(Remark(number, Fate.LEFT_OUT, shown(what), why))


def shown(text: str) -> str:
    """What stands in the file as a remark quotes it: on one line, long ones cut, no password."""
    line = _SECRET.sub(r"\1 ...", " ".join(text.split()))
    return line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 3]}..."


def _without_comment(line: str) -> str:
    """The line up to # or !, unless these stand in quotes or behind a backslash."""
    quote, escaped = "", False
    for index, letter in enumerate(line):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "#!":
            return line[:index]
    return line


# --------------------------------------------------------------------------------------------------------------------
# Words


@attrs.frozen
class _Brace:
    """One that opens or closes a block."""

    opens: bool


_OPEN, _CLOSE = _Brace(True), _Brace(False)  # noqa: FBT003 - the two there are


def _tokens(number: int, line: str) -> Iterator[str | _Brace]:
    """The words of a line without their quotes, and the braces between them."""
    at = 0
    while at < len(line):
        found = _TOKEN.match(line, at)
        if found is None:
            raise UnreadableError(number, f"the quote {line[at]} has no end on its line", "close it")
        at = found.end()
        token = found[0]
        if token in "{}":
            yield _OPEN if token == "{" else _CLOSE
        elif not token.isspace():
            yield "".join(map(_unquoted, _PIECE.finditer(token)))


def _unquoted(piece: re.Match[str]) -> str:
    escaped, double, single = piece[1], piece[2], piece[3]
    if escaped is not None:
        return escaped
    quoted = double if double is not None else single
    return piece[0] if quoted is None else _ESCAPE.sub(lambda each: _ESCAPES.get(each[1], each[1]), quoted)


# --------------------------------------------------------------------------------------------------------------------
# Blocks


class _Tree:
    """Statements as they come, in the blocks that are open."""

    def __init__(self) -> None:
        self._levels: list[list[Statement]] = [[]]
        self._opened: list[Statement] = []

    def add(self, number: int, tokens: Iterator[str | _Brace]) -> None:
        """Take the tokens of one line."""
        words: list[str] = []
        for token in tokens:
            if isinstance(token, str):
                words.append(token)
                continue
            if words:
                self._levels[-1].append(Statement(tuple(words), number))
                words = []
            if token.opens:
                self._open(number)
            else:
                self._close(number)
        if words:
            self._levels[-1].append(Statement(tuple(words), number))

    def _open(self, number: int) -> None:
        here = self._levels[-1]
        if not here or here[-1].block is not None:
            raise UnreadableError(number, "there is no keyword before the {", "write what the block is, or remove it")
        if len(self._levels) > DEEPEST:
            raise UnreadableError(number, f"there are more than {DEEPEST} blocks within each other", "close them")
        self._opened.append(here.pop())
        self._levels.append([])

    def _close(self, number: int) -> None:
        if not self._opened:
            raise UnreadableError(number, "this } closes nothing", "remove it, or look for a { that is missing above")
        inside = tuple(self._levels.pop())
        self._levels[-1].append(attrs.evolve(self._opened.pop(), block=inside))

    def finish(self) -> tuple[Statement, ...]:
        """All of them; raises UnreadableError when a block is still open."""
        if self._opened:
            last = self._opened[-1]
            raise UnreadableError(last.line, f"the block {last.keyword} is not closed", "write the } that is missing")
        return tuple(self._levels[0])


def find_all(statements: Sequence[Statement], *keywords: str) -> tuple[Statement, ...]:
    """The statements with one of these keywords."""
    return tuple(each for each in statements if each.keyword in keywords)


def find_last(statements: Sequence[Statement], *keywords: str) -> Statement | None:
    """The last statement with one of these keywords: it is the one that counts for keepalived."""
    found = find_all(statements, *keywords)
    return found[-1] if found else None
