"""How is a destination written down in a dispatcher list?"""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.destination import Entry

_QUOTES = ('"', "'")


def format_entry(entry: Entry) -> str:
    """The line for one entry, without its end: all columns, attributes as `attributes` has them.

    Reading the line gives an equal entry when the entry came from a list.
    """
    columns = f"{entry.set_id} {entry.uri} {entry.flags} {entry.priority}"
    attributes = ";".join(_format_attribute(name, value) for name, value in entry.attributes.items())
    return f"{columns} {attributes}" if attributes else columns


def format_list(entries: Iterable[Entry]) -> bytes:
    """A whole list, one line an entry, in the order given."""
    return "".join(f"{format_entry(entry)}\n" for entry in entries).encode()


def _format_attribute(name: str, value: str) -> str:
    if not value:
        return name
    quote = "'" if '"' in value else '"'
    needed = value.startswith(_QUOTES) or ";" in value or "#" in value
    return f"{name}={quote}{value}{quote}" if needed and quote not in value else f"{name}={value}"
