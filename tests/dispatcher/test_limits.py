"""How much may a source send, what becomes of it when it sends more, and who is banned for how long?

The same holds for the table in Python and for the compiled one.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import limits as pure
from dispatcher.limits import MOST_BANS, MOST_BY_HAND, MOST_NETWORKS, LimitPolicy, Limits, Over, SourceLimits
from dispatcher.outcome import DropReason

Make = Callable[..., SourceLimits]

SEED = bytes(range(16))
FLOODER, OTHER = "203.0.113.9", "198.51.100.7"


def compiled() -> Make | None:
    """The compiled table, where it is built."""
    try:
        module: Any = importlib.import_module("dispatcher._fastpath")
    except ImportError:
        return None
    made: Make | None = getattr(module, "Limits", None)
    return made


COMPILED = compiled()


@pytest.fixture(params=["python", "compiled"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "python":
        return Limits
    if COMPILED is None:
        pytest.skip("the fast path is not built")
    return COMPILED


def policy(rate: int | None = 10, **known: Any) -> LimitPolicy:
    return LimitPolicy(rate=rate, **{"burst": 5, **known})


def network(text: str) -> pure.Network:
    return ip_network(text)


def admitted(table: SourceLimits, host: str, count: int, now: float) -> int:
    """How many of so many messages at one moment are not dropped."""
    return [table.admit(host, now) for _ in range(count)].count(None)


# --------------------------------------------------------------------------------------------------------------------
# The bucket


def test_a_source_may_send_a_burst_and_then_its_rate(make: Make) -> None:
    table = make(policy(), seed=SEED)
    assert admitted(table, FLOODER, 100, 50.0) == 5
    assert table.admit(FLOODER, 50.05) is DropReason.LIMITED
    assert admitted(table, FLOODER, 100, 50.1) == 1
    assert admitted(table, FLOODER, 100, 51.1) == 5, "a bucket holds no more than a burst"


def test_a_source_at_its_rate_is_never_limited(make: Make) -> None:
    table = make(policy(burst=1), seed=SEED)
    assert [table.admit(FLOODER, 7 + step * 0.1001) for step in range(1000)] == [None] * 1000


def test_what_one_source_sends_costs_no_other(make: Make) -> None:
    table = make(policy(), seed=SEED)
    assert admitted(table, FLOODER, 1000, 1.0) == 5
    assert admitted(table, OTHER, 5, 1.0) == 5


def test_an_ipv6_source_is_its_64(make: Make) -> None:
    table = make(policy(), seed=SEED)
    assert admitted(table, "2001:db8:0:1::1", 3, 1.0) == 3
    assert admitted(table, "2001:db8:0:1:ffff::2", 3, 1.0) == 2
    assert admitted(table, "2001:db8:0:2::1", 3, 1.0) == 3
    assert admitted(table, "::1", 6, 1.0) == 5
    assert [each.source for each in table.top(9, 1.0)] == ["2001:db8:0:1::/64", "::/64"]


def test_the_burst_is_two_seconds_worth_unless_it_is_said(make: Make) -> None:
    assert LimitPolicy(rate=30).room == 60
    assert LimitPolicy().room == 0
    assert admitted(make(LimitPolicy(rate=3), seed=SEED), FLOODER, 99, 1.0) == 6


def test_a_rate_beyond_the_ticks_is_no_limit(make: Make) -> None:
    table = make(policy(rate=2_000_000_000, burst=1_000_000), seed=SEED)
    assert admitted(table, FLOODER, 1000, 1.0) == 1000


def test_without_a_rate_nobody_is_limited_and_nobody_need_ask(make: Make) -> None:
    table = make(seed=SEED)
    assert admitted(table, FLOODER, 1000, 1.0) == 1000
    active = [table.active]
    table.change(policy())
    assert table.policy == policy()
    assert admitted(table, FLOODER, 1000, 1.0) == 5
    active.append(table.active)
    table.change(LimitPolicy())
    assert [*active, table.active] == [False, True, False]


def test_with_another_policy_every_bucket_is_full_again(make: Make) -> None:
    table = make(policy(), seed=SEED)
    assert admitted(table, FLOODER, 1000, 1.0) == 5
    table.change(policy(rate=100, burst=20))
    assert admitted(table, FLOODER, 1000, 1.0) == 20
    assert table.over(1.0) == 1


def test_who_is_allowed_may_send_what_he_likes(make: Make) -> None:
    allow = (network("198.51.100.0/25"), network("2001:db8::/48"))
    table = make(policy(allow=allow), seed=SEED)
    for host, count in ((OTHER, 100), ("2001:db8:0:9::1", 100), ("198.51.100.128", 5), ("2001:db8:1::", 5)):
        assert admitted(table, host, 100, 1.0) == count
    table.ban(network("198.51.100.7"), 60, "", 1.0)
    assert table.admit(OTHER, 1.0) is None


# --------------------------------------------------------------------------------------------------------------------
# The table


def hosts_of_one_set(count: int) -> list[str]:
    """Addresses that meet in one set of the smallest table, which has one."""
    return [f"192.0.2.{number}" for number in range(1, count + 1)]


def test_a_full_set_gives_up_whose_bucket_is_full_soonest(make: Make) -> None:
    table = make(policy(), seed=SEED, sources=4)
    heavy, light = hosts_of_one_set(4)[:3], hosts_of_one_set(4)[3]
    for host in heavy:
        assert admitted(table, host, 9, 1.0) == 5
    assert admitted(table, light, 2, 1.0) == 2
    assert admitted(table, "192.0.2.99", 1, 1.0) == 1
    assert [admitted(table, host, 9, 1.0) for host in heavy] == [0, 0, 0], "who owes more stays known"
    assert admitted(table, light, 9, 1.0) == 5, "who owed least is forgotten, to his good"


def test_a_source_whose_bucket_is_full_takes_no_room(make: Make) -> None:
    table = make(policy(), seed=SEED, sources=4)
    for step in range(100):
        assert admitted(table, f"192.0.2.{step}", 2, 10 + step) == 2
    assert admitted(table, FLOODER, 9, 200.0) == 5


def test_the_table_has_room_for_what_was_asked_rounded_up() -> None:
    for sources, entries in ((0, 4), (1, 4), (4, 4), (5, 8), (16_384, 16_384), (16_385, 32_768)):
        table = Limits(policy(), seed=SEED, sources=sources)
        assert len(table._words) == 4 * entries


def test_the_set_of_a_source_hangs_on_the_seed() -> None:
    host = "203.0.113.1"
    places = {Limits(policy(), seed=bytes([number]) * 16)._find(host)[1] for number in range(8)}
    assert len(places) > 1


def test_many_sources_at_once_are_each_held_to_their_share(make: Make) -> None:
    table = make(policy(), seed=SEED)
    hosts = [f"10.{number >> 8}.{number & 255}.1" for number in range(2000)]
    for host in hosts:
        assert admitted(table, host, 7, 1.0) == 5
    assert table.over(1.0) == 2000
    assert len(table.top(50, 1.0)) == 50


# --------------------------------------------------------------------------------------------------------------------
# Who is over the limit


def test_the_worst_are_told_first_and_only_while_they_are_over_the_limit(make: Make) -> None:
    table = make(policy(), seed=SEED)
    assert (table.over(0.0), table.top(9, 0.0)) == (0, ())
    admitted(table, OTHER, 5, 1.0)
    admitted(table, FLOODER, 7, 1.0)
    admitted(table, OTHER, 9, 1.0)
    assert table.over(1.0) == 2
    worst, other = table.top(9, 1.0)
    assert (worst.source, worst.dropped, other.source, other.dropped) == (OTHER, 9, FLOODER, 2)
    assert [worst.since, other.since] == pytest.approx([1.0, 1.0])
    assert isinstance(worst, Over)
    assert [each.source for each in table.top(1, 1.0)] == [OTHER]
    assert table.over(1.49) == 2
    assert table.over(1.51) == 0, "half a second without a message fills a bucket of five"
    assert table.admit(FLOODER, 1.51) is None
    assert table.top(9, 1.51) == ()


# --------------------------------------------------------------------------------------------------------------------
# Bans by themselves


def flood(table: SourceLimits, host: str, begin: float, end: float) -> dict[DropReason | None, int]:
    """A hundred messages a second, what became of them."""
    counted: dict[DropReason | None, int] = {}
    for step in range(int(begin * 100), int(end * 100)):
        verdict = table.admit(host, step / 100)
        counted[verdict] = counted.get(verdict, 0) + 1
    return counted


def test_who_stays_over_the_limit_is_banned_for_a_time(make: Make) -> None:
    table = make(policy(ban_after=3.0, ban_for=60.0), seed=SEED)
    assert DropReason.BANNED not in flood(table, FLOODER, 10, 13)
    assert table.take_begun() == ()
    flood(table, FLOODER, 13, 14)
    (ban,) = table.take_begun()
    assert (ban.source, ban.cause) == (FLOODER, "over 10 messages/s for 3 s")
    assert 13.0 < ban.since < 13.2
    assert ban.until == ban.since + 60
    assert table.take_begun() == ()
    assert flood(table, FLOODER, 14, 20) == {DropReason.BANNED: 600}
    assert table.admit(OTHER, 20.0) is None
    assert table.begun == 1
    assert table.admit(FLOODER, ban.until - 0.01) is DropReason.BANNED
    assert table.admit(FLOODER, ban.until) is None


def test_who_pauses_long_enough_for_a_whole_burst_is_not_banned(make: Make) -> None:
    table = make(policy(ban_after=3.0), seed=SEED)
    for second in range(10, 40, 2):
        flood(table, FLOODER, second, second + 1)
    assert table.bans(40.0) == ()
    assert table.begun == 0


def test_the_time_over_the_limit_counts_anew_after_a_ban(make: Make) -> None:
    table = make(policy(ban_after=3.0, ban_for=1.0), seed=SEED)
    flood(table, FLOODER, 10, 20)
    bans = table.take_begun()
    assert [ban.since for ban in bans] == pytest.approx([13.05, 17.1], abs=0.04)


def test_a_ban_after_no_time_begins_with_the_first_message_too_many(make: Make) -> None:
    table = make(policy(ban_after=0.0), seed=SEED)
    verdicts = [table.admit(FLOODER, 1.0) for _ in range(7)]
    assert verdicts == [None] * 5 + [DropReason.LIMITED, DropReason.BANNED]


AT_ONCE = policy(rate=1, burst=1, ban_after=0.0, ban_for=1000.0)
"""The second message of a source gets it banned."""


def strangers(count: int, net: int = 10) -> list[str]:
    return [f"{net}.{number >> 8}.{number & 255}.1" for number in range(count)]


def get_banned(table: SourceLimits, hosts: list[str], begin: float) -> None:
    """One after the other, a millisecond between."""
    for place, host in enumerate(hosts):
        admitted(table, host, 2, begin + place / 1000)


def test_the_bans_are_bounded_and_those_that_end_soonest_make_room(make: Make) -> None:
    table = make(AT_ONCE, seed=SEED)
    hosts = strangers(MOST_BANS + 1)
    get_banned(table, hosts, 1.0)
    assert table.admit(hosts[0], 10.0) is None
    assert table.admit(hosts[1], 10.0) is DropReason.BANNED
    assert len(table.bans(10.0)) == MOST_BANS
    (out,) = table.expire(10.0)
    assert (out.source, out.until) == (hosts[0], 1001.0), "who was pushed out is told, once"
    assert table.expire(10.0) == ()
    table.ban(network(hosts[1]), 5, "again", 10.0)
    assert len(table.bans(10.0)) == MOST_BANS, "who is banned already needs no room"
    assert table.expire(10.0) == ()


def test_a_ban_by_hand_is_pushed_out_by_none_that_strangers_bring_about(make: Make) -> None:
    table = make(AT_ONCE, seed=SEED)
    table.ban(network(FLOODER), 60, "operator: ban", 0.0)
    get_banned(table, strangers(2 * MOST_BANS), 1.0)
    assert table.admit(FLOODER, 10.0) is DropReason.BANNED
    assert len(table.bans(10.0)) == MOST_BANS
    assert FLOODER not in {each.source for each in table.expire(10.0)}


def test_by_hand_no_more_are_banned_than_leave_a_share_to_the_limits(make: Make) -> None:
    table = make(AT_ONCE, seed=SEED)
    get_banned(table, strangers(MOST_BANS), 1.0)
    by_hand = strangers(MOST_BY_HAND + 1, net=11)
    for host in by_hand[:-1]:
        table.ban(network(host), 60, "", 10.0)
    before = table.bans(10.0)
    with pytest.raises(ValueError, match="2048 sources are banned by hand already"):
        table.ban(network(by_hand[-1]), 60, "", 10.0)
    assert (table.bans(10.0), table.begun) == (before, MOST_BANS + MOST_BY_HAND)
    assert [each.source for each in table.expire(10.0)] == strangers(MOST_BY_HAND), "these ended soonest"
    table.ban(network(by_hand[0]), 90, "again", 10.0)
    table.ban(network("192.0.2.0/24"), 90, "", 10.0)
    get_banned(table, ["198.51.100.7"], 11.0)
    assert table.admit("198.51.100.7", 12.0) is DropReason.BANNED
    assert table.admit(by_hand[1], 12.0) is DropReason.BANNED
    table.unban(network(by_hand[1]), 12.0)
    assert table.ban(network(by_hand[-1]), 60, "", 12.0).source == by_hand[-1]


def test_who_is_pushed_out_and_banned_again_is_not_told_to_be_free(make: Make) -> None:
    table = make(AT_ONCE, seed=SEED)
    hosts = strangers(MOST_BANS + 1)
    get_banned(table, hosts, 1.0)
    table.ban(network(hosts[0]), 60, "operator: ban", 10.0)
    assert [each.source for each in table.expire(10.0)] == [hosts[1]]


def test_those_that_were_pushed_out_are_kept_in_mind_up_to_a_bound(make: Make) -> None:
    table = make(AT_ONCE, seed=SEED)
    get_banned(table, strangers(2 * MOST_BANS + 9), 1.0)
    assert [each.source for each in table.expire(15.0)] == strangers(MOST_BANS)


def test_the_news_of_bans_are_bounded(make: Make) -> None:
    table = make(policy(rate=1, burst=1, ban_after=0.0), seed=SEED)
    for number in range(MOST_BANS + 5):
        admitted(table, f"10.{number >> 8}.{number & 255}.1", 2, 1.0)
    news = table.take_begun()
    assert (len(news), news[0].source) == (MOST_BANS, "10.0.5.1")


# --------------------------------------------------------------------------------------------------------------------
# Bans by hand


def test_a_ban_by_hand_holds_without_any_limit_until_it_ends(make: Make) -> None:
    table = make(seed=SEED)
    ban = table.ban(network(FLOODER), 60, "operator: ban", 100.0)
    assert (ban.source, ban.since, ban.until, ban.cause, ban.dropped) == (FLOODER, 100.0, 160.0, "operator: ban", 0)
    assert table.active
    assert flood(table, FLOODER, 110, 111) == {DropReason.BANNED: 100}
    assert table.admit(OTHER, 110.0) is None
    (told,) = table.bans(111.0)
    assert told.dropped == 100
    assert table.take_begun() == (), "who bans by hand knows of it"
    assert table.admit(FLOODER, 160.0) is None
    assert table.bans(160.0) == ()
    assert table.expire(159.9) == ()
    assert [each.source for each in table.expire(160.0)] == [FLOODER]
    assert table.expire(160.0) == ()
    assert not table.active


def test_a_ban_is_ended_by_hand(make: Make) -> None:
    table = make(seed=SEED)
    table.ban(network(FLOODER), 60, "", 0.0)
    table.ban(network(OTHER), 60, "", 0.0)
    assert table.unban(network("203.0.113.10"), 1.0) is None
    ended = table.unban(network(FLOODER), 1.0)
    assert ended is not None
    assert ended.source == FLOODER
    assert table.admit(FLOODER, 1.0) is None
    assert table.admit(OTHER, 1.0) is DropReason.BANNED
    assert table.unban(network(OTHER), 60.0) is None, "its time was over"
    assert not table.active


def test_networks_are_banned_too(make: Make) -> None:
    table = make(seed=SEED)
    texts = ("203.0.113.0/24", "2001:db8::/32", "2001:db9:1:2::/64", "::/64", "::/33")
    for place, text in enumerate(texts):
        assert table.ban(network(text), 60 + place, "", 0.0).source == text
    banned = ["203.0.113.0", "203.0.113.255", "2001:db8:ffff::1", "2001:db9:1:2:3::4", "::1", "0:0:7::1"]
    free = ["203.0.112.255", "203.0.114.0", "2001:db9::1", "2001:db9:1:3::", "0:0:8000::"]
    assert [table.admit(host, 1.0) for host in banned] == [DropReason.BANNED] * len(banned)
    assert [table.admit(host, 1.0) for host in free] == [None] * len(free)
    assert [each.source for each in table.bans(1.0)] == list(texts)
    assert table.unban(network("203.0.113.0/25"), 1.0) is None
    assert table.unban(network("203.0.113.0/24"), 1.0) is not None
    assert table.admit("203.0.113.0", 1.0) is None
    assert [each.source for each in table.expire(61.5)] == ["2001:db8::/32"]
    assert table.admit("2001:db8::1", 61.5) is None
    assert table.active


def test_a_network_and_its_first_address_are_banned_by_themselves(make: Make) -> None:
    table = make(seed=SEED)
    table.ban(network("203.0.113.0"), 90, "", 0.0)
    table.ban(network("203.0.113.0/24"), 60, "", 0.0)
    assert [each.source for each in table.expire(60.0)] == ["203.0.113.0/24"]
    assert table.admit("203.0.113.0", 60.0) is DropReason.BANNED
    assert table.admit("203.0.113.1", 60.0) is None
    table.ban(network("203.0.113.0/24"), 60, "", 60.0)
    assert table.unban(network("203.0.113.0/24"), 61.0) is not None
    assert [each.source for each in table.bans(61.0)] == ["203.0.113.0"]


def test_a_network_is_banned_once_and_not_too_many(make: Make) -> None:
    table = make(seed=SEED)
    for number in range(MOST_NETWORKS):
        table.ban(network(f"10.{number}.0.0/16"), 60, "", 0.0)
    with pytest.raises(ValueError, match="64 networks are banned already"):
        table.ban(network("10.64.0.0/16"), 60, "", 0.0)
    table.ban(network("10.0.0.0/16"), 90, "again", 0.0)
    assert len(table.bans(0.0)) == MOST_NETWORKS
    assert table.bans(0.0)[-1].cause == "again"
    assert table.begun == MOST_NETWORKS + 1


def test_bans_outlive_a_change_of_the_limits(make: Make) -> None:
    table = make(policy(), seed=SEED)
    table.ban(network(FLOODER), 60, "", 0.0)
    table.change(LimitPolicy())
    assert table.active
    assert table.admit(FLOODER, 1.0) is DropReason.BANNED


# --------------------------------------------------------------------------------------------------------------------
# Both alike

HOSTS = st.sampled_from([f"10.0.0.{number}" for number in range(12)] + [f"2001:db8:{number}::1" for number in range(8)])
NETWORKS = st.sampled_from(["10.0.0.3", "10.0.0.0/30", "2001:db8::/32", "2001:db8:1::/64", "10.0.0.4", "10.0.0.8/29"])
POLICIES = st.builds(
    LimitPolicy,
    rate=st.none() | st.integers(1, 50),
    burst=st.none() | st.integers(1, 8),
    ban_after=st.none() | st.sampled_from((0.0, 0.5, 2.0)),
    ban_for=st.sampled_from((1.0, 5.0, 30.0)),
    allow=st.sampled_from(((), (ip_network("10.0.0.8/31"),))),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(("admit",) * 20 + ("ban", "unban", "change", "expire")), HOSTS, NETWORKS, POLICIES,
              st.floats(0, 0.3), st.integers(1, 12)),
    max_size=60,
)  # fmt: skip


@pytest.mark.skipif(COMPILED is None, reason="the fast path is not built")
@settings(max_examples=300, deadline=None)
@given(POLICIES, STEPS, st.binary(min_size=16, max_size=16))
def test_the_compiled_table_does_all_that_the_one_in_python_does(
    first: LimitPolicy, steps: list[tuple[str, str, str, LimitPolicy, float, int]], seed: bytes
) -> None:
    assert COMPILED is not None
    one, two = Limits(first, seed=seed, sources=8), COMPILED(first, seed=seed, sources=8)
    now = 1000.0
    for what, host, named, other, pause, count in steps:
        now += pause
        for table in (one, two):
            if what == "ban":
                table.ban(network(named), count, what, now)
            elif what == "unban":
                table.unban(network(named), now)
            elif what == "change":
                table.change(other)
        if what == "admit":
            assert [one.admit(host, now) for _ in range(count)] == [two.admit(host, now) for _ in range(count)]
        elif what == "expire":
            assert one.expire(now) == two.expire(now)
        assert one.active == two.active
        assert one.bans(now) == two.bans(now)
        assert (one.over(now), one.top(5, now)) == (two.over(now), two.top(5, now))
    assert one.take_begun() == two.take_begun()
    assert one.begun == two.begun


@pytest.mark.skipif(COMPILED is None, reason="the fast path is not built")
@pytest.mark.parametrize("seed", range(3))
def test_both_push_out_the_same(seed: int) -> None:
    """Full of bans from the first step on, by hand and of their own."""
    assert COMPILED is not None
    rng = random.Random(seed)
    tables = (Limits(AT_ONCE, seed=SEED), COMPILED(AT_ONCE, seed=SEED))
    by_hand, others = strangers(MOST_BY_HAND + 40, net=11), strangers(MOST_BANS + 400)
    for table in tables:
        for host in by_hand[: MOST_BY_HAND - 20]:
            table.ban(network(host), 30, "", 0.0)
        get_banned(table, others[:MOST_BANS], 1.0)
    for step in range(400):
        now = 10.0 + step / 8
        what, host = rng.choice(("admit", "admit", "ban", "unban", "expire")), rng.choice(by_hand + others)
        lasts = rng.choice((5, 60, 5000))
        one, two = (attempt(table, what, host, lasts, now) for table in tables)
        assert one == two, (step, what, host)
        if step % 20 == 0:
            assert tables[0].bans(now) == tables[1].bans(now)
    assert tables[0].expire(100.0) == tables[1].expire(100.0)
    assert tables[0].begun == tables[1].begun


def attempt(table: SourceLimits, what: str, host: str, lasts: int, now: float) -> object:
    """What comes of one step."""
    if what == "admit":
        return [table.admit(host, now) for _ in range(2)]
    if what == "expire":
        return table.expire(now)
    if what == "unban":
        return table.unban(network(host), now)
    try:
        return table.ban(network(host), lasts, "", now)
    except ValueError as error:
        return str(error)
