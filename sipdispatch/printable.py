"""How is text from outside shown on a terminal?"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text without anything that a terminal would obey: control characters as `\x1b`."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
