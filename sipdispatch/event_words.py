"""How is something that has happened told to a person, in one line?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sipdispatch.printable import printable
from sipdispatch.time_words import moment


def event_words(event: Mapping[str, Any]) -> str:
    """When, of what, what, and why: `2026-11-23 09:45:12  set 1  sip:192.0.2.21  up -> down: no answer in 500 ms`."""
    return printable("  ".join(filter(None, (moment(event["at"]), _subject(event), _change(event)))))


def _subject(event: Mapping[str, Any]) -> str:
    if event["kind"] == "ban":
        return f"ban  {event['address']}"
    if not event["uri"]:
        return str(event["kind"]) if event["set"] is None else f"{event['kind']}  set {event['set']}"
    uri, address = event["uri"], event["address"]
    name = uri if not address or address.removesuffix(":5060") in uri else f"{uri} {address}"
    return f"set {event['set']}  {name}"


def _change(event: Mapping[str, Any]) -> str:
    change = " -> ".join(filter(None, (event["before"], event["after"])))
    return ": ".join(filter(None, (change, event["cause"])))
