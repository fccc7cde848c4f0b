"""Which adverts can there be?  Strategies for the tests of the wire."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from vrrp.packet import GROUP_IPV4, GROUP_IPV6, Advert

ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(str)
vrids = st.integers(1, 255)
priorities = st.integers(0, 255)
hundredths = st.integers(1, 4095).map(lambda number: number / 100)
passwords = st.none() | st.binary(max_size=8).map(lambda password: password.rstrip(b"\0"))


@attrs.frozen
class Sent:
    """An advert and the addresses of its IP header."""

    advert: Advert
    source: str
    destination: str


def _adverts(version: int, addresses: st.SearchStrategy[str]) -> st.SearchStrategy[Advert]:
    return st.builds(
        Advert,
        version=st.just(version),
        vrid=vrids,
        priority=priorities,
        interval=hundredths if version == 3 else st.integers(1, 255),
        addresses=st.lists(addresses, min_size=1, max_size=20).map(tuple),
        password=passwords if version == 2 else st.none(),
    )


over_ipv4 = st.builds(Sent, _adverts(2, ipv4) | _adverts(3, ipv4), ipv4, st.just(GROUP_IPV4) | ipv4)
over_ipv6 = st.builds(Sent, _adverts(3, ipv6), ipv6, st.just(GROUP_IPV6) | ipv6)
sent = over_ipv4 | over_ipv6
