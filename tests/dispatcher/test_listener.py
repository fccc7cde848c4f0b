"""What a listener says of itself."""

from __future__ import annotations

import attrs
import pytest

from dispatcher.listener import Listener


@pytest.mark.parametrize(
    ("address", "advertise", "sent_by", "family"),
    [
        (("192.0.2.1", 5060), None, b"192.0.2.1:5060", 4),
        (("2001:db8::1", 5062), None, b"[2001:db8::1]:5062", 6),
        (("10.0.0.1", 5060), ("sip.example.com", 5070), b"sip.example.com:5070", 4),
        (("fd00::1", 5060), ("2001:db8::1", 5060), b"[2001:db8::1]:5060", 6),
        (("10.0.0.1", 5060), ("2001:db8::1", 5060), b"[2001:db8::1]:5060", 4),
    ],
)
def test_via_names_what_others_reach(
    address: tuple[str, int], advertise: tuple[str, int] | None, sent_by: bytes, family: int
) -> None:
    listener = Listener("udp", address, advertise)
    assert listener.sent_by == sent_by
    assert listener.advertised == (advertise or address)
    assert listener.family == family


def test_it_says_itself_by_what_it_is_bound_to() -> None:
    assert str(Listener("udp", ("2001:db8::1", 5060), ("a.example", 5))) == "udp:[2001:db8::1]:5060"


def test_a_changed_value_has_a_new_sent_by() -> None:
    listener = Listener("udp", ("192.0.2.1", 0))
    assert attrs.evolve(listener, address=("192.0.2.1", 40000)).sent_by == b"192.0.2.1:40000"
    assert listener == Listener("udp", ("192.0.2.1", 0))


@pytest.mark.parametrize(("host", "wildcard"), [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("::1", False)])
def test_a_wildcard_is_known(host: str, *, wildcard: bool) -> None:
    assert Listener("udp", (host, 5060)).is_wildcard is wildcard
