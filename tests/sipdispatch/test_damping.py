"""Does damping tell the first at once, the rest once a window, the truth in the end, and the end of every outage?"""

from __future__ import annotations

import attrs
import pytest

from sipdispatch.damping import FIRST_HOLD_S, GATHER_S, LONGEST_HOLD_S, SPACING_S, Damping, Item, Notice
from sipdispatch.happening import Kind
from tests.sipdispatch.happenings import EPOCH, happening

BOTH: tuple[Kind, ...] = ("verdict", "word")


def sent(damping: Damping, until: float) -> list[tuple[float, Notice]]:
    """Every notice until then, each delivered at once, with its time."""
    notices = []
    while (timer := damping.get_timer()) is not None and timer <= until:
        notice = damping.notice_to_send(timer)
        if notice is not None:
            notices.append((timer, notice))
            damping.delivered(timer)
    return notices


def flips(damping: Damping, *times: float, number: int = 1, after: str = "down") -> None:
    """The destination changes its verdict at each of these times."""
    for now in times:
        before = "up" if after == "down" else "down"
        damping.happened(happening(after, before=before, number=number, now=now), now)
        after = before


def only(notices: list[tuple[float, Notice]]) -> tuple[float, Item]:
    ((at, notice),) = notices
    (item,) = notice.items
    return at, item


# --------------------------------------------------------------------------------------------------------------------
# One destination


def test_the_first_goes_out_at_once() -> None:
    damping = Damping(BOTH)
    assert damping.get_timer() is None
    assert damping.notice_to_send(0.0) is None
    flips(damping, 100.0)
    assert damping.notice_to_send(100.0) is None
    at, item = only(sent(damping, 1000.0))
    assert at == 100.0 + GATHER_S
    assert item == Item(
        kind="verdict",
        state="down",
        since=EPOCH + 100.0,
        cause="2 probes unanswered",
        set_id=1,
        uri="sip:10.0.0.1:5060",
        address="10.0.0.1:5060",
        number=1,
    )


def test_the_end_is_told_when_the_window_ends_and_how_long_it_lasted() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    (first,) = sent(damping, 10.0)
    flips(damping, 12.0, after="up")
    at, item = only(sent(damping, 1000.0))
    assert at == first[0] + 60.0
    assert (item.state, item.lasted, item.changes) == ("up", 12.0, 1)


def test_the_end_after_the_window_is_told_at_once() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert len(sent(damping, 150.0)) == 1
    flips(damping, 192.0, after="up")
    at, item = only(sent(damping, 1000.0))
    assert (at, item.lasted) == (192.0 + GATHER_S, 192.0)


def test_what_flaps_is_summed_up() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    sent(damping, 69.0)
    flips(damping, 70.0, after="up")
    sent(damping, 80.0)
    flips(damping, 81.0, 82.0, 83.0, 84.0, 85.0, 86.0, 87.0)
    at, item = only(sent(damping, 1000.0))
    assert at == 70.0 + GATHER_S + 60.0
    assert (item.state, item.changes, item.since) == ("down", 7, EPOCH + 87.0)


def test_what_is_as_it_was_told_is_no_news_but_is_counted_later() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert len(sent(damping, 10.0)) == 1
    flips(damping, 11.0, 12.0, after="up")
    assert sent(damping, 500.0) == []
    assert damping.get_timer() is None
    flips(damping, 600.0, after="up")
    _, item = only(sent(damping, 1000.0))
    assert (item.changes, item.lasted) == (3, 600.0)


def test_a_blip_shorter_than_the_gathering_is_no_news() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0, 0.1)
    assert sent(damping, 1000.0) == []


def test_suspect_is_no_news() -> None:
    damping = Damping(BOTH)
    damping.happened(happening("suspect"), 0.0)
    assert damping.get_timer() is None
    damping.happened(happening("down", before="suspect", now=1.0), 1.0)
    assert only(sent(damping, 100.0))[1].state == "down"
    damping.happened(happening("suspect", before="down", now=200.0), 200.0)
    assert damping.get_timer() is None
    damping.happened(happening("up", before="suspect", now=201.0), 201.0)
    assert only(sent(damping, 1000.0))[1].lasted == 200.0


def test_one_that_was_down_when_the_process_began_is_told_when_it_comes_back() -> None:
    damping = Damping(BOTH)
    damping.happened(happening("up", before="down"), 0.0)
    _, item = only(sent(damping, 1000.0))
    assert item.lasted is None


def test_the_operators_word_has_the_same_window() -> None:
    damping = Damping(BOTH)
    damping.happened(happening("draining", before="enabled", kind="word"), 0.0)
    assert only(sent(damping, 10.0))[1].state == "draining"
    damping.happened(happening("disabled", before="draining", kind="word", now=11.0), 11.0)
    damping.happened(happening("down", now=12.0), 12.0)
    ((at, notice),) = sent(damping, 1000.0)
    assert at == GATHER_S + 60.0
    assert [item.state for item in notice.items] == ["down", "disabled"]
    assert notice.sets == (1,)


def test_what_is_as_it_was_told_is_not_told_again_beside_what_is_new() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    sent(damping, 10.0)
    damping.happened(happening("disabled", before="enabled", kind="word", now=11.0), 11.0)
    assert only(sent(damping, 1000.0))[1].state == "disabled"


def test_only_the_kinds_that_are_wanted_are_told() -> None:
    damping = Damping(["word"])
    flips(damping, 0.0)
    damping.happened(happening("started", before="", kind="proxy", number=0), 0.0)
    assert damping.get_timer() is None


# --------------------------------------------------------------------------------------------------------------------
# Many


def test_a_rack_that_dies_is_one_notice() -> None:
    damping = Damping(BOTH)
    for number in range(1, 41):
        flips(damping, number / 100, number=number)
    ((at, notice),) = sent(damping, 1000.0)
    assert at == 0.01 + GATHER_S
    assert [item.number for item in notice.items] == list(range(1, 11))
    assert (notice.counts, notice.more) == ({"down": 40}, 30)


def test_stragglers_go_together_after_a_pause() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    first = sent(damping, 0.9)
    for number in range(2, 41):
        flips(damping, 0.9 + number / 20, number=number)
    rest = sent(damping, 1000.0)
    assert [notice.counts for _, notice in first + rest] == [{"down": 1}, {"down": 39}]
    assert rest[0][0] == GATHER_S + SPACING_S


def test_what_waits_goes_along_with_what_is_due() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0, number=1)
    flips(damping, GATHER_S - 0.1, number=2)
    ((at, notice),) = sent(damping, 1000.0)
    assert (at, notice.counts) == (GATHER_S, {"down": 2})


def test_what_has_nothing_to_tell_does_not_hurry_the_others() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0, 0.1, number=1)
    flips(damping, 0.3, number=2)
    flips(damping, 0.6, number=3)
    ((at, notice),) = sent(damping, 1000.0)
    assert (at, notice.counts) == (0.3 + GATHER_S, {"down": 2})


def test_the_worst_is_listed_first() -> None:
    damping = Damping((*BOTH, "list"))
    damping.happened(happening("up", before="down", number=1), 0.0)
    damping.happened(happening("draining", before="enabled", kind="word", number=2), 0.0)
    damping.happened(happening("refused", before="", kind="list", number=0), 0.0)
    damping.happened(happening("down", number=3, set_id=7), 0.0)
    ((_, notice),) = sent(damping, 1000.0)
    assert [item.state for item in notice.items] == ["down", "refused", "draining", "up"]
    assert notice.sets == (1, 7)
    assert notice.more == 0


# --------------------------------------------------------------------------------------------------------------------
# The list and the proxy


def test_a_list_that_is_refused_and_its_end() -> None:
    damping = Damping(["list"])
    damping.happened(happening("reloaded", before="", kind="list", number=0), 0.0)
    assert damping.get_timer() is None
    damping.happened(happening("refused", before="", kind="list", number=0, now=100.0), 100.0)
    damping.happened(happening("refused", before="", kind="list", number=0, now=101.0), 101.0)
    assert only(sent(damping, 1000.0))[1].state == "refused"
    damping.happened(happening("reloaded", before="", kind="list", number=0, now=1100.0), 1100.0)
    _, item = only(sent(damping, 2000.0))
    assert item.lasted == 1000.0


def test_every_start_and_stop_of_the_proxy_is_news() -> None:
    damping = Damping(["proxy"])
    damping.happened(happening("started", before="", kind="proxy", number=0), 0.0)
    assert only(sent(damping, 1000.0))[1].state == "started"
    damping.happened(happening("stopped", before="", kind="proxy", number=0, now=1000.0), 1000.0)
    assert only(sent(damping, 2000.0))[1].state == "stopped"


def test_a_change_of_role_is_news_and_a_start_as_backup_is_not() -> None:
    damping = Damping(["vrrp"])

    def change(before: str, after: str, now: float) -> None:
        damping.happened(happening(after, before=before, kind="vrrp", number=0, now=now), now)

    change("initialize", "backup", 0.0)
    assert not sent(damping, 100.0)
    change("backup", "active", 100.0)
    assert only(sent(damping, 200.0))[1].state == "active"
    change("active", "fault", 200.0)
    assert only(sent(damping, 300.0))[1].state == "fault"
    change("fault", "backup", 300.0)
    _, item = only(sent(damping, 400.0))
    assert (item.state, item.lasted) == ("backup", 100.0)
    change("backup", "initialize", 400.0)
    assert not sent(damping, 500.0)


def test_an_outage_ends_when_the_destination_leaves_the_list() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert len(sent(damping, 100.0)) == 1
    damping.happened(happening("draining", before="enabled", kind="word", now=100.0), 100.0)
    damping.happened(happening("removed", before="", kind="list", now=100.0), 100.0)
    _, item = only(sent(damping, 1000.0))
    assert (item.kind, item.state, item.lasted) == ("verdict", "removed", 100.0)


@pytest.mark.parametrize("told", ["up", None])
def test_one_that_leaves_the_list_and_was_not_told_of_is_no_news(told: str | None) -> None:
    damping = Damping(BOTH)
    if told:
        flips(damping, 0.0)
        sent(damping, 100.0)
        flips(damping, 100.0, after="up")
        sent(damping, 101.0)
    flips(damping, 102.0)
    damping.happened(happening("disabled", before="enabled", kind="word", now=102.0), 102.0)
    damping.happened(happening("removed", before="", kind="list", now=102.1), 102.1)
    damping.happened(happening("removed", before="", kind="list", now=102.1), 102.1)
    assert sent(damping, 1000.0) == []
    assert damping.get_timer() is None


def test_one_of_which_only_the_word_is_known_leaves_the_list() -> None:
    damping = Damping(BOTH)
    damping.happened(happening("disabled", before="enabled", kind="word"), 0.0)
    damping.happened(happening("removed", before="", kind="list"), 0.0)
    assert sent(damping, 1000.0) == []


def test_one_that_leaves_the_list_while_its_notice_is_on_its_way() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert damping.notice_to_send(1.0) is not None
    damping.happened(happening("removed", before="", kind="list", now=2.0), 2.0)
    damping.delivered(3.0)
    assert only(sent(damping, 1000.0)) == (
        63.0,
        Item(
            kind="verdict",
            state="removed",
            since=EPOCH + 2.0,
            cause="2 probes unanswered",
            lasted=2.0,
            set_id=1,
            uri="sip:10.0.0.1:5060",
            address="10.0.0.1:5060",
            number=1,
        ),
    )


def test_one_that_is_forgotten_while_its_notice_is_on_its_way() -> None:
    damping = Damping(BOTH)
    damping.happened(happening("disabled", before="enabled", kind="word"), 0.0)
    assert damping.notice_to_send(1.0) is not None
    damping.happened(happening("removed", before="", kind="list", now=2.0), 2.0)
    damping.delivered(3.0)
    assert damping.get_timer() is None


# --------------------------------------------------------------------------------------------------------------------
# Notices that do not arrive


def test_nothing_else_is_sent_while_one_is_on_its_way() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert damping.notice_to_send(1.0) is not None
    flips(damping, 2.0, number=2)
    assert damping.get_timer() is None
    assert damping.notice_to_send(100.0) is None
    damping.delivered(101.0)
    assert damping.get_timer() == 101.0 + SPACING_S


def test_what_did_not_arrive_is_told_again_less_and_less_often() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    now, holds = 1.0, []
    for _ in range(6):
        notice = damping.notice_to_send(now)
        assert notice is not None
        damping.failed(now)
        timer = damping.get_timer()
        assert timer is not None
        holds.append(timer - now)
        now = timer
    assert holds == [FIRST_HOLD_S, 60.0, 120.0, 240.0, LONGEST_HOLD_S, LONGEST_HOLD_S]
    (first, *_) = sent(damping, 10_000.0)
    assert (first[1].items[0].state, first[1].items[0].changes) == ("down", 1)
    flips(damping, 20_000.0, number=2)
    assert damping.notice_to_send(20_001.0) is not None
    damping.failed(20_001.0)
    assert damping.get_timer() == 20_001.0 + FIRST_HOLD_S


def test_an_outage_that_ended_before_it_could_be_told_is_told_as_over() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    assert damping.notice_to_send(1.0) is not None
    damping.failed(1.0)
    flips(damping, 12.0, after="up")
    _, item = only(sent(damping, 1000.0))
    assert (item.state, item.lasted, item.changes) == ("up", 12.0, 2)


def test_an_end_that_did_not_arrive_keeps_how_long_it_was() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    sent(damping, 100.0)
    flips(damping, 192.0, after="up")
    assert damping.notice_to_send(193.0) is not None
    damping.failed(193.0)
    _, item = only(sent(damping, 1000.0))
    assert (item.state, item.lasted, item.changes) == ("up", 192.0, 1)


def test_the_last_notice_waits_for_no_window() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0, number=1)
    flips(damping, 0.0, number=2)
    sent(damping, 10.0)
    flips(damping, 11.0, number=1, after="up")
    notice = damping.last_notice()
    assert notice is not None
    assert [(item.number, item.state) for item in notice.items] == [(1, "up")]
    assert damping.last_notice() is None


def test_an_answer_to_nothing_changes_nothing() -> None:
    damping = Damping(BOTH)
    damping.delivered(0.0)
    damping.failed(0.0)
    assert damping.get_timer() is None


def test_an_item_as_plain_values() -> None:
    damping = Damping(BOTH)
    flips(damping, 0.0)
    _, item = only(sent(damping, 1.0))
    values = item.to_json()
    assert values["set"] == 1
    assert set(values) == {field.name for field in attrs.fields(Item)} - {"set_id"} | {"set"}


# --------------------------------------------------------------------------------------------------------------------
# Bans


def test_each_source_is_told_of_by_itself_and_when_it_is_free_again() -> None:
    damping = Damping(("ban",))
    for place, host in enumerate(("203.0.113.9", "203.0.113.10")):
        ban = attrs.evolve(happening("banned", before="free", kind="ban", number=0, now=place), address=host)
        damping.happened(ban, place)
    told = sent(damping, 30.0)
    assert [item.address for _, notice in told for item in notice.items] == ["203.0.113.9", "203.0.113.10"]
    free = attrs.evolve(happening("free", before="banned", kind="ban", number=0, now=300), address="203.0.113.9")
    damping.happened(free, 300.0)
    _, item = only(sent(damping, 400.0))
    assert (item.address, item.state) == ("203.0.113.9", "free")
