"""What the compiled fast path is told of a snapshot, and what it is not told again."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.flat import Flat, alive, flatten
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from dispatcher.selection import sketch
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.user_pattern import compile_user_pattern
from tests.dispatcher.choosing import DOWN, UP
from tests.dispatcher.world import KEY, OTHER_KEY, SERVER_A, SERVER_B, VIP, destination, make_snapshot

INNER = Listener("udp", ("10.0.0.1", 5060), ("Edge.Example.COM", 5070))


@attrs.define
class FakeImage:
    fixed: list[tuple[Any, ...]]
    version: int
    liveness: bytes
    ramp: bytes

    def with_liveness(self, version: int, liveness: bytes, ramp: bytes) -> FakeImage:
        return FakeImage(self.fixed, version, liveness, ramp)


@attrs.define
class FakeDraft:
    """Writes down what it is told: the name of the method, without `add_` or `set_`, and the arguments."""

    keys: list[bytes]
    told: list[tuple[Any, ...]] = attrs.field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.told.append((name.partition("_")[2], *args))

    def finish(self, version: int, liveness: bytes, ramp: bytes) -> FakeImage:
        return FakeImage([("keys", self.keys), *self.told], version, liveness, ramp)


def told(snapshot: Snapshot, word: str) -> list[list[Any]]:
    """The arguments of each call of this name."""
    return [list(call[1:]) for call in image_of(flatten(snapshot, 1, FakeDraft)).fixed if call[0] == word]


def image_of(flat: Flat) -> FakeImage:
    assert isinstance(flat.image, FakeImage)
    return flat.image


def salt(set_id: int) -> int:
    return sketch(set_id, (), KEY).salt


def test_the_secrets_are_told_the_current_one_first() -> None:
    assert told(make_snapshot(SERVER_A, keys=(KEY, OTHER_KEY)), "keys") == [[[KEY, OTHER_KEY]]]


def test_a_listener_is_told_with_every_name_of_its_own_and_whether_servers_are_behind_it() -> None:
    server = destination(SERVER_A, socket=("10.0.0.1", 5060))
    policy = Policy(algorithm=Algorithm(Kind.WEIGHT), domains=frozenset(("example.com",)))
    snapshot = make_snapshot(server, listeners=(VIP, INNER), policy=policy)
    assert told(snapshot, "listener") == [
        ["192.0.2.1", 5060, b"192.0.2.1:5060", False],
        ["10.0.0.1", 5060, b"Edge.Example.COM:5070", True],
    ]
    assert told(snapshot, "own") == [["192.0.2.1", 5060, 0], ["10.0.0.1", 5060, 1], ["edge.example.com", 5070, 1]]
    assert sorted(told(snapshot, "own_name")) == [["edge.example.com"], ["example.com"]]
    assert told(snapshot, "domain") == [["example.com"]]


def test_the_policy_is_told() -> None:
    policy = Policy(
        algorithm=Algorithm(Kind.WEIGHT),
        core_networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        aor_domain=True,
        force_rport="always",
    )
    snapshot = make_snapshot(SERVER_A, policy=policy)
    assert told(snapshot, "policy") == [[True, False, "always"]]
    assert told(snapshot, "core_network") == [
        ["10.0.0.0", "10.255.255.255"],
        ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
    ]


def test_each_destination_is_told_behind_its_set() -> None:
    named = attrs.evolve(destination(SERVER_B), entry=destination(("pbx.example.com", 5060)).entry)
    other = destination(SERVER_A, set_id=7, socket=("192.0.2.1", 5060))
    elsewhere = destination(SERVER_B, set_id=7, socket=("192.0.2.99", 5060))
    snapshot = make_snapshot(SERVER_A, named, other, elsewhere)
    calls = image_of(flatten(snapshot, 1, FakeDraft)).fixed
    assert [call for call in calls if call[0] in ("pool", "destination")] == [
        ("pool", 1, [None] * 4),
        ("destination", *SERVER_A, 1000, None),
        ("destination", *SERVER_B, 1001, None),
        ("pool", 7, [None] * 4),
        ("destination", *SERVER_A, 1002, 0),
        ("destination", *SERVER_B, 1003, None),
    ]
    assert told(snapshot, "listed") == [[*SERVER_A, 0], [*SERVER_B, 1], ["pbx.example.com", 5060, 1]]


def test_a_rule_is_told_with_the_set_and_the_way_of_choosing_that_it_leads_to() -> None:
    rules = (
        Rule(
            methods=frozenset((b"REGISTER", b"INVITE")),
            user_prefixes=(b"9", b"00"),
            user_regex=compile_user_pattern("^5"),
            hosts=frozenset(("b.example.com", "a.example.com")),
            sources=(ip_network("198.51.100.0/24"),),
            listeners=frozenset((str(VIP),)),
            set_id=7,
            algorithm=Algorithm(Kind.AOR),
        ),
        Rule(listeners=frozenset(("udp:192.0.2.99:5060",)), algorithm=Algorithm(Kind.ROUND_ROBIN)),
        Rule(set_id=8, algorithm=Algorithm(Kind.TIERS)),
    )
    snapshot = make_snapshot(
        SERVER_A, destination(SERVER_B, set_id=7), policy=Policy(algorithm=Algorithm(Kind.FROM), rules=rules)
    )
    source = ("198.51.100.0", "198.51.100.255")
    assert told(snapshot, "default") == [[(0, "from", 0, salt(1))]]
    assert told(snapshot, "rule") == [
        [
            [b"INVITE", b"REGISTER"], [b"9", b"00"], True, ["a.example.com", "b.example.com"], [source], [0],
            (1, "aor", 0, salt(7)),
        ],
        [[], [], False, [], [], [], (0, "", 0, salt(1))],
        [[], [], False, [], [], None, (None, "call-id", 2, salt(8))],
    ]  # fmt: skip


def test_a_default_set_that_the_list_lacks_has_no_pool() -> None:
    snapshot = make_snapshot(SERVER_A, policy=Policy(default_set=3, algorithm=Algorithm(Kind.WEIGHT)))
    assert told(snapshot, "default") == [[(None, "call-id", 0, salt(3))]]


def test_liveness_and_ramp_have_a_byte_for_each_destination_in_its_order() -> None:
    two = [destination(SERVER_A), destination(SERVER_B), destination(SERVER_A, set_id=2)]
    still = make_snapshot(*two, liveness=bytes((DOWN, UP)))
    assert alive(still) == (bytes((DOWN, UP, UP)), b"")
    assert alive(make_snapshot(*two, ramp=b"\x08\xff")) == (bytes((UP, UP, UP)), b"\x08\xff\xff")


def test_another_liveness_is_all_that_is_told_where_the_list_is_the_same() -> None:
    snapshot = make_snapshot(SERVER_A, SERVER_B)
    first = flatten(snapshot, 1, FakeDraft)
    later = snapshot.with_liveness({1: bytes((DOWN, UP))}, serving=True, ramp={1: b"\xff\x10"})
    second = flatten(later, 2, FakeDraft, first)
    assert image_of(second).fixed is image_of(first).fixed
    assert (image_of(second).version, image_of(second).liveness, image_of(second).ramp) == (
        2,
        bytes((DOWN, UP)),
        b"\xff\x10",
    )
    assert second.snapshot is later


def test_another_list_is_told_anew() -> None:
    first = flatten(make_snapshot(SERVER_A), 1, FakeDraft)
    second = flatten(make_snapshot(SERVER_A), 2, FakeDraft, first)
    assert image_of(second).fixed is not image_of(first).fixed


def test_it_is_told_a_little_at_a_time() -> None:
    many = [destination((f"10.0.{high}.{low}", 5060)) for high in range(4) for low in range(100)]
    steps = flatten.steps(make_snapshot(*many), 1, FakeDraft)
    assert sum(1 for _ in steps) >= 800, "a step for each destination and each listed address"
