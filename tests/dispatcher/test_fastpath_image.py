"""Does the image that the compiled fast path reads answer as the snapshot that it is of?"""

from __future__ import annotations

import itertools
import random
from ipaddress import ip_network
from typing import Any

import pytest

from dispatcher.algorithm import Algorithm, Kind, Ranking
from dispatcher.assemble import assemble
from dispatcher.flat import flatten
from dispatcher.listener import Listener
from dispatcher.selection import FULL_SHARE, Pool, choose, in_panic, make_pool
from dispatcher.snapshot import Policy, Snapshot
from sip.uri import parse_host
from tests.dispatcher.choosing import DISABLED, DOWN, DRAINING, SUSPECT, UP
from tests.dispatcher.world import KEY, destination

_fastpath = pytest.importorskip("dispatcher._fastpath")

LISTENERS = (
    Listener("udp", ("192.0.2.1", 5060)),
    Listener("udp", ("10.0.0.1", 5060), ("Edge.example.com", 5070)),
    Listener("udp", ("2001:db8::1", 5060)),
    Listener("udp", ("2001:db8::9", 5080)),
    Listener("udp", ("fe80::1%eth0", 5060)),
)
HOSTS = (
    "192.0.2.1", "10.0.0.1", "2001:db8::1", "2001:db8::9", "fe80::1", "10.0.0.11", "10.0.0.12", "10.9.9.9",
    "198.51.100.7", "2001:db8:1::5", "2001:db8:2::5", "::ffff:10.0.0.11", "fd00::1",
)  # fmt: skip
NAMES = ("edge.example.com", "example.com", "pbx.example.com", "farm.example.com", "elsewhere.example.org")
PORTS = (5060, 5061, 5070, 5080)
DESTINATIONS = (
    destination(("10.0.0.11", 5060), socket=("10.0.0.1", 5060)),
    destination(("10.0.0.12", 5060)),
    destination(("10.0.0.12", 5070), socket=("2001:db8::9", 5080)),
    destination(("2001:db8:1::5", 5060), set_id=2, socket=("192.0.2.77", 5060)),
    destination(("10.0.0.11", 5060), set_id=2),
)


def named(host: str, address: tuple[str, int]) -> Any:
    item = destination(address)
    return type(item)(entry=destination((host, address[1])).entry, address=address)


def snapshot_of(*destinations: Any, pools: dict[int, Pool] | None = None) -> Snapshot:
    policy = Policy(
        algorithm=Algorithm(Kind.WEIGHT),
        domains=frozenset(("example.com", "203.0.113.1")),
        core_networks=(ip_network("10.9.0.0/16"), ip_network("2001:db8:2::/48")),
    )
    sets: dict[int, list[Any]] = {}
    for item in destinations:
        sets.setdefault(item.entry.set_id, []).append(item)
    made = pools or {set_id: make_pool(set_id, sets[set_id], KEY, rankings=()) for set_id in sorted(sets)}
    numbers = itertools.count(1000)
    return assemble(
        version=1,
        policy=policy,
        keys=(KEY,),
        listeners=LISTENERS,
        pools=made,
        numbers={set_id: [next(numbers) for _ in pool.destinations] for set_id, pool in made.items()},
    )


def image_of(snapshot: Snapshot) -> Any:
    return flatten(snapshot, 1, _fastpath.Draft).image


SNAPSHOT = snapshot_of(
    *DESTINATIONS,
    named("pbx.example.com", ("10.0.0.13", 5060)),
    named("farm.example.com", ("10.0.0.14", 5060)),
    named("farm.example.com", ("10.0.0.15", 5060)),
)


def written(host: str) -> bytes:
    """As it stands in a URI."""
    return f"[{host}]".encode() if ":" in host else host.encode()


@pytest.mark.parametrize("host", HOSTS)
def test_the_sides_are_the_same(host: str) -> None:
    assert image_of(SNAPSHOT).is_core(host) == SNAPSHOT.is_core(host)


@pytest.mark.parametrize("host", [*HOSTS, *NAMES, "PBX.Example.COM", "Edge.Example.Com", "::FFFF:10.0.0.11"])
@pytest.mark.parametrize("port", PORTS)
def test_what_is_listed_and_what_is_ours_are_the_same(host: str, port: int) -> None:
    image, read = image_of(SNAPSHOT), parse_host(written(host))
    assert image.listed(written(host), port) == SNAPSHOT.listed(read, port)
    assert image.own_listener(written(host), port) == SNAPSHOT.own_listener(read, port)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("listener", range(len(LISTENERS)))
def test_it_leaves_by_the_same_listener(host: str, listener: int) -> None:
    image = image_of(SNAPSHOT)
    assert image.listener_for(host, listener) == SNAPSHOT.listener_for(host, listener)
    assert image.listener_outward(host, listener) == SNAPSHOT.listener_outward(host, listener)


def test_the_same_destinations_are_usable() -> None:
    codes = (UP, SUSPECT, DOWN, DRAINING, DISABLED, UP)
    snapshot = SNAPSHOT.with_liveness({1: bytes(codes), 2: bytes((DOWN, UP))}, serving=True)
    image = image_of(snapshot)
    assert [image.is_usable(place) for place in range(8)] == [snapshot.is_usable(place) for place in range(8)]
    assert not image.is_usable(8)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Six with shares, a last resort, one without new work."""
    weights = (1, 1, 2, 3, 5, 8, None, 0)
    everyone = [destination((f"10.0.0.{20 + index}", 5060), weight=weight) for index, weight in enumerate(weights)]
    return make_pool(2, everyone, KEY, rankings=(Ranking.WEIGHT,))


def test_the_choice_is_the_same_or_is_left_to_python(pool: Pool) -> None:
    rng = random.Random(5)
    first = make_pool(1, [destination(("10.0.0.11", 5060))], KEY, rankings=())
    snapshot = snapshot_of(pools={1: first, 2: pool})
    flat = flatten(snapshot, 1, _fastpath.Draft)
    algorithm, way = Algorithm(Kind.WEIGHT), (1, "call-id", 0, pool.salt)
    chosen = left = 0
    for round_ in range(60):
        codes = bytes(rng.choices((UP, SUSPECT, DRAINING, DOWN, DISABLED), (6, 1, 1, 1 + round_ % 3 * 4, 1), k=8))
        ramp = bytes(rng.choices((FULL_SHARE, 8, 100, 254), (5, 1, 1, 1), k=8)) if round_ % 2 else b""
        now = snapshot.with_liveness({1: bytes((UP,)), 2: codes}, serving=True, ramp={2: ramp} if ramp else {})
        image: Any = flatten(now, 2, _fastpath.Draft, flat).image
        for _ in range(60):
            key = rng.getrandbits(64)
            expected = choose(pool, algorithm, key, 0, codes, ramp)
            found = image.choose(way, key, register=False)
            if found is None:
                left += 1
            else:
                assert expected is not None
                assert found == 1 + expected
                chosen += 1
    assert chosen > 5 * left


def test_while_everybody_is_up_the_choice_is_never_left_to_python(pool: Pool) -> None:
    image = image_of(snapshot_of(pools={2: pool}))
    rng = random.Random(6)
    keys = [rng.getrandbits(64) for _ in range(2000)]
    up = in_panic(bytes(8))
    found = [image.choose((0, "call-id", 0, 0), key, register=False) for key in keys]
    assert found == [choose(pool, Algorithm(Kind.WEIGHT), key, 0, up) for key in keys]


def test_a_registration_is_chosen_for_whatever_the_algorithm(pool: Pool) -> None:
    image = image_of(snapshot_of(pools={2: pool}))
    assert image.choose((0, "", 0, 0), 7, register=False) is None
    assert image.choose((0, "", 0, 0), 7, register=True) is not None


def drafted() -> Any:
    return _fastpath.Draft([KEY])


@pytest.mark.parametrize(
    ("what", "args"),
    [
        ("add_listener", ("no.address", 5060, b"", False)),
        ("add_destination", ("no.address", 5060, 1, None)),
        ("add_core_network", ("10.0.0.0", "")),
        ("add_pool", (1, [b"short"])),
        ("set_policy", (False, False, "sometimes")),
        ("set_default", ((None, "colour", 0, 0),)),
        ("finish", (1, b"one too many", b"")),
        ("finish", (1, b"", b"one too many")),
    ],
)
def test_what_makes_no_sense_is_refused(what: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        getattr(drafted(), what)(*args)


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_keys_have_16_bytes_and_there_is_one(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        _fastpath.Draft(keys)


def test_a_draft_makes_one_image() -> None:
    draft = drafted()
    assert draft.finish(9, b"", b"").version == 9
    with pytest.raises(RuntimeError, match="made"):
        draft.finish(9, b"", b"")
    with pytest.raises(RuntimeError, match="made"):
        draft.add_domain("example.com")
