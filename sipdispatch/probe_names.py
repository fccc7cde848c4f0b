"""Where does a name point, for a probe?

The first address of the answer is probed: with SRV records that of the lowest priority number and highest weight, and
among several addresses of one host the lowest.  An answer is kept for its time to live.
"""

from __future__ import annotations

import contextlib

import trio

from dispatcher.names import Answer, Failure, Lookup, lookup
from dispatcher.resolver import NameSource, Resolver
from health.probe import NoAddressError
from sip.uri import Address, numeric


class Names:
    """A look-up for probes; `family` is 4, 6 or None for either, `srv_only` refuses names without SRV records.

    `timeout_s` is one probe's.
    """

    def __init__(
        self, *, timeout_s: float, family: int | None = None, srv_only: bool = False, source: NameSource | None = None
    ) -> None:
        self._family = family
        self._srv_only = srv_only
        self._source = source or Resolver(timeout_s=timeout_s)
        self._known: dict[Lookup, tuple[Address, float]] = {}

    async def find(self, host: str, port: int | None, transport: str) -> Address:
        """The address to probe; raises NoAddressError."""
        asked = lookup(host, port, transport)
        address, good_until = self._known.get(asked, (None, 0.0))
        if address is not None and trio.current_time() < good_until:
            return address
        if asked.address is not None:
            answer: Answer | Failure = Answer(addresses=(asked.address,))
        else:
            answer = await self._source.ask(asked)
        if isinstance(answer, Failure):
            detail = f" ({answer.detail})" if answer.detail else ""
            raise NoAddressError(answer.kind.sentence + detail)
        address = self._chosen(answer, host)
        self._known[asked] = address, trio.current_time() + answer.ttl_s
        return address

    def _chosen(self, answer: Answer, host: str) -> Address:
        if self._srv_only and not answer.srv and numeric(host) is None:
            raise NoAddressError("the name has no SRV record for this transport")
        for address in answer.addresses:
            if self._family is None or (":" in address[0]) == (self._family == 6):
                return address
        raise NoAddressError(f"it has no IPv{self._family} address")


def load_dns() -> None:
    """Import the DNS library now, so that it does not take part in a probe's time."""
    with contextlib.suppress(ImportError):  # told by the look-up, if there is one
        import dispatcher.dnsclient  # noqa: F401, PLC0415 - a numeric target pays for no dnspython
