"""How is what the running proxy says of a message told to a person?

From the document of `dispatcher.explain`, in the lines of `sipdispatch explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sipdispatch.explain_layout import lay_out
from sipdispatch.printable import printable

_FOLDED: Final = ("way", "outcome", "note")


def explain_text(document: Mapping[str, Any]) -> str:
    """A line for each fact; facts that the document does not have are left out."""
    return lay_out(((label, printable(words)) for label, words in _facts(document) if words), _FOLDED)


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    message, source = _part(document, "message"), _part(document, "source")
    yield "message", _text(message, "start")
    yield "Call-ID", _text(message, "call_id")
    yield "fault", _text(message, "fault")
    yield "source", _text(source, "address")
    yield "listener", _text(document, "listener")
    if source.get("side"):
        yield "side", f"{source['side']}: {_text(source, 'reason')}"
    for route in _rows(document, "routes"):
        yield "Route", _route(route)
    yield "way", _text(_part(document, "way"), "reason")
    yield from _choice(_part(document, "choice"))
    for name, found in _part(document, "looked_up").items():
        yield "looked up", f"{name}: {', '.join(found) or 'no address'}"
    yield "outcome", _text(_part(document, "outcome"), "reason")
    for note in document.get("notes") or ():
        yield "note", str(note)


def _choice(choice: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not choice:
        return
    if choice.get("rule") is not None:
        yield "rule", f"proxy.route[{choice['rule']}]"
    candidates = _rows(choice, "candidates")
    counted = f"{len(candidates)} destination{'' if len(candidates) == 1 else 's'}"
    yield "set", f"{_text(choice, 'set')}: {counted}"
    yield "algorithm", _text(choice, "used") or _text(choice, "algorithm")
    yield "key", _text(choice, "key")
    yield "slot", _text(choice, "slot")
    if choice.get("panic"):
        yield "panic", "nobody takes new work: chosen as if all enabled ones were up"
    uris = max((len(_text(each, "uri")) for each in candidates), default=0)
    for place, each in enumerate(candidates, 1):
        label = "candidates" if place == 1 else ""
        yield label, f"{place:2}. {_text(each, 'uri'):<{uris}}  {_text(each, 'state'):<8}  {_text(each, 'reason')}"


def _route(route: Mapping[str, Any]) -> str:
    token = route.get("token")
    return f"{_text(route, 'uri')}: " + ("not ours" if not route.get("ours") else f"ours, token: {token}")


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _rows(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    rows = document.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return "" if value is None else str(value)
