"""What is probed, how often, and what counts as an answer?"""

from __future__ import annotations

from typing import Any

import attrs

from health.board import State
from sip.errors import SipError
from sip.request import read_uri
from sip.uri import Address

NOT_ALIVE = frozenset((408, 500, 502, 503, 504))
"""Final answers that say "not now"; any other shows a server that works (a stock Asterisk says 401 or 404)."""


def _legal_uri(_target: Target, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        read_uri(value.encode("utf-8", "surrogateescape"))
    except SipError as error:
        raise ValueError(f"{attribute.name} {value!r}: {error}") from error


_POSITIVE: Any = attrs.validators.gt(0)


@attrs.frozen(kw_only=True)
class Target:
    """One server to be probed.  Raises ValueError when a URI or a number cannot be used."""

    number: int
    """What it is known by, 1 to 2**32 - 1; the same after a reload."""
    uri: str = attrs.field(validator=_legal_uri)
    """Request-URI and To of its probes, as in the list."""
    address: Address
    source: Address | None = None
    """The local address to probe from, port 0 for any; None leaves it to the routing table."""
    from_uri: str = attrs.field(validator=_legal_uri)
    interval: float = attrs.field(default=1.0, validator=_POSITIVE)
    """Seconds from one probe to the next."""
    timeout: float = attrs.field(default=0.5, validator=_POSITIVE)
    """Seconds to wait for a final answer; half of it until the probe is sent once more."""
    rise: int = attrs.field(default=2, validator=_POSITIVE)
    """Good probes in a row that bring it up."""
    fall: int = attrs.field(default=2, validator=_POSITIVE)
    """Failed probes in a row that take it down."""
    reply_codes: frozenset[int] | None = None
    """The final answers that are good; None: any but NOT_ALIVE."""
    probed: bool = True
    """False: never probed (Kamailio's flag 32)."""
    listed: State = attrs.field(factory=State)
    """What its line in the list says of it: flag 4 is a word, flag 1 (starts inactive) a verdict."""

    @from_uri.default
    def _own_name(self) -> str:
        """`invalid` is nobody's host (RFC 2606), where the kernel chooses the address."""
        if self.source is None:
            return "sip:sipdispatch@invalid"
        host = self.source[0]
        return f"sip:sipdispatch@[{host}]" if ":" in host else f"sip:sipdispatch@{host}"

    def is_good(self, status: int) -> bool:
        """Whether a final answer shows that the server is alive."""
        return status not in NOT_ALIVE if self.reply_codes is None else status in self.reply_codes
