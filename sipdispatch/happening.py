"""What has happened to a destination or to the proxy?  One value for the log, the control stream and the hooks."""

from __future__ import annotations

from typing import Final, Literal, get_args

import attrs

Kind = Literal["verdict", "word", "list", "proxy", "ban", "vrrp"]
"""verdict: probes or traffic changed their mind; word: the operator did; list: a reload; proxy: start and stop.

ban: a source is heard no more, or again.
vrrp: the role of this node has changed; such happenings are the agent's, all others the proxy's.
"""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@attrs.frozen(kw_only=True)
class Happening:
    """One change: what, from, to, cause, when.

    `sequence` counts from 1 in each process; `at` is Unix time.  `before` and `after` are the words of `health.board`
    in lower case (`up`, `suspect`, `down`, `enabled`, `draining`, `disabled`).  Of a list, `after` is `reloaded`, it is
    in force; `refused`; or `removed`, this destination is gone from it.  Of the proxy it is `started` or `stopped`, of
    a ban `free` or `banned`, of vrrp the role (`initialize`, `backup`, `active`, `fault`).  A change of a destination
    has its set, URI, address (`host:port`) and number; a ban has the source (an address or a network) as its address;
    for others these are empty.
    """

    sequence: int
    at: float
    kind: Kind
    before: str
    after: str
    cause: str
    set_id: int | None = None
    uri: str = ""
    address: str = ""
    number: int = 0

    def to_json(self) -> dict[str, object]:
        """The same facts as plain values, under the same names; `set` for the set's number."""
        values = attrs.asdict(self)
        values["set"] = values.pop("set_id")
        return values
