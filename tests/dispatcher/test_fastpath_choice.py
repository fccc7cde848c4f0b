"""Whatever a choice is keyed on, both pipelines choose the same, and remember it as the same."""

from __future__ import annotations

import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.snapshot import Policy
from sip.uri import Address
from tests.dispatcher.twins import Twins, with_tables
from tests.dispatcher.world import PHONE, destination, make_snapshot, request

KEYED = [Kind.CALL_ID, Kind.WEIGHT, Kind.RELATIVE_WEIGHT, Kind.TIERS, Kind.PRIORITY, Kind.FROM, Kind.TO]
KEYED += [Kind.REQUEST_URI, Kind.AOR]
SOFT = [kind for kind in Kind if kind not in KEYED]
FARM = [
    destination((f"10.0.0.{11 + place}", 5060), weight=1 + place, rweight=5 - place, priority=place // 2)
    for place in range(5)
]


def twins(kind: Kind, *, aor_domain: bool = False) -> Twins:
    policy = Policy(algorithm=Algorithm(kind), domains=frozenset(("a.example",)), aor_domain=aor_domain)
    return Twins(with_tables(make_snapshot(*FARM, policy=policy)))


def keyed_on_all(method: str, number: int) -> bytes:
    """A request of which every key is another one."""
    return request(
        method,
        f"sip:{number};x=y@192.0.2.1",
        from_=f'"A" <sip:{number}a@a.example>',
        to=f"<sip:{number}b@{'a' if number % 2 else 'b'}.example:5070>",
        call_id=f"call-{number}",
    )


@pytest.mark.parametrize("aor_domain", [False, True])
@pytest.mark.parametrize("kind", KEYED)
def test_a_keyed_choice_is_the_same(kind: Kind, *, aor_domain: bool) -> None:
    proxy = twins(kind, aor_domain=aor_domain)
    chosen: set[Address] = set()
    for number in range(60):
        for method in ("INVITE", "REGISTER", "CANCEL"):
            chosen.add(proxy.forward(keyed_on_all(method, number), PHONE, kind=method).address)
    assert (len(chosen) == 1) is (kind is Kind.PRIORITY)
    assert not proxy.handed_over.total()


@pytest.mark.parametrize("kind", SOFT)
def test_what_is_not_keyed_is_python_s_choice_and_then_remembered(kind: Kind) -> None:
    proxy = twins(kind)
    for number in range(20):
        for method in ("REGISTER", "INVITE", "CANCEL", "INVITE"):
            proxy.forward(keyed_on_all(method, number), PHONE, kind=method)
    assert not proxy.handed_over["REGISTER"], "it is keyed on the address of record whatever the algorithm"
    assert not proxy.handed_over["CANCEL"]
    assert proxy.handed_over["INVITE"] == 20
