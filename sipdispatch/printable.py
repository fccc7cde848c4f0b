"""How is text from outside shown on a terminal?"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text without anything that a terminal would obey: control characters as `\x1b`, others as `\u202e`."""
    return "".join(letter if letter.isprintable() else _written(letter) for letter in text)


def _written(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if letter.isascii() else letter.encode("ascii", "backslashreplace").decode("ascii")
