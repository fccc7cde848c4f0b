"""What does an operator do about limits and bans, and who is told of those that come and go by themselves?"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs
import pytest
import structlog.testing
import trio
import trio.testing

from dispatcher.algorithm import DEFAULT
from dispatcher.limits import MOST_BANS, MOST_BY_HAND, LimitPolicy, Limits, SourceLimits
from dispatcher.logbudget import LINES_AN_INTERVAL
from dispatcher.outcome import DropReason
from dispatcher.snapshot import Policy, Snapshot
from sipdispatch.chronicle import Chronicle
from sipdispatch.limiting import LOOK_S, Limiting
from sipdispatch.operations import OperationError
from tests.dispatcher.world import SERVER_A, make_snapshot

POLICY = LimitPolicy(rate=10, burst=10, ban_after=2.0, ban_for=60.0, allow=(ip_network("198.51.100.0/28"),))
CORE = (ip_network("172.16.0.0/12"),)
FLOODER = "203.0.113.9"
BY = "control: uid 0, pid 1"


@attrs.define
class Path:
    limits: SourceLimits
    snapshot: Snapshot


@attrs.define
class Stage:
    path: Path
    chronicle: Chronicle
    limiting: Limiting

    @property
    def told(self) -> list[tuple[str, str, str, str]]:
        return [(each.address, each.before, each.after, each.cause) for each in self.chronicle.history()]

    def flood(self, *hosts: str, count: int = 30) -> None:
        """Two seconds of far too much."""
        now = trio.current_time()
        for host in hosts:
            for step in range(5):
                for _ in range(count):
                    self.path.limits.admit(host, now + step / 2)


@pytest.fixture
def stage() -> Stage:
    path = Path(
        Limits(POLICY, seed=bytes(16)), make_snapshot(SERVER_A, policy=Policy(algorithm=DEFAULT, core_networks=CORE))
    )
    chronicle = Chronicle()
    return Stage(path, chronicle, Limiting(path, chronicle))


async def test_a_ban_that_begins_by_itself_is_told_and_so_is_its_end(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.limiting.watch)
        with structlog.testing.capture_logs() as logged:
            stage.flood(FLOODER)
            await trio.sleep(LOOK_S + 0.5)
            begun = (FLOODER, "free", "banned", "over 10 messages/s for 2 s, for 60 s")
            assert stage.told == [begun]
            await trio.sleep(70)
        assert stage.told == [begun, (FLOODER, "banned", "free", "its time is over")]
        assert [(line["log_level"], line["event"], line["source"]) for line in logged] == [
            ("warning", "a source is banned", FLOODER),
            ("info", "a source is banned no more", FLOODER),
        ]
        nursery.cancel_scope.cancel()


async def test_of_many_bans_only_some_are_told_and_of_these_the_end(stage: Stage) -> None:
    hosts = [f"203.0.113.{number}" for number in range(1, 51)]
    now = trio.current_time()
    stage.flood(*hosts)
    with structlog.testing.capture_logs():
        stage.limiting.look(now + 3.0)
        assert [host for host, *_ in stage.told] == hosts[:LINES_AN_INTERVAL]
        assert stage.limiting.facts().banned == 50
        stage.limiting.look(now + 100.0)
    assert [host for host, *_ in stage.told[LINES_AN_INTERVAL:]] == hosts[:LINES_AN_INTERVAL]
    assert stage.limiting.facts().banned == 0


async def test_who_is_pushed_out_by_a_newer_ban_is_told_of_if_his_ban_was(stage: Stage) -> None:
    now = trio.current_time()
    stage.flood(FLOODER, "203.0.113.10")
    with structlog.testing.capture_logs():
        stage.limiting.look(now + 3.0)
        stage.path.limits.change(attrs.evolve(POLICY, rate=1, burst=1, ban_after=0.0))
        for number in range(MOST_BANS - 1):
            for _ in range(2):
                stage.path.limits.admit(f"10.{number >> 8}.{number & 255}.1", now + 4.0)
        stage.limiting.look(now + 5.0)
    assert [told for told in stage.told if told[2] == "free"] == [
        (FLOODER, "banned", "free", "a newer ban took its place")
    ]


async def test_what_is_over_the_limit_and_banned_is_told_with_moments_of_the_calendar(stage: Stage) -> None:
    for _ in range(15):
        stage.path.limits.admit(FLOODER, trio.current_time())
    stage.path.limits.ban(ip_network("192.0.2.99"), 60.0, "why", trio.current_time())
    (over,), (ban,) = stage.limiting.top(5), stage.limiting.bans()
    assert (over.source, over.dropped, ban.source, ban.cause) == (FLOODER, 5, "192.0.2.99", "why")
    now = stage.limiting.now()
    assert over.since == pytest.approx(now, abs=5)
    assert [ban.since, ban.until] == pytest.approx([now, now + 60], abs=5)
    facts = stage.limiting.facts()
    assert (facts.rate, facts.burst, facts.ban_after, facts.ban_for) == (10, 10, 2.0, 60.0)
    assert (facts.allow, facts.over, facts.banned, facts.bans) == (("198.51.100.0/28",), 1, 1, 1)


async def test_without_limits_and_bans_there_is_nothing_to_count(stage: Stage) -> None:
    stage.path.limits.change(LimitPolicy())
    facts = stage.limiting.facts()
    assert (facts.rate, facts.burst, facts.ban_after, facts.over, facts.banned) == (None, 0, None, 0, 0)


# --------------------------------------------------------------------------------------------------------------------
# What an operator does


async def test_an_operators_ban_is_told_at_once(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        ban = stage.limiting.ban(FLOODER, 90.0, by=BY)
        assert ban.source == FLOODER
        assert ban.until - ban.since == pytest.approx(90.0)
        assert stage.path.limits.admit(FLOODER, trio.current_time()) is DropReason.BANNED
        other = stage.limiting.ban("203.0.113.0/24", None, by=BY)
        assert other.until - other.since == pytest.approx(60.0), "as long as the bans of the limits' own"
        ended = stage.limiting.unban(FLOODER, by=BY)
    assert (ended.source, ended.dropped) == (FLOODER, 1)
    assert stage.told == [
        (FLOODER, "free", "banned", f"operator: ban ({BY}), for 90 s"),
        ("203.0.113.0/24", "free", "banned", f"operator: ban ({BY}), for 60 s"),
        (FLOODER, "banned", "free", f"operator: unban ({BY})"),
    ]


async def test_how_many_bans_end_with_the_proxy_is_said_if_there_are_any(stage: Stage) -> None:
    with structlog.testing.capture_logs() as logged:
        stage.limiting.end()
        assert logged == []
        stage.limiting.ban(FLOODER, 90.0, by=BY)
        stage.limiting.end()
    assert (logged[-1]["event"], logged[-1]["banned"]) == ("all bans end with the proxy", 1)


async def test_of_ipv6_the_whole_64_is_banned(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        assert stage.limiting.ban("2001:db8::1", 90.0, by=BY).source == "2001:db8::/64"
        assert stage.limiting.unban("2001:db8::2", by=BY).source == "2001:db8::/64"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("sip:203.0.113.9", "sip:203.0.113.9 is neither an address nor a network"),
        ("203.0.113.9/24", "203.0.113.9/24 is neither an address nor a network"),
        ("0.0.0.0/0", "0.0.0.0/0 is everybody"),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.9 is the IPv4 address 203.0.113.9"),
        ("172.17.2.0/24", "172.17.2.0/24 is a part of 172.16.0.0/12, whose hosts are never banned"),
        (SERVER_A[0], f"{SERVER_A[0]} is a server of yours or this node, which are never banned"),
        ("192.0.2.1", "192.0.2.1 is a server of yours or this node, which are never banned"),
        ("198.51.100.3", "198.51.100.3 may send what it likes: allow has 198.51.100.0/28"),
    ],
)
async def test_who_cannot_be_banned(stage: Stage, source: str, what: str) -> None:
    with pytest.raises(OperationError) as caught:
        stage.limiting.ban(source, 90.0, by=BY)
    assert caught.value.what == what
    assert caught.value.remedy
    assert stage.told == []


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("203.0.113.9/24", "write 203.0.113.0/24, or 203.0.113.9 alone"),
        ("2001:db8::9/64", "write 2001:db8::/64, or 2001:db8::9 alone"),
        ("203.0.113.", "write it as in 203.0.113.9, 203.0.113.0/24 or 2001:db8::/64"),
    ],
)
async def test_what_is_no_network_is_answered_with_what_may_be_meant(stage: Stage, source: str, remedy: str) -> None:
    with pytest.raises(OperationError) as caught:
        stage.limiting.unban(source, by=BY)
    assert caught.value.remedy == remedy


async def test_a_network_around_those_who_are_allowed_may_be_banned(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        stage.limiting.ban("198.51.0.0/16", 90.0, by=BY)
    assert stage.path.limits.admit("198.51.100.3", 1.0) is None
    assert stage.path.limits.admit("198.51.100.99", 1.0) is DropReason.BANNED


async def test_too_many_networks(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        for number in range(64):
            stage.limiting.ban(f"10.{number}.0.0/16", 90.0, by=BY)
        with pytest.raises(OperationError, match="64 networks are banned already"):
            stage.limiting.ban("10.64.0.0/16", 90.0, by=BY)


async def test_too_many_sources(stage: Stage) -> None:
    now = trio.current_time()
    for number in range(MOST_BY_HAND):
        stage.path.limits.ban(ip_network(f"10.{number >> 8}.{number & 255}.1"), 90.0, "", now)
    with pytest.raises(OperationError, match="2048 sources are banned by hand already") as caught:
        stage.limiting.ban(FLOODER, 90.0, by=BY)
    assert caught.value.remedy == "end one of them: sipdispatch limits unban SOURCE"


async def test_who_cannot_be_unbanned(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        stage.limiting.ban("203.0.113.0/24", 90.0, by=BY)
    for source, what in (
        (FLOODER, f"{FLOODER} is banned as a part of 203.0.113.0/24"),
        ("2001:db8::1", "2001:db8::1 is not banned"),
        ("203.0.112.0/22", "203.0.112.0/22 is not banned"),
    ):
        with pytest.raises(OperationError) as caught:
            stage.limiting.unban(source, by=BY)
        assert caught.value.what == what


@pytest.mark.parametrize(
    ("asked", "policy"),
    [
        ({"rate": 20}, attrs.evolve(POLICY, rate=20)),
        ({"rate": 20, "burst": 0, "ban_after": 0.0}, attrs.evolve(POLICY, rate=20, burst=None, ban_after=None)),
        ({"ban_for": 5.0, "burst": 7, "rate": None}, attrs.evolve(POLICY, ban_for=5.0, burst=7)),
        ({"rate": 0}, attrs.evolve(POLICY, rate=None)),
    ],
)
async def test_the_limits_are_changed_as_far_as_is_asked(
    stage: Stage, asked: dict[str, Any], policy: LimitPolicy
) -> None:
    with structlog.testing.capture_logs() as logged:
        facts = stage.limiting.change(asked, by=BY)
    assert stage.path.limits.policy == policy
    assert facts.rate == policy.rate
    assert [line["event"] for line in logged] == ["the limits were changed"]


async def test_a_burst_without_a_rate_is_not_taken(stage: Stage) -> None:
    for asked in ({"rate": 0, "burst": 5}, {"rate": 0, "ban_after": 5.0}):
        with pytest.raises(OperationError, match="there is no limit that this could belong to"):
            stage.limiting.change(asked, by=BY)
    assert stage.path.limits.policy == POLICY


async def test_whoever_asks_about_a_message_hears_that_its_source_is_banned(stage: Stage) -> None:
    with structlog.testing.capture_logs():
        stage.limiting.ban("203.0.113.0/24", 90.0, by=BY)
        stage.limiting.ban("198.51.100.0/24", 90.0, by=BY)
        stage.limiting.ban("192.0.2.0/24", 90.0, by=BY)
    (note,) = stage.limiting.note_on(FLOODER)
    assert note == (f"203.0.113.0/24 is banned, so that nothing of it is heard for 1 min 30 s: operator: ban ({BY})")
    for host in ("2001:db8::1", "198.51.100.3", SERVER_A[0]):
        assert stage.limiting.note_on(host) == ()
