"""Where in a TOML file do a key and its value stand?

The standard library's reader gives values without places.  This scanner gives the places without reading the values,
and relies on the text being valid TOML: run it only on what `tomllib` has accepted.
"""

from __future__ import annotations

import bisect
import re

import attrs

KeyPath = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and indexes (from 0) of arrays."""
Place = tuple[int, int]
"""Line and column, both from 1; a column counts characters."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (  # the long forms first: '''...''' begins like ''
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}\n#]*")
_ESCAPE = re.compile(r'\\(?:(["\\bfnrte])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))')
_ESCAPED = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "e": "\x1b"}


@attrs.frozen
class Positions:
    """The places of every key and every value of one file."""

    keys: dict[KeyPath, Place]
    values: dict[KeyPath, Place]

    def key(self, path: KeyPath) -> Place:
        """Where the key stands, or the nearest thing round it that has a place; (1, 1) for the file itself."""
        return self._nearest((self.keys, self.values), path)

    def value(self, path: KeyPath) -> Place:
        """Where the value begins, or the nearest thing round it that has a place; (1, 1) for the file itself."""
        return self._nearest((self.values, self.keys), path)

    @staticmethod
    def _nearest(tables: tuple[dict[KeyPath, Place], ...], path: KeyPath) -> Place:
        for length in range(len(path), 0, -1):
            for table in tables:
                if path[:length] in table:
                    return table[path[:length]]
        return (1, 1)


def positions(text: str) -> Positions:
    """The places of all keys and values of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return Positions(scanner.keys, scanner.values)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._last_index: dict[KeyPath, int] = {}  # of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        names = self._dotted()
        self.at += brackets
        above: KeyPath = ()
        for name in names[:-1]:
            above = self._latest((*above, name))
            self._note(self.keys, above, start)
        path: KeyPath = (*above, names[-1])
        self._note(self.keys, path, start)
        if brackets == 2:
            self._last_index[path] = self._last_index.get(path, -1) + 1
            self._note(self.keys, self._latest(path), start)
        return self._latest(path)

    def _latest(self, path: KeyPath) -> KeyPath:
        """A name of an array of tables stands for its last table."""
        return (*path, self._last_index[path]) if path in self._last_index else path

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path = table
        for name in self._dotted():
            path = (*path, name)
            self._note(self.keys, path, start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _dotted(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            if self.text[self.at] in "\"'":
                names.append(_unquote(self._string()))
            else:
                names.append(self._take(_BARE))
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        self._note(self.values, path, self.at)
        match self.text[self.at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self._skip_separators() != "]":
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self._skip_separators() != "}":
            self._pair(path)
        self.at += 1

    def _skip_separators(self) -> str:
        self._skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)
        return self.text[self.at]

    def _string(self) -> str:
        for form in _STRINGS:
            found = form.match(self.text, self.at)
            if found is not None:
                self.at = found.end()
                return found[0]
        raise AssertionError("tomllib accepted a string that has no end")

    def _skip(self, blank: re.Pattern[str]) -> int:
        self._take(blank)
        return self.at

    def _take(self, form: re.Pattern[str]) -> str:
        found = form.match(self.text, self.at)
        if found is None:
            raise AssertionError("tomllib accepted what the grammar does not have")
        self.at = found.end()
        return found[0]

    def _note(self, table: dict[KeyPath, Place], path: KeyPath, at: int) -> None:
        if path not in table:
            line = bisect.bisect_right(self._line_starts, at)
            table[path] = (line, at - self._line_starts[line - 1] + 1)


def _unquote(quoted: str) -> str:
    """The name inside a quoted key, which is never a multi-line string (TOML 1.0, "Keys")."""
    if quoted[0] == "'":
        return quoted[1:-1]

    def character(match: re.Match[str]) -> str:
        if match[1]:
            return _ESCAPED[match[1]]
        return chr(int(match[2] or match[3] or match[4], 16))

    return _ESCAPE.sub(character, quoted[1:-1])
