"""The hosts file, as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.hosts import find_host, parse_hosts

TEXT = b"""\
# comment
127.0.0.1\tlocalhost
::1 localhost ip6-localhost   ip6-loopback # IPv6

192.0.2.1  PBX1.example.  pbx1 Main
192.0.2.2  pbx2 main
2001:0DB8::1 main
192.0.2.1  main
192.0.2.3
999.0.2.1 wrong
fe80::1%eth0 link
\xff\xfe caf\xe9
192.0.2.4 caf\xe9\r
"""


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("localhost", ("127.0.0.1", "::1")),
        ("ip6-loopback", ("::1",)),
        ("pbx1.example", ("192.0.2.1",)),
        ("pbx1", ("192.0.2.1",)),
        ("main", ("192.0.2.1", "192.0.2.2", "2001:db8::1")),
        ("link", ("fe80::1%eth0",)),
        ("caf\xe9", ("192.0.2.4",)),
        ("wrong", ()),
        ("192.0.2.3", ()),
        ("#", ()),
        ("ipv6", ()),
    ],
)
def test_names_and_aliases(name: str, hosts: tuple[str, ...]) -> None:
    assert find_host(parse_hosts(TEXT), name) == hosts


@pytest.mark.parametrize("name", ["localhost", "pbx.localhost"])
def test_localhost_needs_no_file(name: str) -> None:
    assert find_host({}, name) == ("127.0.0.1", "::1")
    assert find_host({}, "notlocalhost") == ()
    assert find_host({name: ("127.0.0.1",)}, name) == ("127.0.0.1",)


@given(st.binary())
def test_no_bytes_raise(text: bytes) -> None:
    parse_hosts(text)
