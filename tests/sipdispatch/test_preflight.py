"""Is a list that does not fit its proxy found out before calls are lost?"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.listener import Listener
from dispatcher.listfile import parse_list
from dispatcher.rules import Rule
from sipdispatch.config import Proxy
from sipdispatch.consistency import Finding
from sipdispatch.preflight import Misfits, find_misfits

VIP = Listener("udp", ("192.0.2.10", 5060))
LIST = Path("/etc/sipdispatch/dispatcher.list")


def proxy(*listen: Listener, routes: tuple[Rule, ...] = (), set_id: int = 1) -> Proxy:
    return Proxy(
        listen=listen or (VIP,),
        list_path=LIST,
        secret_file=Path("/s/secret"),
        state_dir=Path("/s"),
        routes=routes,
        set_id=set_id,
    )


def misfits(settings: Proxy, *lines: str) -> Misfits:
    entries, _ = parse_list("\n".join(lines).encode(), str(LIST))
    assert len(entries) == len(lines)
    return find_misfits(settings, entries)


def said(settings: Proxy, *lines: str) -> list[str]:
    found = misfits(settings, *lines)
    assert found.settings == ()
    return [str(problem).removeprefix(f"{LIST}:") for problem in found.lines]


def test_a_list_that_fits() -> None:
    lines = ("1 sip:192.0.2.20", "1 sip:pbx.example.com", "7 sip:192.0.2.10:5070 0 0 socket=udp:192.0.2.10:5060")
    assert misfits(proxy(), *lines) == Misfits((), ())


def test_a_set_without_destinations() -> None:
    rules = (Rule(set_id=2), Rule(set_id=9), Rule())
    assert misfits(proxy(routes=rules, set_id=5), "1 sip:192.0.2.20", "2 sip:192.0.2.21").settings == (
        Finding(
            ("proxy", "set"),
            f"set 5 has no destination in {LIST}",
            "write a set that is there (1, 2), or fill this one",
        ),
        Finding(
            ("proxy", "route", 1, "set"),
            f"set 9 has no destination in {LIST}",
            "write a set that is there (1, 2), or fill this one",
        ),
    )
    assert misfits(proxy()).settings[0].hint == "fill it"


@pytest.mark.parametrize(
    ("listener", "uri"),
    [
        (VIP, "sip:192.0.2.10"),
        (VIP, "sip:192.0.2.10:5060"),
        (Listener("udp", ("2001:db8::1", 5080)), "sip:[2001:0db8::1]:5080"),
        (Listener("udp", ("10.0.0.5", 5060), ("203.0.113.5", 5080)), "sip:203.0.113.5:5080"),
        (Listener("udp", ("10.0.0.5", 5060), ("sip.example.com", 5060)), "sip:sip.example.com"),
    ],
)
def test_a_destination_that_is_the_proxy_itself(listener: Listener, uri: str) -> None:
    assert said(proxy(listener), f"1 {uri}") == [
        (
            f"1:1: error: {uri} is this proxy itself: every call would come back until it is refused with 482;"
            " write the server's own address"
        )
    ]


def test_a_socket_that_is_not_there() -> None:
    line = "1 sip:192.0.2.20 0 0 socket=udp:192.0.2.11:5060"
    assert said(proxy(), line) == [
        (
            "1:1: error: socket 192.0.2.11:5060 is not in listen: nothing can be sent from it;"
            " write the address of a listener, or add it to listen"
        )
    ]
    assert said(proxy(Listener("udp", ("0.0.0.0", 5060))), line) == []
    assert len(said(proxy(Listener("udp", ("0.0.0.0", 5070))), line)) == 1


def test_a_destination_that_no_listener_can_reach() -> None:
    assert said(proxy(), "1 sip:192.0.2.20", "1 sip:[2001:db8::20]") == [
        "2:1: warning: sip:[2001:db8::20] cannot be reached: there is no IPv6 listener; add a listener that can"
    ]
    loopback = proxy(Listener("udp", ("127.0.0.1", 5060)), Listener("udp", ("::1", 5060)))
    assert said(loopback, "1 sip:127.0.0.2", "1 sip:192.0.2.20", "1 sip:pbx.example.com") == [
        "2:1: warning: sip:192.0.2.20 cannot be reached: every IPv4 listener is on loopback; add a listener that can"
    ]
    assert said(proxy(VIP, Listener("udp", ("127.0.0.1", 5060))), "1 sip:192.0.2.20") == []


def test_a_limit_of_calls_that_nobody_counts() -> None:
    lines = (
        "1 sip:192.0.2.20 0 0 duid=a",
        "1 sip:192.0.2.21 0 0 duid=b;maxload=5",
        "1 sip:192.0.2.22 0 0 duid=c;maxload=5",
        "2 sip:192.0.2.21 0 0 duid=a;maxload=5",
    )
    first, second = (
        f"{line}:1: warning: set {set_id}: maxload has no effect: no calls are counted for this set;"
        ' write algorithm = "call-load" for it'
        for line, set_id in ((2, 1), (4, 2))
    )
    by_calls = Algorithm(Kind.CALL_LOAD)
    assert said(proxy(), *lines) == [first, second]
    assert said(proxy(routes=(Rule(set_id=2, algorithm=by_calls),)), *lines) == [first]
    assert said(proxy(routes=(Rule(algorithm=by_calls),)), *lines) == [second]
    assert said(attrs.evolve(proxy(), algorithm=by_calls), *lines) == [second]
    assert said(attrs.evolve(proxy(routes=(Rule(set_id=2),)), algorithm=by_calls), *lines) == []
