"""Are the two nodes alike where they have to be, going by what the other one says of itself?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sipdispatch.doctor_finding import Finding, ok, skipped, wrong
from sipdispatch.vrrp_settings import Vrrp

_HOW: Final = (
    "on the other node: sipdispatch status --json > proxy.json; sipdispatch vrrp status --json > vrrp.json; here: "
    "--peer-status proxy.json --peer-status vrrp.json"
)
_COPY: Final = {
    "list": "copy dispatcher.list from one node to the other, and reload",
    "secret": "copy the secret file from one node to the other (mode 0600), and restart the proxy there",
}


def pair_findings(
    vrrp: Vrrp, own_proxy: Mapping[str, Any] | None, theirs: Mapping[str, Any], why_not: str = ""
) -> Iterator[Finding]:
    """`theirs` is what the other node's `status --json` documents have: `proxy`, `vrrp`, or both."""
    for name in ("list", "secret"):
        yield _fingerprint(name, own_proxy, theirs.get("proxy"), why_not)
    status = theirs.get("vrrp")
    if isinstance(status, Mapping):
        yield from _agent(vrrp, status)


def _fingerprint(name: str, own: Any, theirs: Any, why_not: str) -> Finding:
    if not isinstance(theirs, Mapping):
        mine = f"; this node's fingerprint is {own[name]['fingerprint'][:16]}" if own else ""
        return skipped(name, f"whether it is the same on both nodes is not known{mine}", _HOW)
    if own is None:
        return skipped(name, f"the proxy of this node cannot be asked: {why_not}", "start it, and look again")
    ours, other = own[name]["fingerprint"], _told(theirs, name)
    if ours == other:
        return ok(name, f"it is the same on both nodes: {ours[:16]}")
    return wrong(name, f"it is {ours[:16]} here and {other[:16] or 'unknown'} on the other node", _COPY[name])


def _told(theirs: Mapping[str, Any], name: str) -> str:
    part = theirs.get(name)
    return str(part.get("fingerprint", "")) if isinstance(part, Mapping) else ""


def _agent(vrrp: Vrrp, status: Mapping[str, Any]) -> Iterator[Finding]:
    mine = {
        "vrid": vrrp.vrid,
        "vrrp_version": vrrp.version,
        "interval": vrrp.advert_interval,
        "addresses": sorted(each.address for each in vrrp.addresses),
    }
    told = status.get("addresses")
    others = {**status, "addresses": sorted(map(str, told)) if isinstance(told, list) else told}
    differing = [key for key, value in mine.items() if others.get(key) != value]
    for key in differing:
        yield wrong(
            "other agent",
            f"{key} is {_shown(others.get(key))} there and {_shown(mine[key])} here",
            "write the same on both nodes, and reload both",
        )
    if not differing:
        yield ok("other agent", f"it is configured alike, and is {status.get('state', 'unknown')}")
    if status.get("priority") == vrrp.priority:
        yield wrong(
            "other agent",
            f"both nodes have the priority {vrrp.priority}",
            "write a higher one on the node that shall have the address",
        )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
