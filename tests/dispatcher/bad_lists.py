r"""Wrong and doubtful lists, each with every problem printed for it: the table is `bad_lists.txt` beside this file.

A case is a `## title`, the lines of the list after `| ` (with `\xNN` for a byte that a text file cannot hold) and the
problems after `> `, without the path that begins each.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs

TABLE = Path(__file__).with_name("bad_lists.txt")
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


@attrs.frozen
class BadList:
    title: str
    text: bytes
    problems: tuple[str, ...]


def read_table(table: str) -> list[BadList]:
    cases: list[BadList] = []
    for block in re.split("^## ", table, flags=re.MULTILINE)[1:]:
        title, *rows = block.rstrip("\n").split("\n")
        lines = [row[2:].encode() for row in rows if row.startswith("| ")]
        problems = tuple(row[2:] for row in rows if row.startswith("> "))
        text = b"".join(line + b"\n" for line in lines)
        cases.append(BadList(title, _BYTE.sub(lambda match: bytes((int(match[1], 16),)), text), problems))
    return cases


BAD_LISTS = read_table(TABLE.read_text("utf-8"))
