"""Are destinations found by their number, address and name?"""

from __future__ import annotations

import attrs
import pytest

from dispatcher.destination import Destination, Entry
from dispatcher.whereabouts import find
from sip.uri import parse_uri

FIRST, SECOND = ("192.0.2.11", 5060), ("192.0.2.12", 5060)


def listed(uri: str, address: tuple[str, int], set_id: int = 1) -> Destination:
    return Destination(entry=Entry(set_id=set_id, uri=uri, target=parse_uri(uri.encode())), address=address)


def test_a_destination_is_found_by_its_number_and_its_address() -> None:
    where = find([listed("sip:192.0.2.11", FIRST), listed("sip:192.0.2.12:5060", SECOND)], [70, 80])
    assert where.by_number == {70: 0, 80: 1}
    assert where.at == {FIRST: (0,), SECOND: (1,)}
    assert where.listed == {FIRST: 0, SECOND: 1}
    assert where.core_hosts == {"192.0.2.11", "192.0.2.12"}
    assert not where.sockets


def test_an_address_in_two_sets_has_two_places_and_is_listed_as_the_first() -> None:
    where = find([listed("sip:192.0.2.11", FIRST), listed("sip:192.0.2.11", FIRST, set_id=2)], [70, 80])
    assert where.at == {FIRST: (0, 1)}
    assert where.listed == {FIRST: 0}


@pytest.mark.parametrize(("addresses", "found"), [([FIRST], {"a.example": 0}), ([FIRST, SECOND], {})])
def test_a_name_is_listed_while_it_stands_for_one_address(
    addresses: list[tuple[str, int]], found: dict[str, int]
) -> None:
    where = find([listed("sip:a.example", address) for address in addresses], range(len(addresses)))
    assert {host: place for (host, _), place in where.listed.items() if host == "a.example"} == found
    assert all(address in where.listed for address in addresses)


def test_the_sockets_of_the_list_are_named() -> None:
    destination = listed("sip:192.0.2.11", FIRST)
    destination = attrs.evolve(destination, entry=attrs.evolve(destination.entry, socket=("192.0.2.1", 5060)))
    assert find([destination], [70]).sockets == {("192.0.2.1", 5060)}
